"""The results of all checks of one module, as a table for people or as JSON."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from shmooze.conformance.catalog import CHECKS, CONNECTING, TIME_LIMIT, Check
from shmooze.conformance.options import Options
from shmooze.runtime.printable import printable

OK, NOTE, SKIPPED, FAILED = "ok", "note", "skipped", "FAILED"

#: If a check is made more than once, the result that counts: the last one of these.
_ORDER = (SKIPPED, OK, NOTE, FAILED)
_COUNTED = ((OK, "{} ok"), (FAILED, "{} FAILED"), (NOTE, "{} with a note"), (SKIPPED, "{} skipped"))


@dataclass
class Result:
    """The result of one check."""

    check: str
    result: str
    expected: str
    #: What happened, for a failure; what is worth knowing, for a note; why not, for a skipped one.
    got: str = ""
    advice: str = ""
    #: The last lines of the module's standard error, for a failure.
    stderr: list[str] = field(default_factory=list)


class Report:
    """Collects results. A check that is made several times has one result: the worst."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._results: dict[str, Result] = {}
        self.seconds = 0.0

    @property
    def results(self) -> list[Result]:
        """In the order of the catalog."""
        order = [*CHECKS, TIME_LIMIT]
        return sorted(self._results.values(), key=lambda each: order.index(each.check))

    @property
    def is_ok(self) -> bool:
        """Whether nothing has failed."""
        return not any(each.result == FAILED for each in self._results.values())

    def wants(self, name: str) -> bool:
        """Whether a check is to be made."""
        return self._why_left_out(name) is None

    def _why_left_out(self, name: str) -> str | None:
        if name in self._options.skip:
            return "left out by --skip"
        is_without = self._options.stdio and name in CONNECTING
        return "it uses standard input and output" if is_without else None

    def has_failed(self, name: str) -> bool:
        return name in self._results and self._results[name].result == FAILED

    def has(self, name: str) -> bool:
        return name in self._results

    def ok(self, name: str) -> None:
        self._add(name, OK)

    def note(self, name: str, text: str) -> None:
        self._add(name, NOTE, text)

    def skipped(self, name: str, reason: str) -> None:
        self._add(name, SKIPPED, reason)

    def failed(self, name: str, got: str, stderr: Sequence[str] = ()) -> None:
        self._add(name, FAILED, got, stderr)

    def over_time(self) -> None:
        """Say that the time limit came before the end."""
        self._add(TIME_LIMIT, FAILED, "the checks that are skipped for that reason are not made")

    def _add(self, name: str, result: str, got: str = "", stderr: Sequence[str] = ()) -> None:
        if (reason := self._why_left_out(name)) is not None:
            result, got, stderr = SKIPPED, reason, ()
        before = self._results.get(name)
        if before and _ORDER.index(before.result) >= _ORDER.index(result):
            return
        check = CHECKS.get(name) or Check(
            "can be checked within {time_limit:g} s", "Allow more with --time-limit."
        )
        values = vars(self._options)
        expected, advice = check.expects.format(**values), check.advice.format(**values)
        advice = advice if result == FAILED else ""
        self._results[name] = Result(name, result, expected, printable(got), advice, [*stderr])

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "program": list(self._options.argv),
            "ok": self.is_ok,
            "seconds": round(self.seconds, 3),
            "checks": [asdict(each) for each in self.results],
        }

    def as_text(self) -> str:
        """A table of all checks, with what is to be done below each failure."""
        lines = [line for result in self.results for line in _lines(result)]
        found = [each.result for each in self._results.values()]
        counts = [text.format(found.count(each)) for each, text in _COUNTED if each in found]
        program = printable(" ".join(self._options.argv))
        return "\n".join([*lines, "", f"{program}: {', '.join(counts)}, {self.seconds:.1f} s", ""])


_NAME, _RESULT = max(map(len, CHECKS)) + 2, max(map(len, _ORDER)) + 2


def _lines(result: Result) -> Iterator[str]:
    head = f"{result.check:{_NAME}}{result.result:{_RESULT}}"
    indent = " " * len(head)
    if result.result == SKIPPED:
        yield from _wrapped(head, result.got)
        return
    yield from _wrapped(head, result.expected)
    if result.got:
        yield from _wrapped(f"{indent}{'got: ' if result.result == FAILED else ''}", result.got)
    if result.advice:
        yield from _wrapped(f"{indent}do:  ", result.advice)
    for line in result.stderr:
        yield f"{indent}  | {line}"


def _wrapped(head: str, text: str) -> list[str]:
    width = max(60, min(110, shutil.get_terminal_size().columns))
    return textwrap.wrap(
        text, width, initial_indent=head, subsequent_indent=" " * len(head), break_long_words=False
    )
