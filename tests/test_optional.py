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
OPTIONAL = ("description", "state")
#: What must work without them.
CONTRACT = ("test_policy", "test_reconcile", "test_roster", "test_keeping", "test_queue")


def test_queue_and_pool_work_without_them(tmp_path: Path) -> None:
    skipped = shutil.ignore_patterns("__pycache__", "site*", "bench")
    for part in ("shmooze", "tests", "examples", "static"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=skipped)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for folder in OPTIONAL:
        shutil.rmtree(tmp_path / "shmooze" / folder)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"),
            *(f"tests/{name}.py" for name in CONTRACT),
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
