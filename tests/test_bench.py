"""The gate of scripts/bench: which results count as a regression, and which as noise."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench import __main__ as program
from bench import gate, report
from bench.row import HIGHER, LOWER, Result, Row
from support import ROOT

Pair = tuple[float, float]


def nothing(_lab: object) -> Iterator[Pair]:
    raise AssertionError("these tests measure nothing")


RATE = Row("rate", "work", "other", 1, HIGHER, "/s", nothing)
TIME = Row("time", "work", "other", 1, LOWER, "ms", nothing)
MORE = Row("more", "work", "other", 1, LOWER, "ms", nothing, difference=True)


@pytest.fixture(autouse=True)
def baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A baseline: a ratio of 0.5, a ratio of 2, and a difference of half of theirs."""
    file = tmp_path / "baseline.json"
    monkeypatch.setattr(gate, "BASELINE", file)
    gate.save(
        [
            Result(RATE, [(50, 100), (10, 100), (60, 100)]),
            Result(TIME, [(20, 10), (90, 10), (19, 10)]),
            Result(MORE, [(15, 10), (15, 10), (80, 10)]),
        ]
    )
    return file


def test_baseline_saves_the_median_ratio(baseline: Path) -> None:
    assert json.loads(baseline.read_text()) == {"rate": 0.5, "time": 2, "more": 0.5}


@pytest.mark.parametrize(
    ("row", "pairs", "is_regression"),
    [
        (RATE, [(26, 100)], False),
        (RATE, [(24, 100)], True),
        (RATE, [(3, 100), (26, 100)], False),
        (TIME, [(39, 10)], False),
        (TIME, [(41, 10)], True),
        (TIME, [(900, 10), (39, 10)], False),
        (MORE, [(19, 10)], False),
        (MORE, [(21, 10)], True),
        (MORE, [(190, 100)], False),
    ],
)
def test_best_result_twice_as_bad_as_the_baseline_is_a_regression(
    row: Row, pairs: list[Pair], is_regression: bool
) -> None:
    found = gate.regressions([Result(row, pairs)])
    assert [result.row for result, _ in found] == ([row] if is_regression else [])
    assert all(line.startswith(f"{row.name}: work: ") for _, line in found)


def test_every_quick_row_has_a_baseline() -> None:
    committed = Path(gate.__file__).with_name("baseline.json")
    assert json.loads(committed.read_text()).keys() == {
        row.name for row in program.TABLE if row.quick
    }


def test_row_with_a_limit_must_meet_both_limit_and_goal() -> None:
    row = Row("both", "work", "other", 0.5, LOWER, "ms", nothing, limit=4)
    assert Result(row, [(3, 10)]).met
    assert not Result(row, [(5, 100)]).met
    assert not Result(row, [(3, 5)]).met


def test_several_runs_are_combined_into_one_with_more_repeats() -> None:
    (row,) = [row for row in program.TABLE if row.name == "add"]
    runs = [
        {"machine": {}, "skipped": {}, "growth": [], "rows": [report.figures(Result(row, pairs))]}
        for pairs in ([(1.0, 1.0)], [(2.0, 1.0)], [(9.0, 1.0)])
    ]
    (merged,) = report.combine(runs)["rows"]
    assert (merged["ratio"], merged["lowest"], merged["highest"]) == (2, 1, 9)


def test_chart_shows_every_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from bench import plot

    drawn: list[str] = []

    def keep(figure: plot.plt.Figure, file: Path) -> None:
        drawn.extend(each.get_text() for each in figure.axes[0].get_yticklabels())
        drawn.extend(each.get_text() for each in figure.axes[0].texts)

    monkeypatch.setattr(plot.plt.Figure, "savefig", keep)
    results = [Result(row, [(30, 10)]) for row in (RATE, TIME, MORE)]
    run = {"rows": [report.figures(each) for each in results], "growth": []}
    plot.draw(run, tmp_path / "picture.png")
    assert len([text for text in drawn if text.startswith("work")]) == 3
    assert sorted(drawn)[:3] == ["20.0 more ms", "3.00 x", "3.00 x"]


def test_every_row_is_explained_on_the_page() -> None:
    page = (ROOT / "docs" / "explanation" / "performance.md").read_text()
    names = {each.name for each in (*program.TABLE, *program.GROWTHS)}
    explained = re.findall(r"^\| (`[^|]*) \|", page, re.MULTILINE)
    assert names - set(re.findall(r"`([\w-]+)`", " ".join(explained))) == set()
