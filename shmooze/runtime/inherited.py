"""Standard streams and signals that a program inherits, made the same everywhere.

A shell script, nohup, a supervisor or another daemon may start a program with standard streams
closed, and with signals ignored or blocked. All of that survives exec, and much of it breaks a
program silently: with SIGCHLD ignored or blocked, it does not notice that a child has ended; with
standard error closed, its log goes into the first file that it opens. So:

- A closed standard stream becomes /dev/null, before another file can get its number.
- All signals are unblocked.
- An ignored signal gets its default action back, unless it is one that a terminal sends. Ignoring
  those is a convention: nohup ignores SIGHUP, and a shell script ignores SIGINT and SIGQUIT for
  its background jobs. They stay ignored.

Modules always start with the defaults: see processes/spawn.py.
"""

from __future__ import annotations

import os
import signal
import sys

#: Signals that a terminal sends. If one was ignored at the start, it stays ignored.
_FROM_TERMINAL = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
}

#: Signals that Python itself ignores, and has to.
_IGNORED_BY_PYTHON = {getattr(signal, name, None) for name in ("SIGPIPE", "SIGXFSZ")}

#: Signals ignored at import. Those that a program ignores later, it ignores on purpose.
_IGNORED_AT_START = {
    number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN
}


def open_missing_streams() -> None:
    """Open /dev/null for each standard stream that is closed, also as sys.stdin and so on."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        file: int | str = number
        try:
            os.fstat(number)
        except OSError:
            _open_null(number)
        else:
            if getattr(sys, f"__{name}__") is not None:
                continue
            # It was closed at the start, and another file has got its number by now.
            file = os.devnull
        closes = file != number
        stream = open(file, mode, errors="backslashreplace", closefd=closes)  # noqa: SIM115
        setattr(sys, f"__{name}__", stream)
        setattr(sys, name, getattr(sys, name) or stream)


def _open_null(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)
    os.set_inheritable(number, True)


def reset_dispositions() -> None:
    """Restore the default actions of signals that were ignored at the start; see above."""
    from gevent import monkey  # not at import: programs that need the streams only start faster

    # Not gevent's, which would start its event loop.
    set_handler = monkey.get_original("signal", "signal")
    for number in _IGNORED_AT_START - _FROM_TERMINAL - _IGNORED_BY_PYTHON:
        if _is_ignored(number):
            set_handler(number, signal.SIG_DFL)


def unblock_all() -> None:
    """Unblock all signals."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def stays_ignored(number: int) -> bool:
    """Whether this signal was ignored at the start and stays ignored."""
    return number in _IGNORED_AT_START & _FROM_TERMINAL


def _is_ignored(number: int) -> bool:
    """Whether a signal is ignored now. Python does not know of the handlers that gevent set."""
    import ctypes  # not at import: hardly any program needs it

    action = ctypes.create_string_buffer(1024)  # struct sigaction, which begins with the handler
    if ctypes.CDLL(None).sigaction(number, None, action) != 0:
        return True
    handler = ctypes.cast(action, ctypes.POINTER(ctypes.c_void_p)).contents.value
    return handler == int(signal.SIG_IGN)
