"""A module whose first process dies when it is told something; all later ones are like well.py."""

import os
import pathlib
import runpy

from shmooze.modules import ParentConnection

try:
    (pathlib.Path(os.environ["HERE"]) / "first").touch(exist_ok=False)
except FileExistsError:
    runpy.run_path(str(pathlib.Path(__file__).with_name("well.py")), run_name="__main__")
else:
    ParentConnection().recv_cmd()
    os._exit(3)
