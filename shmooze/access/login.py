"""Logging in with a browser: a form that takes a token and keeps it in a cookie.

A page's scripts cannot read the cookie (HttpOnly), and other sites' pages cannot have it sent
(SameSite=Strict).
"""

from __future__ import annotations

from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs

import bottle
from bottle import request, response

from shmooze.access.gate import Door, Unwelcome
from shmooze.web.answers import Refused

#: Seconds that a browser keeps the token: a month.
_KEPT = 30 * 24 * 3600

_FORM = "application/x-www-form-urlencoded"
#: Bytes of the form that are read.
_LONGEST = 4096

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in</title>
<style>
  :root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
  form { max-width: 22rem; margin: 20vh auto 0; padding: 0 1rem; display: grid; gap: .75rem; }
  input, button { font: inherit; padding: .5rem; }
  [role=alert] { color: light-dark(#a00, #f88); }
</style>
<form method="post">
  <h1>{{name}}</h1>
  <label for="token">Token</label>
  <input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
  {{problem}}
  <button>Log in</button>
</form>
</html>
"""


class Login:
    """The routes `{prefix}login` and `{prefix}logout` of a gateway with tokens."""

    def __init__(self, app: bottle.Bottle, door: Door, prefix: str, name: str, port: int) -> None:
        self._door, self._prefix, self._name = door, prefix, name
        # Browsers give a host's cookies to all its ports; so each gateway has its own.
        door.cookie = f"shmooze_{port}"
        door.login = f"{prefix}login"
        app.route(door.login, "GET", self._show)
        app.route(door.login, "POST", self._take)
        app.route(f"{prefix}logout", "POST", self._forget)

    def _show(self, problem: str = "") -> str:
        response.content_type = "text/html; charset=utf-8"
        response.set_header("Cache-Control", "no-store")
        alert = f'<p role="alert">{bottle.html_escape(problem)}</p>' if problem else ""
        page = _PAGE.replace("{{name}}", bottle.html_escape(self._name))
        return page.replace("{{problem}}", alert)

    def _take(self) -> Any:
        if request.content_type.partition(";")[0].strip().lower() != _FORM:
            raise Refused(415, f"Content-Type must be {_FORM}")
        sent = request.environ["wsgi.input"].read(min(_LONGEST, max(0, request.content_length)))
        fields = parse_qs(sent.decode("latin-1"))
        token = fields.get("token", [""])[0].strip()
        try:
            self._door.find(token, request.environ)
        except Unwelcome as bad:
            response.status = bad.status
            return self._show(f"{bad}.".capitalize())
        return self._go("./", token, _KEPT)

    def _forget(self) -> Any:
        return self._go("login", "", 0)

    def _go(self, where: str, token: str, seconds: int) -> bottle.HTTPResponse:
        """To another page, with the cookie set or taken away."""
        cookie: SimpleCookie = SimpleCookie()
        assert self._door.cookie is not None
        cookie[self._door.cookie] = token
        morsel = cookie[self._door.cookie]
        morsel["path"], morsel["max-age"] = "/", seconds
        morsel["httponly"], morsel["samesite"] = True, "Strict"
        morsel["secure"] = self._door.is_secure(request.environ)
        headers = {"Location": where, "Set-Cookie": morsel.OutputString()}
        return bottle.HTTPResponse(status=303, headers=headers)
