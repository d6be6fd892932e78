"""The emulator's own certificate authority, kept in its directory so that a restart is still trusted."""

import ssl
from pathlib import Path

import trustme

_NAMES = ("localhost", "127.0.0.1", "::1")


def authority(directory: Path) -> tuple[trustme.CA, Path]:
    """The authority of this directory, made at the first call, and the file with its certificate (PEM)."""
    certificate, key = directory / "ca.pem", directory / "ca.key"
    if certificate.exists() and key.exists():
        return trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes()), certificate
    made = trustme.CA(organization_name="posthouse sandbox")
    key.touch(mode=0o600)
    made.private_key_pem.write_to_path(str(key))
    made.cert_pem.write_to_path(str(certificate))
    return made, certificate


def server_context(made: trustme.CA, *, host: str) -> ssl.SSLContext:
    """TLS 1.2 and later, with a certificate for localhost, both loopback addresses and this host."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    names = _NAMES if host in {"0.0.0.0", "::", *_NAMES} else (*_NAMES, host)  # noqa: S104 -- compared, not bound
    made.issue_cert(*names).configure_cert(context)
    return context
