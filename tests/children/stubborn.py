"""Modules that resist ending, one for each KIND: stubborn.py KIND HOST PORT PORT.

The kinds `command` and `stdio` are spoken to as the adapters of these names do. Those of the kinds
`reused` and `waits-for-next` send a result at their first `play`. That of the kind `preloaded` is
forked from a template, which is on the list of the kind `template`.

Each of its processes writes its pid and start time to HERE/pids-KIND, so that a test can look for
it. Imports nothing from shmooze, and only what is written in C: a dozen of these start at once.
"""

import _signal
import _socket
import fcntl
import os
import sys
import time

#: A template is loaded without arguments.
KIND = sys.argv[1] if len(sys.argv) > 1 else "preloaded"
HERE = os.environ["HERE"]

#: Processes that a chain starts, one after the other; bounded in case the test fails.
LINKS = 400


def record(kind=""):
    with open("/proc/self/stat") as file:
        stat = file.read().rpartition(")")[2].split()
    with open(f"{HERE}/pids-{kind or KIND}", "a") as out:
        out.write(f"{os.getpid()} {stat[19]}\n")


def ignore_sigterm():
    _signal.signal(_signal.SIGTERM, _signal.SIG_IGN)
    _signal.signal(_signal.SIGHUP, _signal.SIG_IGN)


def sleep_on():
    while True:
        time.sleep(1000)


def daemon(empty_environment=False):
    """A double-forked daemon in a session of its own, deaf to SIGTERM."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            ignore_sigterm()
            record()
            if empty_environment:
                os.close(reader)
                os.dup2(writer, 1)
                os.execve("/bin/sh", ["sh", "-c", "trap '' TERM; echo; exec sleep 1000"], {})
            os.write(writer, b"\n")
            sleep_on()
        os._exit(0)
    os.wait()
    os.read(reader, 1)  # the daemon is on the list


def chain(own_session):
    """Processes that fork and exit, each living for a moment only. All hold one lock.

    They are slow until there is a file HERE/hurry.
    """
    lock = open(f"{HERE}/lock-{KIND}", "w")  # noqa: SIM115 - held
    fcntl.flock(lock, fcntl.LOCK_EX)
    if os.fork():
        lock.close()
        return
    for _ in range(LINKS):
        if own_session:
            os.setsid()
        record()
        time.sleep(0.005 if os.path.exists(f"{HERE}/hurry") else 0.05)
        if os.fork():
            os._exit(0)
    os._exit(0)


def answer_on_stdio():
    for line in sys.stdin:
        if '"do_exit"' in line:
            os._exit(0)
        if '"do_crash"' in line:
            os.kill(os.getpid(), _signal.SIGSEGV)
        if '"rm"' not in line:
            print('{"success":true}', flush=True)
    sleep_on()


def answer_commands():
    host, command_port, update_port = sys.argv[-3:]
    commands, updates = _socket.socket(), _socket.socket()
    commands.connect((host, int(command_port)))
    if KIND == "connects-one-stream":
        sleep_on()
    updates.connect((host, int(update_port)))
    plays = 0
    for line in open(commands.fileno(), closefd=False):  # noqa: SIM115
        if '"init"' in line and KIND == "refuses-init":
            commands.sendall(b'{"success":false,"error":"I will not"}\n')
            continue
        if '"rm"' in line and KIND in (*DEAF, "ignores-rm"):
            continue
        if '"do_exit"' in line:
            os._exit(0)
        if '"do_crash"' in line:
            os.kill(os.getpid(), _signal.SIGSEGV)
        commands.sendall(b'{"success":true}\n')
        if '"play"' in line and KIND == "stopped":
            os.kill(os.getpid(), _signal.SIGSTOP)
        plays += '"play"' in line
        if '"play"' in line and plays == 1 and KIND in ("reused", "waits-for-next"):
            updates.sendall(b'{"cmd":"result","args":{"value":null}}\n')
        elif '"play"' in line and KIND == "reused":
            have_company()
    if KIND in DEAF or KIND == "ignores-rm":
        sleep_on()


def have_company():
    daemon()
    if os.fork() == 0:
        record()
        sleep_on()


#: Those that end at SIGKILL only, and hear no `rm`.
DEAF = ("ignores-sigterm", "refuses-init", "limited", "reused", "waits-for-next", "preloaded")


def main():
    record()
    _signal.signal(_signal.SIGUSR1, lambda *_: os._exit(0))
    if KIND in (*DEAF, "never-connects", "command", "stdio"):
        ignore_sigterm()
    if KIND == "has-children":
        for _ in range(3):
            if os.fork() == 0:
                record()
                sleep_on()
    elif KIND in ("has-daemon", "exits-before-init"):
        daemon()
    elif KIND in ("command", "stdio", "limited", "preloaded"):
        have_company()
    elif KIND == "has-bare-daemon":
        daemon(empty_environment=True)
    elif KIND == "chain":
        chain(own_session=False)
    elif KIND == "chain-of-sessions":
        chain(own_session=True)
    if KIND == "exits-before-init":
        sys.exit(3)
    if KIND in ("never-connects", "command"):
        sleep_on()
    if KIND == "stdio":
        answer_on_stdio()
    answer_commands()


if len(sys.argv) == 1:
    record("template")
if __name__ == "__main__":
    main()
