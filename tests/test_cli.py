"""The command `shmooze`: new applications, which settings it uses, what `check` says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import PATIENCE, ROOT, child, free_ports

from shmooze import __version__
from shmooze.cli.environment import enter
from shmooze.cli.main import main
from shmooze.errors import SettingsError

SHMOOZE = [sys.executable, "-m", "shmooze"]


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"shmooze {__version__}\n")


# New applications.


def test_a_new_application_has_settings_a_module_and_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "jukebox"
    assert main(["new", str(folder)]) == 0
    assert f"shmooze run --open {folder}\n" in capsys.readouterr().out
    names = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert names == {"settings.json", "counter.py", "page/index.html"}
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["name"] == "jukebox"
    assert "<title>jukebox</title>" in (folder / "page" / "index.html").read_text()
    compile((folder / "counter.py").read_text(), "counter.py", "exec")


def test_the_name_of_a_new_application_may_be_any(tmp_path: Path) -> None:
    folder = tmp_path / 'a "b" & <c>'
    assert main(["new", str(folder)]) == 0
    assert json.loads((folder / "settings.json").read_text())["name"] == folder.name
    assert (
        "<title>a &quot;b&quot; &amp; &lt;c&gt;</title>"
        in (folder / "page" / "index.html").read_text()
    )


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("full", "full exists already, and is not an empty folder"),
        ("full/file", "file exists already, and is not an empty folder"),
        ("full/file/below", "Not a directory"),
        ("a\nb", "is not a name for an application"),
    ],
)
def test_a_new_application_where_none_can_be_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str, words: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    assert main(["new", str(tmp_path / path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("shmooze: new: ")
    assert words in said
    assert said.count("\n") == 1
    assert (tmp_path / "full" / "file").read_text() == "mine"


# Which settings, and where programs run.


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with settings in it and in two folders below; what `enter` changes is undone."""
    for name in ("SHMOOZE_SETTINGS", "PATH", "PYTHONPATH", "PYTHONUNBUFFERED"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    for folder in (".", "one", "two"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "settings.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "variable", "expected"),
    [
        (None, None, "settings.json"),
        (None, "one/settings.json", "one/settings.json"),
        ("two/settings.json", "one/settings.json", "two/settings.json"),
        ("two", None, "two/settings.json"),
    ],
)
def test_the_settings_are_what_is_named_or_what_is_here(
    environment: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: str | None,
    variable: str | None,
    expected: str,
) -> None:
    monkeypatch.setenv("SHMOOZE_SETTINGS", variable or "")
    enter(given, None)
    assert os.environ["SHMOOZE_SETTINGS"] == str(environment / expected)
    assert Path.cwd() == (environment / expected).parent


def test_programs_run_elsewhere_if_told_so(environment: Path) -> None:
    enter("one", "two")
    assert os.environ["SHMOOZE_SETTINGS"] == str(environment / "one" / "settings.json")
    assert Path.cwd() == environment / "two"
    os.chdir(environment)
    with pytest.raises(SettingsError, match="directory nowhere: No such file or directory"):
        enter("one", "nowhere")


def test_without_settings_one_line_says_what_to_do(environment: Path) -> None:
    (environment / "settings.json").unlink()
    with pytest.raises(SettingsError, match=r"there is no settings\.json here: .*`shmooze new"):
        enter(None, None)


def test_programs_find_this_python_and_this_package(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    enter(None, None)
    assert os.environ["PATH"] == f"{os.path.dirname(sys.executable)}:/nowhere"
    assert os.environ["PYTHONPATH"].split(":")[0] == str(ROOT)


# check


def check(folder: Path, **settings: Any) -> tuple[int, list[str]]:
    """What `shmooze check` says of some settings: its exit status and lines."""
    folder.mkdir(exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [*SHMOOZE, "check", folder],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )
    return done.returncode, done.stdout.splitlines()


@pytest.mark.slow
def test_check_warns_of_what_is_odd_and_starts_nothing(tmp_path: Path) -> None:
    wsgi, queue, own = free_ports(3)
    cow = {"process": ["cow"], "command_timeout": 99}
    status, lines = check(
        tmp_path,
        ports={"wsgi": wsgi, "queue": queue, "own": own, "else": 1},
        public=["name", "ports"],
        queue={"modules": {"cow": cow}, "ordre": "fair"},
        own={"program": child("svc_obstinate")},
        state_path="state.db",
        wsgi_hots="x",
    )
    source = tmp_path / "settings.json"
    unknown = "is unknown; did you mean `{}`? if it is the application's own, call it `app_{}`"
    assert status == 0, lines
    for expected in (
        "warning: else is not run: its section in the settings has neither `modules` nor",
        f"settings file {source}: `wsgi_hots` {unknown.format('wsgi_host', 'wsgi_hots')}",
        f"warning: queue: settings file {source}: `queue.ordre` {unknown.format('order', '')[:-2]}",
        "warning: queue: `command_timeout` of cow is 99 s, and `wsgi_timeout` only 60 s",
    ):
        assert len([line for line in lines if expected in line]) == 1, (expected, lines)
    assert lines[-1] == f"{source}: can be used; it runs wsgi, queue, own"
    assert len(lines) == 5, lines
    assert {file.name for file in tmp_path.iterdir()} == {"settings.json"}


@pytest.mark.slow
def test_check_tells_what_each_program_would_refuse(tmp_path: Path) -> None:
    wsgi, queue, pool, own, other = free_ports(5)
    cow = {"process": ["cow"]}
    status, lines = check(
        tmp_path,
        ports={"wsgi": wsgi, "queue": queue, "pool": pool, "own": own, "other": other},
        public=["ports"],
        wsgi_timeout=0,
        queue={"modules": {"cow": {**cow, "proces": 1}}},
        pool={"modules": {"cow": {**cow, "preempt": True}}, "slots": 1},
        own={"program": ["python3", "missing.py"]},
        other={"program": ["no-such-program"]},
    )
    source = f"settings file {tmp_path / 'settings.json'}"
    assert status == 2
    for expected in (
        f"error: wsgi: {source}: `wsgi_timeout` must be a number of seconds above 0, not 0",
        f"error: queue: {source}: `queue.modules.cow.proces` is unknown; did you mean `process`?",
        f"error: pool: {source}: `pool.modules.cow.preempt` has no meaning unless `order` is",
        f"error: own: there is no file missing.py in {tmp_path}",
        "error: other: there is no program no-such-program",
    ):
        assert len([line for line in lines if line.startswith(expected)]) == 1, (expected, lines)
    assert "cannot be used" in lines[-1]


def test_settings_that_cannot_be_read_are_one_line(
    environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (environment / "settings.json").write_text("{")
    done = subprocess.run(
        [*SHMOOZE, "check"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    said = f"shmooze: settings file {environment / 'settings.json'}: broken JSON at line 1 column 2"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
