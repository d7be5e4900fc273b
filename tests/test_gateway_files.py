"""The gateway's own part: static files, public settings, prefixes; and how fast it is."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from support import PATIENCE, Reply, Site, failure, http, keep_alive, probe_site

from shmooze.gateway.files import FOR_PAGES
from shmooze.settings import packaged_static_path

FILES = {
    "index.html": "<h1>hello</h1>",
    "app.js": "let x = 1;",
    "deep/er/note.txt": "0123456789",
    "two words ä.css": "p {}",
    # Ours is what `settings.json` means; this one is never shown.
    "settings.json": '{"secret": "file"}',
}


def static_site(folder: Path, **settings: Any) -> Site:
    """A gateway with FILES as its static files, and secrets beside them."""
    static = folder / "static"
    for name, content in FILES.items():
        (static / name).parent.mkdir(parents=True, exist_ok=True)
        (static / name).write_text(content)
    (folder / "static-other").mkdir()
    for secret in (folder / "secret.txt", folder / "static-other" / "secret.txt"):
        secret.write_text("secret")
    public = {"public": ["name", "ports", "unset"], "name": "ours", "password": "secret"}
    return probe_site(folder, "wsgi", static_path="$HERE/static", **public, **settings)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gateway at the usual prefixes, and the probe; no test here ends them."""
    site = static_site(tmp_path_factory.mktemp("static"))
    try:
        yield site.start()
    finally:
        site.close()


def get(site: Site, path: str, method: str = "GET", **headers: str) -> Reply:
    """What is at exactly this path: nothing is cleaned up on the way, no redirect followed."""
    client = keep_alive(site.ports["wsgi"])
    client.request(method, path, headers=headers)
    answer = client.getresponse()
    reply = Reply(answer.status, answer.headers, answer.read())
    client.close()
    return reply


# Pages of one's own: what they find beside their own files.


@pytest.mark.parametrize("folder", ["/", "/static/"])
@pytest.mark.parametrize("name", FOR_PAGES)
def test_pages_find_the_scripts_of_the_package_beside_their_own_files(
    site: Site, folder: str, name: str
) -> None:
    reply = get(site, folder + name)
    assert (reply.status, reply.body) == (200, (packaged_static_path() / name).read_bytes())
    assert reply.headers["Cache-Control"] == "no-cache"
    again = get(site, folder + name, **{"If-None-Match": reply.headers["ETag"]})
    assert again.status == 304


def test_of_the_package_nothing_else_is_there(site: Site) -> None:
    for name in ("index.css", "icon.svg", "console/main.js", "deep/shmooze.js"):
        assert get(site, f"/static/{name}").status == 404


def test_a_file_of_ones_own_comes_first(site: Site, folder: Path) -> None:
    for name in ("shmooze.js", "console/index.css"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
        try:
            assert get(site, f"/{name}").body == b"mine"
        finally:
            (folder / name).unlink()
        assert get(site, f"/{name}").body != b"mine"


def test_the_console_has_its_place_with_all_that_its_page_refers_to(
    site: Site, folder: Path
) -> None:
    (folder / "console").mkdir(exist_ok=True)
    (folder / "console" / "index.html").write_text("mine")
    page = get(site, "/console/").body
    (folder / "console" / "index.html").unlink()
    assert page == (packaged_static_path() / "index.html").read_bytes()
    for name in re.findall(r'(?:src|href)="([\w./]+)"', page.decode()):
        assert get(site, f"/console/{name}").status == 200, name
    assert get(site, "/console/settings.json").headers["Location"] == "../settings.json"
    assert get(site, "/console/missing.js").status == 404
    assert get(site, "/console").headers["Location"] == "console/"


def test_the_console_is_the_first_page_where_there_is_none(site: Site, folder: Path) -> None:
    (folder / "index.html").rename(folder / "other.html")
    try:
        reply = get(site, "/")
    finally:
        (folder / "other.html").rename(folder / "index.html")
    assert (reply.status, reply.headers["Location"]) == (307, "console/")


# Settings.


def test_settings_json_shows_the_public_keys_and_nothing_else(site: Site) -> None:
    reply = get(site, "/settings.json")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert reply.json == {"name": "ours", "ports": site.ports}


@pytest.mark.parametrize("folder", ["static/", "static/deep/er/", "static/no/such/", "deep/"])
def test_settings_json_beside_static_files_leads_to_the_real_one(site: Site, folder: str) -> None:
    reply = get(site, f"/{folder}settings.json")
    assert reply.status == 307
    assert http(f"{site.url}{folder}settings.json").json["name"] == "ours"


# Files.


@pytest.mark.parametrize(
    ("path", "name", "kind"),
    [
        ("/static/index.html", "index.html", "text/html; charset=UTF-8"),
        ("/static/app.js", "app.js", "text/javascript; charset=UTF-8"),
        ("/static/deep/er/note.txt", "deep/er/note.txt", "text/plain; charset=UTF-8"),
        ("/static/two%20words%20%C3%A4.css", "two words ä.css", "text/css; charset=UTF-8"),
        ("/static/app.js?v=2", "app.js", "text/javascript; charset=UTF-8"),
        ("/", "index.html", "text/html; charset=UTF-8"),
        ("/app.js", "app.js", "text/javascript; charset=UTF-8"),
    ],
)
def test_files_come_with_their_types(site: Site, path: str, name: str, kind: str) -> None:
    reply = get(site, path)
    assert (reply.status, reply.body.decode()) == (200, FILES[name])
    assert reply.headers["Content-Type"] == kind
    head = get(site, path, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == str(len(FILES[name].encode()))


@pytest.fixture
def folder(site: Site) -> Path:
    """The folder of the static files."""
    return Path(site.settings["static_path"].replace("$HERE", str(site.folder)))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("module.mjs", "text/javascript; charset=UTF-8"),
        ("PAGE.HTML", "text/html; charset=UTF-8"),
        ("code.wasm", "application/wasm"),
        ("site.webmanifest", "application/manifest+json"),
        ("picture.svg", "image/svg+xml"),
        ("pack.tar.gz", "application/gzip"),
        ("data:text.unheard-of", "application/octet-stream"),
        ("LICENSE", "application/octet-stream"),
        (".html", "application/octet-stream"),
    ],
)
def test_no_file_passes_for_a_page_that_is_not_called_one(
    site: Site, folder: Path, name: str, kind: str
) -> None:
    (folder / name).write_text("<script>alert(1)</script>")
    reply = get(site, f"/static/{name}")
    assert (reply.status, reply.headers["Content-Type"]) == (200, kind)
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


LONG_AGO = "Thu, 01 Jan 1970 00:00:00 GMT"
LATER = "Fri, 01 Jan 2100 00:00:00 GMT"


@pytest.mark.parametrize("path", ["/", "/app.js", "/static/index.html"])
def test_browsers_ask_each_time_whether_a_file_is_still_good(site: Site, path: str) -> None:
    first = get(site, path)
    assert first.headers["Cache-Control"] == "no-cache"
    again = get(site, path, **{"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    assert again.headers["Cache-Control"] == "no-cache"
    assert again.headers["ETag"] == first.headers["ETag"]


def test_no_cache_keeps_settings_or_what_is_not_there(site: Site) -> None:
    assert get(site, "/settings.json").headers["Cache-Control"] == "no-cache"
    for path, status in (("/missing.js", 404), ("/probe", 405)):
        reply = get(site, path)
        assert (reply.status, reply.headers["Cache-Control"]) == (status, "no-store")


@pytest.mark.parametrize("size", [10, 3 << 20], ids=["small", "large"])
@pytest.mark.parametrize("way", ["in place", "by another file"])
@pytest.mark.parametrize("seconds", [0, -1000, 1000], ids=["equal", "older", "newer"])
def test_another_version_is_sent_whatever_its_time_says(
    site: Site, folder: Path, size: int, way: str, seconds: int
) -> None:
    file = folder / "version.js"
    file.write_bytes(b"1" * size)
    os.utime(file, (1_600_000_000, 1_600_000_000))
    first = get(site, "/version.js")
    known = {
        "If-None-Match": first.headers["ETag"],
        "If-Modified-Since": first.headers["Last-Modified"],
    }
    assert get(site, "/version.js", **known).status == 304
    written = file if way == "in place" else folder / "next"
    written.write_bytes(b"2" * size)
    os.utime(written, (1_600_000_000 + seconds, 1_600_000_000 + seconds))
    written.rename(file)
    second = get(site, "/version.js", **known)
    assert (second.status, second.body) == (200, b"2" * size)
    if seconds:
        del known["If-None-Match"]
        assert get(site, "/version.js", **known).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": "TAG"}, 304),
        ({"If-None-Match": "W/TAG"}, 304),
        ({"If-None-Match": '"a", W/"b" ,TAG'}, 304),
        ({"If-None-Match": '"a,b"'}, 200),
        ({"If-None-Match": "nonsense"}, 200),
        ({"If-None-Match": '"other"', "If-Modified-Since": "TIME"}, 200),
        ({"If-None-Match": "TAG", "If-Modified-Since": LONG_AGO}, 304),
        ({"If-Modified-Since": "TIME"}, 304),
        ({"If-Modified-Since": LONG_AGO}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": '"a", TAG'}, 200),
        ({"If-Match": "W/TAG"}, 412),
        ({"If-Match": '"other"'}, 412),
        ({"If-Match": '"other"', "If-None-Match": "TAG"}, 412),
        ({"If-Match": "TAG", "If-None-Match": "TAG"}, 304),
        ({"If-Unmodified-Since": "TIME"}, 200),
        ({"If-Unmodified-Since": LONG_AGO}, 412),
        ({"If-Unmodified-Since": LONG_AGO, "If-Match": "TAG"}, 200),
    ],
    ids=str,
)
def test_conditions_are_those_of_http(site: Site, headers: dict[str, str], status: int) -> None:
    known = get(site, "/static/app.js").headers
    assert known["ETag"].startswith('"')
    assert known["ETag"].endswith('"')
    sent = {
        name: value.replace("TAG", known["ETag"]).replace("TIME", known["Last-Modified"])
        for name, value in headers.items()
    }
    for method in ("GET", "HEAD"):
        reply = get(site, "/static/app.js", method, **sent)
        assert reply.status == status
        if status == 200:
            assert reply.body.decode() == (FILES["app.js"] if method == "GET" else "")
    if status == 412:
        assert failure(get(site, "/static/app.js", **sent))


@pytest.mark.parametrize(
    ("wanted", "got", "body"),
    [
        ("2-4", "bytes 2-4/10", b"234"),
        ("7-", "bytes 7-9/10", b"789"),
        ("7-99", "bytes 7-9/10", b"789"),
        ("0-0", "bytes 0-0/10", b"0"),
        ("-2", "bytes 8-9/10", b"89"),
        ("-99", "bytes 0-9/10", b"0123456789"),
    ],
)
def test_a_range_of_a_file_is_206(site: Site, wanted: str, got: str, body: bytes) -> None:
    reply = get(site, "/static/deep/er/note.txt", Range=f"bytes={wanted}")
    assert (reply.status, reply.headers["Content-Range"], reply.body) == (206, got, body)
    assert reply.headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize("wanted", ["4-2", "0-1,3-4", "x-", "-", "", f"{'9' * 20}-"])
def test_what_is_not_one_range_gets_the_whole_file(site: Site, wanted: str) -> None:
    reply = get(site, "/static/deep/er/note.txt", Range=f"bytes={wanted}")
    assert (reply.status, reply.body) == (200, b"0123456789")
    assert get(site, "/static/deep/er/note.txt", Range=f"lines={wanted}").status == 200


@pytest.mark.parametrize("wanted", ["10-", "99-100", "-0"])
def test_a_range_beyond_the_end_is_416(site: Site, wanted: str) -> None:
    reply = get(site, "/static/deep/er/note.txt", Range=f"bytes={wanted}")
    assert (reply.status, reply.headers["Content-Range"]) == (416, "bytes */10")
    assert failure(reply)
    head = get(site, "/static/deep/er/note.txt", "HEAD", Range=f"bytes={wanted}")
    assert (head.status, head.headers["Content-Length"]) == (200, "10")


@pytest.mark.parametrize(
    ("same", "status"),
    [
        ("TAG", 206),
        ("TIME", 206),
        ("W/TAG", 200),
        ('"other"', 200),
        (LONG_AGO, 200),
        (LATER, 200),
        ("nonsense", 200),
    ],
)
def test_a_range_is_sent_only_of_the_version_of_which_the_client_has_a_part(
    site: Site, same: str, status: int
) -> None:
    path = "/static/deep/er/note.txt"
    known = get(site, path).headers
    same = same.replace("TAG", known["ETag"]).replace("TIME", known["Last-Modified"])
    reply = get(site, path, **{"If-Range": same, "Range": "bytes=2-4"})
    assert (reply.status, reply.body) == (status, b"234" if status == 206 else b"0123456789")


def test_an_empty_file_has_no_range(site: Site, folder: Path) -> None:
    (folder / "empty.txt").touch()
    reply = get(site, "/static/empty.txt")
    assert (reply.status, reply.body, reply.headers["Content-Length"]) == (200, b"", "0")
    assert get(site, "/static/empty.txt", Range="bytes=0-").status == 416
    assert get(site, "/static/empty.txt", Range="bytes=-5").status == 200


LARGE = 16 << 20


def begin_download(site: Site) -> HTTPConnection:
    """A client that takes little of an answer at a time, so that most of it is still to be sent."""
    client = keep_alive(site.ports["wsgi"])
    client.sock = socket.socket()
    client.sock.settimeout(PATIENCE)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    client.sock.connect(("127.0.0.1", client.port))
    client.request("GET", "/static/large.bin")
    return client


def test_a_file_that_grows_while_it_is_sent_ends_where_it_was_said_to(
    site: Site, folder: Path
) -> None:
    with (folder / "large.bin").open("wb") as file:
        file.truncate(LARGE)
        client = begin_download(site)
        answer = client.getresponse()
        file.seek(LARGE)
        file.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        file.flush()
        assert len(answer.read()) == LARGE
        client.request("GET", "/static/app.js")
        assert client.getresponse().read().decode() == FILES["app.js"]
        client.close()


def test_a_file_that_shrinks_while_it_is_sent_ends_the_connection(site: Site, folder: Path) -> None:
    with (folder / "large.bin").open("wb") as file:
        file.truncate(LARGE)
        client = begin_download(site)
        answer = client.getresponse()
        file.truncate(0)
        with pytest.raises(IncompleteRead):
            answer.read()
        client.close()


def test_what_is_no_file_is_404_at_once(site: Site, folder: Path) -> None:
    os.mkfifo(folder / "pipe.txt")
    (folder / "circle.txt").symlink_to("circle.txt")
    for name in ("pipe.txt", "circle.txt", "app.js/", "app.js/x", "x" * 300):
        assert get(site, f"/static/{name}").status == 404


def test_a_link_leads_nowhere_outside_and_to_places_inside(site: Site) -> None:
    folder = Path(site.settings["static_path"].replace("$HERE", str(site.folder)))
    links = {"out.txt": "/etc/passwd", "up": "..", "in.js": "app.js"}
    for name, target in links.items():
        (folder / name).symlink_to(target)
    try:
        assert get(site, "/static/out.txt").status == 404
        assert get(site, "/static/up/settings.json").status == 404
        assert get(site, "/static/in.js").body.decode() == FILES["app.js"]
    finally:
        for name in links:
            (folder / name).unlink()


@pytest.mark.parametrize(
    "path",
    [
        "/static/missing.txt",
        "/static/deep",
        "/static/",
        "/static/../secret.txt",
        "/static/../static-other/secret.txt",
        "/static/deep/../../secret.txt",
        "/static/%2e%2e/secret.txt",
        "/static/..%2fsecret.txt",
        "/static/..%5csecret.txt",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc/passwd",
        "//etc/passwd",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/app.js%00.txt",
    ],
)
def test_what_is_not_in_the_folder_is_404_by_whatever_path(site: Site, path: str) -> None:
    reply = get(site, path)
    assert reply.status == 404
    assert failure(reply).startswith("there is nothing at /")


# Prefixes.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wsgi", "static"),
    [
        ("/", "/"),
        ("/", "/files/"),
        ("/app/", "/static/"),
        ("/my/app/", "/my/files/"),
        ("/app/", "/app/"),
        ("/app/", "/"),
        ("/app/", "/app/static/"),
        ("/files/app/", "/files/"),
    ],
)
def test_everything_is_found_under_other_prefixes(tmp_path: Path, wsgi: str, static: str) -> None:
    site = static_site(tmp_path, wsgi_prefix=wsgi, static_prefix=static)
    try:
        site.start()
        assert get(site, f"{wsgi}settings.json").json["name"] == "ours"
        assert site.post("probe", {"cmd": "nothing"}).json["success"]
        assert get(site, f"{wsgi}probe").status == 405
        assert get(site, f"{static}deep/er/note.txt").body == b"0123456789"
        for page in ("/", wsgi):
            assert get(site, page).body.decode() == FILES["index.html"]
            # What the page refers to by relative URLs.
            assert get(site, urljoin(page, "app.js")).body.decode() == FILES["app.js"]
        for folder in {"/", wsgi, static} - {wsgi}:
            reply = get(site, f"{folder}settings.json")
            target = urljoin(f"{folder}settings.json", reply.headers["Location"])
            assert (reply.status, target) == (307, f"{wsgi}settings.json")
        console = f"{wsgi}console/"
        assert b"console/main.js" in get(site, console).body
        assert get(site, f"{console}console/main.js").status == 200
        beside = get(site, f"{console}settings.json")
        assert urljoin(console, beside.headers["Location"]) == f"{wsgi}settings.json"
        assert get(site, "/../secret.txt").status == 404
        if wsgi != "/":
            reply = http(f"http://127.0.0.1:{site.ports['wsgi']}/probe", {"cmd": "nothing"})
            assert reply.status in (404, 405)
            assert failure(reply)
    finally:
        site.close()


# Speed.


@pytest.mark.parametrize("way", ["wsgi", "probe"])
def test_a_command_over_a_kept_connection_waits_for_no_delayed_acknowledgement(
    site: Site, way: str
) -> None:
    client = keep_alive(site.ports[way])
    path = "/probe" if way == "wsgi" else "/"
    headers = {"Content-Type": "application/json"}

    def milliseconds(number: int) -> float:
        body = json.dumps({"cmd": "echo", "args": {"value": number}})
        began = time.perf_counter()
        client.request("POST", path, body, headers)
        assert json.load(client.getresponse())["result"] == number
        return (time.perf_counter() - began) * 1000

    # The kernel acknowledges the first ones at once. Each of the others would take 40 ms, while a
    # busy machine delays some of them only.
    quickest = sorted([milliseconds(number) for number in range(60)][20:])[3]
    client.close()
    assert quickest < 20
