"""Packages of npm that tests need: installed once, into the virtual environment that runs them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
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
    refused = folder / f"refused in run {os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other files of tests run at the same time
        stamp = folder / "installed"
        if not stamp.exists():
            if not refused.exists() and (problem := _install(folder, packages)):
                refused.write_text(problem)  # once is enough for all who ask in this run
            if refused.exists():
                pytest.skip(f"npm cannot install {name}: {refused.read_text()!r}")
            stamp.touch()
    return folder / "node_modules"


def _install(folder: Path, packages: Iterable[str]) -> str:
    """Install into a folder. Returns what is wrong; empty: nothing."""
    options = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    argv = ["npm", "install", *options, "--fetch-retries=1", "--prefix", str(folder), *packages]
    environ = dict(os.environ)
    if authorities := environ.get("SSL_CERT_FILE"):  # which Node.js does not know
        environ.setdefault("NODE_EXTRA_CA_CERTS", authorities)
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=_LONG, cwd=folder, env=environ
        )
    except subprocess.TimeoutExpired:
        return f"not within {_LONG:g} s"
    return done.stderr.strip()[-200:] or "no reason given" if done.returncode else ""
