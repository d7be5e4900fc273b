"""A program of shmooze with other tunables: svc_adjusted.py MODULE CLASS.NAME=NUMBER…

For a class, its full name is given, such as `shmooze.state.file.StateFile`.
"""

from shmooze.runtime.patch import patch_all

patch_all()

import pkgutil
import runpy
import sys

module, *changes = sys.argv[1:]
del sys.argv[1:]
for change in changes:
    path, _, number = change.partition("=")
    owner, _, name = path.rpartition(".")
    found = pkgutil.resolve_name(owner)
    assert hasattr(found, name), change
    setattr(found, name, float(number))
runpy.run_module(module, run_name="__main__")
