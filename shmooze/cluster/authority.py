"""An authority that issues certificates. Its key is only in memory.

It needs the library cryptography, which is in the extra `cluster`.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shmooze.cluster.ticket import Certificates

#: Days before now and after it for which certificates are valid: clocks of nodes may be wrong, and
#: the authority is gone with the service anyway.
_BEFORE, _AFTER = 30, 3650


class Authority:
    """A new authority with this name."""

    def __init__(self, name: str) -> None:
        self._name, self._key = name, ec.generate_private_key(ec.SECP256R1())
        own = self._begun(name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self._certificate = own.sign(self._key, hashes.SHA256())

    def issue(
        self, name: str, usage: x509.ObjectIdentifier, reached_as: Iterable[str] = ()
    ) -> Certificates:
        """A certificate for a use, with its key. `reached_as` are addresses and host names."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._begun(name, key)
        made = made.add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
        if names := [*map(_general_name, reached_as)]:
            made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        signed = made.sign(self._key, hashes.SHA256())
        return Certificates(_pem(self._certificate), _pem(signed), private.decode())

    def _begun(self, name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named(self._name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=_BEFORE))
            .not_valid_after(now + datetime.timedelta(days=_AFTER))
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
