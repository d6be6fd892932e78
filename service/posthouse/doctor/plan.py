"""What the doctor examines, as the settings say it; made by who knows them, opened by nobody yet."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from posthouse.doctor.network import Host, Trust
from posthouse.doctor.steps import Seen
from posthouse.transports.proxies import Proxies, Proxy
from posthouse.transports.smtp.connection import Server
from posthouse.transports.tokens import EntraOptions, TokenSource


@dataclass(frozen=True, slots=True, kw_only=True)
class EntraPlan:
    """Who asks Entra ID, at which host; ``graph_host`` is Graph's in the cloud of the settings."""

    options: EntraOptions
    host: Host
    cloud: str
    graph_host: str
    trust: Trust
    tokens: Callable[[], TokenSource]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphPlan:
    """A transport of kind graph; ``drafts`` and ``bounces``: the settings say that the app may write drafts, and read reports."""

    name: str
    base_url: str
    scope: str
    entra: EntraPlan
    host: Host
    trust: Trust
    drafts: bool
    bounces: bool
    proxies: Proxies


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpPlan:
    """A transport of kind smtp; ``entra`` where it logs in with tokens for ``scope``, ``username`` where with a password.

    ``proxy`` is the one by which others go, and SMTP does not.
    """

    name: str
    host: Host
    security: str
    server: Callable[[Callable[[], TokenSource]], Server]
    scope: str
    entra: EntraPlan | None
    username: str | None
    proxy: Proxy | None


@dataclass(frozen=True, slots=True)
class Sender:
    """An address, and the mailbox that sends it."""

    address: str
    mailbox: str

    @property
    def own(self) -> bool:
        """Whether the address is the mailbox's own."""
        return self.address.casefold() == self.mailbox.casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything there is to examine.

    ``configuration`` and ``storage`` look at what only their callers know; ``sound``: nothing is wrong with the settings
    that the spool needs, so that it is looked at whatever else is wrong. ``senders`` are the addresses that somebody may
    send as, without patterns; ``mailboxes`` those of an address that the settings map, by address in lower case.
    """

    configuration: Callable[[], Awaitable[Seen]]
    storage: Callable[[], Awaitable[Seen]]
    sound: bool
    graphs: Sequence[GraphPlan] = ()
    smtps: Sequence[SmtpPlan] = ()
    senders: Callable[[], Awaitable[Sequence[str]]]
    mailboxes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    monotonic: Callable[[], float]
    wall: Callable[[], float]
