"""What a child prints: lines without an end, lines that are overwritten, letters of all scripts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from support import CHILDREN, PATIENCE, Client, Site, wait_until

from shmooze.lib import packet
from shmooze.processes.output import Output

QUICK = str(CHILDREN / "quick.sh")


class Pipe:
    """A child's pipe: what has been written to it, as lines and as the log tells it."""

    def __init__(self, quiet: float, longest_wait: float) -> None:
        self.lines: list[str] = []
        self.told: list[str] = []
        self.output = Output(self.lines.append, self.told.append)
        self.output.quiet, self.output.longest_wait = quiet, longest_wait

    def write(self, data: bytes) -> None:
        """Write, and have it read."""
        while data:
            data = data[os.write(self.output.fileno(), data) :]
            gevent.idle()

    def wait_told(self, *texts: str) -> None:
        with gevent.Timeout(PATIENCE, AssertionError(f"{self.told} is not {list(texts)}")):
            while self.told != list(texts):
                gevent.sleep(0.01)

    def close(self) -> None:
        self.output.close(PATIENCE)


@pytest.fixture
def make_pipe() -> Iterator[Callable[..., Pipe]]:
    """A function that makes a pipe, of which a line without an end is told only when it closes."""
    made = []

    def make(quiet: float = PATIENCE, longest_wait: float = PATIENCE) -> Pipe:
        made.append(Pipe(quiet, longest_wait))
        return made[-1]

    yield make
    for pipe in made:
        pipe.close()


def test_a_prompt_is_told_when_nothing_follows_and_not_told_again(make_pipe: Any) -> None:
    pipe = make_pipe(quiet=0.05)
    pipe.write(b"one\nPassword: ")
    assert pipe.output.unfinished() == "Password: "  # who asks sees it at once
    pipe.wait_told("one", "Password: ")
    pipe.write(b"wrong\nPassword: ")
    pipe.wait_told("one", "Password: ", "wrong", "Password: ")
    pipe.write(b"\n")
    pipe.write(b"right\n")
    pipe.wait_told("one", "Password: ", "wrong", "Password: ", "right")
    assert pipe.lines == ["one", "Password: wrong", "Password: ", "right"]


def test_a_line_that_grows_without_rest_is_told_in_pieces(make_pipe: Any) -> None:
    pipe = make_pipe(quiet=0.05, longest_wait=0.1)
    for _ in range(100):
        pipe.write(b".")
        gevent.sleep(0.01)
    assert len(pipe.told) > 1
    assert len(pipe.told) < 50
    pipe.write(b"done\n")
    assert "".join(pipe.told) == pipe.lines[0] == "." * 100 + "done"


def test_what_a_carriage_return_overwrites_is_not_kept(make_pipe: Any) -> None:
    pipe = make_pipe()
    pipe.write(b"10%\r20%\r")
    assert pipe.output.unfinished() == "20%"
    pipe.write(b"30%\rdone\r\n\r\nend\r")
    pipe.write(b"\n")
    pipe.write(b"x" * 3000 + b"\r" + b"y" * 3000)  # never too long
    pipe.close()
    assert pipe.lines == pipe.told == ["done", "", "end", "y" * 3000]


def test_a_progress_bar_is_told_now_and_then(make_pipe: Any) -> None:
    pipe = make_pipe(quiet=0.05)
    pipe.write(b"\r10%")
    pipe.wait_told("10%")
    pipe.write(b"\r10%\r10%")
    pipe.write(b"\r100%\r")
    pipe.wait_told("10%", "100%")
    pipe.write(b"\n")
    pipe.close()
    assert pipe.told == ["10%", "100%"]
    assert pipe.lines == ["100%"]


@pytest.mark.parametrize("letter", ["é", "字", "🍵"])
@pytest.mark.parametrize("shift", range(4))
def test_long_lines_are_cut_between_letters(make_pipe: Any, letter: str, shift: int) -> None:
    pipe = make_pipe()
    text = "x" * shift + letter * 5000
    pipe.write(text.encode())
    pipe.write(f"\n{text}\n".encode())
    pipe.close()
    assert "".join(pipe.lines) == "".join(pipe.told) == 2 * text
    assert max(len(line.encode()) for line in pipe.lines) <= Output.max_line


def test_a_letter_that_is_still_on_its_way_is_not_told_in_halves(make_pipe: Any) -> None:
    pipe = make_pipe(quiet=0.05)
    first, second = "Größe: 字".encode()[:-1], "Größe: 字".encode()[-1:]
    pipe.write(first)
    pipe.wait_told("Größe: ")
    assert pipe.output.unfinished() == "Größe: "
    pipe.write(second)
    pipe.wait_told("Größe: ", "字")


def test_what_is_no_text_is_shown_escaped_however_it_ends(make_pipe: Any) -> None:
    pipe = make_pipe()
    pipe.write(b"a\xffb\n\x80\n\xe5\xad\n" + b"\xbf" * 5000 + b"\xf0")
    pipe.close()
    assert pipe.lines[:3] == [r"a\xffb", r"\x80", r"\xe5\xad"]
    assert "".join(pipe.lines[3:]) == r"\xbf" * 5000 + r"\xf0"


#: Wide space, no-break space, an emoji of several persons, one with a colour, a flag of tags, a
#: letter of a private area, Persian with a joiner, Hebrew with a mark, soft hyphen, a letter that
#: is newer than this Python.
FIT = (
    "日本　語 a\u00a0b 👩\u200d👩\u200d👧 👍🏽❤\ufe0f 🏴\U000e0067\U000e0062\U000e007f \ue0b0 "
    "\u0645\u06cc\u200c\u062e \u200f\u05d0\u05d1 so\u00adft \U0001faff e\u0301"
)
UNFIT = "\x1b[2J\x07\x7f\x9b\x85\u2028\u202egnp.\u2066\u206a\0"


def test_text_of_all_scripts_comes_through_and_nothing_that_is_obeyed(make_pipe: Any) -> None:
    pipe = make_pipe()
    pipe.write(f"{FIT}\ta\n{UNFIT}\n".encode())
    pipe.close()
    shown, escaped = pipe.lines
    assert shown == f"{FIT}\ta"
    assert escaped == r"\x1b[2J\x07\x7f\x9b\x85\u2028\u202egnp.\u2066\u206a\x00"
    assert packet.error(FIT.replace("　", " "))["error"] == " ".join(FIT.split())
    assert packet.error("a\ud800")["error"] == r"a\ud800"


def test_a_prompt_of_a_module_is_seen_in_its_output_and_once_in_the_log(
    make_site: Callable[..., Site],
) -> None:
    script = f'printf "\\r10%%\\r20%%" >&2; printf "Password: "; exec bash {QUICK} "$@"'
    types = {"asking": {"process": ["bash", "-c", script, "asking"]}}
    site = make_site(services=("pool",), settings={"pool": {"modules": types}}).start()
    pool = Client(site, "pool")
    uid = pool.add("asking")
    wait_until(lambda: pool("output", uid=uid) == ["Password: ", "20%"], "it is seen")
    wait_until(lambda: site.log("pool").count(": Password: \n") == 1, "the log tells it")
    pool("rm", uids=[uid])
    gone = wait_until(lambda: pool("gone"), "it has gone")
    assert gone[0]["stderr_tail"] == ["20%"]
    site.stop()
    assert site.log("pool").count("Password: ") == 1
    assert site.log("pool").count("20%") == 1
