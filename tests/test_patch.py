"""Patching as `python -m shmooze.…` does it: gevent's own, plugins included, sooner."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support import ROOT

PROGRAM = """
from importlib import metadata
before = metadata.entry_points
from shmooze.lib.patch import patch_all
patch_all()
from gevent import monkey
assert monkey.is_module_patched("socket") and monkey.is_module_patched("subprocess")
assert metadata.entry_points is before
"""


def test_everything_is_patched_and_a_plugin_of_gevent_hears_of_it(tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text("def tell(event):\n    print(type(event).__name__)\n")
    info = tmp_path / "plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[gevent.plugins.monkey.will_patch_all]\nx = plugin:tell\n"
        "[gevent.plugins.monkey.did_patch_all]\nx = plugin:tell\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["GeventWillPatchAllEvent", "GeventDidPatchAllEvent"]
