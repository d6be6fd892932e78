"""From settings to parts: rules, times, limits, and the ways out with their token sources; opens nothing yet."""

import asyncio
import importlib.metadata
import logging
import os
import platform
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import httpx

from posthouse import remote
from posthouse.circuit import Circuit, Patience
from posthouse.clients.entra import CallerRules, EntraCallers
from posthouse.clients.keys import Keys
from posthouse.clock import SteadyClock
from posthouse.delivery import Policy
from posthouse.limits import Discipline, Limits, Use
from posthouse.mailboxes import SenderRule
from posthouse.message import Message
from posthouse.policy import folded
from posthouse.ports import Broom, Clock, Evidence, Letterbox, Spool, Transport
from posthouse.records import Credential, Way
from posthouse.settings.model import EntraSettings, GraphSettings, LimitSettings, Settings, SmtpSettings
from posthouse.submission import Carrier, RouteRule, Rules
from posthouse.sweep import Times
from posthouse.telemetry import TRACES_MISSING, log
from posthouse.tracer import UNTRACED, Tracer
from posthouse.transports.clouds import CLOUDS, Cloud
from posthouse.transports.graph.transport import MIME_LIMIT, GraphTransport
from posthouse.transports.smtp.transport import SmtpTransport
from posthouse.transports.tokens import TokenSource, credential_factory

SMTP_CONNECTIONS: Final = 3
"""Connections at once that Exchange takes from one account (FACTS B1)."""
JWKS_SECONDS: Final = 5.0
"""That a caller waits at most for Entra's signing keys, once."""
WARM_EVERY: Final = 60.0
"""Seconds between looks at the tokens' ages."""


def callers_of(settings: Settings, *, keys: Keys, clock: Clock) -> EntraCallers | None:
    """Who checks tokens of Entra apps; None where the settings want none."""
    callers, entra = settings.callers, settings.entra
    if not callers.audience:
        return None
    cloud = CLOUDS[entra.cloud]
    authority = (entra.authority or cloud.authority).rstrip("/")
    rules = CallerRules(
        tenant_id=callers.tenant_id.lower(),
        audiences=callers.audience,
        senders=callers.senders,
        issuers=(f"{authority}/{{}}/v2.0", "https://login.microsoftonline.com/{}/v2.0", "https://sts.windows.net/{}/"),
    )
    trust, proxy = remote.trust(entra.ca_file), settings.proxies.to(authority)
    by = None if proxy is None else proxy.url

    async def fetch() -> bytes:
        async with httpx.AsyncClient(verify=trust, timeout=JWKS_SECONDS, proxy=by, trust_env=False) as http:
            try:
                answer = await http.get(f"{authority}/{rules.tenant_id}/discovery/v2.0/keys")
                return answer.raise_for_status().content
            except httpx.HTTPError as fault:
                raise OSError(type(fault).__name__) from fault

    return EntraCallers(rules, fetch=fetch, keys=keys, clock=clock)


def rules_of(settings: Settings) -> Rules:
    """What every submission is held against."""
    return Rules(
        carriers={name: _carrier(name, transport, settings.limits) for name, transport in settings.transports.items()},
        default_route=tuple(settings.delivery.route),
        routes=tuple(
            RouteRule(senders=tuple(rule.senders), recipients=tuple(rule.recipients), transports=tuple(rule.transports))
            for rule in settings.routes
        ),
        senders=tuple(
            SenderRule(rule.address, tuple(rule.mailboxes), paced=bool(rule.limits and rule.limits.messages_per_minute))
            for rule in settings.senders
        ),
        tenant_recipients_per_day=settings.limits.tenant_recipients_per_day,
        recipients_per_message=settings.limits.recipients_per_message,
        max_message_bytes=settings.limits.max_message_bytes,
        expire_after=settings.delivery.expire_after,
        on_unconfirmed=settings.delivery.on_unconfirmed,
    )


def policy_of(settings: Settings) -> Policy:
    """The times of delivery."""
    delivery = settings.delivery
    return Policy(
        retry_first=delivery.retry_first,
        retry_max=delivery.retry_max,
        expire_after=delivery.expire_after,
        settle_checks=tuple(delivery.settle_checks),
        blocked_probe=delivery.blocked_probe,
        attempt_timeout=delivery.attempt_timeout,
        drain_timeout=delivery.drain_timeout,
    )


def times_of(settings: Settings) -> Times:
    """The times of the sweep."""
    kept = settings.spool
    return Times(
        retention=kept.retention,
        content_retention=kept.content_retention,
        blocked_probe=settings.delivery.blocked_probe,
    )


def circuits_of(settings: Settings, names: Iterable[str]) -> dict[str, Circuit]:
    """The circuit of each transport, closed."""
    delivery = settings.delivery
    patience = Patience(first=delivery.circuit_open, longest=delivery.circuit_open_max, blocked=delivery.blocked_probe)
    return {name: Circuit(name, patience=patience) for name in names}


def tracer_of(settings: Settings, spool: Spool) -> Tracer:
    """Who sends traces, where OpenTelemetry's variables ask for them and its exporter is installed."""
    if not settings.traced:
        return UNTRACED
    try:
        from posthouse.traces import Traces  # noqa: PLC0415 - an extra: without it there is nothing to import
    except ImportError as missing:
        log(TRACES_MISSING, level=logging.WARNING, detail=f"pip install 'posthouse[otel]' ({missing.name} is missing)")
        return UNTRACED
    return Traces(events=spool.events, version=version())


def version() -> str:
    """The installed version."""
    return importlib.metadata.version("posthouse")


def discipline_of(settings: Settings) -> Discipline:
    """The limits of all lanes."""
    return Discipline(
        uses={name: _use(name, transport, settings) for name, transport in settings.transports.items()},
        senders={
            folded(rule.address): rule.limits.messages_per_minute
            for rule in settings.senders
            if rule.limits is not None and rule.limits.messages_per_minute
        },
        tenant_recipients_per_day=settings.limits.tenant_recipients_per_day,
    )


def _use(name: str, transport: GraphSettings | SmtpSettings, settings: Settings) -> Use:
    """How a transport draws on its lanes; one with limits of its own has a pace of its own.

    Only Graph counts requests of an app and bytes of uploads; of SMTP Exchange counts connections (FACTS B1).
    """
    graph = isinstance(transport, GraphSettings)
    return Use(
        pace=name if transport.limits is not None else "",
        limits=limits_of(transport.limits or settings.limits),
        slots=0 if graph else SMTP_CONNECTIONS,
        app=_app(transport.entra or settings.entra) if graph else "",
        uploads=graph,
    )


def _app(entra: EntraSettings) -> str:
    """The Entra app that transports share where they name the same one; a machine's own identity has no name here."""
    return f"{entra.client_id or entra.credential}@{entra.tenant_id}"


def limits_of(settings: LimitSettings) -> Limits:
    """What an account may do."""
    return Limits(
        messages_per_minute=settings.messages_per_minute,
        concurrent_requests=settings.concurrent_requests,
        recipients_per_day=settings.recipients_per_day,
        upload_bytes_per_5_minutes=settings.upload_bytes_per_5_minutes,
    )


def _carrier(name: str, transport: GraphSettings | SmtpSettings, limits: LimitSettings) -> Carrier:
    day = (transport.limits or limits).recipients_per_day
    if isinstance(transport, SmtpSettings):
        account = transport.username.lower() if transport.auth == "login" and transport.username else None
        return Carrier(name=name, kind="smtp", account=account, recipients_per_day=day)
    return Carrier(
        recipients_per_day=day,
        name=name,
        kind="graph",
        max_wire_bytes=MIME_LIMIT,
        drafts=transport.drafts,
        extra_header_recipients=transport.extra_header_recipients,
    )


def ways_of(settings: Settings) -> dict[str, Way]:
    """What must be known of the transports to look for what they may have sent."""
    carriers = rules_of(settings).carriers
    return {name: Way(carrier.kind, carrier.account) for name, carrier in carriers.items()}


class WaysOut:
    """The transports of the settings, and the token sources that they share where they ask the same Entra app."""

    def __init__(self, settings: Settings, *, clock: Clock, unproven: Callable[[Message], bool]) -> None:
        self._settings = settings
        self._clock = clock
        self._unproven = unproven
        self._scopes = _scopes(settings)
        self._sources: dict[EntraSettings, TokenSource] = {}
        self.by_name: dict[str, Transport] = {}
        self.brooms: dict[str, Broom] = {}
        for name, transport in settings.transports.items():
            self.by_name[name] = self._make(name, transport)
        self.evidence = self._evidence()
        self.letterboxes = self._letterboxes()

    def offered(self, name: str) -> int | None:
        """The SIZE that the server of an SMTP transport offered last; None where it has not been asked, or for Graph."""
        transport = self.by_name[name]
        return transport.offered if isinstance(transport, SmtpTransport) else None

    def tokens(self) -> Sequence[Credential]:
        """Of every transport that asks Entra ID for one; without an expiry before the first is there."""
        found: list[Credential] = []
        for name, transport in self._settings.transports.items():
            entra = transport.entra or self._settings.entra
            scope, source = _scope(transport, CLOUDS[entra.cloud]), self._sources.get(entra)
            if source is not None and scope is not None:
                ends = source.expires_on(scope)
                expires_at = None if ends is None else int(ends * 1000)
                found.append(Credential(kind="token", name=name, expires_at=expires_at, answer=source.failure(scope)))
        return found

    async def warm(self) -> None:
        """Keep all tokens fresh; runs until cancelled."""
        while True:
            await asyncio.gather(*(source.warm() for source in self._sources.values()))
            await asyncio.sleep(WARM_EVERY)

    async def close(self) -> None:
        """Close all connections."""
        for transport in self.by_name.values():
            await transport.close()
        for source in self._sources.values():
            await source.close()

    def _make(self, name: str, transport: GraphSettings | SmtpSettings) -> Transport:
        entra = transport.entra or self._settings.entra
        cloud = CLOUDS[entra.cloud]
        if isinstance(transport, SmtpSettings):
            server = remote.server(transport, entra, tokens=lambda: self._source(entra))
            return SmtpTransport(name=name, server=server, clock=self._clock)
        graph = GraphTransport(
            name=name,
            base_url=transport.base_url or cloud.graph_url,
            scope=cloud.graph_scope,
            tokens=self._source(entra),
            ssl_context=remote.trust(transport.ca_file or entra.ca_file),
            clock=self._clock,
            unproven=self._unproven,
            drafts=transport.drafts,
            proxies=self._settings.proxies,
        )
        self.brooms[name] = graph
        return graph

    def _evidence(self) -> dict[str, Evidence]:
        """Who can look for what each transport sent: itself, else a Graph transport of its tenant, else the first there is."""
        graphs = {name: one for name, one in self.by_name.items() if isinstance(one, GraphTransport)}
        if not graphs:
            return {}
        tenants = {name: self._tenant(self._settings.transports[name]) for name in self.by_name}
        return {
            name: graphs.get(name)
            or next((graph for other, graph in graphs.items() if tenants[other] == tenants[name]), None)
            or next(iter(graphs.values()))
            for name in self.by_name
        }

    def _letterboxes(self) -> dict[str, Letterbox]:
        """Who reads what came of each transport's mail: its evidence, where that is declared to have the right."""
        declared = {
            one.name: one
            for one in self.by_name.values()
            if isinstance(one, GraphTransport) and self._declared(one.name)
        }
        found = {name: declared.get(evidence.name) for name, evidence in self.evidence.items()}
        return {name: one.letterbox for name, one in found.items() if one is not None}

    def _declared(self, name: str) -> bool:
        transport = self._settings.transports[name]
        return isinstance(transport, GraphSettings) and transport.bounces

    def _tenant(self, transport: GraphSettings | SmtpSettings) -> tuple[str, str]:
        entra = transport.entra or self._settings.entra
        return entra.cloud, entra.tenant_id

    def _source(self, entra: EntraSettings) -> TokenSource:
        if entra not in self._sources:
            options = remote.entra_options(entra, self._settings.proxies)
            self._sources[entra] = TokenSource(
                factory=credential_factory(options),
                scopes=tuple(self._scopes[entra]),
                clock=self._clock,
                by_proxy=options.by_proxy,
            )
        return self._sources[entra]


def _scopes(settings: Settings) -> dict[EntraSettings, list[str]]:
    """Which tokens each Entra app is asked for, so that none is kept warm that nobody uses."""
    scopes: defaultdict[EntraSettings, list[str]] = defaultdict(list)
    for transport in settings.transports.values():
        entra = transport.entra or settings.entra
        cloud = CLOUDS[entra.cloud]
        scope = _scope(transport, cloud)
        if scope is not None and scope not in scopes[entra]:
            scopes[entra].append(scope)
    return scopes


def _scope(transport: GraphSettings | SmtpSettings, cloud: Cloud) -> str | None:
    """What a transport asks a token for; None where it needs none."""
    if isinstance(transport, GraphSettings):
        return cloud.graph_scope
    return cloud.smtp_scope if transport.auth == "xoauth2" else None


class Ways(Protocol):
    """The ways out by name, and those of them that can look messages up."""

    @property
    def by_name(self) -> Mapping[str, Transport]:
        """All transports of the settings."""
        ...

    @property
    def evidence(self) -> Mapping[str, Evidence]:
        """Who can look for what each transport sent; none where no Graph transport is configured."""
        ...

    @property
    def letterboxes(self) -> Mapping[str, Letterbox]:
        """Who can read which mail of each transport did not arrive; none where no transport is declared to have the right."""
        ...

    @property
    def brooms(self) -> Mapping[str, Broom]:
        """Who can take away the drafts that each Graph transport made."""
        ...

    def offered(self, name: str) -> int | None:
        """The SIZE that the server of an SMTP transport offered last; None where it has not been asked, or for Graph."""
        ...

    def tokens(self) -> Sequence[Credential]:
        """The token of every transport that needs one, and until when it is good."""
        ...

    async def warm(self) -> None:
        """Keep tokens fresh; runs until cancelled."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class MakeWays(Protocol):
    """Builds the ways out of settings."""

    def __call__(self, settings: Settings, *, clock: Clock, unproven: Callable[[Message], bool]) -> Ways:
        """``unproven``: the mailbox of this message has never sent anything and only a wildcard allows it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a service takes from where it runs: its own name there, time, chance and the network."""

    owner: str
    clock: Clock = field(default_factory=SteadyClock)
    chance: Callable[[int], bytes] = secrets.token_bytes
    ways: MakeWays = WaysOut


def owner() -> str:
    """The name under which this process holds its spool and its leases."""
    return f"{platform.node()}:{os.getpid()}:{secrets.token_hex(4)}"
