"""Output of children: incomplete lines, overwritten lines, text in all scripts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from support import CHILDREN, PATIENCE, Client, Site, wait_until

from shmooze.lib import packet
from shmooze.processes.output_pipe import OutputPipe

QUICK = str(CHILDREN / "quick.sh")


class Pipe:
    """A child's pipe, with the lines read from it and the texts given to the log."""

    def __init__(self, quiet_period: float, max_delay: float) -> None:
        self.lines: list[str] = []
        self.logged: list[str] = []
        self.output = OutputPipe(self.lines.append, self.logged.append)
        self.output.quiet_period, self.output.max_delay = quiet_period, max_delay

    def write(self, data: bytes) -> None:
        """Write, and let it be read."""
        while data:
            data = data[os.write(self.output.fileno(), data) :]
            gevent.idle()

    def wait_logged(self, *texts: str) -> None:
        with gevent.Timeout(PATIENCE, AssertionError(f"{self.logged} is not {list(texts)}")):
            while self.logged != list(texts):
                gevent.sleep(0.01)

    def close(self) -> None:
        self.output.close(PATIENCE)


@pytest.fixture
def make_pipe() -> Iterator[Callable[..., Pipe]]:
    """A function that makes a pipe. By default it logs an incomplete line only when it closes."""
    made = []

    def make(quiet_period: float = PATIENCE, max_delay: float = PATIENCE) -> Pipe:
        made.append(Pipe(quiet_period, max_delay))
        return made[-1]

    yield make
    for pipe in made:
        pipe.close()


def test_a_prompt_is_logged_once_it_has_been_quiet_and_only_once(make_pipe: Any) -> None:
    pipe = make_pipe(quiet_period=0.05)
    pipe.write(b"one\nPassword: ")
    assert pipe.output.incomplete_line() == "Password: "  # visible at once
    pipe.wait_logged("one", "Password: ")
    pipe.write(b"wrong\nPassword: ")
    pipe.wait_logged("one", "Password: ", "wrong", "Password: ")
    pipe.write(b"\n")
    pipe.write(b"right\n")
    pipe.wait_logged("one", "Password: ", "wrong", "Password: ", "right")
    assert pipe.lines == ["one", "Password: wrong", "Password: ", "right"]


def test_a_line_that_keeps_growing_is_logged_in_pieces(make_pipe: Any) -> None:
    pipe = make_pipe(quiet_period=0.05, max_delay=0.1)
    for _ in range(100):
        pipe.write(b".")
        gevent.sleep(0.01)
    assert len(pipe.logged) > 1
    assert len(pipe.logged) < 50
    pipe.write(b"done\n")
    assert "".join(pipe.logged) == pipe.lines[0] == "." * 100 + "done"


def test_text_overwritten_after_a_carriage_return_is_not_kept(make_pipe: Any) -> None:
    pipe = make_pipe()
    pipe.write(b"10%\r20%\r")
    assert pipe.output.incomplete_line() == "20%"
    pipe.write(b"30%\rdone\r\n\r\nend\r")
    pipe.write(b"\n")
    pipe.write(b"x" * 3000 + b"\r" + b"y" * 3000)  # never too long
    pipe.close()
    assert pipe.lines == pipe.logged == ["done", "", "end", "y" * 3000]


def test_a_progress_bar_is_logged_now_and_then(make_pipe: Any) -> None:
    pipe = make_pipe(quiet_period=0.05)
    pipe.write(b"\r10%")
    pipe.wait_logged("10%")
    pipe.write(b"\r10%\r10%")
    pipe.write(b"\r100%\r")
    pipe.wait_logged("10%", "100%")
    pipe.write(b"\n")
    pipe.close()
    assert pipe.logged == ["10%", "100%"]
    assert pipe.lines == ["100%"]


@pytest.mark.parametrize("letter", ["é", "字", "🍵"])
@pytest.mark.parametrize("shift", range(4))
def test_long_lines_are_split_between_characters(make_pipe: Any, letter: str, shift: int) -> None:
    pipe = make_pipe()
    text = "x" * shift + letter * 5000
    pipe.write(text.encode())
    pipe.write(f"\n{text}\n".encode())
    pipe.close()
    assert "".join(pipe.lines) == "".join(pipe.logged) == 2 * text
    assert max(len(line.encode()) for line in pipe.lines) <= OutputPipe.max_line


def test_half_a_character_is_not_logged(make_pipe: Any) -> None:
    pipe = make_pipe(quiet_period=0.05)
    first, second = "Größe: 字".encode()[:-1], "Größe: 字".encode()[-1:]
    pipe.write(first)
    pipe.wait_logged("Größe: ")
    assert pipe.output.incomplete_line() == "Größe: "
    pipe.write(second)
    pipe.wait_logged("Größe: ", "字")


def test_bytes_that_are_not_text_are_escaped_wherever_they_are(make_pipe: Any) -> None:
    pipe = make_pipe()
    pipe.write(b"a\xffb\n\x80\n\xe5\xad\n" + b"\xbf" * 5000 + b"\xf0")
    pipe.close()
    assert pipe.lines[:3] == [r"a\xffb", r"\x80", r"\xe5\xad"]
    assert "".join(pipe.lines[3:]) == r"\xbf" * 5000 + r"\xf0"


#: Wide space, no-break space, an emoji of several persons, one with a skin tone, a flag made of
#: tags, a private-use character, Persian with a joiner, Hebrew with a mark, a soft hyphen, a
#: character that is newer than this Python.
FIT = (
    "日本　語 a\u00a0b 👩\u200d👩\u200d👧 👍🏽❤\ufe0f 🏴\U000e0067\U000e0062\U000e007f \ue0b0 "
    "\u0645\u06cc\u200c\u062e \u200f\u05d0\u05d1 so\u00adft \U0001faff e\u0301"
)
UNFIT = "\x1b[2J\x07\x7f\x9b\x85\u2028\u202egnp.\u2066\u206a\0"


def test_text_in_all_scripts_is_kept_and_control_characters_are_escaped(make_pipe: Any) -> None:
    pipe = make_pipe()
    pipe.write(f"{FIT}\ta\n{UNFIT}\n".encode())
    pipe.close()
    shown, escaped = pipe.lines
    assert shown == f"{FIT}\ta"
    assert escaped == r"\x1b[2J\x07\x7f\x9b\x85\u2028\u202egnp.\u2066\u206a\x00"
    assert packet.error(FIT.replace("　", " "))["error"] == " ".join(FIT.split())
    assert packet.error("a\ud800")["error"] == r"a\ud800"


def test_a_prompt_of_a_module_appears_in_its_output_and_once_in_the_log(
    make_site: Callable[..., Site],
) -> None:
    script = f'printf "\\r10%%\\r20%%" >&2; printf "Password: "; exec bash {QUICK} "$@"'
    types = {"asking": {"process": ["bash", "-c", script, "asking"]}}
    site = make_site(services=("pool",), settings={"pool": {"modules": types}}).start()
    pool = Client(site, "pool")
    uid = pool.add("asking")
    wait_until(lambda: pool("output", uid=uid) == ["Password: ", "20%"], "it is shown")
    wait_until(lambda: site.log("pool").count(": Password: \n") == 1, "the log has it")
    pool("rm", uids=[uid])
    gone = wait_until(lambda: pool("gone"), "it is gone")
    assert gone[0]["stderr_tail"] == ["20%"]
    site.stop()
    assert site.log("pool").count("Password: ") == 1
    assert site.log("pool").count("20%") == 1


def watched(pipe: Pipe) -> list[list[str]]:
    """What whoever watches a pipe is told from now on."""
    told: list[list[str]] = []
    pipe.output.watch(told.append)
    return told


def test_whoever_watches_gets_each_status_line_once_and_those_of_one_read_together(
    make_pipe: Any,
) -> None:
    pipe = make_pipe()
    told = watched(pipe)
    pipe.write(b"start\n10%\r20%\r")
    assert told == [["start", "10%", "20%"]]
    pipe.write(b"30%\rdone\r\n\nend\r")
    pipe.write(b"\n")
    assert told[1:] == [["30%", "done", "", "end"]]
    assert pipe.lines == ["start", "done", "", "end"]  # as if nobody watched


def test_whoever_watches_gets_a_status_line_that_stays_incomplete(make_pipe: Any) -> None:
    pipe = make_pipe()
    pipe.output.watch_delay = 0.3  # in which both come on a busy machine, too
    told = watched(pipe)
    pipe.write(b"\r 1%\r 2")
    pipe.write("5% of 字".encode()[:-1])
    with gevent.Timeout(PATIENCE):
        while len(told) < 2:
            gevent.sleep(0.01)
    assert told == [[" 1%"], [" 25% of "]]
    pipe.write("字".encode()[-1:] + b"\r 50%\n")
    assert told[2:] == [[" 25% of 字", " 50%"]]


def test_whoever_watches_gets_the_pieces_of_a_long_line_and_the_end(make_pipe: Any) -> None:
    pipe = make_pipe()
    told = watched(pipe)
    pipe.write(b"x" * (OutputPipe.max_line + 1) + b"\nlast")
    pipe.close()
    shown = [text for each in told for text in each]
    assert shown == ["x" * OutputPipe.max_line, "x", "last"]
