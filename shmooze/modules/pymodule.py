"""The child's side of a module, for modules written in Python.

A module is a program that a queue or pool starts with three more arguments: a host and two
ports. `ParentConnection` holds the two streams; `JSONParentPoller` answers commands from a table
of functions.

Standard library only, and no gevent: this is imported by every child, at every start. It works
in plain scripts, from several threads at once, and in scripts that gevent has patched; Python
3.8 and later.

When the parent is gone there is nobody left to play for, so the program ends: in the main
thread by `ParentGone` (a SystemExit, so that `finally` and `atexit` run), from any other thread
by SIGTERM to the program itself.
"""

from __future__ import annotations

import os
import socket
import sys
import threading

from shmooze.lib import packet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping, NoReturn, Sequence


class ParentGone(SystemExit):
    """The queue or pool has hung up; the module has to end."""


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
        self._closed = False

    def recv_cmd(self) -> Any:
        """Wait for the next command; its shape is `{"cmd": NAME, "args"?: {…}}`."""
        try:
            line = self._commands.readline()
        except (OSError, ValueError):  # ValueError: closed by this program itself
            line = b""
        if not line.endswith(b"\n"):
            self._end_program()
        return packet.decode(line)

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
        with self._update_lock:
            try:
                self.us.sendall(line)
                self._drop_answers()
            except OSError:
                self._end_program()

    def close(self) -> None:
        """Close both streams. A thread that waits for a command is woken; may be called twice."""
        self._closed = True
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
        if not self._closed and threading.current_thread() is not threading.main_thread():
            import signal  # which takes a millisecond that few have to spend

            os.kill(os.getpid(), signal.SIGTERM)
        raise ParentGone(0)


class JSONParentPoller:
    """Answers the parent's commands from a table, and sends updates.

    A subclass fills `commands` with functions that take self and the command's args by name.
    What a function returns is the answer's result; what it raises is the answer's error. Standard
    error gets a line of it too, or a traceback where it was no refusal: see `_tell_operator`.

        class Hello(JSONParentPoller):
            def cmd_init(self, name): ...
            commands = {"init": cmd_init, "play": …, "suspend": …, "rm": …}
    """

    commands: Mapping[str, Callable[..., Any]] = {}

    def __init__(self) -> None:
        self.connection = ParentConnection()
        super().__init__()  # for modules that inherit from a toolkit's class as well

    def handle_one_command(self) -> None:
        """Wait for one command, carry it out and answer it."""
        answer = self._answer(self.connection.recv_cmd())
        try:
            self.connection.send_resp(answer)
        except (TypeError, ValueError) as bad:  # nothing was sent: the line was not even made
            self.connection.send_resp(packet.error(f"the result is no JSON: {bad}"))

    def set_parameters(self, params: Mapping[str, Any]) -> None:
        """Merge `params` into the parameters that clients see."""
        self._update("set_parameters", {"parameters": params})

    def unset_parameters(self, params: Sequence[str]) -> None:
        """Take the named parameters away again."""
        self._update("unset_parameters", {"parameters": list(params)})

    def rm(self) -> None:
        """Say that this module is leaving. It then has a moment to end by itself."""
        self.connection.send_update({"cmd": "rm"})

    def close(self) -> None:
        """Close both streams to the parent."""
        self.connection.close()

    def _update(self, cmd: str, args: Mapping[str, Any]) -> None:
        self.connection.send_update({"cmd": cmd, "args": args})

    def _answer(self, command: Any) -> dict[str, Any]:
        try:
            function = self.commands[command["cmd"]]
        except (KeyError, TypeError):
            name = command.get("cmd") if isinstance(command, dict) else command
            return packet.error(f"this module has no command {name!r}")
        try:
            return packet.good(function(self, **command.get("args", {})))
        except Exception as bad:
            answer = packet.error(str(bad) or type(bad).__name__)
            _tell_operator(command["cmd"], function, bad, answer["error"])
            return answer


def _tell_operator(cmd: str, function: Any, bad: Exception, words: str) -> None:
    """Say on standard error why a command failed: in one line, if it was refused on purpose.

    What was raised elsewhere than in the module's own file was not, most likely.
    """
    from shmooze.errors import CommandError

    place = bad.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    assert place is not None
    file = place.tb_frame.f_code.co_filename
    own = getattr(getattr(function, "__code__", None), "co_filename", None)
    on_purpose = isinstance(bad, (ValueError, TypeError)) and file in (own, __file__)
    if on_purpose or isinstance(bad, CommandError):
        name = os.path.basename(file)
        sys.stderr.write(f"refused `{cmd}` ({name}, line {place.tb_lineno}): {words}\n")
        return
    import traceback  # rarely needed, and a third of this module's import time

    traceback.print_exc()


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
