"""Who may submit, as the spool keeps it: clients with their terms, their keys, and who was refused."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from posthouse.message import Millis
from posthouse.policy import Terms

MOST_REFUSALS: Final = 10_000
"""Groups of refusals that are kept (CONTRACT §2.1)."""

KeyKind = Literal["api", "device", "network", "entra"]
"""What proves who it is: a key, a device's password, the address it comes from, a token of its Entra app."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """What proves a client: never the key or password itself, only its SHA-256; ``networks``: it comes from these only."""

    id: str
    client: str
    key_hash: bytes = field(repr=False)
    kind: KeyKind = "api"
    senders: tuple[str, ...]
    recipient_domains: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ("submit",)
    created_at: Millis = 0
    expires_at: Millis | None = None
    revoked_at: Millis | None = None
    last_used_at: Millis | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRow:
    """A client, and since when its mail is accepted but held."""

    name: str
    created_at: Millis
    paused_at: Millis | None = None
    terms: Terms = field(default_factory=Terms)


@dataclass(frozen=True, slots=True)
class Identities:
    """All that the spool knows of who may submit."""

    keys: Sequence[KeyRow]
    clients: Sequence[ClientRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One kind of refusal of one source: how often, from when to when; empty where it is not known."""

    door: str
    source: str
    login: str = ""
    client: str = ""
    sender: str = ""
    code: str
    detail: str
    first_at: Millis
    last_at: Millis
    times: int = 1


@dataclass(frozen=True, slots=True)
class Use:
    """How many messages a client submitted in a minute (since 1970)."""

    client: str
    minute: int
    messages: int
