"""The guest book of the jukebox: who may come, for how long, and how many."""

from __future__ import annotations

import json
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jukebox import type_from_page
from support import ROOT, Refusal, Site, http

from shmooze.access.token_file import TokenFile
from shmooze.errors import CommandError, SettingsError

EXAMPLE = ROOT / "examples" / "jukebox"
HOUR = 3600.0


class Place:
    """A token file and a guest book, at a time that a test sets."""

    def __init__(self, folder: Path, module: Any) -> None:
        self.tokens = TokenFile(str(folder / "tokens.json"))
        self.tokens.add("ada", "control")
        self.file, self.module, self.now = folder / "guests.json", module, 1000.0
        self.book = self.open()

    def open(self) -> Any:
        return self.module.GuestBook(str(self.file), self.tokens, lambda: self.now)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    import guest_book

    yield Place(tmp_path, guest_book)
    sys.modules.pop("guest_book")


def test_guest_gets_a_token_of_their_own_with_few_scopes(place: Place) -> None:
    invitation = place.book.invite(HOUR, 5, on_screen=False)
    guest, token = place.book.join(invitation, "  Jürgen \t Ö ")
    assert guest.called == "Jürgen Ö"
    holder = place.tokens.holder_of(token)
    assert holder is not None and holder.name == guest.name
    assert holder.scopes.allowed == {"add", "own"}
    assert holder.scopes.services == {"queue", "library", "volume", "guests"}
    inviting = place.tokens.holder_of(invitation.token)
    assert inviting is not None and inviting.scopes.services == {"guests"}
    other, _ = place.book.join(invitation, "Ольга")
    assert other.name.startswith("guest.") and other.name != guest.name
    assert place.book.names == {guest.name: "Jürgen Ö", other.name: "Ольга"}


@pytest.mark.parametrize(
    ("called", "problem"),
    [
        (" ", "Enter a name."),
        ("x" * 25, "Enter a name of at most 24 characters."),
        ("a\u202eb", "Enter a name of letters that can be seen."),
        ("a\u3164b", "Enter a name of letters that can be seen."),
        ("\u0301a", "Enter a name of letters that can be seen."),
        ("a" + 3 * "\u0331", "Enter a name of letters that can be seen."),
        ("ADA\u0308", "Somebody is called ADÄ already. Take another name."),
        (
            "ad\u034f\uff41\u0308",
            "Somebody is called ad\u034f\uff41\u0308 already. Take another name.",
        ),
        ("Ada", "Somebody is called Ada already. Take another name."),
        ("You", "Somebody is called You already. Take another name."),
    ],
)
def test_name_that_cannot_be_is_refused_in_one_line(
    place: Place, called: str, problem: str
) -> None:
    invitation = place.book.invite(HOUR, 5, on_screen=False)
    place.book.join(invitation, "adä")
    with pytest.raises(CommandError) as refused:
        place.book.join(invitation, called)
    assert str(refused.value) == problem
    assert len(place.book.guests) == 1


def test_name_may_be_longer_in_plain_letters(place: Place) -> None:
    invitation = place.book.invite(HOUR, 5, on_screen=False)
    guest, token = place.book.join(invitation, 24 * "\u33c2")  # each is "a.m." in plain letters
    holder = place.tokens.holder_of(token)
    assert holder is not None and holder.name == guest.name


def test_book_is_written_only_if_it_has_changed(place: Place) -> None:
    place.book.invite(HOUR, 5, on_screen=False)
    before = place.file.stat().st_ino
    place.book.tidy()
    assert place.file.stat().st_ino == before


def test_invitation_is_for_so_many_guests_and_so_long(place: Place) -> None:
    small = place.book.invite(HOUR, 1, on_screen=False)
    place.book.join(small, "one")
    with pytest.raises(CommandError, match=r"^This invitation is used up\. Ask for a new one\.$"):
        place.book.join(small, "two")
    short = place.book.invite(HOUR, 5, on_screen=False)
    place.now += HOUR
    with pytest.raises(CommandError, match=r"^This invitation has expired\. Ask for a new one\.$"):
        place.book.join(short, "three")
    assert place.book.invitations == []


def test_numbers_of_guests_and_invitations_are_limited(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place.module.GuestBook, "max_guests", 2)
    monkeypatch.setattr(place.module.GuestBook, "max_invitations", 2)
    invitations = [place.book.invite(HOUR, 100, on_screen=False) for _ in range(2)]
    with pytest.raises(CommandError, match="limit reached"):
        place.book.invite(HOUR, 1, on_screen=False)
    for name, invitation in zip("ab", invitations, strict=True):
        place.book.join(invitation, name)
    with pytest.raises(CommandError, match="There are 2 guests already"):
        place.book.join(invitations[0], "c")
    place.book.remove(place.book.guests[0].name)
    place.book.join(invitations[0], "c")


def test_tokens_end_with_the_time_of_guests_and_invitations(place: Place) -> None:
    invitation = place.book.invite(HOUR, 5, on_screen=False)
    guest, token = place.book.join(invitation, "Eve")
    place.now += place.book.stay
    place.book.tidy()
    assert place.tokens.holder_of(token) is None
    assert place.book.guests == [] and place.book.names == {guest.name: "Eve"}
    # The token of the invitation is still there, so that people are told why it is of no use.
    assert place.tokens.holder_of(invitation.token) is not None
    place.now += place.book.grace
    place.book.tidy()
    assert place.tokens.load().keys() == {"ada"}
    place.now += place.book.memory
    place.book.tidy()
    assert place.book.names == {}


def test_withdrawn_invitation_takes_its_guests_along_if_that_is_wanted(place: Place) -> None:
    kept, ended = (place.book.invite(HOUR, 5, on_screen=False) for _ in range(2))
    stays, _ = place.book.join(kept, "stays")
    _, token = place.book.join(ended, "goes")
    place.book.withdraw(kept.id, with_guests=False)
    place.book.withdraw(ended.id, with_guests=True)
    assert [each.name for each in place.book.guests] == [stays.name]
    assert place.tokens.holder_of(token) is None
    with pytest.raises(CommandError, match=r"^This invitation was withdrawn\. Ask for a new one"):
        place.book.join(ended, "again")
    with pytest.raises(CommandError, match="there is no invitation"):
        place.book.withdraw(ended.id, with_guests=False)
    with pytest.raises(CommandError, match="there is no guest 'nobody'"):
        place.book.remove("nobody")


def test_guests_are_known_after_a_restart_and_to_nobody_else(place: Place) -> None:
    invitation = place.book.invite(HOUR, 5, on_screen=True)
    guest, _ = place.book.join(invitation, "Eve")
    assert stat.S_IMODE(place.file.stat().st_mode) == 0o600
    again = place.open()
    assert again.guest_of(guest.name) == guest
    assert again.invitation_of(invitation.token_name) == invitation
    assert json.loads(place.file.read_text())["guests"][0]["called"] == "Eve"


def test_broken_guest_book_is_told_in_one_line(place: Place) -> None:
    place.file.write_text('{"guests": [1]}')
    with pytest.raises(SettingsError, match=r"guests\.json cannot be read: ") as refused:
        place.open()
    assert "\n" not in str(refused.value)


@pytest.fixture
def make_guests(make_site: Callable[..., Site]) -> Callable[..., Site]:
    """Makes an application of the service alone, not yet started."""

    def make(**settings: Any) -> Site:
        program = ["sh", "-c", f'cd "$HERE" && exec {sys.executable} guests.py']
        settings = {"guests": {"program": program}, **settings}
        site = make_site(services=("guests",), settings=settings, programs={"guests": program})
        for name in ("guests.py", "guest_book.py"):
            shutil.copy(EXAMPLE / name, site.folder)
        return site

    return make


def test_without_tokens_everybody_may_come_and_nobody_needs_an_invitation(
    make_guests: Callable[..., Site],
) -> None:
    site = make_guests().start()
    assert site.ask("guests", "me")["kind"] == "anybody"
    shown = site.ask("guests", "screen", base="http://192.0.2.7:8080/")
    assert (shown["link"], shown["only_here"]) == ("http://192.0.2.7:8080/", False)
    assert site.ask("guests", "screen", base="http://localhost:8080")["only_here"]
    with pytest.raises(Refusal, match=r"^invitations need `tokens_path` in the settings; see"):
        site.ask("guests", "invite", base="http://192.0.2.7/")
    for address in ("http://[::1/", "http://:80/"):
        with pytest.raises(Refusal, match=r"^not an address"):
            site.ask("guests", "screen", base=address)
    with pytest.raises(Refusal, match=r"^set `app\.url`, or say where the page is: base=http"):
        site.ask("guests", "screen")
    with pytest.raises(Refusal, match=r"^not an address that starts with http"):
        site.ask("guests", "screen", base="javascript:alert(1)")


def test_host_invites_in_a_terminal_as_the_tutorial_does(make_site: Callable[..., Site]) -> None:
    program = ["sh", "-c", f'cd "$HERE" && exec {sys.executable} guests.py']
    settings = {"tokens_path": "$HERE/tokens.json", "app": {"url": "https://box.example/"}}
    site = make_site(services=("wsgi", "guests"), settings=settings, programs={"guests": program})
    for name in ("guests.py", "guest_book.py"):
        shutil.copy(EXAMPLE / name, site.folder)
    token = TokenFile(str(site.folder / "tokens.json")).add("ada", "control")
    answer = type_from_page("export SHMOOZE_TOKEN=TOKEN\nshmz -e guests", site.start().url, token)
    assert answer["link"].startswith("https://box.example/login#token=")
    assert "qr" in answer


def test_only_the_host_invites_and_only_an_invitation_joins(
    make_guests: Callable[..., Site],
) -> None:
    site = make_guests(tokens_path="$HERE/tokens.json", app={"url": "https://box.example/"})
    tokens = TokenFile(str(site.folder / "tokens.json"))
    by = {"ada": tokens.add("ada", "control"), "screen": tokens.add("screen", "read")}
    site.start()

    def ask(who: str, cmd: str, **args: Any) -> Any:
        url = f"http://127.0.0.1:{site.ports['guests']}/"
        token = {"Authorization": f"Bearer {by.get(who, who)}"}
        answer = http(url, {"cmd": cmd, "args": args}, headers=token).json
        return answer["result"] if answer["success"] else answer["error"]

    base = "http://localhost:8080/"
    for cmd, args in (("invite", {"base": base}), ("guests", {}), ("remove", {"name": "ada"})):
        assert ask("screen", cmd, **args) == f"{cmd}: this token may only read"
    assert ask("ada", "join", called="Ada") == "You have joined already."
    assert "minutes" in ask("ada", "invite", base=base, minutes=0)
    link = ask("ada", "invite", base=base, room=1)["link"]
    assert link.startswith("https://box.example/login#token=")
    invitation = link.partition("=")[2]
    assert ask(invitation, "me")["kind"] == "invitation"
    assert ask(invitation, "invite", base=base) == "invite: this token needs the scope `control`"
    guest = ask(invitation, "join", called="Eve")
    assert ask(guest["token"], "me") | {"expires": 0} == {
        "kind": "guest",
        "name": guest["name"],
        "called": "Eve",
        "may": {"add": True, "own": True, "order": False, "control": False},
        "expires": 0,
    }
    assert ask(guest["token"], "join", called="Bob") == "You have joined already."
    assert ask(invitation, "me")["problem"] == "This invitation is used up. Ask for a new one."
    assert ask("screen", "names") == {guest["name"]: "Eve"}
    assert ask("screen", "screen", base=base) is None
    ask(guest["token"], "leave")
    assert ask(guest["token"], "me") == "the token is not valid"
