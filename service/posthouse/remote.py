"""From settings to Microsoft's side of things: who asks Entra ID, whom we trust, where SMTP submission is; opens nothing."""

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from posthouse.settings.model import EntraSettings, SmtpSettings
from posthouse.transports.clouds import CLOUDS
from posthouse.transports.proxies import Proxies
from posthouse.transports.smtp.connection import Login, NoLogin, Server, XOAuth2
from posthouse.transports.tokens import (
    Certificate,
    ClientSecret,
    DefaultChain,
    EntraOptions,
    ManagedIdentity,
    TokenSource,
    WorkloadIdentity,
)


def entra_options(entra: EntraSettings, proxies: Proxies) -> EntraOptions:
    """Who asks for tokens, and where."""
    return EntraOptions(
        tenant_id=entra.tenant_id,
        client_id=entra.client_id,
        credential=_credential(entra),
        authority=entra.authority or CLOUDS[entra.cloud].authority,
        own_authority=bool(entra.authority),
        ca_file=str(entra.ca_file) if entra.ca_file else None,
        proxies=proxies,
    )


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Whose certificates count; raises OSError where the file cannot be read."""
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def server(transport: SmtpSettings, entra: EntraSettings, *, tokens: Callable[[], TokenSource]) -> Server:
    """The server of an SMTP transport and how to log in there; ``tokens`` is asked where tokens are needed."""
    cloud = CLOUDS[entra.cloud]
    auth: NoLogin | Login | XOAuth2 = NoLogin()
    if transport.auth == "xoauth2":
        auth = XOAuth2(tokens(), cloud.smtp_scope)
    elif transport.auth == "login" and transport.username and transport.password is not None:
        auth = Login(transport.username, transport.password.read)
    return Server(
        host=transport.host or cloud.smtp_host,
        port=transport.port,
        security=transport.security,
        auth=auth,
        ssl_context=trust(transport.ca_file or entra.ca_file),
        local_hostname=_own_name(),
    )


def _credential(
    entra: EntraSettings,
) -> ClientSecret | Certificate | ManagedIdentity | WorkloadIdentity | DefaultChain:
    if entra.client_secret is not None:
        return ClientSecret(entra.client_secret.read)
    if entra.client_certificate is not None:
        certificate = entra.client_certificate
        return Certificate(lambda: certificate.read().encode())
    match entra.credential:
        case "managed_identity":
            return ManagedIdentity(entra.client_id or None)
        case "workload_identity":
            return WorkloadIdentity()
        case _:
            return DefaultChain()


def _own_name() -> str:
    """What EHLO says: the machine's name, which must be ASCII (RFC 5321 §4.1.1.1)."""
    name = socket.gethostname()
    return name if name and name.isascii() else "localhost"
