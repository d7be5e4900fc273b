"""The child's side of a module, for modules written in Python.

A module is a program that a queue or pool starts with three more arguments: a host and two
ports. `ParentConnection` holds the two streams; `JSONParentPoller` answers commands from a table
of functions.

Standard library only, and no gevent: this is imported by every child, at every start. It works
in plain scripts, from several threads at once, and in scripts that gevent has patched; Python
3.8 and later.

When the parent hangs up there is nobody left to play for, so the program ends: in the main
thread by SystemExit, so that `finally` and `atexit` run, from any other thread by SIGTERM to the
program itself. After `rm`, whoever has said it, other threads may have to tidy up. Then only the
thread that reads commands ends, and the program with the last of the others; the parent's patience
is the limit.
"""

from __future__ import annotations

import os
import socket
import sys
import threading

from shmooze.lib import packet
from shmooze.modules import threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping, NoReturn, Sequence


#: How a connection stands. `OPEN`: when the parent hangs up the program ends at once. `REMOVED`:
#: one side has said `rm`, and threads may tidy up. `CLOSED`: this program has hung up itself.
OPEN, REMOVED, CLOSED = "open", "removed", "closed"


class ParentConnection:
    """The two streams to the parent: commands come down one, updates go up the other.

    Connects at once to the addresses that end `argv`. A program that was started by hand is
    told so in one line and ends with status 2.
    """

    def __init__(self, argv: Sequence[str] | None = None) -> None:
        host, command_port, update_port = _addresses(sys.argv if argv is None else argv)
        self.cs = _connect(host, command_port)
        self.us = _connect(host, update_port)
        self._commands = self.cs.makefile("rb")
        self._answers = b""
        self._update_lock = threading.Lock()
        self.state = OPEN
        #: Whether this side has said `rm`.
        self.said_rm = False

    def recv_cmd(self) -> Any:
        """Wait for the next command; its shape is `{"cmd": NAME, "args"?: {…}}`."""
        try:
            line = self._commands.readline()
        except (OSError, ValueError):  # ValueError: closed by this program itself
            line = b""
        if not line.endswith(b"\n"):
            self._end_program()
        command = packet.decode(line)
        if _is_rm(command) and self.state == OPEN:
            self.state = REMOVED
        return command

    def send_resp(self, response: Mapping[str, Any]) -> None:
        """Answer the command that came last."""
        line = packet.encode(response)
        try:
            self.cs.sendall(line)
        except OSError:
            self._end_program()

    def send_update(self, update: Mapping[str, Any]) -> None:
        """Send one update. Does not wait for its answer; answers that have come are dropped."""
        line = packet.encode(update)
        if _is_rm(update) and self.state == OPEN:
            self.state, self.said_rm = REMOVED, True
        with self._update_lock:
            try:
                self.us.sendall(line)
                self._drop_answers()
            except OSError:
                if self.state != REMOVED:  # tidying up goes on, even if nobody hears of it
                    self._end_program()

    def close(self) -> None:
        """Close both streams. A thread that waits for a command is woken; may be called twice."""
        self.state = CLOSED
        threads.wait_at_exit(False)
        for stream in (self.cs, self.us):
            try:
                stream.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the parent was faster
            stream.close()

    def _drop_answers(self) -> None:
        """Read what the parent has answered so far, and tell the operator of refusals.

        Left unread, answers would pile up in the parent.
        """
        self.us.setblocking(False)
        try:
            self._answers += self.us.recv(1 << 16)
        except BlockingIOError:
            return
        finally:
            self.us.setblocking(True)
        *lines, self._answers = self._answers.split(b"\n")
        for line in lines:
            answer = packet.decode(line)
            if not answer.get("success"):
                sys.stderr.write(f"update refused: {answer.get('error')}\n")

    def _end_program(self) -> NoReturn:
        """The parent has hung up, or we have: end this thread, and the program if it is time."""
        if self.state == REMOVED:
            threads.wait_at_exit(True)
        elif self.state == OPEN and threading.current_thread() is not threading.main_thread():
            import signal  # which takes a millisecond that few have to spend

            os.kill(os.getpid(), signal.SIGTERM)
        threads.leave()


class JSONParentPoller:
    """Answers the parent's commands from a table, and sends updates.

    A subclass fills `commands` with functions that take self and the command's args by name.
    What a function returns is the answer's result; what it raises is the answer's error. Standard
    error gets a line of it too, or a traceback where it was no refusal: see `mistakes`.

    An exception that nobody catches ends its thread, and so what the module is there for: the
    parent is told, and ends the module. What the program has installed as `threading.excepthook`
    and `sys.excepthook` is called as well; what it installs later takes the place of ours.

        class Hello(JSONParentPoller):
            def cmd_init(self, name): ...
            commands = {"init": cmd_init, "play": …, "suspend": …, "rm": …}
    """

    commands: Mapping[str, Callable[..., Any]] = {}

    def __init__(self) -> None:
        self.connection = ParentConnection()
        threads.on_uncaught(self._thread_failed)
        super().__init__()  # for modules that inherit from a toolkit's class as well

    def handle_one_command(self) -> None:
        """Wait for one command, carry it out and answer it."""
        command = self.connection.recv_cmd()
        answer = self._answer(command)
        connection = self.connection
        crossed = connection.said_rm or connection.state != REMOVED  # by our own `rm`, or a close
        if _is_rm(command) and not crossed and not _can_tell(self.commands.get("rm")):
            connection.state = OPEN  # no thread has heard of it, so none tidies up
        try:
            self.connection.send_resp(answer)
        except (TypeError, ValueError) as bad:  # nothing was sent: the line was not even made
            sys.stderr.write(f"the result of `{command['cmd']}` is no JSON: {bad}\n")
            words = "the result is no JSON: see the output of the module"
            self.connection.send_resp(packet.error(words))

    def set_parameters(self, params: Mapping[str, Any]) -> None:
        """Merge `params` into the parameters that clients see."""
        self._update("set_parameters", {"parameters": params})

    def unset_parameters(self, params: Sequence[str]) -> None:
        """Take the named parameters away again."""
        self._update("unset_parameters", {"parameters": list(params)})

    def rm(self) -> None:
        """Say that this module is leaving. It then has a while to tidy up and to end by itself."""
        self.connection.send_update({"cmd": "rm"})

    def fail(self, text: str) -> None:
        """Say that this module cannot go on, and why. The parent ends it: `rm`, and so on."""
        self.connection.send_update({"cmd": "fail", "args": {"text": text}})

    def close(self) -> None:
        """Close both streams to the parent."""
        self.connection.close()

    def _update(self, cmd: str, args: Mapping[str, Any]) -> None:
        self.connection.send_update({"cmd": cmd, "args": args})

    def _answer(self, command: Any) -> dict[str, Any]:
        try:
            cmd, function = command["cmd"], self.commands[command["cmd"]]
        except (KeyError, TypeError):
            from shmooze.modules import mistakes  # here and below: only if something is wrong

            cmd = command.get("cmd") if isinstance(command, dict) else command
            return packet.error(mistakes.unknown_command(cmd, self.commands))
        args = command.get("args", {})
        try:
            return packet.good(function(self, **args))
        except Exception as bad:
            from shmooze.modules import mistakes

            return packet.error(mistakes.answer_to(cmd, function, args, bad))

    def _thread_failed(self, bad: BaseException) -> None:
        if self.connection.state == OPEN:
            from shmooze.modules import mistakes

            self.fail(mistakes.explain(bad))


def _is_rm(message: Any) -> bool:
    return isinstance(message, dict) and message.get("cmd") == "rm"


def _can_tell(function: Callable[..., Any] | None) -> bool:
    """Whether a function can tell anybody that it was called: it names something to do so with."""
    code = getattr(function, "__code__", None)
    return function is not None and (code is None or bool(code.co_names or code.co_freevars))


def _addresses(argv: Sequence[str]) -> tuple[str, int, int]:
    try:
        host, command_port, update_port = argv[-3:]
        return host, int(command_port), int(update_port)
    except ValueError:
        program = os.path.basename(argv[0]) if argv else "module"
        sys.stderr.write(
            f"{program}: this is a shmooze module; a queue or pool starts it and ends its "
            "arguments with HOST COMMAND_PORT UPDATE_PORT\n"
        )
        raise SystemExit(2) from None


def _connect(host: str, port: int) -> socket.socket:
    stream = socket.create_connection((host, port))
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream
