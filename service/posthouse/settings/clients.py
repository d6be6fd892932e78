"""[[clients]] of the settings as the rest of the house knows clients: what proves them, and their terms."""

from collections.abc import Mapping

from posthouse.identities import KeyKind, KeyRow
from posthouse.message import Priority
from posthouse.policy import Terms
from posthouse.settings.model import ClientSettings, Settings


def fixed_keys(settings: Settings) -> list[KeyRow]:
    """The keys of ``[[clients]]``: they live as long as the settings say so."""
    return [_key(client) for client in settings.clients]


def fixed_terms(settings: Settings) -> Mapping[str, Terms]:
    """The terms of these clients by name; of one that stands there several times (several keys), the first that has any."""
    found: dict[str, Terms] = {}
    for client in settings.clients:
        terms = _terms(client)
        if client.name not in found or found[client.name] == Terms():
            found[client.name] = terms
    return found


def _key(client: ClientSettings) -> KeyRow:
    domains = client.recipient_domains
    if client.auth == "network" and not domains:
        domains = (client.senders[0].rpartition("@")[2],)
    kind: KeyKind = "network" if client.auth == "network" else "entra" if client.entra_app_id else "api"
    return KeyRow(
        id=client.entra_app_id.lower() or f"settings:{client.name}",
        client=client.name,
        key_hash=bytes.fromhex(client.key_hash or ""),
        kind=kind,
        senders=client.senders,
        recipient_domains=domains,
        networks=client.networks,
        scopes=client.scopes,
    )


def _terms(client: ClientSettings) -> Terms:
    return Terms(
        rate_per_minute=client.rate_per_minute,
        rate_per_day=client.rate_per_day,
        over_rate=client.over_rate,
        max_message_bytes=client.max_message_bytes,
        rewrite_from=client.rewrite_from,
        priority=None if client.priority is None else Priority[client.priority.upper()],
        expire_after=client.expire_after or 0.0,
        on_unconfirmed=client.on_unconfirmed,
        content=client.content,
        tags=client.tags,
    )
