"""A process on a node: what its launcher promises, and what is left after each fault."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import gevent
import pytest
from cluster import Here
from gevent.event import Event

from shmooze.cluster.declared import Cluster
from shmooze.cluster.launcher import ClusterLauncher
from shmooze.processes.contract import LaunchSpec, NoEndpoint, Process

ECHO = "import sys\nfor line in sys.stdin: sys.stdout.write(line)"


class Stage:
    def __init__(self, **options: object) -> None:
        self.engine = Here()
        self.launcher = ClusterLauncher("here", self.engine, Cluster(**options))
        self.launcher.prepare()
        self.launcher.open("test", lambda: None)
        self.processes: list[Process] = []

    def launch(self, code: str, **keys: object) -> Process:
        spec = LaunchSpec([sys.executable, "-S", "-c", code], "test", **keys)
        process = self.launcher.launch(spec, NoEndpoint())
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            process.end(None)
            process.close(1)
        self.launcher.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage(lease=2.0)
    yield stage
    stage.close()


def test_a_process_runs(stage: Stage) -> None:
    process = stage.launch("print('hello'); import sys; sys.exit(3)")
    assert process.wait(20) == 3
    assert process.output == ["hello"]
