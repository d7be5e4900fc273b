"""Recipes of docs/how-to/recipes.md that need nothing that is not installed, with real programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from recipes import recipe
from support import Client, Site, http

APP = """
def app(environ, start_response):
    body = (environ["SCRIPT_NAME"] + " and " + environ["PATH_INFO"]).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.fixture(scope="module")
def site(make_shared_site: Callable[..., Site]) -> Site:
    """A pool with the types of both recipes, each as it is shown."""
    types = {name: recipe(name)["modules"][name] for name in ("folder", "app")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    settings = {"pool": {"modules": types}}
    site = make_shared_site(services=("wsgi", "pool"), settings=settings, environ={"PATH": path})
    (site.folder / "app.py").write_text(APP)
    site.environ["PYTHONPATH"] += f"{os.pathsep}{site.folder}"
    return site.start()


@pytest.fixture
def pool(site: Site) -> Client:
    return Client(site, "pool")


def test_each_folder_of_files_shows_its_own(site: Site, pool: Client, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "file.txt").write_text(f"this is {name}")
    uids = [pool.add("folder", directory=str(tmp_path / name)) for name in ("one", "two")]
    for uid, name in zip(uids, ("one", "two")):
        # http.server redirects to the path with a slash.
        assert b"file.txt" in http(f"{site.url}pool/at/{uid}/sub").body
        assert http(f"{site.url}pool/at/{uid}/sub/file.txt").body == f"this is {name}".encode()
    without = http(f"{site.url}pool/on/folder/", headers={"Accept": "*/*"})
    assert without.status == 200  # one of the two
    pool.clear()
    assert "argument `directory` is missing" in http(f"{site.url}pool/on/folder/").json["error"]
    pool.expect_no_children()


def test_an_application_knows_where_its_paths_begin(site: Site, pool: Client) -> None:
    answer = http(f"{site.url}pool/on/app/some/page")
    (uid,) = pool.uids()
    assert answer.body == f"/pool/at/{uid} and /some/page".encode()
    pool.clear()
