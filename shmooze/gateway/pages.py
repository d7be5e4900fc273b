"""The pages of the gateway that describe the application.

    openapi.json    its OpenAPI document, for which the services are asked each time
    docs            a page that shows it, with a viewer from the package flask-swagger-ui
    docs/{file}     the files of that page

The viewer is a folder of files in that package, none of whose code is run. The page may load
nothing from elsewhere.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path

from bottle import HTTPResponse, html_escape, request

from shmooze.access.gate import HOLDER
from shmooze.gateway.openapi import document
from shmooze.gateway.services import Service, ask_all
from shmooze.lib import packet
from shmooze.settings import Settings, packaged_static_path
from shmooze.web.answers import Refused
from shmooze.web.files import StaticFiles, names_tag
from shmooze.web.route import Route

#: The package with the viewer, and where in it its files are.
_PACKAGE, _FOLDER = "flask_swagger_ui", "dist"
#: The files of the viewer that the page needs.
_VIEWER = ("swagger-ui-bundle.js", "swagger-ui.css")

#: Our own files of the page, and the theme that all pages share, by name.
_OWN = Path(__file__).with_name("docs")
_OWN_FILES = {"page.css": _OWN, "page.js": _OWN, "theme.css": packaged_static_path()}

#: What the page may load. The viewer has styles in its elements, and pictures in its stylesheet.
_POLICY = (
    "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none'"
)


class Pages:
    """Answers GET requests for these paths below the prefix. `routes` lead to the services."""

    def __init__(self, source: Settings, routes: Mapping[str, Route], uses_tokens: bool) -> None:
        self._routes, self._uses_tokens = routes, uses_tokens
        self._title = str(source.get("name", "shmooze"))
        #: What the services said last, and the document that was made of it.
        self._last: tuple[dict[str, Service | str], bytes] = ({}, b"")

    def answer(self, path: str, headers: Callable[[], Mapping[str, str]]) -> HTTPResponse | None:
        """The answer to the current request; None if it is none of these pages.

        `headers` returns those that tell a service who asks.
        """
        if path == "openapi.json":
            return self._show_document(headers())
        if path == "docs":
            return self._show_page()
        if path == "docs/":
            return HTTPResponse(status=307, headers={"Location": "../docs"})
        return self._serve_file(path.removeprefix("docs/"))

    def _show_document(self, headers: Mapping[str, str]) -> HTTPResponse:
        scopes = request.environ[HOLDER].scopes
        routes = {name: each for name, each in self._routes.items() if scopes.allow_service(name)}
        services = ask_all(routes, headers)
        said, body = self._last
        if said != services or not body:
            body = packet.encode(document(self._title, services, self._uses_tokens))
            self._last = (services, body)
        # It depends on the token, so it is for nobody else.
        return _cached(body, "application/json", "private, no-cache")

    def _show_page(self) -> HTTPResponse:
        if viewer_folder() is None:
            raise Refused(404, "docs needs a package: pip install 'shmooze[docs]>=2'")
        page = (_OWN / "page.html").read_text("utf-8").replace("{{name}}", html_escape(self._title))
        answer = _cached(page.encode(), "text/html; charset=utf-8")
        answer.set_header("Content-Security-Policy", _POLICY)
        return answer

    def _serve_file(self, file: str) -> HTTPResponse | None:
        folder = viewer_folder() if file in _VIEWER else _OWN_FILES.get(file)
        return StaticFiles(str(folder)).answer(file, request.environ) if folder else None


def viewer_folder() -> Path | None:
    """The folder with the files of the viewer; None if it is not installed."""
    try:
        # Found without importing it, since it imports a framework that is not needed here.
        found = importlib.util.find_spec(_PACKAGE)
    except (ImportError, ValueError):
        return None
    for place in (found and found.submodule_search_locations) or ():
        folder = Path(place) / _FOLDER
        if all((folder / file).is_file() for file in _VIEWER):
            return folder
    return None


def _cached(body: bytes, content_type: str, cache_control: str = "no-cache") -> HTTPResponse:
    """A body that a browser may keep, if it asks each time whether it is still the same."""
    tag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    headers = {"Content-Type": content_type, "Cache-Control": cache_control, "ETag": tag}
    if (known := request.get_header("If-None-Match")) is not None and names_tag(known, tag):
        return HTTPResponse("", 304, headers)
    return HTTPResponse(body, 200, headers)
