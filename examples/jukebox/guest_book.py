"""The guest book: invitations and guests in one file, and their tokens in the token file.

An invitation is a token that can do nothing but join. Whoever joins by it gets a token of their
own, so that turns, limits and votes tell guests apart. The token file knows no times: the book
does, and takes a token away when its time is over.

An entry is saved before its token is made. So no token is ever left that the book does not know.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path

import msgspec

from shmooze.access.token_file import TokenFile
from shmooze.errors import CommandError, SettingsError

#: Services that a guest may use.
SERVICES = ("queue", "library", "volume", "guests")
GUEST_SCOPES = ("add", "own", *(f"service:{name}" for name in SERVICES))
INVITATION_SCOPES = ("add", "service:guests")

OVER = "This invitation has expired. Ask for a new one."
WITHDRAWN = "This invitation was withdrawn. Ask for a new one."
FULL = "This invitation is used up. Ask for a new one."


class Invitation(msgspec.Struct):
    """What lets people become guests."""

    id: str
    expires: float
    #: How many guests may join by it.
    room: int
    #: Whether every screen may show it.
    on_screen: bool = False
    withdrawn: bool = False
    joined: int = 0
    token: str = ""

    @property
    def token_name(self) -> str:
        return f"invitation.{self.id}"

    def problem(self, now: float) -> str | None:
        """Why nobody can join by it; None: they can."""
        if self.withdrawn:
            return WITHDRAWN
        if now >= self.expires:
            return OVER
        return FULL if self.joined >= self.room else None


class Guest(msgspec.Struct):
    """Somebody who has joined."""

    #: The name of the token.
    name: str
    #: What the guest wants to be called, as text of any kind.
    called: str
    invitation: str
    expires: float
    gone: bool = False


class _Book(msgspec.Struct):
    invitations: list[Invitation] = []
    guests: list[Guest] = []


class GuestBook:
    """Invitations and guests. Times are in seconds since 1970, by `now`.

    Raises SettingsError for a file that cannot be read.
    """

    #: Guests at the same time, by all invitations together.
    max_guests = 200
    #: Invitations at the same time.
    max_invitations = 20
    #: Seconds for which guests stay, from when they join.
    stay = 24 * 3600.0
    #: Seconds for which an invitation that is over is remembered, to tell people why.
    grace = 24 * 3600.0
    #: Seconds for which the name of a guest who has gone is remembered, for the history.
    memory = 30 * 24 * 3600.0
    #: Characters of a name.
    longest_name = 24

    def __init__(self, path: str, tokens: TokenFile, now: Callable[[], float]) -> None:
        self.path, self._tokens, self._now = Path(path), tokens, now
        #: What the file holds, as far as this process has written it.
        self._saved = b""
        try:
            self._book = msgspec.json.decode(self.path.read_bytes(), type=_Book)
        except FileNotFoundError:
            self._book = _Book()
        except (OSError, msgspec.MsgspecError) as bad:
            raise SettingsError(f"guest book {self.path} cannot be read: {bad}") from bad

    @property
    def invitations(self) -> list[Invitation]:
        """Those that are not over, the oldest first."""
        now = self._now()
        return [
            each for each in self._book.invitations if not each.withdrawn and now < each.expires
        ]

    @property
    def guests(self) -> list[Guest]:
        """Those who are here, in the order in which they came."""
        now = self._now()
        return [each for each in self._book.guests if not each.gone and now < each.expires]

    @property
    def names(self) -> dict[str, str]:
        """What guests are called, those who have gone too, by the name of their token."""
        return {each.name: each.called for each in self._book.guests}

    def invitation_of(self, token_name: str) -> Invitation | None:
        """The invitation that a token stands for, also one that is over."""
        return next(
            (each for each in self._book.invitations if each.token_name == token_name), None
        )

    def guest_of(self, token_name: str) -> Guest | None:
        """The guest who has a token, if any."""
        return next((each for each in self.guests if each.name == token_name), None)

    def invite(self, seconds: float, room: int, on_screen: bool) -> Invitation:
        """A new invitation. Raises CommandError if there are too many."""
        if len(self.invitations) >= self.max_invitations:
            raise CommandError(
                f"limit reached ({self.max_invitations} invitations): withdraw one first"
            )
        expires = self._now() + seconds
        invitation = Invitation(secrets.token_hex(4), expires, room, on_screen)
        self._book.invitations.append(invitation)
        self._save()
        invitation.token = self._tokens.add(invitation.token_name, scopes=INVITATION_SCOPES)
        self._save()
        return invitation

    def join(self, invitation: Invitation, called: str) -> tuple[Guest, str]:
        """A new guest, and the token. Raises CommandError if that is not possible."""
        if problem := invitation.problem(self._now()):
            raise CommandError(problem)
        called = self._checked_name(called)
        if len(self.guests) >= self.max_guests:
            raise CommandError(f"There are {self.max_guests} guests already. Try again later.")
        name = f"{_plain(called)}.{secrets.token_hex(4)}"
        guest = Guest(name, called, invitation.id, self._now() + self.stay)
        invitation.joined += 1
        self._book.guests.append(guest)
        self._save()
        return guest, self._tokens.add(name, scopes=GUEST_SCOPES)

    def withdraw(self, id: str, with_guests: bool) -> None:
        """End an invitation, and remove those who came by it if that is wanted. CommandError."""
        invitation = next((each for each in self.invitations if each.id == id), None)
        if invitation is None:
            raise CommandError(f"there is no invitation {id!r}")
        invitation.withdrawn = True
        # It is over now, so it is remembered from now on.
        invitation.expires = min(invitation.expires, self._now())
        for guest in self.guests if with_guests else ():
            guest.gone = guest.gone or guest.invitation == id
        self.tidy()

    def remove(self, name: str) -> None:
        """Take the token of a guest away. Raises CommandError for an unknown one."""
        guest = self.guest_of(name)
        if guest is None:
            raise CommandError(f"there is no guest {name!r}")
        guest.gone = True
        self.tidy()

    def tidy(self) -> None:
        """Take the tokens of what is over away, forget what is long over, and save that.

        Raises SettingsError if a file cannot be written.
        """
        now, book = self._now(), self._book
        kept = [each for each in book.invitations if now < each.expires + self.grace]
        over = {each.token_name for each in book.invitations if each not in kept}
        for guest in book.guests:
            if guest.gone or now >= guest.expires:
                over.add(guest.name)
                guest.gone = True
        for name in over & self._tokens.load().keys():
            self._tokens.revoke(name)
        remembered = [each for each in book.guests if now < each.expires + self.memory]
        self._book = _Book(kept, remembered)
        self._save()

    def _checked_name(self, called: str) -> str:
        called = " ".join(unicodedata.normalize("NFC", called).split())
        if not called:
            raise CommandError("Enter a name.")
        if len(called) > self.longest_name:
            raise CommandError(f"Enter a name of at most {self.longest_name} characters.")
        if not called.isprintable() or not _is_visible(called):
            raise CommandError("Enter a name of letters that can be seen.")
        taken = {"you", *self._tokens.load(), *(each.called for each in self.guests)}
        if _looks(called) in map(_looks, taken):
            raise CommandError(f"Somebody is called {called} already. Take another name.")
        return called

    def _save(self) -> None:
        """Replace the file if there is something new; it holds tokens of invitations, so it is for
        nobody else.
        """
        data = msgspec.json.format(msgspec.json.encode(self._book))
        if data == self._saved:
            return
        try:
            fd, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}-")
            try:
                with os.fdopen(fd, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, self.path)
            except BaseException:
                os.unlink(temporary)
                raise
        except OSError as bad:
            raise SettingsError(f"guest book {self.path} cannot be written: {bad}") from bad
        self._saved = data


def _plain(text: str) -> str:
    """A text as part of a token's name, which has few letters."""
    ascii = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    plain = "".join(each if each.isalnum() else "-" for each in ascii)
    return plain[: GuestBook.longest_name].strip("-") or "guest"


#: Letters that are blank, though they count as printable.
_BLANK = "\u115f\u1160\u2800\u3164\uffa0"


def _is_visible(name: str) -> bool:
    """Whether a name begins with something that can be seen, and has no piles of marks."""
    marks = [unicodedata.category(each) in ("Mn", "Me") for each in name]
    piled = any(map(all, zip(marks, marks[1:], marks[2:])))
    return not (marks[0] or piled or any(each in _BLANK for each in name))


def _looks(name: str) -> str:
    """What a name looks like: the same for names that differ in case, width or invisible marks."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return "".join(each for each in text if each not in _INVISIBLE)


#: Marks that are not seen: the grapheme joiner and variation selectors.
_INVISIBLE = frozenset(map(chr, (0x34F, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
