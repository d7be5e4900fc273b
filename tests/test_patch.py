"""Patching as `python -m shmooze.…` does it: like gevent's own, plugins included, but faster."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support import ROOT

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
from gevent import events
before = events.notify_and_call_entry_points
from shmooze.runtime.patch import patch_all
patch_all()
from gevent import monkey
assert monkey.is_module_patched("socket") and monkey.is_module_patched("subprocess")
assert events.notify_and_call_entry_points is before
print("importlib.metadata" in sys.modules)
"""

PLUGIN = "def tell(event):\n    print(type(event).__name__)\n"
ENTRY_POINTS = (
    "[gevent.plugins.monkey.will_patch_all]\nx = plugin : tell [more]\n"
    "[gevent.plugins.monkey.did_patch_all]\nx = plugin:tell\n"
)
#: The files by which gevent recognizes a package.
METADATA = {
    "METADATA": "Metadata-Version: 2.1\nName: plugin\nVersion: 1\n",
    "entry_points.txt": ENTRY_POINTS,
}


def printed(path: Path) -> list[str]:
    """Return what the program and its plugins print if `path` is in the module search path."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{path}"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_everything_is_patched_without_reading_the_metadata_of_packages(tmp_path: Path) -> None:
    (tmp_path / "other-1.dist-info").mkdir()
    (tmp_path / "other-1.dist-info" / "entry_points.txt").write_text("[console_scripts]\n")
    (tmp_path / "old-1.egg-info").write_text("Name: old\n")
    assert printed(tmp_path) == ["False"]


@pytest.mark.parametrize(
    ("place", "info"),
    [
        ("packages", "plugin-1.dist-info"),
        ("packages", "plugin.egg-info"),
        ("packages/plugin-1.egg", "EGG-INFO"),
        ("packages.zip", "plugin-1.dist-info"),
    ],
)
def test_plugins_of_gevent_are_notified(tmp_path: Path, place: str, info: str) -> None:
    files = {"plugin.py": PLUGIN, **{f"{info}/{name}": text for name, text in METADATA.items()}}
    if place.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / place, "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
    else:
        for name, text in files.items():
            (tmp_path / place / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / place / name).write_text(text)
    assert printed(tmp_path / place) == [
        "GeventWillPatchAllEvent",
        "GeventDidPatchAllEvent",
        "True",
    ]
