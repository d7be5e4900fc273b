"""The state file is cut short while the service is down: the service must refuse to start, and the
tool must find what is left of it, nothing of that half.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from support import ROOT

from durability.crowd import Crowd
from durability.moving import Moving
from durability.target import Target

#: Seconds that the tool, or a service that does not start, may take.
LONG = 60.0


def run(folder: Path, rounds: int, clients: int, source: random.Random) -> list[str]:
    """Cut the file of a new queue in each round. Returns the faults."""
    faults, outcomes = [], Counter[str]()
    for number in range(1, rounds + 1):
        own = folder / str(number)
        own.mkdir()
        outcome, found = one_round(own, clients, source)
        outcomes[outcome] += 1
        for fault in found:
            print(f"round {number} ({outcome}): {fault}")
        faults += found
    words = ", ".join(f"{outcome} {count} times" for outcome, count in sorted(outcomes.items()))
    print(f"cut short: {words}")
    return faults


def one_round(folder: Path, clients: int, source: random.Random) -> tuple[str, list[str]]:
    """Returns what the service made of the file, and the faults."""
    target = Target(folder)
    target.start()
    try:
        crowd = Crowd(target, Moving().work, clients, source)
        crowd.start()
        time.sleep(source.uniform(0.2, 0.5))
        target.kill(source)
        crowd.join()
        path = folder / "state.db"
        if source.random() < 0.7:
            with closing(sqlite3.connect(path)) as file:  # else all of it is in the WAL
                file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        _, whole = export(path)
        os.truncate(path, source.randrange(1, path.stat().st_size))
        refusal = refused_start(target)
        if refusal is None:
            target.start()
            ended = [each["uid"] for each in target.history()]
            known = [*(each["uid"] for each in target.roster()), *ended]
            missing = {uid for uid, _ in whole} - set(known)
            return "all was in the WAL", [f"{uid} is lost without a word" for uid in missing]
        return "the service refused", [*wrong_words(refusal, path), *salvage(target, path, whole)]
    finally:
        target.stop()


def refused_start(target: Target) -> str | None:
    """What the service says when it does not start; None: it does."""
    environ = {**os.environ, **target.site.environ, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "shmooze.queue"]
    process = subprocess.Popen(argv, env=environ, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    try:
        for line in process.stderr:
            if "listening" in line:
                return None
            if "state file" in line:
                return line if process.wait(LONG) == 2 else f"status {process.returncode}: {line}"
    finally:
        process.terminate()
        process.communicate(timeout=LONG)
    return f"status {process.returncode} without a word"


def wrong_words(refusal: str, path: Path) -> list[str]:
    """What is wrong with a refusal to start."""
    words = (str(path), "damaged", "python -m shmooze.state check")
    return [f"it says: {refusal!r}"] if not all(each in refusal for each in words) else []


def salvage(target: Target, path: Path, whole: dict[tuple[str, str], dict[str, Any]]) -> list[str]:
    """Do what the refusal says, and start again. Returns what is wrong with the result."""
    faults = []
    if tool("check", path).returncode != 1:
        faults.append("`check` finds nothing")
    done, left = export(path)
    if left != whole and (done.returncode != 1 or "damaged" not in done.stderr):
        faults.append(f"`export` does not say what is lost: {done.stderr!r}")
    faults += [f"{uid} is another one" for uid in left if left[uid] != whole.get(uid)]
    for file in path.parent.glob("state.db*"):
        file.unlink()
    if not left:
        return faults  # nothing could be read: the first page was cut
    done = tool("import", path, done.stdout)
    if done.returncode:
        return [*faults, f"`import` refuses the export: {done.stderr!r}"]
    target.start()
    ended = [each["uid"] for each in target.history()]
    known = {*(each["uid"] for each in target.roster()), *ended}
    return [*faults, *(f"{uid} was not imported" for uid, _ in left if uid not in known)]


def tool(command: str, path: Path, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shmooze.state", command, str(path)],
        input=text, capture_output=True, text=True, timeout=LONG, cwd=ROOT,
    )  # fmt: skip


def export(
    path: Path,
) -> tuple[subprocess.CompletedProcess[str], dict[tuple[str, str], dict[str, Any]]]:
    """What the tool says, and the rows of items and history by uid and table."""
    done = tool("export", path)
    rows = {}
    for line in done.stdout.splitlines():
        entry = json.loads(line)
        if entry.get("table") in ("items", "history"):
            rows[entry["row"]["uid"], entry["table"]] = entry["row"]
    return done, rows
