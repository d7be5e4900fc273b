"""Write the generated parts of docs/reference: settings.md and commands.md.

    scripts/reference           write them
    scripts/reference --check   only say whether they are as written

Keys of settings come from the Structs that declare them, commands from the descriptions that
services give of themselves, which the OpenAPI document is made of too.
"""

from __future__ import annotations

import sys
from pathlib import Path

from reference_commands import commands_page
from reference_settings import with_tables

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"


def main() -> int:
    settings, commands = REFERENCE / "settings.md", REFERENCE / "commands.md"
    written = {settings: with_tables(settings.read_text()), commands: commands_page()}
    status = 0
    for page, text in written.items():
        if "--check" not in sys.argv[1:]:
            page.write_text(text)
        elif not page.exists() or page.read_text() != text:
            print(
                f"docs/reference/{page.name} is out of date: run scripts/reference", file=sys.stderr
            )
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
