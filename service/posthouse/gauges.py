"""The gauges of the metrics: how everything stands when somebody looks, nothing of which is kept."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from posthouse.message import FINAL, Millis, Status
from posthouse.records import Credential, LaneRow, Space, TransportRow

NAMESPACE: Final = "posthouse"
STATES: Final = ("closed", "open", "blocked", "paused")
STORED: Final = tuple(status for status in Status if status not in {Status.SCHEDULED, Status.DEFERRED})
"""What the spool stores: scheduled and deferred ones are queued."""
WHY: Final = ("person", "blocked", "asked")
"""Why a lane is paused: somebody said so; somebody must mend something; Microsoft or a used-up day asks to wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One look; None is what could not be seen."""

    now: Millis = 0
    ready: bool = False
    turned: Millis | None = None
    lanes: Sequence[LaneRow] | None = None
    credentials: Sequence[Credential] = ()
    counts: Mapping[Status, int] | None = None
    oldest: Mapping[Status, Millis] | None = None
    space: Space | None = None
    transports: Sequence[TransportRow] = ()


class Gauges(Collector):
    """What ``seen`` says, as families of Prometheus."""

    def __init__(self) -> None:
        self.seen = Seen()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Each family, with samples or without."""
        seen = self.seen
        yield _gauge("ready", "Whether mail can be kept durably (1 or 0).", float(seen.ready))
        yield _gauge(
            "worker_progress_timestamp_seconds",
            "When this process last looked at what is due; absent where it does not send.",
            None if seen.turned is None else seen.turned / 1000,
        )
        yield from _messages(seen)
        yield from _lanes(seen.lanes, seen.now)
        yield _states(seen.transports)
        yield _credentials(seen.credentials)
        yield _gauge(
            "spool_bytes", "What the spool takes on its disk.", None if seen.space is None else seen.space.taken
        )
        yield _gauge(
            "spool_free_bytes",
            "What may still be written under the spool; absent on PostgreSQL.",
            None if seen.space is None else seen.space.free,
        )


def _gauge(name: str, text: str, value: float | None) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{NAMESPACE}_{name}", text, value=value)


def _family(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{NAMESPACE}_{name}", text, labels=labels)


def _messages(seen: Seen) -> Iterator[GaugeMetricFamily]:
    family = _family("messages", "Messages in the spool; scheduled and deferred ones are queued.", "status")
    for status in STORED if seen.counts is not None else ():
        family.add_metric([status.value], (seen.counts or {}).get(status, 0))
    yield family
    family = _family(
        "oldest_seconds",
        "Age of the oldest message of a status that is not final: since it was accepted; of a queued one, since it was due.",
        "status",
    )
    for status in STORED if seen.oldest is not None else ():
        if status not in FINAL and status is not Status.QUEUED:
            at = (seen.oldest or {}).get(status, seen.now)
            family.add_metric([status.value], max(seen.now - at, 0) / 1000)
    if seen.lanes is not None:
        due = [lane.oldest_due_at for lane in seen.lanes if lane.oldest_due_at is not None]
        family.add_metric([Status.QUEUED.value], max(seen.now - min(due, default=seen.now), 0) / 1000)
    yield family


def _lanes(lanes: Sequence[LaneRow] | None, now: Millis) -> Iterator[GaugeMetricFamily]:
    paused = _family("lanes_paused", "Lanes that are paused, as a whole or for one transport.", "why")
    if lanes is not None:
        found = Counter(why_paused(lane, now) for lane in lanes)
        for why in WHY:
            paused.add_metric([why], found[why])
    yield paused
    waiting = None if lanes is None else sum(1 for lane in lanes if lane.waiting)
    yield _gauge("lanes_waiting", "Lanes in which something is queued.", waiting)
    due = None if lanes is None else sum(part.due for lane in lanes for part in lane.backlog)
    yield _gauge("messages_due", "Queued messages whose time has come.", due)


def why_paused(lane: LaneRow, now: Millis) -> str | None:
    """The gravest reason why a lane is paused; None where it is not."""
    if lane.told.paused:
        return "person"
    if any(pause.blocked for pause in lane.pauses):
        return "blocked"
    return "asked" if any(pause.until > now for pause in lane.pauses) else None


def _states(transports: Sequence[TransportRow]) -> GaugeMetricFamily:
    family = _family("transport_state", "1 for the state that a transport is in, else 0.", "transport", "state")
    for row in transports:
        stands = "paused" if row.told.paused else row.state
        for state in STATES:
            family.add_metric([row.name, state], float(stands == state))
    return family


def _credentials(credentials: Sequence[Credential]) -> GaugeMetricFamily:
    family = _family(
        "credential_expiry_timestamp_seconds", "Until when a credential is good, where that is known.", "kind", "name"
    )
    for one in credentials:
        if one.expires_at is not None:
            family.add_metric([one.kind, one.name], one.expires_at / 1000)
    return family
