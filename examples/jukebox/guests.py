"""The service `guests`: invitations by QR code, and a token of their own for everybody who joins.

It needs `tokens_path` in the settings. Without tokens, everybody who reaches the page may use it,
and `screen` shows the way to the page. Tokens that are over are taken away while the service runs,
and when it starts.

Settings: `app.url` is the address at which phones reach the page, such as
"http://192.168.1.5:8080/". `app_guests_path` is the file of the guest book, "guests.json".
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import logging
import re
import time
from typing import Annotated, Any, TypedDict
from urllib.parse import urlsplit

import gevent
from guest_book import WITHDRAWN, Guest, GuestBook, Invitation
from msgspec import Meta

import shmooze.settings
from shmooze.access.hosts import is_loopback
from shmooze.access.token_file import TokenFile
from shmooze.errors import CommandError, SettingsError
from shmooze.lib.service import JSONCommandProcessor, Service, caller

log = logging.getLogger(__name__)

Minutes = Annotated[float, Meta(description="For how many minutes", gt=0, le=7 * 24 * 60)]
Room = Annotated[int, Meta(description="How many guests may join by it", ge=1, le=100)]
Base = Annotated[
    str,
    Meta(
        description="Where the page is, as the caller sees it; not needed with `app.url`",
        max_length=300,
    ),
]

NO_TOKENS = "invitations need `tokens_path` in the settings; see docs/tutorials/jukebox.md"


class Shown(TypedDict):
    """An invitation as pages show it. Times are in seconds since 1970."""

    id: str
    link: str
    #: A picture of the link, as a `data:` URL; None: the library segno is missing.
    qr: str | None
    expires: float
    room: int
    joined: int
    on_screen: bool
    #: Whether the link leads to this machine itself, so that phones cannot follow it.
    only_here: bool


class Guests(JSONCommandProcessor, Service):
    """Makes and withdraws invitations, and tells who the guests are."""

    name = "guests"
    #: The longest that a token outlives its guest's time, in seconds.
    round = 30.0

    def __init__(self) -> None:
        super().__init__()
        self._book: GuestBook | None = None
        self._tidying: gevent.Greenlet | None = None

    def start(self) -> None:
        settings = shmooze.settings.current()
        if (path := settings.get("tokens_path")) is not None:
            tokens = TokenFile(path)
            self._book = GuestBook(
                settings.get("app_guests_path", "guests.json"), tokens, time.time
            )
            self._book.tidy()
        super().start()
        self._tidying = gevent.spawn(self._tidy_for_ever)

    def stop(self) -> None:
        if self._tidying is not None:
            self._tidying.kill()
        super().stop()

    def me(self) -> dict[str, Any]:
        """Who the caller is: `kind` is "anybody", "invitation", "guest" or "user".

        `may` says what a page should offer. `problem` says why an invitation is of no use.
        """
        who = caller.get()
        if who is None or self._book is None:
            may = {"add": True, "own": True, "order": True, "control": True}
            return {"kind": "anybody", "name": None, "called": None, "may": may}
        name = who.name or ""
        may = {each: who.role == "control" or each in who.scopes.allowed for each in _SCOPES}
        found: dict[str, Any] = {"kind": "user", "name": name, "called": name, "may": may}
        if name.startswith("invitation."):
            invitation = self._book.invitation_of(name)
            problem = invitation.problem(time.time()) if invitation else WITHDRAWN
            found |= {"kind": "invitation", "called": None, "problem": problem}
        elif guest := self._book.guest_of(name):
            found |= {"kind": "guest", "called": guest.called, "expires": guest.expires}
        return found

    def names(self) -> dict[str, str]:
        """What guests are called, by the name of their token."""
        return self._book.names if self._book else {}

    def screen(self, base: Base = "") -> dict[str, Any] | None:
        """What a screen shows for people to join; None: there is no invitation for screens."""
        base = self._reachable(base)
        if self._book is None:
            return {"link": base, "qr": _qr(base), "only_here": _is_only_here(base)}
        usable = [each for each in self._book.invitations if each.on_screen]
        usable = [each for each in usable if each.problem(time.time()) is None]
        return {**self._shown(usable[-1], base)} if usable else None

    def invite(
        self, base: Base = "", minutes: Minutes = 12 * 60, room: Room = 30, on_screen: bool = False
    ) -> Shown:
        """Make an invitation. With `on_screen`, every screen shows it."""
        base = self._reachable(base)
        return self._shown(self._with_book().invite(minutes * 60, room, on_screen), base)

    def invitations(self, base: Base = "") -> list[Shown]:
        """All invitations that are not over."""
        base = self._reachable(base)
        return [self._shown(each, base) for each in self._with_book().invitations]

    def withdraw(self, id: str, with_guests: bool = False) -> None:
        """End an invitation, and, if that is wanted, the stay of those who have come by it."""
        self._with_book().withdraw(id, with_guests)

    def guests(self) -> list[Guest]:
        """The guests who are here."""
        return self._with_book().guests

    def remove(self, name: str) -> None:
        """End the stay of a guest, named as in `guests`."""
        self._with_book().remove(name)

    def join(self, called: str) -> dict[str, Any]:
        """Become a guest, by the token of an invitation. The result has a token of one's own."""
        book, who = self._with_book(), caller.get()
        name = who.name if who is not None and who.name else ""
        if not name.startswith("invitation."):
            raise CommandError("You have joined already.")
        invitation = book.invitation_of(name)
        if invitation is None:
            raise CommandError(WITHDRAWN)
        guest, token = book.join(invitation, called)
        log.info("guests: %s has joined as %s", guest.called, guest.name)
        return {
            "name": guest.name,
            "called": guest.called,
            "token": token,
            "expires": guest.expires,
        }

    def leave(self) -> None:
        """End one's own stay as a guest."""
        who = caller.get()
        self._with_book().remove(who.name if who is not None and who.name else "")

    commands = {
        "me": me,
        "names": names,
        "screen": screen,
        "invite": invite,
        "invitations": invitations,
        "withdraw": withdraw,
        "guests": guests,
        "remove": remove,
        "join": join,
        "leave": leave,
    }
    read_cmds = ("me", "names", "screen")
    cmd_scopes = {"join": ("add",), "leave": ("add",)}

    def _with_book(self) -> GuestBook:
        if self._book is None:
            raise CommandError(NO_TOKENS)
        return self._book

    def _shown(self, invitation: Invitation, base: str) -> Shown:
        # Browsers keep what follows the # to themselves, so no server's log has the token.
        link = f"{base}login#token={invitation.token}"
        return {
            "id": invitation.id,
            "link": link,
            "qr": _qr(link),
            "expires": invitation.expires,
            "room": invitation.room,
            "joined": invitation.joined,
            "on_screen": invitation.on_screen,
            "only_here": _is_only_here(base),
        }

    def _reachable(self, base: str) -> str:
        """The address for phones: that of the settings, or that which the caller uses itself."""
        settings = shmooze.settings.current()
        url = settings.get("app", {}).get("url") or base
        if not url:
            raise CommandError("set `app.url`, or say where the page is: base=http://HOST:PORT/")
        if not re.fullmatch(r"https?://[^\s#?\\\"<>]+", url) or _host_of(url) is None:
            raise CommandError(f"not an address that starts with http:// or https://: {url!r}")
        url = f"{url.rstrip('/')}/"
        host = settings.get("wsgi_host", "127.0.0.1")
        if _is_only_here(url) and not (is_loopback(host) or host in ("0.0.0.0", "::")):
            port = settings.get("ports", {}).get("wsgi", 80)
            return f"http://{host}:{port}{settings.get('wsgi_prefix', '/')}"
        return url

    def _tidy_for_ever(self) -> None:
        while True:
            gevent.sleep(self.round)
            try:
                if self._book is not None:
                    self._book.tidy()
            except SettingsError as bad:
                log.error("guests: %s", bad)


_SCOPES = ("add", "own", "order", "control")


def _is_only_here(url: str) -> bool:
    return is_loopback(_host_of(url) or "")


def _host_of(url: str) -> str | None:
    """The host of an address; None: it has none, or is not an address."""
    try:
        return urlsplit(url).hostname
    except ValueError:  # such as half of the brackets around an IPv6 address
        return None


def _qr(text: str) -> str | None:
    """A picture of a text, dark on white, with the margin that readers need."""
    try:
        import segno
    except ImportError:
        return None
    return str(
        segno.make(text, error="m", micro=False).svg_data_uri(scale=8, border=3, light="#fff")
    )


if __name__ == "__main__":
    Guests().serve_forever()
