"""What a single value cannot tell: rules between settings, and files and secrets that must be readable at start."""

import base64
import ipaddress
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from posthouse.policy import matches
from posthouse.settings.model import (
    POSTGRES,
    SQLITE,
    AlertSettings,
    CallersSettings,
    ClientSettings,
    EntraSettings,
    GraphSettings,
    HttpSettings,
    SecretsSettings,
    SenderSettings,
    Settings,
    SmtpListenerSettings,
    SmtpSettings,
    SpoolSettings,
)
from posthouse.settings.problems import Problem, nearest
from posthouse.settings.secret import Secret, SecretError
from posthouse.settings.values import is_loopback

SHORTEST_MASTER: Final = 32
"""Characters: a master is no password, nothing stretches it (RFC 5869 §4)."""

WEBHOOK_KEY: Final = range(24, 65)
"""Bytes of a secret (standardwebhooks.com, Signature scheme)."""

_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DOMAIN: Final = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_PLACEHOLDER: Final = "00000000-0000-0000-0000-000000000000"
_FOUND_BY_ITSELF: Final = frozenset({"managed_identity", "default"})


def mistakes(settings: Settings, *, transports: Iterable[str]) -> Iterator[Problem]:
    """All mistakes between settings; ``transports`` are the names as written, also of those with mistakes inside."""
    yield from _doors(settings)
    yield from _spool(settings.spool, settings.secrets)
    yield from _secrets(settings.secrets)
    names = sorted(transports)
    yield from _route("delivery.route", settings.delivery.route, names)
    for number, route in enumerate(settings.routes):
        yield from _route(f"routes[{number}].transports", route.transports, names)
        if not route.senders and not route.recipients:
            yield Problem(f"routes[{number}]", "a route needs senders or recipients", "delivery.route is for all mail")
    for number, sender in enumerate(settings.senders):
        yield from _sender(f"senders[{number}]", sender)
    for name, transport in settings.transports.items():
        yield from _transport(f"transports.{name}", transport, settings.entra)
    yield from _times(settings)
    yield from _twice("senders", "address", [sender.address.lower() for sender in settings.senders])
    yield from _clients(settings)
    yield from _callers(settings.callers, settings.clients)
    yield from _alerts(settings.alerts)


def _doors(settings: Settings) -> Iterator[Problem]:
    http, admin = settings.http, settings.admin.listen
    yield from _certificate("http", http)
    if settings.graph_door.token_endpoint and http.tls_cert is None and not http.public_url.startswith("https://"):
        hint = "tls_cert and tls_key of [http]; or [http] public_url = 'https://…' of the proxy in front"
        yield Problem("graph_door.token_endpoint", "those who ask for tokens do so by https only", hint)
    if not is_loopback(admin.rpartition(":")[0]):
        hint = "commands reach it by the socket in the state directory; put a proxy with TLS in front for others"
        yield Problem("admin.listen", "the administrator's listener is for this machine only", hint)
    taken = {http.listen}
    listeners = [("admin.listen", admin)]
    for number, door in enumerate(settings.smtp_door.listeners):
        yield from _smtp_listener(f"smtp_door.listeners[{number}]", door, http.trusted_proxies)
        listeners.append((f"smtp_door.listeners[{number}].listen", door.listen))
    for path, listen in listeners:
        if listen in taken and not listen.endswith(":0"):
            yield Problem(path, "two listeners cannot have the same address")
        taken.add(listen)


def _smtp_listener(path: str, door: SmtpListenerSettings, proxies: Sequence[str]) -> Iterator[Problem]:
    yield from _certificate(path, door)
    named = door.networks and not any(_is_everything(network) for network in door.networks)
    if door.tls == "optional" and not is_loopback(door.listen.rpartition(":")[0]) and not named:
        hint = "'starttls' or 'implicit', with tls_cert and tls_key; or networks, the addresses of the old devices"
        yield Problem(f"{path}.tls", "a login in clear is for this machine or for named networks only", hint)
    if door.tls_min in ("1.0", "1.1") and not named:
        hint = "networks, the addresses of the old devices (RFC 8996)"
        yield Problem(f"{path}.tls_min", f"TLS {door.tls_min} is for named networks only", hint)
    if door.proxy_protocol and not proxies:
        hint = "http.trusted_proxies, the addresses of the load balancer"
        yield Problem(f"{path}.proxy_protocol", "nobody is trusted to say who connects", hint)
    if door.proxy_protocol and door.tls == "implicit":
        yield Problem(f"{path}.proxy_protocol", "the PROXY line comes before TLS", "tls = 'starttls'")
    if door.tls != "optional" and door.tls_cert is None and door.tls_key is None:
        yield Problem(f"{path}.tls_cert", f"tls = {door.tls!r} needs a certificate", "tls_cert and tls_key, PEM files")


def _certificate(path: str, door: HttpSettings | SmtpListenerSettings) -> Iterator[Problem]:
    if (door.tls_cert is None) != (door.tls_key is None):
        missing = "tls_key" if door.tls_key is None else "tls_cert"
        yield Problem(f"{path}.{missing}", "a certificate and its key belong together", "write both or none")
    yield from _readable(f"{path}.tls_cert", door.tls_cert)
    yield from _readable(f"{path}.tls_key", door.tls_key)


def _spool(spool: SpoolSettings, secrets: SecretsSettings) -> Iterator[Problem]:
    for name in ("url", "listen_url"):
        yield from _secret(f"spool.{name}", getattr(spool, name))
    try:
        url = spool.url.read() if spool.url is not None else ""
        listen = spool.listen_url.read() if spool.listen_url is not None else ""
    except SecretError:
        return
    many = url.startswith(POSTGRES)
    if url and not many and not Path(url.removeprefix(SQLITE)).is_absolute():
        hint = "such as 'sqlite:///srv/mail/spool' or 'postgresql://posthouse@db.example.com/posthouse'"
        yield Problem("spool.url", "a spool is an absolute path of a local disk, or a PostgreSQL database", hint)
    if many and secrets.master is None and not secrets.previous:
        hint = "a file with the 64 digits of: openssl rand -hex 32"
        yield Problem("secrets.master", "a spool in PostgreSQL needs a master, the same for all its processes", hint)
    for name, given in (("pooler", spool.pooler), ("listen_url", bool(listen))):
        if given and not many:
            yield Problem(f"spool.{name}", "only a spool in PostgreSQL has this", "spool.url = 'postgresql://…'")
    if listen and not listen.startswith(POSTGRES):
        yield Problem(
            "spool.listen_url", "this is the database's own address", "such as 'postgresql://db:5432/posthouse'"
        )


def _secrets(secrets: SecretsSettings) -> Iterator[Problem]:
    places = [("secrets.master", secrets.master)] if secrets.master is not None else []
    places += [(f"secrets.previous[{number}]", one) for number, one in enumerate(secrets.previous)]
    for path, secret in places:
        try:
            short = len(secret.read()) < SHORTEST_MASTER
        except SecretError as error:
            yield Problem(path, str(error))
            continue
        if short:
            hint = "such as the 64 digits of: openssl rand -hex 32"
            yield Problem(path, f"a master has at least {SHORTEST_MASTER} characters", hint)
    if secrets.previous and secrets.master is None:
        hint = "write the new one as secrets.master; the one beside the spool is then a previous one"
        yield Problem("secrets.previous", "an earlier master needs one after it", hint)


def _route(path: str, route: Sequence[str], names: Sequence[str]) -> Iterator[Problem]:
    if not route:
        yield Problem(path, "a route names at least one transport", f"there is {', '.join(names)}")
    for name in dict.fromkeys(route):
        if name not in names:
            yield Problem(path, f"there is no transport {name!r}", nearest(name, names))
    if len(set(route)) < len(route):
        yield Problem(path, "a transport stands in a route once")


def _sender(path: str, sender: SenderSettings) -> Iterator[Problem]:
    if not sender.mailboxes and sender.limits is None:
        yield Problem(f"{path}.mailboxes", "a sender names the mailboxes that send it, or limits of its own")
    if len({mailbox.lower() for mailbox in sender.mailboxes}) < len(sender.mailboxes):
        yield Problem(f"{path}.mailboxes", "a mailbox stands in a sender once")


def _transport(path: str, transport: GraphSettings | SmtpSettings, base: EntraSettings) -> Iterator[Problem]:
    yield from _readable(f"{path}.ca_file", transport.ca_file)
    if isinstance(transport, SmtpSettings):
        yield from _smtp(path, transport)
    if isinstance(transport, GraphSettings) or transport.auth == "xoauth2":
        own = transport.entra is not None
        yield from _entra(f"{path}.entra" if own else "entra", transport.entra or base)


def _smtp(path: str, smtp: SmtpSettings) -> Iterator[Problem]:
    if smtp.security == "none" and not is_loopback(smtp.host):
        yield Problem(f"{path}.security", "mail goes in clear text to this machine only", "'starttls' or 'tls'")
    if smtp.auth == "login":
        if not smtp.username:
            yield Problem(f"{path}.username", "auth = 'login' needs a username")
        if smtp.password is None:
            yield Problem(f"{path}.password", "auth = 'login' needs a password", "env:NAME or file:PATH")
        yield from _secret(f"{path}.password", smtp.password)
    elif smtp.username or smtp.password is not None:
        unused = "username" if smtp.username else "password"
        yield Problem(f"{path}.{unused}", f"auth = {smtp.auth!r} does not use it", "write auth = 'login', or remove it")


def _entra(path: str, entra: EntraSettings) -> Iterator[Problem]:
    given = [name for name in ("client_secret", "client_certificate", "credential") if getattr(entra, name) is not None]
    if len(given) > 1:
        yield Problem(f"{path}.{given[1]}", f"there is {given[0]} already", "one credential, not several")
    if not given:
        yield Problem(
            f"{path}.client_secret", "there is no credential", "client_secret, client_certificate or credential"
        )
    yield from _ids(path, entra)
    yield from _secret(f"{path}.client_secret", entra.client_secret)
    yield from _secret(f"{path}.client_certificate", entra.client_certificate)
    yield from _readable(f"{path}.ca_file", entra.ca_file)


def _ids(path: str, entra: EntraSettings) -> Iterator[Problem]:
    needed = entra.credential not in _FOUND_BY_ITSELF
    hint = "Entra admin center > Overview > Tenant ID"
    if not entra.tenant_id and needed:
        yield Problem(f"{path}.tenant_id", "the tenant is missing", hint)
    elif entra.tenant_id and not (_GUID.fullmatch(entra.tenant_id) or _DOMAIN.fullmatch(entra.tenant_id)):
        yield Problem(f"{path}.tenant_id", "a tenant is a GUID or a domain", hint)
    hint = "Entra admin center > App registrations > Application (client) ID"
    if not entra.client_id and needed:
        yield Problem(f"{path}.client_id", "the application is missing", hint)
    elif entra.client_id and not _GUID.fullmatch(entra.client_id):
        yield Problem(f"{path}.client_id", "an application's id is a GUID", hint)
    for name in ("tenant_id", "client_id"):
        if getattr(entra, name) == _PLACEHOLDER:
            yield Problem(f"{path}.{name}", "this is still the placeholder of the example")


def _times(settings: Settings) -> Iterator[Problem]:
    delivery = settings.delivery
    checks = delivery.settle_checks
    if not checks or list(checks) != sorted(set(checks)):
        yield Problem("delivery.settle_checks", "the checks are one or more times, each later than the one before")
    if delivery.retry_max < delivery.retry_first:
        yield Problem("delivery.retry_max", "retry_max is at least retry_first")
    if delivery.circuit_open_max < delivery.circuit_open:
        yield Problem("delivery.circuit_open_max", "circuit_open_max is at least circuit_open")


def _clients(settings: Settings) -> Iterator[Problem]:
    for number, client in enumerate(settings.clients):
        yield from _client(f"clients[{number}]", client, settings.http.trusted_proxies)
    yield from _twice("clients", "key_hash", [client.key_hash or "" for client in settings.clients])
    yield from _twice("clients", "entra_app_id", [client.entra_app_id.lower() for client in settings.clients])


def _callers(callers: CallersSettings, clients: Sequence[ClientSettings]) -> Iterator[Problem]:
    if not callers.tenant_id and not callers.audience:
        for number, client in enumerate(clients):
            if client.entra_app_id:
                yield Problem(
                    f"clients[{number}].entra_app_id", "nobody's tokens count", "[callers] tenant_id and audience"
                )
        return
    if not _GUID.fullmatch(callers.tenant_id):
        hint = "Entra admin center > Overview > Tenant ID"
        yield Problem("callers.tenant_id", "the tenant whose tokens count is a GUID", hint)
    if not callers.audience:
        hint = "such as 'api://posthouse', the application id URI of the app registration that stands for posthouse"
        yield Problem("callers.audience", "tokens are for an audience", hint)


def _alerts(alerts: AlertSettings) -> Iterator[Problem]:
    if alerts.mail_to and not alerts.mail_from:
        hint = "two whose mailboxes differ, so that one can tell of the other"
        yield Problem("alerts.mail_from", "alerts by mail come from a sender", hint)
    if alerts.webhook is None:
        return
    try:
        webhook(alerts.webhook)
    except SecretError as error:
        yield Problem("alerts.webhook", str(error))
    except ValueError as error:
        yield Problem("alerts.webhook", str(error), "https://host/…; http only to this machine")
    if alerts.webhook_secret is None:
        return
    try:
        webhook_secret(alerts.webhook_secret)
    except SecretError as error:
        yield Problem("alerts.webhook_secret", str(error))
    except ValueError as error:
        yield Problem("alerts.webhook_secret", str(error), 'echo "whsec_$(openssl rand -base64 32)" makes one')


def webhook(place: Secret) -> str:
    """The address that alerts are posted to; raises SecretError where it cannot be read, ValueError where it is none."""
    url = place.read()
    parts = urlsplit(url)
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))):
        raise ValueError("this is not the address of a webhook")
    return url


def webhook_secret(place: Secret) -> str:
    """The secret that signs what is posted, of Standard Webhooks' form; raises as ``webhook`` does."""
    secret = place.read()
    try:
        size = len(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    except ValueError:
        size = 0
    if not secret.startswith("whsec_") or size not in WEBHOOK_KEY:
        raise ValueError("a webhook's secret is whsec_ and the base64 of 24 to 64 bytes")
    return secret


def _client(path: str, client: ClientSettings, proxies: Sequence[str]) -> Iterator[Problem]:
    proofs = [bool(client.key_hash), bool(client.entra_app_id), client.auth == "network"]
    if sum(proofs) != 1:
        hint = "key_hash (from: posthouse keys hash), entra_app_id, or auth = 'network' with networks"
        yield Problem(
            path, "a client proves itself in one way, this one in " + ("none" if not any(proofs) else "several"), hint
        )
    if client.entra_app_id and not _GUID.fullmatch(client.entra_app_id):
        yield Problem(f"{path}.entra_app_id", "an application's id is a GUID", "Entra admin center > App registrations")
    if client.rewrite_from is not None and not matches(client.senders, client.rewrite_from):
        yield Problem(f"{path}.rewrite_from", "the client may not send as this address", "put it into senders")
    if client.auth != "network":
        return
    if not client.networks:
        yield Problem(f"{path}.networks", "a network client names its networks", "such as ['10.2.0.14/32']")
    if len(client.senders) != 1 or "*" in client.senders[0]:
        yield Problem(f"{path}.senders", "a network client has exactly one sender, an address")
    for network in client.networks:
        if _is_everything(network):
            yield Problem(f"{path}.networks", f"{network} is everybody", "the addresses of the devices")
        if any(_overlap(network, proxy) for proxy in proxies):
            hint = "behind a proxy every program would be this client"
            yield Problem(f"{path}.networks", f"{network} contains one of http.trusted_proxies", hint)


def _is_everything(network: str) -> bool:
    return ipaddress.ip_network(network, strict=False).prefixlen == 0


def _overlap(one: str, other: str) -> bool:
    first, second = ipaddress.ip_network(one, strict=False), ipaddress.ip_network(other, strict=False)
    return first.version == second.version and first.overlaps(second)


def _twice(table: str, name: str, values: Sequence[str]) -> Iterator[Problem]:
    for value in (value for value, count in Counter(values).items() if value and count > 1):
        second = values.index(value, values.index(value) + 1)
        yield Problem(f"{table}[{second}].{name}", "this stands twice", f"also at {table}[{values.index(value)}]")


def _secret(path: str, secret: Secret | None) -> Iterator[Problem]:
    if secret is None:
        return
    try:
        secret.read()
    except SecretError as error:
        yield Problem(path, str(error))


def _readable(path: str, file: Path | None) -> Iterator[Problem]:
    if file is not None and not (file.is_file() and os.access(file, os.R_OK)):
        yield Problem(path, f"{file} is not a file that can be read")
