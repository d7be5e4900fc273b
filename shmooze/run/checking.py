"""`shmooze check`: what the programs of an application would refuse, or warn about.

Each of ours checks its own part, by its option `--check`, in a process of its own. All do so at the
same time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

from shmooze.run.process import REFUSED
from shmooze.run.programs import Program, find_programs
from shmooze.runtime import declared, python_command

#: Seconds that a check may take.
TIMEOUT = 60.0


def check_application() -> int:
    """Print what is wrong with the settings of this process. Returns the exit status.

    Raises ShmoozeError if they cannot be read, or what runs a service is not clear.
    """
    source = declared.current()
    application = find_programs(source)
    ours = [(each, _begin(each)) for each in application.programs if each.is_ours]
    lines = [f"warning: {each}" for each in application.left_out]
    status = 0
    for program, process in ours:
        try:
            said = process.communicate(timeout=TIMEOUT)[0].splitlines()
        except subprocess.TimeoutExpired:
            process.kill()
            said = [*process.communicate()[0].splitlines(), f"not checked within {TIMEOUT:g} s"]
        if process.returncode:
            status = REFUSED
        lines += _worded(program.name, said, process.returncode != 0)
    for program in application.programs:
        if not program.is_ours and (problem := _problem_of(program)):
            status = REFUSED
            lines.append(f"error: {program.name}: {problem}")
    for line in _without_repeats(lines):
        sys.stdout.write(f"{line}\n")
    names = ", ".join(each.name for each in application.programs)
    verdict = "cannot be used" if status else "can be used"
    sys.stdout.write(f"{source.source}: {verdict}; it runs {names}\n")
    return status


def _begin(program: Program) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*program.argv, "--check"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
    )


def _worded(name: str, said: list[str], is_refused: bool) -> list[str]:
    """The lines of a check for people: warnings first, then why it is refused."""
    warnings = [line for line in said if line.startswith("warning: ")]
    others = [line.removeprefix("shmooze: ") for line in said if line not in warnings]
    kind = "error" if is_refused else "warning"
    return [*warnings, *(f"{kind}: {name}: {line}" for line in others)]


def _without_repeats(lines: list[str]) -> Iterator[str]:
    """The lines without warnings that another program has had too, about what all of them share."""
    known = set()
    for line in lines:
        what = line.split(": ", 2)[-1]
        if what not in known:
            known.add(what)
            yield line


def _problem_of(program: Program) -> str | None:
    """Why a program that is not ours cannot be started."""
    name = program.argv[0]
    if shutil.which(name) is None:
        return f"there is no program {name}"
    command = python_command.parse(program.argv)
    if command is not None and len(command.program) == 1:
        file = command.program[0]
        if not os.path.exists(file):
            return f"there is no file {file} in {os.getcwd()}"
    return None
