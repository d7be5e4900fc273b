"""The core without what hangs on it: queue and pool work when its files are taken away."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

#: Folders that nothing of the core needs, nor any of them another.
OPTIONAL = (
    "adapters",
    "cluster",
    "description",
    "hooks",
    "jobs",
    "logs",
    "metrics",
    "ordering",
    "reloading",
    "schedules",
    "servers",
    "state",
    "tracing",
    "turns",
)
#: The command `shmooze`, which no service needs.
COMMAND = ("cli", "run")
#: What must work without them: the logic, and one real queue.
CONTRACT = (
    *("test_policy.py", "test_reconcile.py", "test_roster.py", "test_keeping.py"),
    "test_queue.py::test_mv_puts_the_named_first_and_swaps_who_plays",
)


def test_queue_and_pool_work_without_them(tmp_path: Path) -> None:
    skipped = shutil.ignore_patterns("__pycache__", "site*", "bench")
    for part in ("shmooze", "tests", "examples", "static"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=skipped)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for folder in (*OPTIONAL, *COMMAND):
        shutil.rmtree(tmp_path / "shmooze" / folder)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"),
            *(f"tests/{each}" for each in CONTRACT),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout


@pytest.mark.parametrize("folder", OPTIONAL)
def test_none_of_them_needs_another(folder: str) -> None:
    text = "".join(file.read_text() for file in (ROOT / "shmooze" / folder).rglob("*.py"))
    assert not [other for other in OPTIONAL if other != folder and f"shmooze.{other}" in text]
