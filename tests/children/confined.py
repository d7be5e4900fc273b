"""Becomes another program with the restrictions of a systemd unit: confined.py UNIT ARGV...

Applies the lines `NoNewPrivileges`, `RestrictAddressFamilies` and `SystemCallFilter`
as systemd does. Needs libseccomp and systemd-analyze.
"""

import ctypes
import errno
import os
import socket
import subprocess
import sys
from configparser import RawConfigParser

ALLOW = 0x7FFF0000
DENY = 0x00050000 | errno.EPERM
EQUAL = 4
PR_SET_NO_NEW_PRIVS = 38


class Comparison(ctypes.Structure):
    _fields_ = [
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    ]


def system_calls(group):
    """The names of the system calls of a group such as @system-service."""
    argv = ["systemd-analyze", "--no-pager", "syscall-filter", group]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in (line.strip() for line in lines[1:]):
        if name.startswith("@"):
            yield from system_calls(name)
        elif name and not name.startswith("#"):
            yield name


def confine(unit):
    names = set(system_calls(unit["SystemCallFilter"])) | {"execve", "exit_group"}
    families = [int(getattr(socket, name)) for name in unit["RestrictAddressFamilies"].split()]
    assert unit["NoNewPrivileges"] == "yes"
    assert ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    filter = ctypes.c_void_p(library.seccomp_init(DENY))
    for name in sorted(names):
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            continue  # not on this machine
        if name != "socket":
            assert library.seccomp_rule_add_array(filter, ALLOW, number, 0, None) == 0
            continue
        for family in families:
            only = (Comparison * 1)(Comparison(0, EQUAL, family, 0))
            assert library.seccomp_rule_add_array(filter, ALLOW, number, 1, only) == 0
    assert library.seccomp_load(filter) == 0


file, *argv = sys.argv[1:]
unit = RawConfigParser(strict=True, delimiters=("=",))
unit.optionxform = str
with open(file, encoding="utf-8") as text:
    unit.read_file(text)
confine(unit["Service"])
os.execvp(argv[0], argv)
