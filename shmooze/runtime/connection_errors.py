"""Errors of connections to servers, in words for people who know nothing of Python or OpenSSL."""

from __future__ import annotations

#: Why a certificate could not be verified, as OpenSSL numbers it: nobody that we know has issued
#: it.
_UNKNOWN_ISSUER = (18, 19, 20, 21)


def words_of(error: Exception, where: str = "SSL_CERT_FILE") -> str:
    """Why there is no connection, or no answer: one line.

    `where` is what names the file of the certificates that are trusted.
    """
    # Without `ssl`, which few need: its errors have these attributes.
    if problem := getattr(error, "verify_message", ""):
        hint = f"; {where} can name a file with the certificate of its issuer"
        hint = hint if getattr(error, "verify_code", 0) in _UNKNOWN_ISSUER else ""
        return f"the server's TLS certificate is not trusted: {problem}{hint}"
    if getattr(error, "library", None) == "SSL" and (reason := getattr(error, "reason", None)):
        return f"TLS failed: {reason.replace('_', ' ').lower()}"
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(words.split())
