"""Measure the rows of the table of benchmarks; print, save or compare the results."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support import ROOT

from bench import cost, gate, report
from bench import describing as describing
from bench import jobs as jobs
from bench import keeping as keeping
from bench import lives as lives
from bench import load as load
from bench import mcp_calls as mcp_calls
from bench import programs as programs
from bench import proxying as proxying
from bench import size as size
from bench import starts as starts
from bench import streams as streams
from bench import swapping as swapping
from bench import watching as watching
from bench.lab import CACHE, Lab, allow_files
from bench.row import GROWTHS, TABLE, Growth, Result, Row, Skip

NUMBERS = (10, 100, 1000)
PICTURE = ROOT / "docs" / "images" / "performance.png"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="only rows that need neither 1.2.4 nor wrk; fail if a ratio has become twice as bad",
    )
    parser.add_argument(
        "--save", action="store_true", help="with --quick: save the ratios as the baseline"
    )
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="measure this row; may be repeated"
    )
    parser.add_argument(
        "--repeats",
        type=int,
        metavar="N",
        help="measurements per row (default: 5, or 3 with --quick)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to this file")
    parser.add_argument("--plot", action="store_true", help=f"write {PICTURE.relative_to(ROOT)}")
    parser.add_argument(
        "--read",
        type=Path,
        action="append",
        metavar="FILE",
        help="measure nothing; show the results in this file, or of several files combined",
    )
    parser.add_argument(
        "--state", action="store_true", help="compare with the same without a state file instead"
    )
    parser.add_argument("--list", action="store_true", help="list the rows and exit")
    chosen = parser.parse_args()
    chosen.repeats = chosen.repeats or (3 if chosen.quick else 5)
    names = {each.name for each in (*TABLE, *GROWTHS)}
    if unknown := set(chosen.only or ()) - names:
        parser.error(f"unknown row: {', '.join(unknown)}; known: {', '.join(sorted(names))}")
    return chosen


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Bench:
    """One run."""

    def __init__(self, lab: Lab, repeats: int) -> None:
        self._lab, self._repeats = lab, repeats
        self.results: list[Result] = []
        self.growths: list[dict[str, Any]] = []
        self.skipped: dict[str, str] = {}
        self.failed = False

    def measure(self, row: Row) -> None:
        say(f"{row.name}: {row.work}, compared with {row.versus}")
        with self._errors_recorded(row.name):
            self.results.append(row.measure(self._lab, self._repeats))

    def measure_again(self, results: list[Result]) -> None:
        """Measure rows that look bad once more: the machine may have been busy."""
        for result in results:
            say(f"{result.row.name}: measuring again")
            again = result.row.measure(self._lab, self._repeats)
            result.pairs.extend(again.pairs)

    def grow(self, growth: Growth) -> None:
        say(f"{growth.name}: with increasing numbers of {growth.grows}")
        with self._errors_recorded(growth.name):
            found = list(growth.figures(self._lab, NUMBERS))
            self.growths.extend(report.growth_figures(growth, NUMBERS, found))

    @contextmanager
    def _errors_recorded(self, name: str) -> Iterator[None]:
        """Go on with the other rows if one cannot be measured."""
        try:
            yield
        except Skip as reason:
            self.skipped[name] = str(reason)
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
        for row in filter(is_chosen, cost.TABLE if chosen.state else TABLE):
            bench.measure(row)
        if chosen.quick and not chosen.save:
            bench.measure_again([result for result, _ in gate.regressions(bench.results)])
        for growth in filter(is_chosen, () if chosen.state else GROWTHS):
            bench.grow(growth)
    return bench


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ending what was started, too
    chosen = arguments()
    if chosen.list:
        for row in TABLE:
            print(f"{row.name:17} {row.work}, compared with {row.versus}")
        for growth in GROWTHS:
            print(f"{growth.name:17} {'; '.join(growth.works)}")
        return 0
    bench = None if chosen.read else measure(chosen)
    if bench:
        run = bench.run()
    else:
        run = report.combine([json.loads(file.read_text()) for file in chosen.read])
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
    """Apply the gate: print a line for each regression. With `save`, set a new baseline instead."""
    if save:
        gate.save(bench.results)
        return True
    worse = gate.regressions(bench.results)
    for _, line in worse:
        say(line)
    return not worse


if __name__ == "__main__":
    sys.exit(main())
