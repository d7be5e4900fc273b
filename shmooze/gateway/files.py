"""The files that the gateway serves: the application's own, and those of the package beside them.

- The application's own are those in `static_path`.
- `shmooze.js` and what belongs to it are served beside them, so that pages need no copies, unless
  there are files of these names.
- The console has a place of its own, which no file can take: the folder `console/`. What its page
  refers to is there too, and so are the application's own files of such names, which come first.

The console is also the first page of an application that has none.

An application whose `static_path` is the package's folder, or a copy of it, has the console as its
first page as well. The scripts of that are in its own folder `console/`.
"""

from __future__ import annotations

import posixpath

import bottle
from bottle import request

from shmooze.settings import Settings, packaged_static_path
from shmooze.web.answers import Refused
from shmooze.web.files import StaticFiles

#: Files of the package that pages find beside those of the application.
FOR_PAGES = ("shmooze.js", "shmooze.mjs", "shmooze.d.mts")


class Files:
    """Answers the request that Bottle handles with a file. Raises Refused."""

    def __init__(self, source: Settings) -> None:
        self._prefix = source.get("wsgi_prefix")
        self._own = StaticFiles(source.get("static_path"))
        self._packaged = StaticFiles(str(packaged_static_path()))

    def serve(self, path: str) -> bottle.HTTPResponse:
        """The file at `path`, which is relative to `static_path`."""
        found = self._own.answer(path, request.environ)
        if found is None and path in FOR_PAGES:
            found = self._packaged.answer(path, request.environ)
        return found or self._without_file(path)

    def serve_index(self) -> bottle.HTTPResponse:
        """The first page; without one, a redirect to the console."""
        if found := self._own.answer("index.html", request.environ):
            return found
        folder = posixpath.dirname(request.path)
        return redirect(posixpath.relpath(f"{self._prefix}console", folder) + "/")

    def serve_console(self, path: str = "") -> bottle.HTTPResponse:
        """The page of the console; or the file at `path`, which is relative to that page."""
        own = f"console/{path}"
        found = self._own.answer(own, request.environ)
        found = found or self._packaged.answer(path or "index.html", request.environ)
        return found or self._without_file(own)

    def _without_file(self, path: str) -> bottle.HTTPResponse:
        folder, name = posixpath.split(request.path)
        if name == "settings.json" and self._own.locate(path) is not None:
            # A script in a deeper folder has asked for it.
            return redirect(posixpath.relpath(f"{self._prefix}{name}", folder))
        raise Refused(404, f"there is nothing at {request.path}")


def redirect(target: str) -> bottle.HTTPResponse:
    """A redirect to a path, relative to that of the request, since a proxy may map paths."""
    return bottle.HTTPResponse(status=307, headers={"Location": target})
