"""Patching as `python -m shmooze.…` does it: gevent's own, plugins included, sooner."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support import ROOT

PROGRAM = """
import sys
from gevent import events
before = events.notify_and_call_entry_points
from shmooze.lib.patch import patch_all
patch_all()
from gevent import monkey
assert monkey.is_module_patched("socket") and monkey.is_module_patched("subprocess")
assert events.notify_and_call_entry_points is before
print("importlib.metadata" in sys.modules)
"""

FILES = {
    "plugin.py": "def tell(event):\n    print(type(event).__name__)\n",
    "plugin-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: plugin\nVersion: 1\n",
    "plugin-1.dist-info/entry_points.txt": (
        "[gevent.plugins.monkey.will_patch_all]\nx = plugin:tell\n"
        "[gevent.plugins.monkey.did_patch_all]\nx = plugin:tell\n"
    ),
}


def printed(path: Path) -> list[str]:
    """What the program and its plugins print, when modules are looked for at `path` too."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{path}"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_everything_is_patched_and_no_metadata_is_read_for_that(
    tmp_path: Path,
) -> None:
    assert printed(tmp_path) == ["False"]


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_a_plugin_of_gevent_hears_of_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "packages"
    if kind == "archive":
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in FILES.items():
                archive.writestr(name, text)
    else:
        for name, text in FILES.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text)
    heard = ["GeventWillPatchAllEvent", "GeventDidPatchAllEvent"]
    assert printed(path) == [*heard, str(kind == "archive")]
