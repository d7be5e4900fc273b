"""The library of the jukebox: what it finds in a folder, and how it follows changes."""

from __future__ import annotations

import base64
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jukebox import EXAMPLE, ffmpeg, make_wav, tag
from support import ROOT, Refusal, Site, http

PROGRAM = [sys.executable, str(EXAMPLE / "library.py")]


def make_music(folder: Path) -> None:
    """Songs in several formats, with tags and covers."""
    album = folder / "Björk" / "Début"
    album.mkdir(parents=True)
    picture = ["-f", "lavfi", "-i", "testsrc=s=32x32:d=1:r=1", "-frames:v", "1"]
    ffmpeg(folder, *picture, "red.jpg", *("-vf", "negate"), *("-frames:v", "1"), "blue.png")
    song = ("-f", "lavfi", "-i", "sine=d=2")
    covered = ("-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v", "attached_pic")
    ffmpeg(
        folder,
        *(*song, "-i", "red.jpg", *covered),
        *(*tag(title="Venus as a Boy", artist="Björk", album="Debut"), "Björk/Début/03.mp3"),
        *(*covered, *tag(title="Jóga", artist="Björk"), "joga.flac"),
        *(*covered, *tag(title="Hyperballad", artist="Björk"), "hyper.m4a"),
        *("-map", "0", *tag(title="Army of Me", artist="Björk"), "army.ogg"),
        *("-map", "0", *tag(title="Bachelorette", artist="Björk"), "bachelorette.wma"),
    )
    embed_in_ogg(folder / "army.ogg", (folder / "red.jpg").read_bytes())
    make_wav(album / "Untitled.wav", 1)
    (folder / "blue.png").rename(album / "Cover.png")
    (folder / "red.jpg").unlink()
    (folder / "broken.mp3").write_bytes(b"ID3\x04\0\0\0\0\x7f\x7f and no more")
    (folder / "notes.txt").write_text("no music")
    (folder / ".hidden.wav").touch()
    (folder / "link.wav").symlink_to(album / "Untitled.wav")
    Path(os.fsdecode(bytes(folder) + b"/\xff.wav")).touch()


def embed_in_ogg(file: Path, data: bytes) -> None:
    """Give a song a cover, which ffmpeg does not do in this format."""
    from mutagen.flac import Picture
    from mutagen.oggvorbis import OggVorbis

    picture = Picture()
    picture.data, picture.mime, picture.type = data, "image/jpeg", 3
    song = OggVorbis(file)
    song["metadata_block_picture"] = [base64.b64encode(picture.write()).decode()]
    song.save()


@pytest.fixture(scope="module")
def site(make_shared_site: Callable[..., Site], tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The library and the gateway."""
    pytest.importorskip("mutagen", reason="mutagen is not installed")
    music, page = tmp_path_factory.mktemp("music"), tmp_path_factory.mktemp("page")
    make_music(music)
    site = make_shared_site(
        services=("wsgi", "library"),
        settings={"static_path": str(page), "app": {"music": str(music)}},
        programs={"library": PROGRAM},
    )
    site.start()
    site.ask("library", "scan", wait=50)
    return site


def titles(site: Site, **args: Any) -> list[str]:
    return [each["title"] for each in site.ask("library", "search", **args)["tracks"]]


def test_all_formats_are_read_with_their_tags(site: Site) -> None:
    found = site.ask("library", "search", text="björk", limit=200)
    assert {each["path"]: each["title"] for each in found["tracks"]} == {
        "army.ogg": "Army of Me",
        "bachelorette.wma": "Bachelorette",
        "hyper.m4a": "Hyperballad",
        "joga.flac": "Jóga",
        "Björk/Début/03.mp3": "Venus as a Boy",
        "Björk/Début/Untitled.wav": "Untitled",
    }
    for each in found["tracks"]:
        assert each["duration"] == pytest.approx(1 if "Untitled" in each["path"] else 2, abs=0.2)
        assert each["has_video"] is False


def test_search_needs_all_words_and_ignores_case_and_accents(site: Site) -> None:
    assert titles(site, text="JOGA bjork") == ["Jóga"]
    assert titles(site, text="jóga") == ["Jóga"]
    assert titles(site, text="debut boy") == ["Venus as a Boy"]
    assert titles(site, text="debut joga") == []


def test_search_answers_in_pages_of_bounded_size(site: Site) -> None:
    whole = site.ask("library", "search", limit=200)
    assert whole["total"] == len(whole["tracks"]) == 7
    page = site.ask("library", "search", limit=2, offset=5)
    assert (page["tracks"], page["total"]) == (whole["tracks"][5:], 7)
    for wrong in ({"limit": 201}, {"limit": 0}, {"offset": -1}, {"text": "x" * 201}):
        with pytest.raises(Refusal, match="search: argument"):
            site.ask("library", "search", **wrong)


def test_folders_are_browsed(site: Site) -> None:
    top = site.ask("library", "browse")
    assert top["parent"] is None
    assert top["folders"] == [{"name": "Björk", "path": "Björk", "tracks": 2}]
    assert [each["path"] for each in top["tracks"]] == [
        *("army.ogg", "bachelorette.wma", "broken.mp3", "hyper.m4a", "joga.flac")
    ]
    album = site.ask("library", "browse", folder="Björk/Début")
    assert (album["parent"], album["folders"], album["total"]) == ("Björk", [], 2)
    with pytest.raises(Refusal, match=r"there is no folder '\.\./etc' in the library"):
        site.ask("library", "browse", folder="../etc")


def test_track_is_found_by_its_path(site: Site) -> None:
    assert site.ask("library", "track", path="joga.flac")["title"] == "Jóga"
    with pytest.raises(Refusal, match=r"there is no track 'notes\.txt' in the library"):
        site.ask("library", "track", path="notes.txt")
    assert len(site.ask("library", "random", limit=3)["tracks"]) == 3


def test_covers_are_served_with_their_type_and_kept_by_browsers(site: Site) -> None:
    covers = {
        each["path"]: each["cover"] for each in site.ask("library", "search", limit=200)["tracks"]
    }
    assert covers["broken.mp3"] is covers["bachelorette.wma"] is None
    embedded = covers["joga.flac"]
    assert [covers[path] for path in ("army.ogg", "hyper.m4a", "Björk/Début/03.mp3")] == [
        embedded
    ] * 3
    beside = covers["Björk/Début/Untitled.wav"]
    for cover, kind in ((embedded, "image/jpeg"), (beside, "image/png")):
        reply = http(site.url + cover)
        assert (reply.status, reply.headers["Content-Type"]) == (200, kind)
        again = http(site.url + cover, headers={"If-None-Match": reply.headers["ETag"]})
        assert again.status == 304


def test_changes_are_found_by_the_next_scan(site: Site) -> None:
    music = Path(site.settings["app"]["music"])
    new = make_wav(music / "new" / "Fresh.wav", 1)
    (music / "new" / "folder.jpg").write_text("<svg onload='alert(1)'/>")  # not a picture at all
    assert site.ask("library", "scan", wait=50)["scanning"] is False
    (fresh,) = site.ask("library", "search", text="fresh")["tracks"]
    assert (fresh["duration"], fresh["cover"]) == (1, None)
    (music / "new" / "folder.jpg").write_bytes(b"GIF89a and so on")
    make_wav(new, 3)
    site.ask("library", "scan", wait=50)
    (fresh,) = site.ask("library", "search", text="fresh")["tracks"]
    assert fresh["duration"] == 3
    picture = Path(site.settings["static_path"], fresh["cover"])
    assert picture.read_bytes() == b"GIF89a and so on"
    new.unlink()
    site.ask("library", "scan", wait=50)
    assert titles(site, text="fresh") == []
    assert not picture.exists()
    assert site.ask("library", "status")["tracks"] == 7


def test_library_says_that_mutagen_is_missing(tmp_path: Path) -> None:
    code = "import runpy, sys; sys.modules['mutagen'] = None; runpy.run_path(sys.argv[1], None, "
    argv = [sys.executable, "-c", code + "'__main__')", PROGRAM[1]]
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{EXAMPLE}"}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "library: mutagen is not installed: pip install mutagen\n"


class Shelf:
    """A music folder with a scanner whose reader of tags only counts."""

    def __init__(self, folder: Path) -> None:
        self.music = folder / "music"
        self.music.mkdir()
        (folder / "page").mkdir()
        self.places = SimpleNamespace(
            music=self.music, covers=folder / "page" / "covers", index=folder / "library.json"
        )
        self.read: list[str] = []
        self.scanner = self.make_scanner()

    def make_scanner(self) -> Any:
        """Another one, as after a restart."""
        return importlib.import_module("scan").Scanner(self.places, self.read_tags)

    def read_tags(self, file: Path) -> Any:
        self.read.append(file.name)
        picture = b"\xff\xd8\xff of an album" if file.name == "covered.mp3" else None
        return SimpleNamespace(
            title=f"title of {file.stem}", artist="", album="", duration=None, picture=picture
        )

    def scan(self) -> list[str]:
        """Scan, and return the names of the files that were read."""
        self.read.clear()
        self.scanner.scan()
        return sorted(self.read)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    monkeypatch.syspath_prepend(EXAMPLE)
    return Shelf(tmp_path)


def test_thousands_of_files_are_read_once_and_found(shelf: Shelf) -> None:
    for number in range(3000):
        folder = shelf.music / f"{number % 100}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.mp3").touch()
    assert len(shelf.scan()) == 3000
    tracks, total = shelf.scanner.catalog.search("title", 50, 2990)
    assert (len(tracks), total) == (10, 3000)
    assert len(shelf.scanner.catalog.browse("", 200, 0)["folders"]) == 100
    assert shelf.scan() == []


def test_scan_reads_only_what_has_changed_also_after_a_restart(shelf: Shelf) -> None:
    for name in ("a.mp3", "b.mp3", "covered.mp3"):
        (shelf.music / name).touch()
    assert shelf.scan() == ["a.mp3", "b.mp3", "covered.mp3"]
    shelf.scanner = shelf.make_scanner()
    assert [each.title for each in shelf.scanner.catalog.tracks][:1] == ["title of a"]
    os.utime(shelf.music / "b.mp3", ns=(1, 1))
    assert shelf.scan() == ["b.mp3"]
    (cover,) = shelf.places.covers.iterdir()
    cover.unlink()
    assert shelf.scan() == ["covered.mp3"]
    assert cover.exists()
    others = shelf.places.covers / "logo.png"
    others.touch()
    (shelf.music / "covered.mp3").unlink()
    shelf.scan()
    assert list(shelf.places.covers.iterdir()) == [others]


def test_large_scan_shows_what_it_has_found_so_far_beside_what_was_known(shelf: Shelf) -> None:
    for name in ("a.mp3", "b.mp3", "z.mp3"):
        (shelf.music / name).touch()
    shelf.scan()
    shown: list[list[str]] = []
    read = shelf.read_tags

    def read_and_look(file: Path) -> Any:
        shown.append([each.path for each in shelf.scanner.catalog.tracks])
        return read(file)

    shelf.read_tags = read_and_look
    shelf.scanner = shelf.make_scanner()
    shelf.scanner.portion = 1
    (shelf.music / "a2.mp3").touch()
    os.utime(shelf.music / "b.mp3", ns=(1, 1))
    shelf.scan()
    assert shown == [["a.mp3", "b.mp3", "z.mp3"], ["a.mp3", "a2.mp3", "b.mp3", "z.mp3"]]


def test_folders_may_be_very_deep(shelf: Shelf) -> None:
    catalog = importlib.import_module("catalog")
    depth = 2 * sys.getrecursionlimit()
    path = "/".join(["d"] * depth)
    found = catalog.Catalog([catalog.Track(f"{path}/a.mp3", "a", "", "", None, None, False)])
    assert found.browse(path, 200, 0)["total"] == 1
    assert [each["tracks"] for each in found.browse("", 200, 0)["folders"]] == [1]
    assert found.browse(path.rpartition("/")[0], 200, 0)["folders"][0]["path"] == path


def test_damaged_index_is_made_again(shelf: Shelf) -> None:
    (shelf.music / "a.mp3").touch()
    shelf.scan()
    shelf.places.index.write_text('{"tracks": [[1')
    shelf.scanner = shelf.make_scanner()
    assert shelf.scan() == ["a.mp3"]


def test_scan_says_what_is_wrong_and_goes_on(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf.scanner, "most", 2)
    for name in ("a.mp3", "b.mp3", "c.mp3"):
        (shelf.music / name).touch()
    shelf.scan()
    assert len(shelf.scanner.catalog.tracks) == 2
    assert shelf.scanner.problem == "there are more than 2 files; the others are left out"
    shelf.places.music = Path("/nowhere")
    shelf.scan()
    assert shelf.scanner.problem == "there is no folder /nowhere: set `app.music`"


def test_pictures_that_are_too_large_or_too_many_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(EXAMPLE)
    covers = importlib.import_module("covers").Covers(tmp_path / "covers")
    monkeypatch.setattr(covers, "largest", 20)
    monkeypatch.setattr(covers, "most", 30)
    covers.look()
    assert covers.keep(b"GIF89a".ljust(21)) is None
    assert covers.keep(b"GIF89a".ljust(20)) is not None
    assert covers.keep(b"GIF89a".ljust(19)) is None
    assert covers.problem == "there are more covers than 0 MiB"
