"""Until when everything is good that the service shows to others: tokens, the app's certificate, those of its listeners."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from posthouse.assembly import Ways
from posthouse.message import Millis
from posthouse.records import Credential
from posthouse.settings.model import Settings
from posthouse.settings.secret import SecretError


def credentials_of(settings: Settings, ways: Ways) -> Sequence[Credential]:
    """All of them; one that cannot be read now has no expiry. Of a client secret only the settings can tell when it ends."""
    return [
        *ways.tokens(),
        *_app_certificates(settings),
        *_client_secrets(settings),
        *_listener_certificates(settings),
    ]


def _client_secrets(settings: Settings) -> Iterator[Credential]:
    for name, transport in settings.transports.items():
        entra = transport.entra or settings.entra
        asks = transport.kind == "graph" or transport.auth == "xoauth2"
        if asks and entra.client_secret is not None and (last := entra.client_secret_expires_on) is not None:
            end = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)
            yield Credential(kind="client_secret", name=name, expires_at=int(end.timestamp() * 1000))


def _app_certificates(settings: Settings) -> Iterator[Credential]:
    for name, transport in settings.transports.items():
        certificate = (transport.entra or settings.entra).client_certificate
        if certificate is None:
            continue
        try:
            pem = certificate.read().encode()
        except SecretError:
            pem = b""
        yield Credential(kind="app_certificate", name=name, expires_at=not_after(pem))


def _listener_certificates(settings: Settings) -> Iterator[Credential]:
    if settings.http.tls_cert is not None:
        yield _listener("http", settings.http.tls_cert)
    for door in settings.smtp_door.listeners:
        if door.tls_cert is not None:
            yield _listener(f"smtp:{door.listen.rpartition(':')[2]}", door.tls_cert)


def _listener(name: str, file: Path) -> Credential:
    try:
        pem = file.read_bytes()
    except OSError:
        pem = b""
    return Credential(kind="listener_certificate", name=name, expires_at=not_after(pem))


def not_after(pem: bytes) -> Millis | None:
    """When the first of the certificates ends that are not over before; None where there is none to be read."""
    try:
        ends: list[datetime] = [one.not_valid_after_utc for one in x509.load_pem_x509_certificates(pem)]
    except ValueError:
        return None
    return int(min(ends).timestamp() * 1000)
