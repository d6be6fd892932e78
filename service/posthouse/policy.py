"""Who may send what as whom: pure rules of one client (CONTRACT §3)."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from posthouse.message import OnUnconfirmed, Priority
from posthouse.refusal import Condition, FieldError, Refused


class Right(StrEnum):
    """The scopes of a key; none includes another (CONTRACT §3)."""

    SUBMIT = "submit"
    READ = "read"
    CONTENT = "content"
    MANAGE = "manage"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds for all of a client's mail: its rate, its size in bytes, and what its door cannot say (CONTRACT §3).

    0 and None set nothing. ``over_rate``: what comes too fast is refused, or accepted and sent later
    (unsaid: later for devices and network clients, because they do not try again). ``rewrite_from``:
    the sender of mail whose From is another (a device that cannot be changed). ``expire_after`` in seconds.
    ``content``: what was sent is deleted at once, or kept for as long as the spool keeps it (unsaid).
    """

    rate_per_minute: int = 0
    rate_per_day: int = 0
    over_rate: Literal["refuse", "delay"] | None = None
    max_message_bytes: int = 0
    rewrite_from: str | None = None
    priority: Priority | None = None
    expire_after: float = 0.0
    on_unconfirmed: OnUnconfirmed | None = None
    content: Literal["keep", "until_sent"] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def rates(self) -> tuple[int, ...]:
        """Those that are set, a minute's before a day's."""
        return tuple(rate for rate in (self.rate_per_minute, self.rate_per_day) if rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program allowed to submit: its senders (exact, ``*@domain`` or ``*``), recipient domains (none: all), rights.

    ``paused``: its mail is accepted and held.
    """

    name: str
    key_id: str | None = None
    senders: tuple[str, ...]
    recipient_domains: tuple[str, ...] = ()
    rights: frozenset[Right] = field(default=frozenset({Right.SUBMIT}))
    terms: Terms = field(default_factory=Terms)
    paused: bool = False

    @property
    def by(self) -> str:
        """Who did it, as events and audit rows name it."""
        return f"key {self.key_id}" if self.key_id else self.name

    def sees(self, client: str) -> bool:
        """Whether messages of that client are visible to this one."""
        return client == self.name or Right.READ in self.rights


ANY: Final = "*"
"""All recipient domains, where none would mean fewer."""

ADMINISTRATOR: Final = Client(name="administrator", senders=("*",), rights=frozenset(Right))
"""Whoever may open the socket in the state directory (CONTRACT §5)."""


def may_send_as(client: Client, address: str, *, pointer: str = "/from") -> None:
    """Raises Refused(SENDER_NOT_ALLOWED), naming the client's senders, unless one of them matches."""
    if not matches(client.senders, address):
        allowed = ", ".join(client.senders)
        detail = f"client {client.name!r} may send as {allowed}, not as {address}"
        raise Refused(Condition.SENDER_NOT_ALLOWED, detail, errors=(FieldError(pointer, detail),), sender=address)


def may_send_to(client: Client, addresses: Iterable[str], *, pointer: str = "") -> None:
    """Raises Refused(RECIPIENT_NOT_ALLOWED), naming the client's domains, unless every domain is one of them."""
    if not client.recipient_domains or ANY in client.recipient_domains:
        return
    allowed = {folded(domain) for domain in client.recipient_domains}
    for address in addresses:
        if folded(address).rpartition("@")[2] not in allowed:
            domains = ", ".join(client.recipient_domains)
            detail = f"client {client.name!r} may send to {domains}, not to {address}"
            raise Refused(Condition.RECIPIENT_NOT_ALLOWED, detail, errors=(FieldError(pointer, detail),))


def must_have(client: Client, right: Right) -> None:
    """Raises Refused(INSUFFICIENT_SCOPE), naming the scope that is missing."""
    if right not in client.rights:
        has = ", ".join(sorted(client.rights)) or "none"
        raise Refused(Condition.INSUFFICIENT_SCOPE, f"this needs the scope {right}; this credential has {has}")


def matches(patterns: Iterable[str], address: str) -> bool:
    """Whether an address is one of these: exact, ``*@domain`` or ``*``, without regard to case, as Exchange does."""
    wanted = folded(address)
    rules = ("*", wanted, "*@" + wanted.rpartition("@")[2])
    return any(pattern in rules or folded(pattern) in rules for pattern in patterns)


def folded(text: str) -> str:
    """The one form of an address for comparing: lower case, NFC; never NFKC, which would let other letters in."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text).lower()
