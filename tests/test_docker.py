"""The containers of examples/docker and of the page on Docker, without building an image."""

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
from howto import Guide, type_command
from support import AS_ORDINARY_USER, ROOT, Site, is_listening, parent_of, wait_until

from shmooze.modules.module import Module

EXAMPLE = ROOT / "examples" / "docker"
PAGE = Guide("docker")
#: Dockerfile and settings of the example and of the page.
SHOWN = {
    "example": ((EXAMPLE / "Dockerfile").read_text(), (EXAMPLE / "settings.json").read_text()),
    "page": (PAGE.files["Dockerfile"], PAGE.files["settings.json"]),
}
both = pytest.mark.parametrize("which", SHOWN)


def instructions(which: str = "example") -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, in order, with their arguments."""
    text = SHOWN[which][0].replace("\\\n", " ")
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


def health_check(which: str) -> list[str]:
    """The command that tells Docker whether the container is well."""
    rest = next(rest for name, rest in instructions(which) if name == "HEALTHCHECK")
    argv: list[str] = json.loads(rest.partition("CMD ")[2])
    return argv


@both
def test_each_instruction_is_one_that_docker_knows(which: str) -> None:
    names = [name for name, _ in instructions(which)]
    assert names[0] == "FROM"
    known = {"FROM", "COPY", "RUN", "USER", "WORKDIR", "VOLUME", "EXPOSE", "HEALTHCHECK"}
    assert set(names) - {"ENV"} == {*known, "ENTRYPOINT"}
    assert names.index("USER") < names.index("ENTRYPOINT"), "nothing runs as root"


def test_what_is_copied_exists_and_is_all_that_the_package_is_built_from() -> None:
    sources = copied()
    assert all((ROOT / source).exists() for source in sources)
    assert sources["shmooze"] == "/src/shmooze"
    assert {source for source in sources if sources[source].startswith("/src")} >= {
        *("setup.py", "pyproject.toml", "README.md", "LICENSE", "shmooze", "static"),
        *("scripts/shmz", "scripts/shmz-watch"),
    }


@both
def test_shell_commands_have_no_syntax_errors(which: str) -> None:
    for name, rest in instructions(which):
        if name == "RUN":
            assert subprocess.run(["sh", "-n", "-c", rest]).returncode == 0, rest
        elif name in ("ENTRYPOINT", "VOLUME") and rest.startswith("["):
            assert json.loads(rest)
    interpreter, option, code = health_check(which)
    assert (interpreter, option) == ("python3", "-c")
    compile(code, "HEALTHCHECK", "exec")


@both
def test_the_state_is_in_the_volume_and_the_gateway_can_be_reached_from_outside(which: str) -> None:
    settings = json.loads(SHOWN[which][1])
    volume = next(rest for name, rest in instructions(which) if name == "VOLUME")
    exposed = next(rest for name, rest in instructions(which) if name == "EXPOSE")
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


def test_compose_mounts_the_volume_and_gives_modules_time_to_end() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    shown = yaml.safe_load(PAGE.files["compose.yaml"])
    service = shown["services"]["myapp"]
    name, _, place = service["volumes"][0].partition(":")
    assert name in shown["volumes"]
    assert place == next(rest for name, rest in instructions("page") if name == "VOLUME")
    assert service["ports"] == ["127.0.0.1:8080:8080"]
    grace = float(service["stop_grace_period"].removesuffix("s"))
    assert grace > Module.natural_death_timeout + Module.sigterm_timeout
    (run,) = PAGE.commands("docker run")
    assert f"--stop-timeout {grace:g}" in run


@pytest.mark.slow
def test_page_s_health_check_and_token_command_work_on_its_application(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    """Outside of a container."""
    app = tmp_path / "app"
    app.mkdir()
    shutil.copy(ROOT / "examples/modules/countdown.py", app)
    copied = next(rest for name, rest in instructions("page") if name == "COPY").split()
    assert {*copied[:-1]} == {"settings.json", "countdown.py"}
    *_, folder = json.loads(
        next(rest for name, rest in instructions("page") if name == "ENTRYPOINT")
    )
    assert [folder] == [rest for name, rest in instructions("page") if name == "WORKDIR"]
    assert copied[-1] == f"{folder}/"
    argv = [sys.executable, "-m", "shmooze", "run", str(app)]
    site = make_site(services=("wsgi", "queue"), programs={"wsgi": argv})
    settings, guarded = json.loads(SHOWN["page"][1]), json.loads(PAGE.texts("json", "{")[1])
    here = {"ports": site.ports, "state_path": str(tmp_path / "state.db"), "wsgi_host": "127.0.0.1"}
    tokens = {**guarded, "tokens_path": str(tmp_path / "tokens.json")}
    (app / "settings.json").write_text(json.dumps({**settings, **tokens, **here}))
    environ = {**site.environ, "SHMOOZE_SETTINGS": str(app / "settings.json")}
    (make_token,) = PAGE.commands("docker compose run")
    program, _, arguments = make_token.partition("--entrypoint ")[2].partition(" myapp ")
    made = type_command(f"{program} {arguments}", app, environ)
    assert made.status == 0, made.text
    check = [each.replace("8080", str(site.ports["wsgi"])) for each in health_check("page")]
    assert subprocess.run(check, capture_output=True).returncode == 1, "nothing runs"
    site.start("wsgi")

    def is_well() -> bool:
        return subprocess.run(check, capture_output=True).returncode == 0

    wait_until(is_well, "the container is healthy")
    bearer = {"Authorization": f"Bearer {made.text.split()[0]}"}
    packet = {"cmd": "add", "args": {"type": "countdown", "args": {"seconds": 1000}}}
    added = site.post("queue", packet, headers=bearer)
    assert added.json["success"], added.body
    (backup,) = (each for each in PAGE.commands("docker compose exec") if "export" in each)
    export = backup.partition(" myapp ")[2].replace("/state/", f"{tmp_path}/")
    assert type_command(export, tmp_path, environ).status == 0
    assert '"countdown"' in (tmp_path / "saved.jsonl").read_text()
