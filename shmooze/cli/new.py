"""`shmooze new`: makes a small application that runs: settings, a module, a page."""

from __future__ import annotations

import html
import json
from pathlib import Path

from shmooze.errors import SettingsError

#: What is copied: files that end in `.in`, in which NAME is replaced by the application's name.
_TEMPLATE = Path(__file__).resolve().parent / "application"
_PLACEHOLDER = "NAME"


def make_application(path: str) -> str:
    """Make the folder of an application. Returns what to do next, in words for people.

    Raises SettingsError if there is something already, or the folder cannot be made.
    """
    folder = Path(path)
    name = folder.resolve().name
    if not name or not name.isprintable():
        raise SettingsError(f"new: {path!r} is not a name for an application")
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise SettingsError(f"new: {path} exists already, and is not an empty folder")
        for file in sorted(_TEMPLATE.rglob("*.in")):
            target = folder / file.relative_to(_TEMPLATE).with_suffix("")
            target.parent.mkdir(parents=True, exist_ok=True)
            text = file.read_text(encoding="utf-8")
            target.write_text(text.replace(_PLACEHOLDER, _quoted(name, target.suffix)), "utf-8")
    except OSError as bad:
        raise SettingsError(f"new: {bad.filename or path}: {bad.strerror}") from bad
    return f"{path}: an application. Run it:\n\n    shmooze run --open {path}\n\n"


def _quoted(name: str, suffix: str) -> str:
    """A name as a file of this kind can hold it."""
    if suffix == ".html":
        return html.escape(name)
    return json.dumps(name)[1:-1] if suffix == ".json" else name
