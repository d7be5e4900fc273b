"""Certificates for tests: one that also vouches for itself, made by openssl."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple


class Certificate(NamedTuple):
    """Files in PEM form."""

    certificate: str
    key: str


#: Removed when the tests are over.
_folder = TemporaryDirectory(prefix="shmooze-certificates-")


@cache
def certificate(name: str = "service") -> Certificate:
    """A certificate for loopback addresses, by this name; always the same for one name."""
    folder = Path(_folder.name, name)
    folder.mkdir()
    made = Certificate(str(folder / "certificate.pem"), str(folder / "key.pem"))
    names = ",".join(["DNS:localhost", *(f"IP:127.0.0.{n}" for n in range(1, 10)), "IP:::1"])
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    argv += ["-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}"]
    argv += ["-keyout", made.key, "-out", made.certificate]
    subprocess.run(argv, check=True, capture_output=True)
    Path(made.key).chmod(0o600)
    return made
