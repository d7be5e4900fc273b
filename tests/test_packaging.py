"""What pip installs is complete, and runs at once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import metadata
from pathlib import Path

import pytest
from support import PATIENCE, ROOT, Site, http

from shmooze import __version__

pytestmark = pytest.mark.slow

NEEDED = {
    "shmooze/cli/application/counter.py.in",
    "shmooze/cli/application/page/index.html.in",
    "shmooze/cli/application/settings.json.in",
    "shmooze/default_settings.json",
    "shmooze/py.typed",
    "shmooze/static/shmooze.js",
    "shmooze/static/shmooze.mjs",
    "shmooze/static/shmooze.d.mts",
    "shmooze/static/index.html",
    "shmooze/modules/pymodule.py",
}


def test_every_extra_is_on_the_page_about_installing() -> None:
    extras = set(metadata("shmooze").get_all("Provides-Extra") or ())
    page = (ROOT / "docs" / "reference" / "install.md").read_text()
    assert {"cluster", "docs", "pages"} <= extras
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == extras


def run(*argv: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        argv, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a source distribution of this checkout, as git has it."""
    folder = tmp_path_factory.mktemp("wheel")
    files = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in files.splitlines():
        if (ROOT / name).is_file():
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name)
    run(sys.executable, "-m", "build", "--no-isolation", cwd=folder / "source")
    (built,) = (folder / "source" / "dist").glob("*.whl")
    return built


def test_wheel_carries_static_files_settings_and_commands(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert names >= NEEDED
    commands = {name.partition(".data/scripts/")[2] for name in names}
    assert commands == {"", "shmz", "shmz-watch"}
    assert not any(name.startswith(("tests", "examples")) for name in names)


def test_no_release_of_1_x_can_be_taken_for_it(wheel: Path) -> None:
    version = wheel.name.split("-")[1]
    assert version == __version__
    assert int(version.split(".")[0]) >= 2
    # A version before 2.0.0, such as 2.0.0.dev1, would not do for `pip install "shmooze>=2"`.
    assert re.fullmatch(r"[0-9.]+", version)


def test_setup_py_install_has_pip_install_it_with_its_libraries(tmp_path: Path) -> None:
    (tmp_path / "pip.py").write_text("import sys; print(sys.argv[1:]); sys.exit(3)")
    argv = [sys.executable, "-S", ROOT / "setup.py", "install", "--user"]  # without setuptools
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(argv, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.stdout == f"{['install', '--user', str(ROOT)]}\n"
    assert (done.returncode, done.stderr) == (3, "")


@pytest.mark.timeout(600)  # it installs what the wheel needs, from wherever pip finds that
def test_wheel_in_an_empty_environment_serves_its_page_with_the_packaged_defaults(
    wheel: Path, tmp_path: Path
) -> None:
    # Its own pip would have to be installed first, and most modules are never imported.
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    found = ["--find-links", wheel.parent]
    run(*pip, "install", "-q", "--no-compile", *found, "shmooze>=2", cwd=tmp_path)

    # The defaults name fixed ports, which may be taken here: look at them, and serve on others.
    show = "import shmooze.settings as s; print(s.ports['wsgi'], s.static_path, sep='\\n')"
    port, static_path = run(python, "-c", show, cwd=tmp_path).split()
    assert port == "8080"
    assert Path(static_path).is_relative_to(tmp_path)
    for command in ("shmz", "shmz-watch"):
        assert "usage" in run(python.with_name(command), "--help", cwd=tmp_path)

    shmooze = python.with_name("shmooze")
    assert run(shmooze, "--version", cwd=tmp_path) == f"shmooze {__version__}\n"
    run(shmooze, "new", "app", cwd=tmp_path)
    assert "can be used; it runs wsgi, queue" in run(shmooze, "check", "app", cwd=tmp_path)

    site = Site(
        tmp_path / "site",
        services=("wsgi",),
        programs={"wsgi": [str(python), "-m", "shmooze.wsgi"]},
        environ={"PYTHONPATH": ""},
    )
    try:
        site.start()
        assert b"shmooze" in http(site.url).body
        assert http(f"{site.url}static/shmooze.js").headers["Content-Type"].startswith("text/")
        for words in (["shmz", "watch"], ["shmz-watch"]):
            argv = [python.with_name(words[0]), "-e", f"{site.url}queue", *words[1:]]
            watch = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE)
            said = (
                f"shmz: no events from {site.url}queue/events: there is nothing at /queue/events\n"
            )
            assert (watch.returncode, watch.stdout, watch.stderr) == (1, "", said)
        assert not list(python.parent.rglob("shmz*.pyc"))
    finally:
        site.close()
