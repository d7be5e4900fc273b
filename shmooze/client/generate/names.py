"""Names in generated code, made from names in descriptions, which may be any text."""

from __future__ import annotations

import re


class Names:
    """Gives names that no other has. The same questions in the same order get the same names."""

    def __init__(self, taken: set[str] | frozenset[str] = frozenset()) -> None:
        self._taken = {each.lower() for each in taken}

    def of_class(self, text: str) -> str:
        """A name such as `QueueCountdownArgs`, for the words of a text."""
        words = re.findall(r"[A-Za-z0-9]+", text)
        name = "".join(word[0].upper() + word[1:] for word in words)
        return self._new(name if name[:1].isalpha() else f"Type{name}")

    def of_attribute(self, text: str) -> str:
        """A name such as `set_vol`: the text itself if it is one."""
        name = re.sub(r"\W", "_", text, flags=re.ASCII).lstrip("_")
        return self._new(name if name[:1].isalpha() else f"n{name}")

    def _new(self, name: str) -> str:
        found, count = name, 1
        while found.lower() in self._taken:
            count += 1
            found = f"{name}_" if count == 2 else f"{name}_{count}"
        self._taken.add(found.lower())
        return found


def is_identifier(text: str) -> bool:
    """Whether a text is a name in any language, keywords aside."""
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) is not None
