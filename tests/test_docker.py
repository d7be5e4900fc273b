"""The container of examples/docker, as far as it can be checked without building an image."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import AS_ORDINARY_USER, ROOT, Site, is_listening, parent_of, wait_until

EXAMPLE = ROOT / "examples" / "docker"


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, in order, with their arguments."""
    text = (EXAMPLE / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def copied() -> dict[str, str]:
    """What is copied into the image, and to where."""
    found = {}
    for name, rest in instructions():
        if name == "COPY":
            *sources, target = shlex.split(rest)
            for source in sources:
                name = Path(source).name if target.endswith("/") else ""
                found[source] = target + name
    return found


def test_each_instruction_is_one_that_docker_knows() -> None:
    names = [name for name, _ in instructions()]
    assert names[0] == "FROM"
    known = {"FROM", "COPY", "RUN", "USER", "WORKDIR", "VOLUME", "EXPOSE", "HEALTHCHECK"}
    assert set(names) == {*known, "ENTRYPOINT"}
    assert names.index("USER") < names.index("ENTRYPOINT"), "nothing runs as root"


def test_what_is_copied_exists_and_is_all_that_the_package_is_built_from() -> None:
    sources = copied()
    assert all((ROOT / source).exists() for source in sources)
    assert sources["shmooze"] == "/src/shmooze"
    assert {source for source in sources if sources[source].startswith("/src")} >= {
        *("setup.py", "pyproject.toml", "README.md", "LICENSE", "shmooze", "static"),
        *("scripts/shmz", "scripts/shmz-watch"),
    }


def test_shell_commands_have_no_syntax_errors() -> None:
    for name, rest in instructions():
        if name == "RUN":
            assert subprocess.run(["sh", "-n", "-c", rest]).returncode == 0, rest
        elif name in ("ENTRYPOINT", "VOLUME") and rest.startswith("["):
            assert json.loads(rest)
    health = next(rest for name, rest in instructions() if name == "HEALTHCHECK")
    interpreter, option, code = json.loads(health.partition("CMD ")[2])
    assert (interpreter, option) == ("python3", "-c")
    compile(code, "HEALTHCHECK", "exec")


def test_the_state_is_in_the_volume_and_the_gateway_can_be_reached_from_outside() -> None:
    settings = json.loads((EXAMPLE / "settings.json").read_text())
    volume = next(rest for name, rest in instructions() if name == "VOLUME")
    exposed = next(rest for name, rest in instructions() if name == "EXPOSE")
    assert settings["state_path"].startswith(f"{volume}/")
    assert settings["wsgi_host"] == "0.0.0.0"
    assert int(exposed) == settings["ports"]["wsgi"]


@pytest.mark.skipif(os.getuid() != 0, reason="a pid namespace of one's own needs root here")
def test_its_entry_point_serves_and_ends_as_process_1_of_an_ordinary_user(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    """It has a pid namespace of its own, as in a container."""
    root = tmp_path / "root"
    for source, target in copied().items():
        if target.startswith("/app/"):
            place = root / target.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, place)
    (root / "state").mkdir()
    os.chown(root / "state", 65534, 65534)
    command = json.loads(next(rest for name, rest in instructions() if name == "ENTRYPOINT"))
    assert command == ["shmooze", "run", "/app"]
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *AS_ORDINARY_USER]
    argv = [*unshare, sys.executable, "-m", "shmooze", "run", str(root / "app")]
    site = make_site(services=("wsgi", "queue"), programs={"wsgi": argv})
    file = root / "app" / "settings.json"
    state = {"state_path": str(root / "state" / "state.db"), "ports": site.ports}
    file.write_text(json.dumps({**json.loads(file.read_text()), **state}))
    site.start("wsgi")
    wait_until(lambda: is_listening(site.ports["queue"]), "the queue listens")
    site.ask("queue", "add", type="countdown", args={"seconds": 1000})
    site.ask("queue", "set_bg", type="clock")
    unshared = site.processes.pop("wsgi")
    (guardian,) = (pid for pid in site.survivors() if parent_of(pid) == unshared.pid)
    os.kill(guardian, signal.SIGTERM)
    assert unshared.wait(30) == 0
    assert site.survivors() == []
    assert (root / "state" / "state.db").exists()
