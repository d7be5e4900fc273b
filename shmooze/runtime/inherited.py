"""What a program inherits from whoever starts it, made the same everywhere: streams and signals.

A shell script, nohup, a supervisor or another daemon may start us with standard streams closed,
and with signals ignored or blocked. All of that survives exec, and much of it would break us in
silence: with SIGCHLD ignored or blocked, no end of a child is ever noticed; with standard error
closed, the log goes into the first file that happens to be opened. So:

- A standard stream that is closed becomes /dev/null, before any other file can take its number.
- No signal stays blocked.
- A signal that was ignored gets its default back, unless it is one that a terminal sends. To ignore
  those is a request by convention: nohup ignores SIGHUP, a shell script ignores SIGINT and SIGQUIT
  for the programs that it runs in the background. They stay ignored.

Modules start with all defaults, no matter what: see modules.starter.
"""

from __future__ import annotations

import os
import signal
import sys

#: Signals that a terminal sends. Where one of them was ignored at the start, it stays so.
_FROM_TERMINAL = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
}

#: Signals that Python ignores by itself, and depends on it.
_IGNORED_BY_PYTHON = {getattr(signal, name, None) for name in ("SIGPIPE", "SIGXFSZ")}

#: What was ignored when this was imported. A program that ignores a signal later, means it.
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
            # It was closed at the start, and its number is another file's by now: never ours.
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
    """Give signals that were ignored at the start their defaults back; see above which."""
    from gevent import monkey  # who wants the streams only starts sooner without

    # The plain one: gevent's own would begin its event loop.
    set_handler = monkey.get_original("signal", "signal")
    for number in _IGNORED_AT_START - _FROM_TERMINAL - _IGNORED_BY_PYTHON:
        if _is_ignored(number):
            set_handler(number, signal.SIG_DFL)


def unblock_all() -> None:
    """Block no signal any more."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def stays_ignored(number: int) -> bool:
    """Whether this signal was ignored at the start, and stays so."""
    return number in _IGNORED_AT_START & _FROM_TERMINAL


def _is_ignored(number: int) -> bool:
    """Whether a signal is ignored now; Python knows nothing of handlers that gevent has set."""
    import ctypes  # most programs start without it, and hardly any comes here

    action = ctypes.create_string_buffer(1024)  # struct sigaction, which begins with the handler
    if ctypes.CDLL(None).sigaction(number, None, action) != 0:
        return True
    handler = ctypes.cast(action, ctypes.POINTER(ctypes.c_void_p)).contents.value
    return handler == int(signal.SIG_IGN)
