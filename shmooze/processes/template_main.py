"""The template of a preloaded type: loads a program once, and forks a process of it for each item.

Run by the service as `python [options] template_main.py PROGRAM`, or with `-m MODULE` as the
program, and with a socket as standard input. The program is executed up to its first
`if __name__ == "__main__":`. What follows runs in the forked processes only.

Each message on the socket is one byte and file descriptors: a link to the service, standard output
and error, and standard input if there is one. A process for it is forked twice, so that its parent
ends and the service, which is a child subreaper, becomes its parent. It reads one line from the
link, sets itself up, writes its pid, and waits for one more byte. If there is none, the service
does not know of it, and it ends.

Standard library only, compatible with Python 3.8. Knows no other file of shmooze.
"""

from __future__ import annotations

import sys

if not getattr(sys.flags, "safe_path", sys.flags.isolated):
    del sys.path[0]  # our own folder

import __future__

import array
import ast
import builtins
import gc
import importlib.machinery
import importlib.util
import json
import os
import resource
import signal
import socket
import time
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec

#: Before the program can replace them, as gevent does.
fork, waitpid, read, write, sleep = os.fork, os.waitpid, os.read, os.write, time.sleep

#: Seconds within which the service becomes the parent of a process.
ADOPTION = 5.0
#: Compiler flags of `from __future__ import …`.
FUTURE = sum({getattr(__future__, name).compiler_flag for name in __future__.all_feature_names})
#: The exit status that says that no more processes are to be forked.
DONE = 3
#: From linux/prctl.h.
PR_SET_PDEATHSIG = 1


class Refused(Exception):
    """Why a program cannot be preloaded."""


class Program:
    """A program that is loaded up to its main part."""

    def __init__(self, words: Sequence[str]) -> None:
        self.spec: ModuleSpec | None = None
        if words[0] == "-m":
            self.spec = _spec_of(words[1])
            self.path, folder = str(self.spec.origin), ""
        else:
            self.path, folder = words[0], os.path.dirname(os.path.realpath(words[0]))
        if not getattr(sys.flags, "safe_path", sys.flags.isolated) and self.spec is None:
            sys.path.insert(0, folder)
        self.module = types.ModuleType("__main__")
        self.module.__dict__.update(
            __builtins__=builtins,
            __file__=self.path,
            __cached__=None,
            __spec__=self.spec,
            __package__=self.spec.parent if self.spec else None,
            __loader__=importlib.machinery.SourceFileLoader("__main__", self.path),
        )

    def load(self) -> None:
        """Execute it up to its main part."""
        self._signatures = {self.path: _signature(self.path)}
        with open(self.path, "rb") as file:
            tree = ast.parse(file.read(), self.path)
        numbers = [number for number, each in enumerate(tree.body) if _is_guard(each)]
        if not numbers:
            raise Refused('it has no `if __name__ == "__main__":`')
        main = ast.Module(tree.body[numbers[0] :], [])
        del tree.body[numbers[0] :]
        first = compile(tree, self.path, "exec", dont_inherit=True)
        flags = first.co_flags & FUTURE
        self._main = compile(main, self.path, "exec", flags, dont_inherit=True)
        sys.modules["__main__"], sys.argv = self.module, [self.path]
        try:
            exec(first, self.module.__dict__)
        except SystemExit:
            raise Refused("it ends while it is loaded") from None
        others = len(os.listdir("/proc/self/task")) - 1
        if others:
            raise Refused(f"it starts {_threads(others)} while it is loaded")
        for module in list(sys.modules.values()):
            path = getattr(module, "__dict__", {}).get("__file__")
            if isinstance(path, str):
                self._signatures.setdefault(path, _signature(path))

    def changed_file(self) -> str | None:
        """Return the path of a file that has changed since it was loaded, or None."""
        for path, signature in self._signatures.items():
            if _signature(path) != signature:
                return path
        return None

    def run(self) -> None:
        """Execute the main part."""
        exec(self._main, self.module.__dict__)


def _spec_of(name: str) -> ModuleSpec:
    if not sys.flags.isolated and not getattr(sys.flags, "safe_path", False):
        sys.path.insert(0, os.getcwd())
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(name + ".__main__")
    if spec is None or not spec.has_location:
        raise Refused(f"there is no module `{name}` in a file")
    return spec


def _signature(path: str) -> object:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _is_guard(statement: ast.stmt) -> bool:
    """Return whether a statement is `if __name__ == "__main__":`."""
    test = getattr(statement, "test", None)
    return (
        isinstance(statement, ast.If)
        and isinstance(test, ast.Compare)
        and isinstance(test.left, ast.Name)
        and test.left.id == "__name__"
        and [type(each) for each in test.ops] == [ast.Eq]
        and getattr(test.comparators[0], "value", None) == "__main__"
    )


def _threads(count: int) -> str:
    return "a thread" if count == 1 else f"{count} threads"


def serve(control: socket.socket, program: Program) -> list[int]:
    """Fork a process for each message. Returns in those only, with their file descriptors.

    Each has a parent of its own, which waits for the message and then ends. It is forked ahead: so
    only one fork is left to do when the message comes.
    """
    on_child_end = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # or its exit is not reported
    while True:
        parent = fork()
        if parent == 0:
            fds = _receive(control)
            if not fds:
                os._exit(DONE)  # the service has ended, or wants no more
            changed = program.changed_file()
            if changed is not None:
                write(fds[0], f"changed {json.dumps(changed)}\n".encode())
                os._exit(DONE)
            if fork() != 0:
                os._exit(0)
            control.close()
            signal.signal(signal.SIGCHLD, on_child_end)
            return fds
        _, status = waitpid(parent, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == DONE:
            os._exit(0)


def _receive(control: socket.socket) -> list[int]:
    fds = array.array("i")
    size = socket.CMSG_SPACE(4 * fds.itemsize)
    data, messages, _, _ = control.recvmsg(1, size, socket.MSG_CMSG_CLOEXEC)
    for _level, _kind, content in messages if data else ():
        fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    return list(fds)


def set_up(link: int, stdout: int, stderr: int, stdin: int = 0) -> None:
    """Make this process what the service wants, and wait until it has taken note of it."""
    request = json.loads(_read_line(link))
    if request["mark"] is not None:
        limit = (request["mark"], resource.RLIM_INFINITY)
        resource.setrlimit(resource.RLIMIT_RTTIME, limit)
    if request["entry"] is not None:
        enter(*request["entry"])
    os.setsid()
    for number, fd in enumerate((stdin, stdout, stderr)):
        if fd != number:
            os.dup2(fd, number)
            os.close(fd)
    os.chdir(request["cwd"])
    set_environ(request["environ"])
    sys.argv = [sys.argv[0], *request["arguments"]]
    if "gevent" in sys.modules:
        sys.modules["gevent"].reinit()
    deadline = time.monotonic() + ADOPTION
    while os.getppid() != request["service"]:
        if time.monotonic() > deadline:
            os._exit(1)
        sleep(0.0002)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != request["service"]:
        os._exit(1)
    write(link, f"{os.getpid()}\n".encode())
    if read(link, 1) != b"g":
        os._exit(1)
    os.close(link)


def enter(cgroups: list[str], nice: int, max_data: int | None) -> None:
    """Let the limits of this process begin to hold, see `fork_exec`."""
    try:
        for path in cgroups:
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            write(fd, b"0")
            os.close(fd)
    except OSError:
        os._exit(1)  # it is started without a template, and the reason is told then
    os.nice(nice)
    if max_data is not None:
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        most = max_data if hard == resource.RLIM_INFINITY else min(max_data, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def set_environ(wanted: dict[str, str]) -> None:
    """Make the environment what is wanted. Most often there is nothing to change."""
    for name in [each for each in os.environ if each not in wanted]:
        del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _read_line(fd: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        piece = read(fd, 1 << 16)
        if not piece:
            os._exit(1)
        line += piece
    return line


def load(control: socket.socket) -> Program:
    """Load the program, and tell the service about that. Returns the program."""
    problem: str | None = None
    try:
        program = Program(sys.argv[1:])
        program.load()
    except Refused as bad:
        problem = str(bad)
    except (Exception, KeyboardInterrupt) as bad:
        sys.excepthook(type(bad), bad, bad.__traceback__)
        problem = f"it fails while it is loaded: {type(bad).__name__}: {bad}"
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    control.sendall(json.dumps({"problem": problem}).encode() + b"\n")
    if problem is not None:
        os._exit(1)
    return program


if __name__ == "__main__":
    import ctypes

    libc = ctypes.CDLL(None)
    own = sys.modules["__main__"]  # kept, since the program takes its place
    control = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    program = load(control)
    gc.collect()
    gc.freeze()  # so that the collector writes to no memory that the processes share
    set_up(*serve(control, program))
    program.run()
