"""The service measured for Prometheus: counters that the seams feed, and gauges that are read when somebody asks.

Labels are words of the settings (transports, listeners) or of closed lists: never an address, a client or an id.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from posthouse.gauges import NAMESPACE, Gauges, Seen
from posthouse.message import Millis, Status
from posthouse.meter import Meter
from posthouse.outcome import Outcome, name_of, scope_of
from posthouse.ports import Clock, Spool, SpoolUnavailableError
from posthouse.records import Credential, LaneRow, TransportRow

_ATTEMPT: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
_WAIT: Final = (0.1, 0.5, 1, 2.5, 5, 15, 60, 300, 900, 3600, 14400, 86400, 432000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the gauges come from when somebody asks."""

    spool: Spool
    clock: Clock
    transports: Callable[[], Awaitable[Sequence[TransportRow]]]
    credentials: Callable[[], Sequence[Credential]]
    ready: Callable[[], Awaitable[str | None]]


class Metrics(Meter):
    """A meter that Prometheus reads, with a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(namespace=NAMESPACE, registry=self.registry)
        self._accepted = self._counter("messages_accepted", "Messages kept durably.", "door")
        self._finished = self._counter(
            "messages_finished",
            "Messages that became final here; transport is none where no attempt ended them.",
            "status",
            "transport",
        )
        self._attempts = self._counter("attempts", "Attempts that ended.", "transport", "outcome", "scope")
        self._attempt = self._histogram("attempt_seconds", "How long attempts were on the wire.", _ATTEMPT)
        self._wait = self._histogram(
            "accept_to_sent_seconds", "From acceptance, or a later time that was scheduled, until sent.", _WAIT
        )
        self._bounces = self._counter(
            "bounces", "Recipients whom mail did not reach, as was reported later, by the class of the cause.", "class"
        )
        self._refusals = self._counter(
            "refusals", "What the doors refused, by the code of the problem.", "door", "code"
        )
        self._requests = self._counter("http_requests", "HTTP requests answered.", "door", "status")
        self._connections = self._counter("smtp_connections", "Connections to the SMTP door.")
        self._replies = self._counter("smtp_replies", "Replies of the SMTP door.", "code")
        self._gauges = Gauges()
        self.registry.register(self._gauges)
        self._lanes: Sequence[LaneRow] | None = None
        self._turned: Millis | None = None

    async def page(self, accept: str, *, sources: Sources) -> tuple[bytes, str]:
        """All of it in the form that an Accept field names, and that form."""
        self._gauges.seen = await self._look(sources)
        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type

    async def _look(self, sources: Sources) -> Seen:
        """How everything stands; what only the spool knows is left out where it cannot be asked now."""
        spool, ready = sources.spool, await sources.ready()
        seen = Seen(
            now=sources.clock.now(),
            ready=ready is None,
            turned=self._turned,
            lanes=self._lanes,
            credentials=sources.credentials(),
        )
        try:
            return replace(
                seen,
                counts=await spool.counts(),
                oldest=await spool.oldest(),
                space=await spool.space(),
                transports=await sources.transports(),
            )
        except SpoolUnavailableError:
            return seen

    def lanes(self, rows: Sequence[LaneRow]) -> None:
        """How the lanes stand, as the sweep sees them every few seconds."""
        self._lanes = rows

    # --- what a meter hears

    def accepted(self, door: str, messages: int) -> None:
        """So many messages of one submission are kept durably."""
        self._accepted.labels(door).inc(messages)

    def refused(self, door: str, code: str) -> None:
        """A door refused something."""
        self._refusals.labels(door, code).inc()

    def attempted(self, transport: str, outcome: Outcome, *, seconds: float | None) -> None:
        """An attempt ended."""
        scope = scope_of(outcome)
        self._attempts.labels(transport, name_of(outcome), "none" if scope is None else scope.value).inc()
        if seconds is not None:
            self._attempt.labels(transport).observe(seconds)

    def finished(self, status: Status, *, transport: str | None = None, messages: int = 1) -> None:
        """Messages are final."""
        if messages:
            self._finished.labels(status.value, transport or "none").inc(messages)

    def sent(self, transport: str, *, seconds: float) -> None:
        """A message left."""
        self._wait.labels(transport).observe(seconds)

    def bounced(self, kind: str) -> None:
        """A message did not reach a recipient."""
        self._bounces.labels(kind).inc()

    def turned(self, now: Millis) -> None:
        """The dispatcher has looked at what is due."""
        self._turned = now

    def answered(self, door: str, status: int) -> None:
        """An HTTP request was answered."""
        self._requests.labels(door, str(status)).inc()

    def connected(self, door: str) -> None:  # noqa: ARG002 - of the one door that counts connections
        """Somebody connected."""
        self._connections.inc()

    def replied(self, door: str, code: str) -> None:  # noqa: ARG002 - of the one door that has such codes
        """A command was answered."""
        self._replies.labels(code).inc()

    # --- how they are made

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace=NAMESPACE, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(name, text, ["transport"], namespace=NAMESPACE, registry=self.registry, buckets=buckets)
