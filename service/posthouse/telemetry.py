"""The names of log lines and events, in one place, and the one way to write a log line."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

LOGGER: Final = logging.getLogger("posthouse")

SERVICE_READY: Final = "service.ready"
SERVICE_DRAINING: Final = "service.draining"
SERVICE_STOPPED: Final = "service.stopped"
SERVICE_FAULT: Final = "service.fault"
CLOCK_TURNED_BACK: Final = "clock.turned_back"
SWEPT: Final = "sweep.mended"
CLOCK_DIFFERS: Final = "clock.differs"
CLOCK_AGREES: Final = "clock.agrees"
MESSAGE_ACCEPTED: Final = "message.accepted"
MESSAGE_SENDING: Final = "message.sending"
MESSAGE_SENT: Final = "message.sent"
MESSAGE_DEFERRED: Final = "message.deferred"
MESSAGE_FELL_BACK: Final = "message.fell_back"
MESSAGE_UNCONFIRMED: Final = "message.unconfirmed"
MESSAGE_HELD: Final = "message.held"
MESSAGE_RELEASED: Final = "message.released"
MESSAGE_RETRIED: Final = "message.retried"
MESSAGE_CHANGED: Final = "message.changed"
MESSAGE_FAILED: Final = "message.failed"
MESSAGE_EXPIRED: Final = "message.expired"
MESSAGE_CANCELED: Final = "message.canceled"
MESSAGE_SETTLED: Final = "message.settled"
MESSAGE_LOOKED_UP: Final = "message.looked_up"
MESSAGE_RESEND_WITHDRAWN: Final = "message.resend_withdrawn"
MESSAGE_LATE_OUTCOME: Final = "message.late_outcome"
MESSAGE_ERASED: Final = "message.erased"
MESSAGE_BOUNCED: Final = "message.bounced"
CONTENT_VIEWED: Final = "message.content_viewed"
MESSAGE_RECIPIENTS_DROPPED: Final = "message.recipients_dropped"
MESSAGE_EVENTS: Final = frozenset(
    {
        MESSAGE_ACCEPTED,
        MESSAGE_SENDING,
        MESSAGE_SENT,
        MESSAGE_DEFERRED,
        MESSAGE_FELL_BACK,
        MESSAGE_UNCONFIRMED,
        MESSAGE_HELD,
        MESSAGE_RELEASED,
        MESSAGE_RETRIED,
        MESSAGE_CHANGED,
        MESSAGE_FAILED,
        MESSAGE_EXPIRED,
        MESSAGE_CANCELED,
        MESSAGE_SETTLED,
        MESSAGE_LOOKED_UP,
        MESSAGE_RESEND_WITHDRAWN,
        MESSAGE_LATE_OUTCOME,
        MESSAGE_ERASED,
        MESSAGE_BOUNCED,
    }
)
"""What the history of a message, and so the feed, may hold."""
LANE_PAUSED: Final = "lane.paused"
LANE_RESUMED: Final = "lane.resumed"
APP_THROTTLED: Final = "app.throttled"
TRANSPORT_DEGRADED: Final = "transport.degraded"
TRANSPORT_RECOVERED: Final = "transport.recovered"
SENDER_BLOCKED: Final = "sender.blocked"
DRAFTS_LEFT: Final = "drafts.left"
REPORTS_UNREAD: Final = "reports.unread"
TENANT_LIMITED: Final = "tenant.limited"
REFUSED: Final = "submission.refused"
AUTHENTICATION_REFUSED: Final = "authentication.refused"
CERTIFICATE_READ: Final = "certificate.read"
CERTIFICATE_KEPT: Final = "certificate.kept"
KEY_CREATED: Final = "key.created"
KEY_REVOKED: Final = "key.revoked"
KEY_ROTATED: Final = "key.rotated"
CLIENT_CHANGED: Final = "client.changed"
REPORT_REFUSED: Final = "report.refused"
RECIPIENT_ERASED: Final = "recipient.erased"
TRACES_MISSING: Final = "traces.missing"
SPOOL_RESEALED: Final = "spool.resealed"
SPOOL_RESTORED: Final = "spool.restored"
SPOOL_DAMAGED: Final = "spool.damaged"
ALERT_RAISED: Final = "alert.raised"
ALERT_ENDED: Final = "alert.ended"
ALERT_UNTOLD: Final = "alert.untold"


NAMED: Final = 10
"""Recipients that a line names at most; their number stands beside them."""


def log(event: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Write one line for one change of state; the caller gives no content, token, key or full recipient address."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, event, extra={"fields": fields})


def masked(address: str) -> str:
    """A recipient as logs show it: the first letter and the domain."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Recipients that a line names: as text they are masked, so that no handler of whoever writes logs shows them whole."""

    whole: Sequence[str] = field(repr=False)

    def __str__(self) -> str:
        return ", ".join(map(masked, self.whole))


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object a line: at, level, event and the event's fields.

    Recipients stand there masked, and beside each its keyed hash where ``pseudonym`` can make one: the lines about
    somebody are found without naming him.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pseudonym: Callable[[str], str] | None = None

    def format(self, record: logging.LogRecord) -> str:
        """The line; an exception's text is left out where it could carry secrets, its type and place are kept."""
        fields = getattr(record, "fields", None)
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if isinstance(fields, Mapping):
            line.update({str(name): self._shown(value) for name, value in fields.items() if value is not None})
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["where"] = _where(record)
        return json.dumps(line, default=str, ensure_ascii=False)

    def _shown(self, value: object) -> object:
        if not isinstance(value, Addresses):
            return value
        named = value.whole[:NAMED]
        if self.pseudonym is None:
            return [{"address": masked(one)} for one in named]
        return [{"address": masked(one), "hash": self.pseudonym(one)} for one in named]


def _where(record: logging.LogRecord) -> list[str]:
    frames: list[str] = []
    trace = record.exc_info[2] if record.exc_info else None
    while trace is not None:
        frames.append(f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return frames[-8:]
