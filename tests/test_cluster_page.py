"""The page docs/how-to/cluster.md: its first part, done as it says."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from recipes import blocks
from support import PATIENCE, ROOT, Site, free_ports, is_listening, wait_until

from shmooze.cluster.dask_settings import DaskCluster
from shmooze.cluster.declared import read
from shmooze.settings import Settings

pytestmark = pytest.mark.slow


def test_the_example_for_two_terminals_runs_as_it_is_pasted(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "how-to" / "cluster.md").read_text()
    for port, free in zip(("8786", "8080", "5590"), free_ports(3), strict=True):
        text = text.replace(port, str(free))
    (settings,) = re.findall(r"^```json\n(\{.*?\"modules\".*?)^```", text, re.M | re.S)
    first, second, jobs = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)[:3]
    (tmp_path / "settings.json").write_text(settings)
    lines = [line for line in first.splitlines() if not line.startswith("pip install")]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environ = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    with (tmp_path / "log").open("ab") as log:
        shell = subprocess.Popen(
            ["bash", "-c", "\n".join([*lines, second, "wait"])],
            cwd=tmp_path,
            env=environ,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    site = Site(tmp_path / "site", services=("jobs",))
    site.ports = json.loads(settings)["ports"]
    try:
        for port in site.ports.values():
            wait_until(lambda p=port: is_listening(p), "the application runs")
        # The gateway has another port than the one that shmz assumes.
        jobs = jobs.replace("-e jobs", f"-e {site.url}jobs")
        shown = subprocess.run(
            ["bash", "-e", "-c", jobs], env=environ, capture_output=True, text=True, check=True
        ).stdout
        assert "train" in shown
        wait_until(
            lambda: [each["state"] for each in site.ask("jobs", "gone")] == ["done"] * 3,
            "all jobs are done",
        )
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait(PATIENCE)


def test_the_settings_that_the_page_shows_are_known() -> None:
    shown = [block for block in blocks("cluster.md") if "cluster" in block]
    assert len(shown) == 2
    for block in shown:
        options = read(Settings(Path("the page"), block), "jobs", DaskCluster)
        assert options.scheduler == block["cluster"]["scheduler"]
