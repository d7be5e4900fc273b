"""The child's side of a module, for modules written in Python.

A module is a program that a queue or pool starts with three additional arguments: a host and two
ports. With the adapter `stdio` it gets none, and uses standard input and output.
`ParentConnection` holds the two streams; `JSONParentPoller` answers commands from a table of
functions.

Standard library only, and no gevent: every child imports this, at every start. It works in plain
programs, from several threads at once, and in programs that gevent has patched; Python 3.8 and
later.

When the parent hangs up, the module has lost its purpose, so the program ends: in the main thread
by SystemExit, so that `finally` and `atexit` run, in any other thread by SIGTERM to the program
itself. After `rm`, from either side, other threads may have to clean up. Then only the thread that
reads commands ends, and the program ends with the last of the others; the parent's timeout is the
limit.
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


#: States of a connection. `OPEN`: if the parent hangs up, the program ends at once. `REMOVED`: one
#: side has sent `rm`, and threads may clean up. `CLOSED`: this program has hung up itself.
OPEN, REMOVED, CLOSED = "open", "removed", "closed"


class ParentConnection:
    """The two streams to the parent: commands arrive on one, updates are sent on the other.

    The constructor connects to the addresses at the end of `argv`. If there are none, and standard
    input is a pipe, both streams are standard input and output. A program that was started by hand
    prints one line about that and exits with status 2.
    """

    def __init__(self, argv: Sequence[str] | None = None) -> None:
        self.cs, self.us = _open(sys.argv if argv is None else argv)
        self._commands = self.cs.makefile("rb")
        self._answers = b""
        self._update_lock = threading.Lock()
        self.state = OPEN
        #: Whether this side has sent `rm`.
        self.said_rm = False
        #: Whether it has sent a result, and the next item has not begun, if there is one.
        self.is_between = False
        #: Whether it has failed or left since, so that it serves no further item.
        self.is_spent = False
        #: Called when the process of an item that is done is reused, before the next one begins.
        self.on_next_item: Callable[[], None] = lambda: None

    def recv_cmd(self) -> Any:
        """Wait for the next command and return it: `{"cmd": NAME, "args"?: {…}}`."""
        try:
            line = self._commands.readline()
        except (OSError, ValueError):  # ValueError: closed by this program itself
            line = b""
        if not line.endswith(b"\n"):
            self._end_program()
        command = packet.decode(line)
        if _cmd_of(command) == "rm" and self.state == OPEN:
            self.state = REMOVED
        if self.is_between and _cmd_of(command) in ("init", "restore"):
            self.on_next_item()
            if self.is_spent:
                self.close()
                threads.leave()
            self.is_between = False
        return command

    def send_resp(self, response: Mapping[str, Any]) -> None:
        """Answer the command that was received last."""
        line = packet.encode(response)
        try:
            self.cs.sendall(line)
        except OSError:
            self._end_program()

    def send_update(self, update: Mapping[str, Any]) -> None:
        """Send one update. Does not wait for its answer; drops answers that have arrived.

        After a result nothing more is sent of that item, except that the module fails or leaves.
        """
        line = packet.encode(update)
        if _cmd_of(update) == "rm" and self.state == OPEN:
            self.state, self.said_rm = REMOVED, True
        with self._update_lock:
            if self.is_between:
                if _cmd_of(update) not in ("rm", "fail"):
                    return
                self.is_spent = True
            self.is_between = self.is_between or _cmd_of(update) == "result"
            try:
                self.us.sendall(line)
                self._drop_answers()
            except OSError:
                if self.state != REMOVED:  # cleaning up continues, even if the update is lost
                    self._end_program()

    def close(self) -> None:
        """Close both streams. Wakes a thread that waits for a command. May be called twice."""
        self.state = CLOSED
        threads.wait_at_exit(False)
        for stream in (self.cs, self.us):
            try:
                stream.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the parent has closed it first
            stream.close()

    def _drop_answers(self) -> None:
        """Read the parent's answers so far, and report refusals on standard error.

        Unread answers would pile up in the parent.
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
        """End this thread after one side has hung up, and the program unless it is cleaning up."""
        if self.state == REMOVED:
            threads.wait_at_exit(True)
        elif self.state == OPEN and threading.current_thread() is not threading.main_thread():
            import signal  # takes a millisecond, and is rarely needed

            os.kill(os.getpid(), signal.SIGTERM)
        threads.leave()


class JSONParentPoller:
    """Answers the parent's commands from a table, and sends updates.

    A subclass fills `commands` with functions that take self and the command's args by name.
    The value that a function returns is the answer's result; an exception becomes the answer's
    error. It is also reported on standard error: in one line if it is a deliberate refusal, with a
    traceback otherwise; see `mistakes`.

    Arguments are checked against the type hints of the function first. If the last argument of the
    program is `--describe`, the constructor prints what the class says about the module, as one
    JSON object, and ends the program; see `describing`.

    An uncaught exception ends its thread, and probably the work of the module: the parent is
    informed, and ends the module. Hooks that the program has installed before as
    `threading.excepthook` and `sys.excepthook` are still called; later ones replace ours.

        class Hello(JSONParentPoller):
            def cmd_init(self, name): ...
            commands = {"init": cmd_init, "play": …, "suspend": …, "rm": …}
    """

    commands: Mapping[str, Callable[..., Any]] = {}

    def __init__(self) -> None:
        if sys.argv[-1:] == ["--describe"]:
            from shmooze.modules import describing  # here and below: loaded only when needed

            describing.print_and_exit(type(self))
        self.connection = ParentConnection()
        self.connection.on_next_item = self._begin_anew
        threads.on_uncaught(self._thread_failed)
        super().__init__()  # for modules that inherit from a toolkit's class as well

    def handle_one_command(self) -> None:
        """Wait for one command, execute it and answer it."""
        command = self.connection.recv_cmd()
        answer = self._answer(command)
        connection = self.connection
        # Our own `rm`, or a close, may have come first.
        is_new_rm = (
            connection.state == REMOVED and not connection.said_rm and _cmd_of(command) == "rm"
        )
        if is_new_rm and not threads.can_be_notified_by(self.commands.get("rm")):
            connection.state = OPEN  # no thread knows about it, so none cleans up
        try:
            self.connection.send_resp(answer)
        except (TypeError, ValueError) as bad:  # encoding failed, so nothing was sent
            sys.stderr.write(f"the result of `{command['cmd']}` is not valid JSON: {bad}\n")
            text = "the result is not valid JSON; see the output of the module"
            self.connection.send_resp(packet.error(text))

    def set_parameters(self, params: Mapping[str, Any]) -> None:
        """Merge `params` into the module's parameters, which clients can see."""
        self._update("set_parameters", {"parameters": params})

    def unset_parameters(self, params: Sequence[str]) -> None:
        """Remove the named parameters."""
        self._update("unset_parameters", {"parameters": list(params)})

    def save(self, state: Any) -> None:
        """Save where this module is, as any JSON value. It replaces what was saved before.

        If the module is started again, the new process gets it as the argument `state` of the
        command `restore`, right before `init`. Raises ValueError if `commands` has no `restore`,
        since the next start would fail.
        """
        if "restore" not in self.commands:
            raise ValueError("a module that saves needs a function for `restore` in `commands`")
        self._update("save", {"state": state})

    def result(self, value: Any) -> None:
        """Report the result of the work, as any JSON value: it is done. The parent then ends this
        module, beginning with `rm`.
        """
        self._update("result", {"value": value})

    def rm(self) -> None:
        """Announce that this module is leaving. It then has some time to clean up and exit."""
        self.connection.send_update({"cmd": "rm"})

    def fail(self, text: str) -> None:
        """Report why this module cannot continue. The parent then ends it, beginning with `rm`."""
        self._update("fail", {"error": text})

    def close(self) -> None:
        """Close both streams to the parent."""
        self.connection.close()

    def _begin_anew(self) -> None:
        """Prepare for another item: this process is reused, and the first one is done."""

    def _update(self, cmd: str, args: Mapping[str, Any]) -> None:
        self.connection.send_update({"cmd": cmd, "args": args})

    def _answer(self, command: Any) -> dict[str, Any]:
        try:
            cmd, function = command["cmd"], self.commands[command["cmd"]]
        except (KeyError, TypeError):
            from shmooze.modules import mistakes

            cmd = command.get("cmd") if isinstance(command, dict) else command
            return packet.error(mistakes.unknown_command(cmd, self.commands))
        args = command.get("args", {})
        try:
            if args and isinstance(args, dict) and _has_hints(function):
                from shmooze.modules import arguments

                wrong = arguments.check(function, args)
                if wrong:
                    from shmooze.modules import mistakes

                    return packet.error(mistakes.refuse(cmd, wrong))
                args = arguments.convert(function, args)
            return packet.good(function(self, **args))
        except Exception as bad:
            from shmooze.modules import mistakes

            return packet.error(mistakes.answer_to(cmd, function, args, bad))

    def _thread_failed(self, bad: BaseException) -> None:
        if self.connection.state == OPEN:
            from shmooze.modules import mistakes

            self.fail(mistakes.explain(bad))


def _cmd_of(message: Any) -> Any:
    return message.get("cmd") if isinstance(message, dict) else None


def _has_hints(function: Callable[..., Any]) -> bool:
    """Return whether any argument of a function has a type hint."""
    try:
        hinted: Mapping[str, Any] = getattr(function, "__annotations__", {})
    except NameError:  # from Python 3.14 on, for names that only a type checker imports
        return False
    return bool(hinted) and (len(hinted) > 1 or "return" not in hinted)


def _open(argv: Sequence[str]) -> tuple[Any, Any]:
    """Open the command stream and the update stream."""
    try:
        host, command_text, update_text = argv[-3:]
        command_port, update_port = int(command_text), int(update_text)
    except ValueError:
        from shmooze.modules import standard_streams

        if standard_streams.are_meant():
            streams = standard_streams.StandardStreams()
            return streams, streams
        program = os.path.basename(argv[0]) if argv else "module"
        sys.stderr.write(
            f"{program}: this is a shmooze module; a queue or pool starts it and ends its "
            "arguments with HOST COMMAND_PORT UPDATE_PORT\n"
        )
        raise SystemExit(2) from None
    return _connect(host, command_port), _connect(host, update_port)


def _connect(host: str, port: int) -> socket.socket:
    stream = socket.create_connection((host, port))
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream
