"""The module that plays for the jukebox, in the process of the test: what it refuses, and mpv."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_parent import Stage
from jukebox import EXAMPLE, SILENT, make_wav, needs_mpv
from support import PATIENCE, ROOT, is_alive, wait_until

LONG = "long.wav"


@pytest.fixture
def track(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    """A track in the process of the test, which has one song in its folder."""
    make_wav(tmp_path / LONG, 600)
    settings = {"app": {"music": ".", "mpv": SILENT.split()}}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.setenv("SHMOOZE_SETTINGS", str(tmp_path / "settings.json"))
    return Stage(importlib.import_module("track").Track, monkeypatch)


def play(track: Stage) -> Any:
    """Let it play its song. Returns the connection to its mpv, which answers then."""
    needs_mpv()
    assert track.ask("init", source=LONG) is None
    assert track.ask("play") is None
    wait_until(lambda: track.module.told.get("seekable"), "it plays")
    return track.module.mpv


@pytest.mark.slow
def test_suspended_track_leaves_the_sound_device_to_others(track: Stage) -> None:
    mpv = play(track)
    assert mpv.ask("get_property", "current-ao") == "null"
    assert track.ask("suspend") is None
    assert mpv.ask("get_property", "pause") is True
    assert mpv.ask("get_property", "aid") is False
    assert track.ask("play") is None
    wait_until(lambda: mpv.ask("get_property", "aid") == 1, "it has sound again")
    assert mpv.ask("get_property", "pause") is False
    track.ask("rm")


@pytest.mark.slow
def test_track_that_is_done_would_begin_anew(track: Stage, tmp_path: Path) -> None:
    make_wav(tmp_path / LONG, 1.2)
    play(track)
    wait_until(lambda: track.connection.state == "closed", "it has ended")
    updates = list(track.connection.updates.queue)
    saved = [each["args"]["state"] for each in updates if each["cmd"] == "save"]
    assert saved[-1] == {"position": 0}


@pytest.mark.slow
def test_mpv_that_does_not_answer_is_stopped_by_a_signal_to_suspend_it(track: Stage) -> None:
    mpv = play(track)
    pid = track.module.process.pid
    mpv.patience = 0  # no answer comes that soon
    assert track.ask("suspend") is None
    stat = Path(f"/proc/{pid}/stat")
    wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "it is stopped")
    assert track.module.told["paused"] is True
    mpv.patience = PATIENCE
    assert track.ask("play") is None
    wait_until(lambda: mpv.ask("get_property", "pause") is False, "it plays again")
    track.ask("rm")
    assert not is_alive(pid)


def test_all_who_wait_for_mpv_are_told_that_it_has_ended(track: Stage) -> None:
    mpv = importlib.import_module("mpv").Connection(lambda event: None)
    told: list[int] = []

    class Answer:
        """Is taken out as soon as it comes, as `ask` does in another thread."""

        def __init__(self, number: int) -> None:
            self.number = number

        def put(self, said: Any) -> None:
            told.append(self.number)
            mpv._answers.pop(self.number)

    mpv._answers.update({number: Answer(number) for number in (1, 2)})
    mpv.listen()
    wait_until(lambda: told == [1, 2], "both are told")
    mpv.close()


@pytest.mark.slow
def test_page_of_a_video_site_plays_with_yt_dlp_if_the_settings_allow_that(
    track: Stage, tmp_path: Path, elsewhere: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_mpv()
    url, folder = elsewhere
    make_wav(folder / "sound.wav", 1)
    found = {"id": "1", "title": "A video", "extractor": "generic", "url": f"{url}/sound.wav"}
    found |= {"protocol": "http", "ext": "wav", "webpage_url": f"{url}/watch"}
    program = folder / "yt-dlp"
    program.write_text(f"#!/bin/sh\necho '{json.dumps(found)}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("JUKEBOX_MPV", "--ytdl=yes")
    assert track.ask("init", source=f"{url}/watch") is None
    assert track.ask("play") is None
    wait_until(lambda: track.module.told.get("title") == "A video", "it plays")
    wait_until(lambda: track.connection.state == "closed", "it has ended")
    assert track.connection.said_rm


def test_track_says_how_to_install_mpv(track: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert track.ask("init", source=LONG) is None
    assert track.ask("play") == "mpv is not installed: apt install mpv"
    track.ask("rm")


def test_track_says_that_a_file_has_vanished_while_it_waited(track: Stage, tmp_path: Path) -> None:
    assert track.ask("init", source=LONG) is None
    (tmp_path / LONG).unlink()
    assert track.ask("play") == "there is no file 'long.wav' in the music folder"
    track.ask("rm")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("../private.wav", "'../private.wav' is not a path in the music folder"),
        ("/etc/hosts", "'/etc/hosts' is not a path in the music folder"),
        ("link.wav", "'link.wav' leads out of the music folder"),
        ("gone.wav", "there is no file 'gone.wav' in the music folder"),
        ("list.m3u", "'list.m3u' is neither music nor a video"),
        ("file:///etc/hosts", "an address must begin with http:// or https://, not file://"),
        ("http://", "'http://' is not an address of the web"),
        ("http://a b/c.mp3", "'http://a b/c.mp3' is not an address of the web"),
    ],
)
def test_track_refuses_what_must_not_be_played(
    track: Stage, tmp_path: Path, source: str, reason: str
) -> None:
    (tmp_path / "list.m3u").write_text(LONG)
    (tmp_path / "link.wav").symlink_to("/etc/hosts")
    assert track.ask("init", source=source) == reason


def test_track_says_that_there_is_no_music_folder(
    track: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUKEBOX_MUSIC", "/nowhere")
    refused = track.ask("init", source=LONG)
    assert refused == "there is no folder /nowhere: set `app.music` in the settings"


@pytest.mark.slow
def test_track_passes_check_module(tmp_path: Path) -> None:
    needs_mpv()
    make_wav(tmp_path / LONG, 600)
    argv = [sys.executable, "-m", "shmooze.check_module", "--watch", "0.2", "--describe"]
    argv += [
        "--quiet",
        "0.1",
        "--args",
        json.dumps({"source": LONG}),
        sys.executable,
        str(EXAMPLE / "track.py"),
    ]
    environ = {**os.environ, "JUKEBOX_MUSIC": str(tmp_path), "JUKEBOX_MPV": SILENT}
    done = subprocess.run(argv, env=environ, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
