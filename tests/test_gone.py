"""How, why and when modules have ended: in `gone`, and in the service's log."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from support import CHILDREN, Client, Refusal, Site, child, wait_until

QUICK = str(CHILDREN / "quick.sh")
#: Refuses `init`, and ends by itself.
REFUSING = 'exec 3<>"/dev/tcp/$0/$1" 4<>"/dev/tcp/$0/$2"; read -r line <&3; ' + (
    """echo '{"success":false,"error":"no"}' >&3; sleep 0.2; exit 3"""
)
#: Hangs up, says that it leaves, and takes its time.
LEAVER = """
import json, socket, sys, time
commands, updates = (socket.create_connection((sys.argv[1], int(port))) for port in sys.argv[2:])
for _ in range(2):
    commands.makefile().readline()
    commands.sendall(b'{"success": true}\\n')
commands.shutdown(socket.SHUT_WR)
updates.sendall(b'{"cmd": "rm"}\\n')
updates.makefile().readline()
time.sleep(0.1)
"""


def test_the_log_and_gone_tell_ends_apart(make_site: Callable[..., Site]) -> None:
    types = {
        "quick": {"process": ["bash", QUICK]},
        "crashing": {"process": ["bash", "-c", "exit 3"]},
        "hopeless": {
            "process": child("well"),
            "restart": "always",
            "restart_limit": 1,
            "restart_delay": 0.05,
        },
        "refusing": {"process": ["bash", "-c", REFUSING]},
        "leaver": {"process": [sys.executable, "-c", LEAVER]},
    }
    site = make_site(services=("pool",), settings={"pool": {"modules": types}}).start()
    pool = Client(site, "pool")
    began = datetime.now(timezone.utc)
    leavers = [pool.add("leaver") for _ in range(3)]
    for kind in ("crashing", "refusing"):
        site.direct("pool", {"cmd": "add", "args": {"type": kind}})
    hopeless = pool.add_settled("hopeless")
    for times in range(2):
        wait_until(lambda n=times: pool.roster()[-1].get("restarts", 0) == n, "it is back")
        wait_until(lambda: pool.roster()[-1]["state"] == "playing", "it plays")
        with pytest.raises(Refusal):
            pool.tell(hopeless, "exit", status=3)
    pool("rm", uids=[pool.add("quick")])
    wait_until(lambda: "was given up after 1 restart" in site.log("pool"), "it is given up")
    wait_until(lambda: len(pool("gone")) >= len(leavers) + 5, "all have gone")
    last = pool.add("quick")
    ends = pool("gone")
    site.stop("pool")

    for each in ends:
        ended = datetime.fromisoformat(each["ended"].replace("Z", "+00:00"))
        assert began - timedelta(seconds=1) < ended < datetime.now(timezone.utc)
        assert each["ended"][-5] == "."
    assert {(each["reason"], each["ladder"]) for each in ends if each["uid"] in leavers} == {
        ("left by itself", None)
    }
    assert [each["ladder"] for each in ends if each["type"] == "refusing"] == [None]
    lines = [line for line in site.log("pool").splitlines() if "<Module" in line]

    def levels(words: str) -> set[str]:
        return {line.split()[2] for line in lines if words in line}

    assert levels("left by itself") == levels("was removed") == {"INFO"}
    assert levels("exited with status 3 before `init`") == {"WARNING"}
    assert levels("was given up") == {"ERROR"}
    [stopped] = [line for line in lines if last[:8] in line]
    assert stopped.endswith("was stopped with the service")
    assert stopped.split()[2] == "INFO"
