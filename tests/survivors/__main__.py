"""Count the processes that are left behind when a client leaves, after SIGTERM and after SIGKILL:
of shmooze, and of programs that do parts of the same, each as it comes.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from survivors.peers import PEERS, Peer, Shmooze, Tools

#: Seconds that processes have to end by themselves.
SETTLE = 10.0
#: Programs that run at the same time.
THREADS = 5
#: Clients that come and leave, one after the other.
CLIENTS = 3
#: What happens, and to which process of those that a program consists of.
CAUSES = {
    "clients leave": (None, 0),
    "SIGTERM": (signal.SIGTERM, 0),
    "SIGKILL": (signal.SIGKILL, 0),
}
#: Only shmooze has two: the guardian, whose pid its supervisor knows, and the service.
OF_SERVICE = (signal.SIGKILL, 1)


#: What was found: the numbers of all rounds, for each program and cause.
Results = dict[tuple[type[Peer], str], set[int]]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/survivors", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument(
        "--only", metavar="NAME", default="", help="only programs whose names have this in them"
    )
    parser.add_argument(
        "--tools", type=Path, help="install the others here (default: a temporary folder)"
    )
    return parser.parse_args()


def living(folder: Path) -> list[int]:
    """The processes that have noted themselves and live."""
    file = folder / "processes"
    lines = file.read_text().splitlines() if file.exists() else []
    return [
        pid for pid, started in (map(int, line.split()) for line in lines) if runs(pid, started)
    ]


def runs(pid: int, started: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] not in "ZX" and int(fields[19]) == started


def count(peer_type: type[Peer], tools: Tools, cause: tuple[int | None, int]) -> int:
    """The processes that are left after one cause."""
    number, which = cause
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        peer = peer_type(tools, folder)
        try:
            peer.start()
            if number is None:
                for _ in range(CLIENTS):
                    with peer.client():
                        pass
            else:
                with peer.client():
                    if len(living(folder)) < 3:
                        raise RuntimeError(f"{peer.name}: its server does not run")
                    peer.kill(number, which)
            deadline = time.monotonic() + SETTLE
            while (left := living(folder)) and time.monotonic() < deadline:
                time.sleep(0.1)
            return len(left)
        finally:
            peer.close()
            for pid in living(folder):
                os.kill(pid, signal.SIGKILL)


def main() -> int:
    chosen = arguments()
    peers = [each for each in PEERS if chosen.only in each.name]
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(THREADS) as threads:
        tools = Tools(chosen.tools or Path(name))
        if any(each.transport or not issubclass(each, Shmooze) for each in peers):
            tools.install()
        results: Results = {}
        for number in range(chosen.rounds):
            asked = {
                (peer, words, cause): threads.submit(count, peer, tools, cause)
                for peer in peers
                for words, causes in _causes_of(peer).items()
                for cause in causes
            }
            for (peer, words, _), future in asked.items():
                results.setdefault((peer, words), set()).add(future.result())
            print(f"survivors: after round {number + 1} of {chosen.rounds}:", file=sys.stderr)
            print(table(results, tools), file=sys.stderr, flush=True)
        print(table(results, tools))
    left = [
        max(found)
        for (peer, words), found in results.items()
        if issubclass(peer, Shmooze) and CAUSES[words][0] is not None
    ]
    return 1 if any(left) else 0


def table(results: Results, tools: Tools) -> str:
    """The results in Markdown."""
    lines = [f"| | {' | '.join(CAUSES)} |", f"|---|{'---|' * len(CAUSES)}"]
    for peer in dict.fromkeys(peer for peer, _ in results):
        cells = [_range(results[peer, words]) for words in CAUSES]
        lines.append(f"| {peer.name} ({peer.version(tools)}) | {' | '.join(cells)} |")
    return "\n".join(lines)


def _causes_of(peer: type[Peer]) -> dict[str, list[tuple[int | None, int]]]:
    causes = {words: [cause] for words, cause in CAUSES.items()}
    if issubclass(peer, Shmooze):
        causes["SIGKILL"].append(OF_SERVICE)
    return causes


def _range(found: set[int]) -> str:
    return str(min(found)) if len(found) == 1 else f"{min(found)} to {max(found)}"


if __name__ == "__main__":
    raise SystemExit(main())
