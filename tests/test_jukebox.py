"""The jukebox plays songs, videos and radio with mpv, at the volume that all share."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from jukebox import Jukebox, ffmpeg, make_wav, needs_mpv, tag, type_from_page
from support import PATIENCE, Refusal, Site, is_alive, wait_until

LONG = "long.wav"


@pytest.fixture(scope="module")
def running(
    make_shared_site: Callable[..., Site], tmp_path_factory: pytest.TempPathFactory
) -> Jukebox:
    """A jukebox with some music."""
    needs_mpv()
    music = tmp_path_factory.mktemp("music")
    make_wav(music / LONG, 600)
    make_wav(music / "short.wav", 0.5)
    (music / "notes.mp3").write_text("these are only notes")
    sound = ("-f", "lavfi", "-i", "sine=d=1")
    picture = ("-f", "lavfi", "-i", "testsrc=s=32x32:r=10:d=1")
    song = [*tag(title="So What", artist="Miles", album="Kind of Blue"), "-map", "0", "song.mp3"]
    ffmpeg(music, *sound, *picture, *song, "-map", "0", "-map", "1", "clip.mp4")
    return Jukebox(make_shared_site, music).start()


@pytest.fixture
def jukebox(running: Jukebox) -> Iterator[Jukebox]:
    """The same for each test, with an empty queue; no player may be left afterwards."""
    yield running
    background = running.ask("queue", "bg")
    uids = [each["uid"] for each in running.ask("queue", "queue")]
    running.ask("queue", "rm", uids=[*uids, *([background["uid"]] if background else [])])
    wait_until(lambda: not running.pids("mpv"), "every mpv has ended")
    wait_until(lambda: not running.pids("track.py"), "every track has ended")
    running.ask("volume", "set", volume=70)
    running.ask("volume", "mute", muted=False)


def test_song_plays_to_its_end_and_counts_in_the_history(jukebox: Jukebox) -> None:
    given = {"title": "All Blues", "duration": 1.5, "cover": f"covers/{'0' * 40}.jpg"}
    uid = jukebox.add("song.mp3", **given)
    assert jukebox.item(uid)["label"] == "All Blues"
    jukebox.wait_for(uid, "artist", "Miles")  # from the file
    shown = jukebox.item(uid)["parameters"]
    assert (shown["title"], shown["album"]) == ("All Blues", "Kind of Blue")
    assert (shown["cover"], shown["has_video"]) == (given["cover"], False)
    end = jukebox.end_of(uid)
    assert (end["state"], end["reason"]) == ("done", "left by itself")
    counted = wait_until(lambda: jukebox.ask("queue", "history", count="args.title"), "it counts")
    assert [each["value"] for each in counted] == ["All Blues"]


def test_track_is_added_in_a_terminal_as_the_tutorial_does(jukebox: Jukebox) -> None:
    make_wav(jukebox.music / "Band" / "Song One.mp3", 600)
    uid = type_from_page("shmz add track", jukebox.site.url)["uid"]
    jukebox.wait_for(uid, "title", "Song One")
    assert jukebox.item(uid)["args"]["duration"] == 215


def test_video_of_a_web_server_plays_to_its_end(
    jukebox: Jukebox, elsewhere: tuple[str, Path]
) -> None:
    url, folder = elsewhere
    shutil.copy(jukebox.music / "clip.mp4", folder)
    uid = jukebox.add(f"{url}/clip.mp4")
    jukebox.wait_for(uid, "has_video", True)
    assert jukebox.shown(uid, "title") == "clip.mp4"
    assert jukebox.end_of(uid)["state"] == "done"


def test_suspended_track_is_silent_and_goes_on_where_it_was(jukebox: Jukebox) -> None:
    long = jukebox.add(LONG)
    jukebox.ask("queue", "tell_module", uid=long, cmd="seek", args={"position": 100})
    jukebox.wait_for_position(long, 100)
    second = jukebox.add(LONG)
    jukebox.ask("queue", "mv", uids=[second])
    jukebox.wait_for(long, "paused", True)
    position = jukebox.shown(long, "position")
    jukebox.wait_for_position(second, 1)
    # If it played, it would have reported that.
    assert jukebox.shown(long, "position") == position
    jukebox.ask("queue", "skip")
    jukebox.wait_for(long, "paused", False)
    assert jukebox.wait_for_position(long, position + 0.1) < position + 50


def test_seek_goes_to_a_position_or_by_some_seconds(jukebox: Jukebox) -> None:
    uid = jukebox.add(LONG)
    jukebox.wait_for(uid, "seekable", True)

    def seek(**args: float) -> Any:
        return jukebox.ask("queue", "tell_module", uid=uid, cmd="seek", args=args)

    assert seek(position=300) == 300
    assert jukebox.wait_for_position(uid, 300) < 400
    assert jukebox.shown(uid, "progress") == pytest.approx(0.5, abs=0.1)
    assert 100 <= seek(by=-200) < 200
    wait_until(lambda: 100 <= jukebox.shown(uid, "position") < 200, "it is there")
    with pytest.raises(Refusal, match="seek needs either `position` or `by`"):
        seek(position=1, by=1)
    jukebox.ask("queue", "pause", suspend=True)
    assert seek(position=400) == 400
    jukebox.ask("queue", "resume")
    jukebox.wait_for_position(uid, 400.5)
    assert seek(by=1000) == 600
    assert jukebox.end_of(uid)["state"] == "done"


def test_volume_reaches_what_plays_and_what_plays_next(jukebox: Jukebox) -> None:
    first, second = jukebox.add(LONG), jukebox.add(LONG)
    jukebox.wait_for(first, "volume", 70)
    jukebox.ask("volume", "set", volume=33)
    jukebox.wait_for(first, "volume", 33)
    jukebox.ask("volume", "mute")
    jukebox.wait_for(first, "muted", True)
    jukebox.ask("queue", "skip")
    jukebox.wait_for(second, "muted", True)
    assert jukebox.shown(second, "volume") == 33
    jukebox.ask("volume", "up", by=10)
    jukebox.wait_for(second, "volume", 43)
    assert jukebox.shown(second, "muted") is False


def test_volume_survives_a_crash_of_its_service(jukebox: Jukebox) -> None:
    uid = jukebox.add(LONG)
    jukebox.ask("volume", "set", volume=21)
    jukebox.wait_for(uid, "volume", 21)
    (pid,) = jukebox.pids("volume.py")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: jukebox.pids("volume.py") not in ([], [pid]), "it was started again")
    jukebox.wait_for_restart("volume")
    assert jukebox.ask("volume", "get_vol") == 21
    jukebox.ask("volume", "set_vol", vol=22)
    jukebox.wait_for(uid, "volume", 22)


def test_volume_is_from_0_to_100_and_tells_of_changes(jukebox: Jukebox) -> None:
    assert jukebox.ask("volume", "up", by=50)["volume"] == 100
    assert jukebox.ask("volume", "down", by=100)["volume"] == 0
    for wrong in (-1, 101, 1.5, "loud"):
        with pytest.raises(Refusal, match="argument `volume`"):
            jukebox.ask("volume", "set", volume=wrong)
    version = jukebox.ask("volume", "get")["version"]
    assert jukebox.ask("volume", "wait", version=version, seconds=0)["version"] == version
    told: list[Any] = []
    args = {"version": version, "seconds": 50}
    waiting = threading.Thread(target=lambda: told.append(jukebox.ask("volume", "wait", **args)))
    waiting.start()
    jukebox.ask("volume", "set", volume=5)
    waiting.join(PATIENCE)
    assert told[0]["volume"] == 5


def test_track_goes_on_where_it_was_after_a_crash_of_the_queue(jukebox: Jukebox) -> None:
    uid = jukebox.add(LONG)
    jukebox.ask("queue", "tell_module", uid=uid, cmd="seek", args={"position": 200})

    def saved() -> float:
        with closing(sqlite3.connect(jukebox.site.folder / "jukebox.db")) as file:
            rows = file.execute("SELECT state FROM queue_items WHERE uid = ?", [uid]).fetchall()
        return json.loads(rows[0][0] or "{}").get("position", 0)

    wait_until(lambda: saved() >= 200, "the position is in the state file")
    killed = jukebox.pids("shmooze.queue")
    ending = {*killed, *jukebox.pids("mpv")}
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, ending)), "the queue and its mpv have ended")
    jukebox.wait_for_restart("queue")
    wait_until(lambda: jukebox.item(uid).get("state") == "playing", "the track plays again")
    jukebox.wait_for(uid, "seekable", True)
    assert jukebox.wait_for_position(uid, 200.5) < 300


def test_track_whose_mpv_is_killed_has_failed(jukebox: Jukebox) -> None:
    uid = jukebox.add(LONG)
    jukebox.wait_for(uid, "seekable", True)
    (pid,) = jukebox.pids("mpv")
    os.kill(pid, signal.SIGKILL)
    end = jukebox.end_of(uid)
    assert (end["state"], end["reason"]) == ("failed", "failed: mpv was killed by SIGKILL")


def test_track_that_must_not_be_played_fails_if_it_had_to_wait(jukebox: Jukebox) -> None:
    jukebox.add(LONG)
    waiting = jukebox.add("short.wav")
    wrong = jukebox.add("../private.wav")
    jukebox.ask("queue", "rm", uids=[waiting])
    end = jukebox.end_of(wrong)
    assert end["state"] == "failed"
    assert "'../private.wav' is not a path in the music folder" in end["reason"]


def test_file_that_is_not_media_fails_with_a_reason(jukebox: Jukebox) -> None:
    end = jukebox.end_of(jukebox.add("notes.mp3"))
    expected = "failed: mpv cannot play notes.mp3: unrecognized file format"
    assert (end["state"], end["reason"]) == ("failed", expected)


def test_page_that_is_not_there_fails_with_a_reason(
    jukebox: Jukebox, elsewhere: tuple[str, Path]
) -> None:
    url, _ = elsewhere
    end = jukebox.end_of(jukebox.add(f"{url}/gone.mp3"))
    expected = f"failed: mpv cannot play {url}/gone.mp3: HTTP error 404 File not found"
    assert (end["state"], end["reason"]) == ("failed", expected)


def test_queue_refuses_covers_from_elsewhere(jukebox: Jukebox) -> None:
    for cover in ("http://tracker.example/1.jpg", "covers/../../secret.jpg", "covers/x.svg"):
        with pytest.raises(Refusal, match="argument `cover`"):
            jukebox.add("short.wav", cover=cover)


class Station(BaseHTTPRequestHandler):
    """A radio station: it sends a song again and again until the listener hangs up."""

    song = b""
    listeners: list[str] = []
    #: Released each time that a listener has hung up.
    hung_up = threading.Semaphore(0)
    #: Set at the end of the test. Until then it sets the pace.
    closed = threading.Event()

    def do_GET(self) -> None:
        self.listeners.append(self.path)
        self.send_response(200)
        title = b"StreamTitle='Miles - So What';"
        said = bytes([-(-len(title) // 16)]) + title.ljust(-(-len(title) // 16) * 16, b"\0")
        for header in ("Content-Type: audio/mpeg", "icy-name: Test FM", "icy-metaint: 4096"):
            self.send_header(*header.split(": "))
        self.end_headers()
        song = (self.song * (4096 // len(self.song) + 2))[:4096]
        try:
            while not self.closed.wait(0.02):
                self.wfile.write(song + said)
        except OSError:
            self.hung_up.release()

    def log_message(self, *args: Any) -> None:
        pass


def test_radio_in_the_background_stops_for_a_track_and_comes_back(jukebox: Jukebox) -> None:
    Station.song = (jukebox.music / "song.mp3").read_bytes()
    with ThreadingHTTPServer(("127.0.0.1", 0), Station) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = f"http://127.0.0.1:{server.server_port}/live"
        args = {"source": source, "title": "Test FM"}
        uid = jukebox.ask("queue", "set_bg", type="radio", args=args)["uid"]

        def shown(*names: str) -> list[Any]:
            found = jukebox.ask("queue", "ask_background", uid=uid, parameters=names)
            return [found.get(name) for name in names]

        playing = ["Miles - So What", "Test FM", None, False]
        names = ("title", "album", "duration", "paused")
        wait_until(lambda: shown(*names) == playing, "the station plays")
        wait_until(lambda: (shown("position")[0] or 0) > 0, "it has begun")
        track = jukebox.add(LONG)
        assert Station.hung_up.acquire(timeout=PATIENCE)
        assert shown("title", "paused") == ["Miles - So What", True]
        jukebox.ask("queue", "rm", uids=[track])
        wait_until(lambda: len(Station.listeners) == 2, "it listens again")
        wait_until(lambda: shown(*names) == playing, "the station plays again")
        jukebox.ask("queue", "rm", uids=[uid])
        assert Station.hung_up.acquire(timeout=PATIENCE)
        Station.closed.set()
        server.shutdown()
