"""python -m shmooze.shmz: the same as the command shmz."""

import sys

from shmooze.shmz.main import main

if __name__ == "__main__":
    sys.exit(main())
