"""The environment in which the programs of an application run, which is that of the command."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from shmooze.errors import SettingsError
from shmooze.settings import VARIABLE

#: The settings file of a folder.
FILE = "settings.json"


def enter(settings: str | None, directory: str | None) -> None:
    """Choose the settings file, and go to the directory in which programs run.

    Programs find the Python of this command under the name python3, and shmooze in a checkout that
    is not installed. Raises SettingsError.
    """
    source = _find_settings(settings)
    os.environ[VARIABLE] = str(source)
    folder = source.parent if directory is None else Path(directory)
    try:
        os.chdir(folder)
    except OSError as bad:
        raise SettingsError(f"directory {folder}: {bad.strerror}") from bad
    found = shutil.which("python3")
    if found is None or os.path.abspath(found) != os.path.abspath(sys.executable):
        _put_first("PATH", os.path.dirname(os.path.abspath(sys.executable)))
    checkout = Path(__file__).resolve().parent.parent.parent
    if (checkout / "setup.py").is_file():
        _put_first("PYTHONPATH", str(checkout))
    os.environ["PYTHONUNBUFFERED"] = "1"  # output should arrive when it is printed


def _find_settings(given: str | None) -> Path:
    named = given or os.environ.get(VARIABLE)
    if not named:
        if not os.path.isfile(FILE):
            raise SettingsError(
                f"there is no {FILE} here: name a settings file, or make an application with"
                " `shmooze new NAME`"
            )
        named = FILE
    path = Path(named).absolute()
    return path / FILE if path.is_dir() else path


def _put_first(variable: str, folder: str) -> None:
    paths = [each for each in os.environ.get(variable, "").split(os.pathsep) if each]
    if folder not in paths[:1]:
        os.environ[variable] = os.pathsep.join([folder, *paths])
