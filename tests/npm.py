"""Packages of npm that tests need: installed once, into the virtual environment that runs them."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

#: Seconds that an installation may take.
_LONG = 100.0


def installed(*packages: str) -> Path:
    """The folder `node_modules` with these packages, given as NAME@VERSION.

    Skips the test if they cannot be installed.
    """
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    name = "+".join(each.replace("/", "-") for each in packages)
    folder = Path(sys.prefix) / "npm" / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other files of tests run at the same time
        stamp = folder / "installed"
        if not stamp.exists():
            options = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
            argv = ["npm", "install", *options, "--prefix", str(folder), *packages]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=_LONG, cwd=folder)
            if done.returncode:
                pytest.skip(f"npm cannot install {name}: {done.stderr.strip()[-200:]!r}")
            stamp.touch()
    return folder / "node_modules"
