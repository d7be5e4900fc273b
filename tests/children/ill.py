"""Disobedient modules: `ill.py BEHAVIOUR HOST COMMAND_PORT UPDATE_PORT`.

Each writes the pids of all its processes to HERE/pids-BEHAVIOUR, so that a test can count them by
what it knows itself. Where nothing else is said, it answers each command and ends with the
command stream.
"""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time

behaviour, host, command_port, update_port = sys.argv[1:]


def write(kind, text):
    """Add one line to HERE/KIND-BEHAVIOUR."""
    with open(os.path.join(os.environ["HERE"], f"{kind}-{behaviour}"), "a") as out:
        out.write(f"{text}\n")


def connect(port):
    return socket.create_connection((host, int(port)))


def serve(after=lambda cmd: None):
    """Be a good module; `after` is called with each command that was answered."""
    commands, updates = connect(command_port), connect(update_port)
    for line in commands.makefile("rb"):
        cmd = json.loads(line)["cmd"]
        write("heard", cmd)
        if behaviour in ("deaf", "immortal") and cmd == "rm":
            break
        commands.sendall(b'{"success":true}\n')
        after(cmd)
    return commands, updates


def stay_for_ever():
    while True:
        signal.pause()


def daemonize(last_act):
    """Fork twice, so that the grandchild is nobody's child and of a session of its own."""
    told, tell = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        write("pids", os.getpid())
        os.close(tell)
        last_act()
    os.close(tell)
    os.wait()
    os.read(told, 1)  # the end of file says that the daemon has written its pid


def deaf():
    """Neither answers `rm` nor ends with the stream."""
    streams = serve()
    stay_for_ever()
    return streams


def immortal():
    """The same, and ignores SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    deaf()


def stopped():
    """Stops itself once it plays."""
    serve(lambda cmd: os.kill(os.getpid(), signal.SIGSTOP) if cmd == "play" else None)


def parent():
    """Leaves its own children behind; one of them ignores SIGTERM."""
    for program in (["sleep", "1000"], ["sh", "-c", "trap '' TERM; sleep 1000"]):
        write("pids", subprocess.Popen(program).pid)
    serve()


def daemon():
    """Leaves a daemon behind."""
    daemonize(stay_for_ever)
    serve()


def naked():
    """Leaves a daemon behind that has an empty environment."""
    daemonize(lambda: os.execve("/bin/sleep", ["sleep", "1000"], {}))
    serve()


def immortal_daemon():
    """Leaves a daemon behind that ignores SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    daemonize(stay_for_ever)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    serve()


def never():
    """Never connects."""
    stay_for_ever()


def half():
    """Connects its command stream and nothing else."""
    stream = connect(command_port)
    stay_for_ever()
    return stream


def late():
    """Connects only when there is a file HERE/go-late, and is good then."""
    while not os.path.exists(os.path.join(os.environ["HERE"], "go-late")):
        time.sleep(0.01)
    serve()


def exits():
    """Ends before `init`, with a status and a word."""
    sys.exit("no sound card")


def exits_connected():
    """Ends before it answers `init`, with a status."""
    streams = connect(command_port), connect(update_port)
    streams[0].recv(1)
    os._exit(3)


def crashes():
    """Crashes before it answers `init`, and leaves a daemon behind."""
    daemonize(stay_for_ever)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.kill(os.getpid(), signal.SIGSEGV)


if __name__ == "__main__":
    write("pids", os.getpid())
    globals()[behaviour]()
