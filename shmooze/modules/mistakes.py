"""Error texts for clients and operators when a function of a Python module fails.

A client gets text that was written for people, not Python's own. Loaded only after a failure, in
child processes: standard library only, compatible with Python 3.8.
"""

from __future__ import annotations

import inspect
import opcode
import os
import sys
import traceback

from shmooze.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Callable, Iterable

#: What Python itself raises for a programming error. Its text helps nobody but the programmer.
_PROGRAMMING_ERRORS = (
    TypeError,
    AttributeError,
    NameError,
    LookupError,
    AssertionError,
    ImportError,
    RecursionError,
    SyntaxError,
)

#: Sent to clients instead of those.
INTERNAL = "internal error; see the output of the module"


def answer_to(cmd: str, function: Callable[..., Any], args: Any, bad: Exception) -> str:
    """Return the error text for the sender of a failed command. Report the rest to the operator."""
    if isinstance(bad, TypeError) and not _was_raised(bad):
        wrong = _check_arguments(function, args)
        if wrong:
            return refuse(cmd, wrong)
    text = explain(bad)
    if text == INTERNAL:
        traceback.print_exception(type(bad), bad, bad.__traceback__)
        return _name_command(cmd) + text
    _report(cmd, function, bad, text)
    return text


def refuse(cmd: str, wrong: str) -> str:
    """Return the error text for the sender of wrong arguments. Report them to the operator."""
    wrong = _in_one_line(wrong)  # clients choose the names of arguments
    sys.stderr.write(f"refused `{cmd}`: {wrong}\n")
    return _name_command(cmd) + wrong


def _name_command(cmd: str) -> str:
    return f"{cmd[3:]}: " if cmd.startswith("do_") else ""  # clients know no other commands


def unknown_command(cmd: Any, known: Iterable[str]) -> str:
    """Return the error text for the sender of a command that the module does not have."""
    if isinstance(cmd, str) and cmd.startswith("do_"):
        cmd, known = cmd[3:], [each[3:] for each in known if each.startswith("do_")]
    return _in_one_line(f"unknown command `{cmd}`; known: {_quote(known)}")


def explain(bad: BaseException) -> str:
    """Return the text of an exception if it was written for people, INTERNAL otherwise."""
    if isinstance(bad, _PROGRAMMING_ERRORS) and not _was_raised(bad):
        return INTERNAL
    return str(bad) or INTERNAL


def _check_arguments(function: Callable[..., Any], args: Any) -> str:
    """Describe what is wrong with the arguments of a command; empty if they fit."""
    if not isinstance(args, dict):
        return "the arguments must be an object"
    try:
        parameters = list(inspect.signature(function).parameters.values())[1:]  # without self
    except (TypeError, ValueError):
        return ""  # not written in Python
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    accepted = {each.name: each for each in parameters if each.kind in by_name}
    accepts_any = any(each.kind is each.VAR_KEYWORD for each in parameters)
    missing = [
        name for name, each in accepted.items() if each.default is each.empty and name not in args
    ]
    unknown = [] if accepts_any else [name for name in args if name not in accepted]
    wrong = []
    if missing:
        wrong.append(f"{_name(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    if unknown:
        wrong.append(f"unknown {_name(unknown)}; known: {_quote(accepted)}")
    return ", ".join(wrong)


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


def _name(arguments: list[str]) -> str:
    return f"argument{'' if len(arguments) == 1 else 's'} {_quote(arguments)}"


def _quote(names: Iterable[str]) -> str:
    return ", ".join(f"`{each}`" for each in names) or "none"


def _innermost_frame(bad: BaseException) -> TracebackType | None:
    """Return where an exception was raised."""
    place = bad.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place


def _was_raised(bad: BaseException) -> bool:
    """Return True if a `raise` or `assert` statement raised it, not Python itself."""
    place = _innermost_frame(bad)
    if place is None:
        return True
    code = place.tb_frame.f_code.co_code
    return code[place.tb_lasti : place.tb_lasti + 1] in (b"", _RAISE)  # empty: not bytecode


_RAISE = bytes([opcode.opmap["RAISE_VARARGS"]])


def _report(cmd: str, function: Any, bad: Exception, text: str) -> None:
    """Report a failed command on standard error: as one line if it was refused on purpose.

    An exception from outside the module's own file most likely was not raised on purpose.
    """
    place = _innermost_frame(bad)
    assert place is not None
    file = place.tb_frame.f_code.co_filename
    own = getattr(getattr(function, "__code__", None), "co_filename", None)
    if isinstance(bad, CommandError) or (isinstance(bad, (ValueError, TypeError)) and file == own):
        name = os.path.basename(file)
        where = f"({name}, line {place.tb_lineno})"
        sys.stderr.write(f"refused `{cmd}` {where}: {_in_one_line(text)}\n")
    else:
        traceback.print_exception(type(bad), bad, bad.__traceback__)
