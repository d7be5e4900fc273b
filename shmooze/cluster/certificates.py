"""Certificates for the connections of guards: an authority that lives as long as the service.

Its key never leaves the service's memory, so nobody can ever make another certificate. The service
has one for servers, and all its guards share one for clients: each proves its own secret beside.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable

from gevent import ssl

from shmooze.cluster.ticket import Certificates
from shmooze.errors import ShmoozeError


def make_certificates(names: Iterable[str]) -> tuple[Certificates, Certificates]:
    """Certificates of a new authority: the service's, for these names, and its guards'.

    Raises ShmoozeError if the library that makes them is missing.
    """
    try:
        from cryptography.x509.oid import ExtendedKeyUsageOID

        from shmooze.cluster.authority import Authority
    except ImportError as missing:
        raise ShmoozeError(
            "connections to other machines need certificates: pip install 'shmooze[cluster]'"
        ) from missing
    authority = Authority("shmooze service")
    service = authority.issue("shmooze door", ExtendedKeyUsageOID.SERVER_AUTH, names)
    return service, authority.issue("shmooze guard", ExtendedKeyUsageOID.CLIENT_AUTH)


def context_of(certificates: Certificates, is_server: bool) -> ssl.SSLContext:
    """How to speak TLS with these certificates. The other side must show one of the same authority.

    The authority vouches for nobody else, so names do not matter: a door may be reached by any.
    """
    protocol = ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=certificates.authority)
    _load_own(context, certificates)
    return context


def _load_own(context: ssl.SSLContext, certificates: Certificates) -> None:
    """Load certificate and key, which Python takes from a file only: one that is gone at once."""
    with tempfile.TemporaryFile("w") as file:  # without a name where the system can do that
        file.write(f"{certificates.certificate}{certificates.key}")
        file.flush()
        path = f"/proc/self/fd/{file.fileno()}"
        if os.path.exists(path):
            context.load_cert_chain(path)
            return
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as named:  # readable by its owner only
        named.write(f"{certificates.certificate}{certificates.key}")
        named.flush()
        context.load_cert_chain(named.name)
