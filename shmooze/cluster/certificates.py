"""Certificates for the connections of guards: an authority that lives as long as the service.

Its key never leaves the service's memory, so nobody can ever make another certificate. The service
has one for servers, and all its guards share one for clients: each proves its own secret beside.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import tempfile
from collections.abc import Iterable

from gevent import ssl

from shmooze.cluster.ticket import Certificates
from shmooze.errors import ShmoozeError

#: Days before now and after it for which certificates are valid: clocks of nodes may be wrong, and
#: the authority is gone with the service anyway.
_BEFORE, _AFTER = 30, 3650


def make_certificates(names: Iterable[str]) -> tuple[Certificates, Certificates]:
    """Certificates of a new authority: the service's, for these names, and its guards'.

    Raises ShmoozeError if the library that makes them is missing.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    except ImportError as missing:
        raise ShmoozeError(
            "connections to other machines need certificates: pip install 'shmooze[cluster]'"
        ) from missing

    def named(name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    def builder(name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named("shmooze service"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=_BEFORE))
            .not_valid_after(now + datetime.timedelta(days=_AFTER))
        )

    def pem(certificate: x509.Certificate) -> str:
        return certificate.public_bytes(serialization.Encoding.PEM).decode()

    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = (
        builder("shmooze service", authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )

    def issue(
        name: str, usage: x509.ObjectIdentifier, others: list[x509.GeneralName]
    ) -> Certificates:
        key = ec.generate_private_key(ec.SECP256R1())
        made = builder(name, key).add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
        if others:
            made = made.add_extension(x509.SubjectAlternativeName(others), critical=False)
        signed = made.sign(authority_key, hashes.SHA256())
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
        return Certificates(pem(authority), pem(signed), private)

    def alternative(name: str) -> x509.GeneralName:
        try:
            return x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            return x509.DNSName(name)

    service = issue("shmooze door", ExtendedKeyUsageOID.SERVER_AUTH, [*map(alternative, names)])
    return service, issue("shmooze guard", ExtendedKeyUsageOID.CLIENT_AUTH, [])


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
