"""The tutorial of the lab instrument works as it is shown, and leaves the supply switched off."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from support import ROOT, Client, Refusal, Site, free_ports, wait_until
from tutorials import Tutorial, run

pytestmark = pytest.mark.slow

SIMULATOR = runpy.run_path(str(ROOT / "examples" / "lab" / "simulator.py"))
#: A sweep that takes a while, if it is left alone.
LONG = {"points": 500, "settle": 0.05}


@pytest.fixture(scope="module")
def tutorial() -> Tutorial:
    return Tutorial("lab-instrument")


@pytest.fixture(scope="module")
def site(tutorial: Tutorial, make_shared_site: Callable[..., Site]) -> Site:
    return tutorial.start(make_shared_site, {"5025": str(*free_ports(1))})


@pytest.fixture
def queue(tutorial: Tutorial, site: Site) -> Iterator[Client]:
    """The queue, with a supply that was just switched on."""
    queue, devices = Client(site, "queue"), Client(site, "devices", "pool")
    run(site, tutorial.commands[0])
    yield queue
    devices("rm", uids=devices.uids())
    queue.clear()


def told(site: Site) -> list[str]:
    """What the supply was told, and what it says."""
    devices = Client(site, "devices", "pool")
    return devices("output", uid=devices.uids()[0])


def set_bg(queue: Client) -> str:
    return queue("set_bg", type="panel")["uid"]


def tell(queue: Client, uid: str, cmd: str, **args: float) -> None:
    queue("tell_background", uid=uid, cmd=cmd, args=args)


def start_sweep(queue: Client, site: Site) -> str:
    """Begin a long sweep, and wait until something flows."""
    uid = queue.add("sweep", **LONG)
    wait_until(lambda: "OUTP ON" in told(site), "the output is on")
    return uid


def wait_for_last_words(site: Site, *words: str) -> None:
    wait_until(lambda: told(site)[-len(words) :] == list(words), f"the supply was told {words}")


def test_commands_and_script_of_the_page_work_as_shown(
    tutorial: Tutorial, site: Site, queue: Client
) -> None:
    _, panel, sweep, history, *_ = tutorial.commands
    run(site, panel)
    assert '"points": [[' in run(site, sweep)
    assert "0.5 to 9 V in 10 points" in run(site, history)
    (code,) = tutorial.texts("python", "import Client")
    (site.folder / "curve.py").write_text(code.replace("http://localhost:8080/", site.url))
    rows = [line.split() for line in run(site, "python3 curve.py").splitlines()]
    assert len(rows) == 10
    ohms = [float(row[4]) for row in rows]
    assert SIMULATOR["COLD"] < ohms[0] < ohms[-1]  # the lamp gets hot
    assert queue("bg")["state"] == "playing"
    checks = [line for line in tutorial.lines if "check_module" in line]
    assert len(checks) == 2  # test_example_modules.py runs them


def test_panel_shows_what_is_measured_and_refuses_what_is_not_allowed(
    site: Site, queue: Client
) -> None:
    uid = set_bg(queue)
    tell(queue, uid, "set_voltage", volts=5)
    tell(queue, uid, "switch", on=True)

    def shown() -> dict:
        return queue("ask_background", uid=uid, parameters=["output", "voltage", "current"])

    wait_until(lambda: shown().get("voltage", 0) > 4.9, "it shows what is measured")
    assert shown()["output"] == "on"
    with pytest.raises(Refusal, match=r"13 V is more than the 12 V that are allowed"):
        tell(queue, uid, "set_voltage", volts=13)
    with pytest.raises(Refusal, match=r"argument `volts`: must be at most 30, got 50"):
        tell(queue, uid, "set_voltage", volts=50)


def test_console_is_told_units_and_limits_of_the_panel(queue: Client) -> None:
    described = queue("describe", type="panel")
    volts = described["commands"]["set_voltage"]["args"]["properties"]["volts"]
    assert (volts["unit"], volts["minimum"], volts["maximum"]) == ("V", 0, 30)
    units = {name: each.get("unit") for name, each in described["parameters"].items()}
    assert units["voltage"] == "V"
    assert units["current"] == "A"
    assert described["parameters"]["output"]["role"] == "status"


def test_measurement_has_the_supply_for_itself(site: Site, queue: Client) -> None:
    uid = set_bg(queue)
    tell(queue, uid, "switch", on=True)
    start_sweep(queue, site)
    with pytest.raises(Refusal, match="not connected: something else uses it"):
        tell(queue, uid, "set_voltage", volts=1)


def test_output_is_off_after_a_measurement_was_removed(site: Site, queue: Client) -> None:
    queue("rm", uids=[start_sweep(queue, site)])
    assert told(site)[-1] == "OUTP OFF"


def test_output_is_off_while_a_measurement_is_held_and_no_point_is_lost(
    site: Site, queue: Client
) -> None:
    uid = queue.add("sweep", points=20, settle=0.05)
    wait_until(lambda: queue.parameters(uid).get("progress", 0) > 0.2, "it measures")
    queue("hold", uids=[uid])
    wait_for_last_words(site, "OUTP OFF")
    queue("release", uids=[uid])
    end = wait_until(lambda: queue("wait", uid=uid), "it has ended")
    points = end["result"]["points"]
    assert len(points) == 20
    assert all(amps > 0.05 for _, amps in points)


def test_output_is_off_after_sigterm(site: Site, queue: Client) -> None:
    before = set(site.survivors())
    start_sweep(queue, site)
    (pid,) = set(site.survivors()) - before
    os.kill(pid, signal.SIGTERM)
    wait_for_last_words(site, "OUTP OFF")


def test_watchdog_of_the_supply_switches_it_off_if_nobody_else_can(
    site: Site, queue: Client
) -> None:
    before = set(site.survivors())
    start_sweep(queue, site)
    (pid,) = set(site.survivors()) - before
    os.kill(pid, signal.SIGKILL)
    words = "watchdog: nothing heard for 2.05 s, output off"
    wait_for_last_words(site, words)


def test_panel_without_its_instrument_says_so_and_comes_back_with_it(
    tutorial: Tutorial, site: Site, queue: Client
) -> None:
    uid = set_bg(queue)
    devices = Client(site, "devices", "pool")
    devices("rm", uids=devices.uids())
    reasons = wait_until(
        lambda: [each["reason"] for each in queue("gone") if each["uid"] == uid], "it fails"
    )
    assert any(words in reasons[0] for words in ("does not answer", "no instrument at"))
    run(site, tutorial.commands[0])
    wait_until(lambda: queue("bg")["state"] == "playing", "it is back")


def test_supply_refuses_what_it_does_not_know_with_the_codes_of_scpi() -> None:
    supply = SIMULATOR["Supply"]()
    for line in ("VOLT many", "VOLT 31", "OUTP MAYBE", "LIGHT 3", "LIGHT?", "VOLT 3"):
        assert supply.handle(line) is None
    errors = [supply.handle("SYST:ERR?") for _ in range(6)]
    codes = [str(error).partition(",")[0] for error in errors]
    assert codes == ["-120", "-222", "-141", "-113", "-113", "0"]
    assert supply.handle("VOLT?") == "3"


def test_module_without_a_sound_address_is_refused_in_one_line() -> None:
    code = "from scpi import Instrument; Instrument('somewhere')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "examples" / "lab",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stderr.endswith("the address must be HOST:PORT, not 'somewhere'\n")
