"""The gate of scripts/bench: what counts as a fall, and what is noise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench import __main__ as program
from bench import gate, report
from bench.row import HIGHER, LOWER, Result, Row

Pair = tuple[float, float]


def nothing(_lab: object) -> Iterator[Pair]:
    raise AssertionError("it is not measured here")


RATE = Row("rate", "work", "other", 1, HIGHER, "/s", nothing)
TIME = Row("time", "work", "other", 1, LOWER, "ms", nothing)
MORE = Row("more", "work", "other", 1, LOWER, "ms", nothing, difference=True)


@pytest.fixture(autouse=True)
def baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A baseline of half, of twice, and of half of theirs more."""
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


def test_what_is_saved_is_typical(baseline: Path) -> None:
    assert json.loads(baseline.read_text()) == {"rate": 0.5, "time": 2, "more": 0.5}


@pytest.mark.parametrize(
    ("row", "pairs", "has_fallen"),
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
def test_half_as_good_at_its_best_is_a_fall(row: Row, pairs: list[Pair], has_fallen: bool) -> None:
    fallen = gate.fallen([Result(row, pairs)])
    assert [result.row for result, _ in fallen] == ([row] if has_fallen else [])
    assert all(words.startswith(f"{row.name}: work: ") for _, words in fallen)


def test_every_quick_row_has_a_baseline() -> None:
    committed = Path(gate.__file__).with_name("baseline.json")
    assert json.loads(committed.read_text()).keys() == {
        row.name for row in program.TABLE if row.quick
    }


def test_a_limit_has_to_be_met_besides_the_goal() -> None:
    row = Row("both", "work", "other", 0.5, LOWER, "ms", nothing, limit=4)
    assert Result(row, [(3, 10)]).met
    assert not Result(row, [(5, 100)]).met
    assert not Result(row, [(3, 5)]).met


def test_several_runs_count_as_one_with_more_repeats() -> None:
    (row,) = [row for row in program.TABLE if row.name == "add"]
    runs = [
        {"machine": {}, "skipped": {}, "growth": [], "rows": [report.figures(Result(row, pairs))]}
        for pairs in ([(1.0, 1.0)], [(2.0, 1.0)], [(9.0, 1.0)])
    ]
    (merged,) = report.together(runs)["rows"]
    assert (merged["ratio"], merged["lowest"], merged["highest"]) == (2, 1, 9)


def test_the_picture_has_all_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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
