"""`shmooze.check_module` finds what is wrong with a module, and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import CHILDREN, PATIENCE, ROOT, is_alive, wait_until

from shmooze.conformance import wording
from shmooze.conformance.catalog import CHECKS, TIME_LIMIT
from shmooze.conformance.options import Options
from shmooze.conformance.report import Report
from shmooze.conformance.scenarios import SCENARIOS

pytestmark = pytest.mark.slow

BROKEN = [sys.executable, "-I", "-S", str(CHILDREN / "broken.py")]

#: What each fault of children/broken.py makes fail.
FAULTS = {
    "none": set(),
    "leaves quickly": set(),
    "connects one stream only": {"connects"},
    "connects in the wrong order": {"connect-order"},
    "connects twice": {"connects-once"},
    "works before init": {"waits-for-init"},
    "does not answer an unknown command": {"unknown-command"},
    "exits at an unknown command": {"unknown-command"},
    "answers with text": {"packets"},
    "answers with half a packet": {"packets"},
    "gives up": {"no-failure"},
    "answers twice": {"one-answer"},
    "refuses to suspend": {"suspend"},
    "takes what arrives together for one command": {"one-write"},
    "has a small buffer": {"large-command"},
    "carries out the latest command first": {"answers-in-order"},
    "sends an unknown update": {"updates"},
    "does not end a line": {"updates"},
    "saves and cannot restore": {"restore"},
    "refuses in the words of Python": {"unknown-argument"},
    "ignores rm": {"rm"},
    "stays after rm": {"rm", "rm-before-play"},
    "cannot be removed before it plays": {"rm-before-play"},
    "says that it leaves and stays": {"leaves"},
    "exits with status 1": {"exit-status"},
    "leaves a daemon": {"nothing-left"},
    "ignores the end": {"hang-up-before-init", "hang-up-playing", "hang-up-suspended"},
    "ends only while it plays": {"hang-up-before-init"},
    "describes itself truly": set(),
    "describes another type of parameter": {"described-parameters"},
    "describes a command that it does not have": {"described-commands"},
    "describes an argument as required that is not": {"missing-argument"},
    "describes itself with a schema that is not one": {"description"},
    "prints half a description": {"description"},
}
#: Options with which a module without a fault fails.
OPTIONS: dict[str, dict[str, Any]] = {
    "too little time": {"time_limit": 0.5},
    "args that do not fit the description": {
        "args": {"seconds": "x"},
        "schema": {"args": {"properties": {"seconds": {"type": "integer"}}}},
    },
    "a description that must be there": {
        "must_describe": True,
        "skip": sorted(CHECKS.keys() - {"rm", "description"}),
    },
}

#: The examples, with args that they accept.
MODULES = ROOT / "examples" / "modules"
PYTHON = [sys.executable, "-S"]  # without packages, which takes half as long to start
EXAMPLES = {
    "clock.py": (PYTHON, {}),
    "countdown.py": (PYTHON, {"seconds": 60}),
    "countdown.mjs": (["node"], {"seconds": 60}),
    "job.py": (PYTHON, {"name": "forever"}),
    "ticker.sh": (["sh"], {}),
}
PAGE = (ROOT / "docs" / "how-to" / "other-languages.md").read_text()
#: The text of each module that the page shows, by name.
SHOWN = dict(re.findall(r"`([\w.]+)`:\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
INTERPRETERS = {"hello.mjs": "node", "ticker.sh": "sh", "ticks.sh": "bash"}
KITS = {"shmooze.mjs", "shmooze.d.mts", "shmooze.sh"}

Results = dict[str, Any]
Reports = dict[str, Results]


def check_all(wanted: dict[str, Any], folder: Path) -> Reports:
    """Check modules at the same time, since they mostly wait."""
    settings = folder / "settings.json"
    settings.write_text(json.dumps({"ports": {}, "app_jobs": {"forever": ["sleep", "1000"]}}))
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "check_all.py")],
        input=json.dumps(wanted),
        env={**os.environ, "PYTHONPATH": str(ROOT), "SHMOOZE_SETTINGS": str(settings)},
        capture_output=True,
        text=True,
        timeout=PATIENCE * 3,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def results(report: Results, result: str) -> dict[str, str]:
    """The checks with this result, and what was got."""
    return {each["check"]: each["got"] for each in report["checks"] if each["result"] == result}


def _far_from(checks: set[str]) -> list[str]:
    """Checks that need more processes, and have nothing to do with these.

    With none, nothing is left out.
    """
    near = {*SCENARIOS[0].names, "leaves", "updates"}
    near |= {name for each in SCENARIOS for name in each.names if checks & set(each.names)}
    if "packets" in checks:
        near |= {"unknown-command"}
    described = {each for each in CHECKS if each.startswith("descri")}
    if checks & (described | {"missing-argument"}):
        near |= described
    return sorted(CHECKS.keys() - near - checks) if checks else []


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """A report for each fault of children/broken.py."""
    times = {"command_timeout": 3.0, "natural_death_timeout": 2.0, "connect_timeout": 8.0}
    times |= {"quiet": 1.0, "watch": 0.2, "sigterm_timeout": 0.5}
    wanted = {
        fault: {"argv": [*BROKEN, fault], "skip": _far_from(fails), **times}
        for fault, fails in FAULTS.items()
    }
    sound = [*BROKEN, "none"]
    wanted |= {name: {"argv": sound, **times, **options} for name, options in OPTIONS.items()}
    return check_all(wanted, tmp_path_factory.mktemp("broken"))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_fails_the_checks_that_it_concerns_and_no_others(
    reports: Reports, fault: str
) -> None:
    assert results(reports[fault], "FAILED").keys() == FAULTS[fault]
    assert reports[fault]["ok"] == (not FAULTS[fault])


@pytest.mark.parametrize(
    ("name", "failed"),
    [
        ("too little time", {"time-limit": "the checks that are skipped for that reason"}),
        (
            "args that do not fit the description",
            {
                "described-args": "init: argument `seconds`: expected `int`, got `str`",
                "init": "a failure: 'argument `seconds`: expected `int`'",
            },
        ),
        (
            "a description that must be there",
            {"description": "`--describe`: it exited with status 2"},
        ),
    ],
)
def test_options_that_a_module_cannot_meet_are_a_failure(
    reports: Reports, name: str, failed: dict[str, str]
) -> None:
    got = results(reports[name], "FAILED")
    assert got.keys() == failed.keys()
    assert all(got[check].startswith(words) for check, words in failed.items())


def test_a_program_that_cannot_be_started_is_a_failure(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o700)
    report = check_all({"x": {"argv": [str(program)]}}, tmp_path)["x"]
    words = f"cannot be started: {program}: No such file or directory"
    assert results(report, "FAILED") == {"connects": words}


def test_every_check_but_a_few_is_failed_by_some_fault() -> None:
    never = {"init", "play", "resume", "twice", "split-command", "wrong-type", "described-args"}
    assert set().union(*FAULTS.values()) == CHECKS.keys() - never


def test_every_check_is_made_or_says_why_not(reports: Reports) -> None:
    for report in reports.values():
        made = [each["check"] for each in report["checks"] if each["check"] != TIME_LIMIT]
        assert made == list(CHECKS)
        assert all(each["got"] for each in report["checks"] if each["result"] != "ok")


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """A report for each example."""
    wanted = {
        name: {"argv": [*program, str(MODULES / name)], "args": args, "natural_death_timeout": 5.0}
        for name, (program, args) in EXAMPLES.items()
    }
    return check_all(wanted, tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """A report for each module of the page, of the checks that start few processes."""
    folder = tmp_path_factory.mktemp("page")
    for name in KITS:
        shutil.copy(MODULES / name, folder)
    for name, text in SHOWN.items():
        (folder / name).write_text(text)
    wanted = {
        name: {
            "argv": [INTERPRETERS[name], str(folder / name)],
            "skip": _far_from({"unknown-command"}),
        }
        for name in SHOWN
    }
    return check_all(wanted, folder)


@pytest.mark.parametrize("name", INTERPRETERS)
def test_modules_of_the_page_keep_to_the_protocol(shown: Reports, name: str) -> None:
    assert results(shown[name], "FAILED") == {}
    assert not {"rm", "unknown-command", "updates"} & results(shown[name], "skipped").keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_keep_to_the_protocol(examples: Reports, name: str) -> None:
    assert results(examples[name], "FAILED") == {}
    assert (
        not {"play", "rm", "hang-up-playing", "updates"} & results(examples[name], "skipped").keys()
    )


def test_every_example_is_checked() -> None:
    assert {each.name for each in MODULES.iterdir() if each.is_file()} == EXAMPLES.keys() | KITS


@pytest.mark.parametrize("name", ["countdown.mjs", "ticker.sh"])
def test_modules_made_with_the_kits_describe_themselves(examples: Reports, name: str) -> None:
    made = {each["check"] for each in examples[name]["checks"] if each["result"] == "ok"}
    assert {"description", "described-args", "described-parameters"} <= made


def check_module(*argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shmooze.check_module", *argv],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environ},
        timeout=PATIENCE,
    )


def test_a_table_says_what_to_do_about_a_failure() -> None:
    program = ["sh", "-c", "echo no sound card >&2; exit 3"]
    done = check_module("--quiet=0", "--skip=hang-up-playing,leaves", *program, COLUMNS="100")
    assert (done.returncode, done.stderr) == (1, "")
    for words in (
        "connects              FAILED   connects to the command port and the update port",
        "got: the program exited with status 3 before it connected\n",
        "do:  The last three arguments are HOST COMMAND_PORT",
        "| no sound card\n",
        "play                  skipped  because `connects` failed\n",
        "leaves                skipped  left out by --skip\n",
        f"exit 3: 1 FAILED, {len(CHECKS) - 1} skipped, ",
    ):
        assert words in done.stdout


def test_the_worst_of_several_results_of_a_check_counts() -> None:
    report = Report(Options(["module"], skip=frozenset({"rm"})))
    for name in ("play", "suspend", "rm"):
        report.skipped(name, "not yet")
        report.ok(name)
    assert report.is_ok
    report.failed("play", "no answer", ["no sound card"])
    report.ok("play")
    report.note("suspend", "late\x1b[m")
    report.failed("rm", "no answer")
    assert not report.is_ok
    assert [(each.check, each.result, each.got) for each in report.results] == [
        ("play", "FAILED", "no answer"),
        ("suspend", "note", "late\\x1b[m"),
        ("rm", "skipped", "left out by --skip"),
    ]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "PROGRAM is missing"),
        (["no-such-program"], "there is no program 'no-such-program'"),
        (["--args", "[1]", "sh"], "--args: must be an object"),
        (["--args", "{", "sh"], "--args: not JSON"),
        (["--skip", "dance", "sh"], "--skip: no check 'dance'; known: connects, "),
        (["--watch", "x", "sh"], "--watch: must be a number of seconds, not 'x'"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from shmooze.check_module import main

    with pytest.raises(SystemExit) as exit:
        main(argv)
    assert exit.value.code == 2
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    module = f"echo $$ >> {pids}; sleep 1000 & echo $! >> {pids}; wait"
    checking = subprocess.Popen(
        [sys.executable, "-m", "shmooze.check_module", "sh", "-c", module],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2, "the module runs")
    checking.send_signal(signal.SIGINT)
    _, words = checking.communicate(timeout=PATIENCE)
    assert (checking.returncode, words) == (
        130,
        "check_module: interrupted; nothing is left of the module\n",
    )
    assert not any(is_alive(int(pid)) for pid in pids.read_text().split())


@pytest.mark.parametrize(
    "error",
    [
        "unknown command `dance`; known: `add`",
        "add: argument `seconds`: expected `int`, got `str`",
        "there is no file called undefined.mp4 in the folder"[:30],
        "seconds must be above 0",
        "Der Text ist zu lang",
    ],
)
def test_texts_for_users_are_accepted(error: str) -> None:
    assert wording.fault_of(error) is None


@pytest.mark.parametrize(
    "error",
    [
        None,
        "",
        " ",
        "one\ntwo",
        "init() got an unexpected keyword argument 'x'",
        "Hello.cmd_init() missing 1 required positional argument: 'name'",
        "'<' not supported between instances of 'str' and 'int'",
        "TypeError: seconds.toFixed is not a function",
        "Cannot read properties of undefined (reading 'length')",
        "module.sh: line 3: seconds: unbound variable",
    ],
)
def test_words_of_programming_languages_are_not(error: Any) -> None:
    assert wording.fault_of(error)
