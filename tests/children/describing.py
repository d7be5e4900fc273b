"""Prints a description for --describe, well or badly: what it does is its first argument."""

from __future__ import annotations

import json
import os
import sys
import time

DESCRIPTION = {
    "label": "{name}",
    "args": {"properties": {"name": {"type": "string"}}, "required": ["name"]},
    "x-long": "ä" * 20_000,
}


def main(how: str) -> None:
    print("is asked", file=sys.stderr)
    if how == "line":
        print(json.dumps(DESCRIPTION, ensure_ascii=False))
    elif how == "lines":
        print(json.dumps(DESCRIPTION, indent=2).replace("\n", "\r\n"))
    elif how == "garbage":
        print("hello")
    elif how == "fails":
        sys.exit("cannot find\nthe library")
    elif how == "mistake":
        print(json.dumps({"args": {"properties": {"name": {"minLength": "x"}}}}))
    elif how == "forks":
        print(json.dumps(DESCRIPTION), flush=True)
        if not os.fork():
            os.setsid()
            time.sleep(1000)
    elif how == "floods":
        while True:
            sys.stdout.write("x" * 65536)
    elif how == "hangs":
        time.sleep(1000)


if sys.argv[-1] == "--describe":
    main(sys.argv[1])
