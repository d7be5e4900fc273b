"""The volume of the jukebox as a service by itself: who may change it, and how it is kept."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from jukebox import EXAMPLE
from support import Site

from shmooze.access.token_file import TokenFile

PROGRAMS = {"volume": [sys.executable, str(EXAMPLE / "volume.py")]}


def test_whoever_may_add_songs_may_change_the_volume(make_site: Callable[..., Site]) -> None:
    site = make_site(services=("volume",), programs=PROGRAMS)
    tokens = TokenFile(str(site.folder / "tokens.json"))
    site.settings["tokens_path"] = str(tokens.path)
    site.settings_file.write_text(json.dumps(site.settings))
    guest, screen = tokens.add("guest", scopes=["add", "own"]), tokens.add("screen", "read")
    site.start()

    def ask(token: str, cmd: str, **args: object) -> dict:
        headers = {"Authorization": f"Bearer {token}"}
        answer: dict = site.direct("volume", {"cmd": cmd, "args": args}, headers=headers).json
        return answer

    for cmd, args in (("set", {"volume": 9}), ("up", {}), ("down", {}), ("mute", {})):
        assert ask(guest, cmd, **args)["success"]
        assert not ask(screen, cmd, **args)["success"]
    assert ask(screen, "get")["result"]["volume"] == 9
    assert ask(screen, "get_vol")["result"] == 9


def test_volume_is_kept_when_the_service_is_restarted(make_site: Callable[..., Site]) -> None:
    site = make_site(services=("volume",), programs=PROGRAMS).start()
    version = site.ask("volume", "set", volume=17)["version"]
    site.ask("volume", "mute", muted=True)
    site.stop("volume")
    assert not (site.folder / "volume.sock").exists()
    site.start("volume")
    now = site.ask("volume", "wait", version=version, seconds=50)  # answers at once
    assert (now["volume"], now["muted"]) == (17, True)


@pytest.mark.parametrize("text", ["", "loud", '{"volume": 300}', '["volume"]'])
def test_damaged_volume_file_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.syspath_prepend(EXAMPLE)
    import loudness

    (tmp_path / "volume.json").write_text(text)
    assert loudness.read(tmp_path / "volume.json") == loudness.Loudness(70, False)
