"""One module type with a description, or with one that could not be used."""

from __future__ import annotations

from typing import Any

from shmooze.description.description import Description
from shmooze.description.learned import merged, usable
from shmooze.modules.kind import Kind
from shmooze.modules.presentation import View

#: What becomes of a type whose description cannot be used.
UNDESCRIBED = "until this is fixed, args of this type are neither checked nor shown"


class DescribedType:
    """How the items of one type are checked and shown.

    While there is no description, any args are accepted, and clients see none: nobody knows which
    of them are secret.
    """

    def __init__(self, kind: type[Kind]) -> None:
        self.kind = kind
        self.description: Description | None = None
        #: Whether its program is asked for the description.
        self.is_asked = not isinstance(kind.schema, (dict, str))
        #: The description without what processes have told of while they ran.
        self._written: Description | None = None

    def take(self, written: Description | None) -> None:
        """Use a description that is written down, or that its program has printed."""
        self.description = self._written = written

    def renew(self, written: Description) -> None:
        """The same for one that may be what it was. What processes have told of stays then."""
        if self._written is None or self._written.document != written.document:
            self.take(written)

    def learn(self, commands: dict[str, Any], whose: str) -> Description | None:
        """Complete the description by commands that a process of this type has told of.

        Returns it; None if nothing else is known of the type.
        """
        if self._written is None:
            return None
        written = self._written.document
        if self.is_asked:  # its program has told of the same
            written = {key: each for key, each in written.items() if key != "commands"}
        self.description = merged(written, usable(commands, whose))
        return self.description

    @property
    def version(self) -> object:
        return self.description

    @property
    def document(self) -> dict[str, Any]:
        """The description as clients get it; empty if there is none."""
        return self.description.document if self.description is not None else {}

    def view(self, args: dict[str, Any]) -> View:
        if self.description is None:
            return View(None)
        return View(self.description.hide(args), self.description.label(args))

    def loggable(self, command: dict[str, Any]) -> dict[str, Any]:
        cmd, args = command["cmd"], command.get("args")
        if cmd == "init":
            return {**command, "args": self.hide(args)}
        if cmd.startswith("do_"):
            return {**command, "args": self.hide(args, cmd.removeprefix("do_"))}
        return command

    def hide(self, args: Any, cmd: str | None = None) -> dict[str, Any]:
        """Args of an item, or of one of its commands, without secrets."""
        if self.description is None or not isinstance(args, dict):
            return {}
        if cmd is not None:
            return self.description.hide_command(cmd, args)
        return self.description.hide(args)

    def prepare(self, cmd: str, args: dict[str, Any]) -> dict[str, Any]:
        """The args of a new item as its child gets them. Raises CommandError."""
        return self.description.prepare(cmd, args) if self.description is not None else args

    def prepare_command(self, cmd: str, args: dict[str, Any]) -> dict[str, Any]:
        """The same for a command of the type's own."""
        if self.description is None:
            return args
        return self.description.prepare_command(cmd, args)
