"""The gateway's own part: static files, public settings, prefixes; and how fast it is."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from support import Reply, Site, failure, http, keep_alive, probe_site

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


# Settings.


def test_settings_json_shows_the_public_keys_and_nothing_else(site: Site) -> None:
    reply = get(site, "/settings.json")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert reply.json == {"name": "ours", "ports": site.ports}


def test_settings_json_beside_static_files_leads_to_the_real_one(site: Site) -> None:
    reply = get(site, "/static/settings.json")
    assert reply.status == 307
    assert http(f"{site.url}static/settings.json").json["name"] == "ours"


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


def test_a_file_that_has_not_changed_is_304(site: Site) -> None:
    changed = get(site, "/static/app.js").headers["Last-Modified"]
    reply = get(site, "/static/app.js", **{"If-Modified-Since": changed})
    assert (reply.status, reply.body) == (304, b"")
    long_ago = "Thu, 01 Jan 1970 00:00:00 GMT"
    reply = get(site, "/static/app.js", **{"If-Modified-Since": long_ago})
    assert (reply.status, reply.body.decode()) == (200, FILES["app.js"])


@pytest.mark.parametrize(
    ("wanted", "got", "body"),
    [
        ("2-4", "bytes 2-4/10", b"234"),
        ("7-", "bytes 7-9/10", b"789"),
        ("-2", "bytes 8-9/10", b"89"),
    ],
)
def test_a_range_of_a_file_is_206(site: Site, wanted: str, got: str, body: bytes) -> None:
    reply = get(site, "/static/deep/er/note.txt", Range=f"bytes={wanted}")
    assert (reply.status, reply.headers["Content-Range"], reply.body) == (206, got, body)


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
    assert failure(reply).startswith("nothing is at /")


# Prefixes.


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

    median = statistics.median([milliseconds(number) for number in range(60)])
    client.close()
    assert median < 20  # it would be 40
