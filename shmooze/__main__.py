"""python -m shmooze: the same as the command shmooze."""

import sys

from shmooze.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
