"""Certificates of an authority made on the spot, as files that a listener reads."""

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
