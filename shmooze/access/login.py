"""Logging in with a browser: a form that takes a token and keeps it in a cookie.

Scripts cannot read the cookie (HttpOnly), and browsers do not send it with requests from pages of
other sites (SameSite=Strict).
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import bottle
from bottle import request, response

from shmooze.access.denied import AccessDenied
from shmooze.access.gate import AccessGate
from shmooze.access.login_link import SCRIPT
from shmooze.settings import packaged_static_path
from shmooze.web.answers import Refused

#: Seconds that a browser keeps the token: a month.
_COOKIE_AGE = 30 * 24 * 3600

_FORM_TYPE = "application/x-www-form-urlencoded"
#: Bytes of the form that are read; the rest is ignored.
_MAX_FORM = 4096

#: The page, which loads nothing, and what it may do. Its script is the only one that may run.
_PAGE = Path(__file__).with_name("login.html")
_HASH = b64encode(sha256(SCRIPT.partition(">")[2].rpartition("</script>")[0].encode()).digest())
_POLICY = (
    f"default-src 'none'; script-src 'sha256-{_HASH.decode()}'; connect-src 'self';"
    " style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'"
)


class Login:
    """The routes `{prefix}login` and `{prefix}logout` of a gateway with tokens."""

    def __init__(
        self, app: bottle.Bottle, gate: AccessGate, prefix: str, name: str, port: int
    ) -> None:
        self._gate, self._name = gate, name
        theme = (packaged_static_path() / "theme.css").read_text("utf-8")
        self._page = _PAGE.read_text("utf-8").replace("{{theme}}", theme)
        # Browsers send a host's cookies to all of its ports, so each gateway has a name of its own.
        gate.cookie = f"shmooze_{port}"
        gate.exempt_path = f"{prefix}login"
        app.route(gate.exempt_path, "GET", self._show_form)
        app.route(gate.exempt_path, "POST", self._log_in)
        app.route(f"{prefix}logout", "POST", self._log_out)

    def _show_form(self, problem: str = "") -> str:
        """The page; `problem` says what is wrong with the token that was sent, if anything."""
        response.content_type = "text/html; charset=utf-8"
        response.set_header("Cache-Control", "no-store")
        response.set_header("Content-Security-Policy", _POLICY)
        shown = {
            "title": f"{'Error: ' if problem else ''}Log in to {self._name}",
            "name": self._name,
            "problem": problem,
            "invalid": "true" if problem else "false",
        }
        page = re.sub("{{(.+?)}}", lambda found: bottle.html_escape(shown[found[1]]), self._page)
        return page + SCRIPT

    def _log_in(self) -> Any:
        if request.content_type.partition(";")[0].strip().lower() != _FORM_TYPE:
            raise Refused(415, f"Content-Type must be {_FORM_TYPE}")
        form = request.environ["wsgi.input"].read(min(_MAX_FORM, max(0, request.content_length)))
        fields = parse_qs(form.decode("latin-1"))
        token = fields.get("token", [""])[0].strip()
        try:
            self._gate.holder_of(token, request.environ)
        except AccessDenied as denied:
            response.status = denied.status
            words = str(denied)
            return self._show_form(f"{words[:1].upper()}{words[1:]}.")
        return self._redirect("./", token, _COOKIE_AGE)

    def _log_out(self) -> Any:
        return self._redirect("login", "", 0)

    def _redirect(self, target: str, token: str, max_age: int) -> bottle.HTTPResponse:
        """Redirect to another page, and set the cookie; `max_age` 0 deletes it."""
        cookie: SimpleCookie = SimpleCookie()
        assert self._gate.cookie is not None
        cookie[self._gate.cookie] = token
        morsel = cookie[self._gate.cookie]
        morsel["path"], morsel["max-age"] = "/", max_age
        morsel["httponly"], morsel["samesite"] = True, "Strict"
        morsel["secure"] = self._gate.is_secure(request.environ)
        headers = {"Location": target, "Set-Cookie": morsel.OutputString()}
        return bottle.HTTPResponse(status=303, headers=headers)
