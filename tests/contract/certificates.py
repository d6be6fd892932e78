"""Certificates of an authority made on the spot, as files that a listener reads."""

import ssl
import warnings
from pathlib import Path

import trustme

from posthouse.doors.certificates import Tls


def issued(directory: Path, ca: trustme.CA) -> Tls:
    """A certificate and its key in ``directory``."""
    directory.mkdir(exist_ok=True)
    certificate = ca.issue_cert("mail.contoso.example")
    made = Tls(certificate=directory / "cert.pem", key=directory / "key.pem")
    made.certificate.write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
    made.key.write_bytes(certificate.private_key_pem.bytes())
    return made


def anything() -> ssl.SSLContext:
    """A client that trusts whoever answers."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def old_tls() -> ssl.SSLContext:
    """A client that speaks TLS 1.1 and nothing newer."""
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    return old
