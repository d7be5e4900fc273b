"""What scripts/bench runs: measure the rows of the table, print them, compare or keep them."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support import ROOT

from bench import gate, report
from bench import lives as lives
from bench import load as load
from bench import size as size
from bench import starts as starts
from bench import streams as streams
from bench import watching as watching
from bench.lab import CACHE, Lab, allow_files
from bench.row import GROWTHS, TABLE, Growth, Result, Row, Skip

NUMBERS = (10, 100, 1000)
PICTURE = ROOT / "docs" / "performance.png"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="only rows that need neither 1.2.4 nor wrk; fail if one has fallen by half",
    )
    parser.add_argument("--save", action="store_true", help="with --quick: make it the baseline")
    parser.add_argument("--only", action="append", metavar="NAME", help="a row; may be repeated")
    parser.add_argument("--repeats", type=int, metavar="N", help="pairs for each row: 5, quick 3")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--plot", action="store_true", help=f"write {PICTURE.relative_to(ROOT)}")
    parser.add_argument(
        "--read",
        type=Path,
        action="append",
        metavar="FILE",
        help="figures of --json, and no new ones; those of several runs together, if repeated",
    )
    parser.add_argument("--list", action="store_true", help="only say what rows there are")
    chosen = parser.parse_args()
    chosen.repeats = chosen.repeats or (3 if chosen.quick else 5)
    names = {each.name for each in (*TABLE, *GROWTHS)}
    if unknown := set(chosen.only or ()) - names:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(sorted(names))}")
    return chosen


def say(words: str) -> None:
    print(f"bench: {words}", file=sys.stderr, flush=True)


class Bench:
    """One run."""

    def __init__(self, lab: Lab, repeats: int) -> None:
        self._lab, self._repeats = lab, repeats
        self.results: list[Result] = []
        self.growths: list[dict[str, Any]] = []
        self.skipped: dict[str, str] = {}
        self.failed = False

    def measure(self, row: Row) -> None:
        say(f"{row.name}: {row.work}, beside {row.beside}")
        with self._excuses(row.name):
            self.results.append(row.measure(self._lab, self._repeats))

    def measure_again(self, results: list[Result]) -> None:
        """Measure rows once more that look bad: something else may have been in the way."""
        for result in results:
            say(f"{result.row.name}: once more")
            again = result.row.measure(self._lab, self._repeats)
            result.pairs.extend(again.pairs)

    def grow(self, growth: Growth) -> None:
        say(f"{growth.name}: with more and more {growth.grows}")
        with self._excuses(growth.name):
            found = list(growth.figures(self._lab, NUMBERS))
            self.growths.extend(report.growth_figures(growth, NUMBERS, found))

    @contextmanager
    def _excuses(self, name: str) -> Iterator[None]:
        """One row that cannot be measured must not cost those that can."""
        try:
            yield
        except Skip as missing:
            self.skipped[name] = str(missing)
        except Exception:
            traceback.print_exc()
            self.failed = True
            self.skipped[name] = "failed, see above"

    def run(self) -> dict[str, Any]:
        return {
            "machine": report.machine(),
            "rows": [report.figures(each) for each in self.results],
            "growth": self.growths,
            "skipped": self.skipped,
        }


def measure(chosen: argparse.Namespace) -> Bench:
    def is_chosen(each: Row | Growth) -> bool:
        if chosen.only:
            return each.name in chosen.only
        return not chosen.quick or (isinstance(each, Row) and each.quick)

    allow_files()
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        bench = Bench(Lab(Path(folder), chosen.quick), chosen.repeats)
        for row in filter(is_chosen, TABLE):
            bench.measure(row)
        if chosen.quick and not chosen.save:
            bench.measure_again([result for result, _ in gate.fallen(bench.results)])
        for growth in filter(is_chosen, GROWTHS):
            bench.grow(growth)
    return bench


def main() -> int:
    chosen = arguments()
    if chosen.list:
        for row in TABLE:
            print(f"{row.name:17} {row.work}, beside {row.beside}")
        for growth in GROWTHS:
            print(f"{growth.name:17} {'; '.join(growth.works)}")
        return 0
    bench = None if chosen.read else measure(chosen)
    if bench:
        run = bench.run()
    else:
        run = report.together([json.loads(file.read_text()) for file in chosen.read])
    print(report.tables(run))
    if chosen.json:
        chosen.json.write_text(json.dumps(run, indent=1) + "\n")
    if chosen.plot:
        from bench import plot  # matplotlib takes a second to import

        plot.draw(run, PICTURE)
    if bench is None:
        return 0
    return 1 if bench.failed or (chosen.quick and not is_passed(bench, chosen.save)) else 0


def is_passed(bench: Bench, save: bool) -> bool:
    """The gate: one line for each row that has fallen by half. With `save` it is set anew."""
    if save:
        gate.save(bench.results)
        return True
    worse = gate.fallen(bench.results)
    for _, line in worse:
        say(line)
    return not worse


if __name__ == "__main__":
    sys.exit(main())
