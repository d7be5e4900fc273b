"""What a state file costs: each row with one, compared with the same row without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from bench import jobs as jobs
from bench import keeping as keeping
from bench import lives as lives
from bench import load as load
from bench import size as size
from bench import starts as starts
from bench import streams as streams
from bench import watching as watching
from bench.lab import Lab
from bench.row import HIGHER, Pairs, Row
from bench.row import TABLE as ROWS

#: By how much anything may be slower that is not kept.
GOAL = 1.1


class OursOnly(Lab):
    """A lab in which nothing is measured of 1.2.4."""

    old = Lab.ours  # type: ignore[assignment]  # measured, and not looked at


class WithState(OursOnly):
    """The same, with a state file."""

    state = True


def both(pairs: Pairs) -> Pairs:
    """Our side of a row with a state file, and without."""

    def measure(lab: Lab) -> Iterator[tuple[float, float]]:
        labs = [kind(lab.folder, lab.quick) for kind in (WithState, OursOnly)]
        with closing(pairs(labs[0])) as kept, closing(pairs(labs[1])) as forgotten:
            for (ours, _), (without, _) in zip(kept, forgotten):
                yield ours, without

    return measure


def compared(row: Row) -> Row:
    return replace(
        row,
        versus="the same without a state file",
        goal=1 / GOAL if row.better == HIGHER else GOAL,
        pairs=both(row.pairs),
        difference=False,
        limit=None,
    )


def has_own_file(row: Row) -> bool:
    return row.pairs.__module__ in (keeping.__name__, jobs.__name__)


#: All rows but those that have a state file anyway.
TABLE: list[Row] = [compared(row) for row in ROWS if not has_own_file(row)]
