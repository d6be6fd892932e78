"""What the REST door shows of what is kept: receipts, records, events, lanes, keys, as JSON-ready objects."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic_core import to_json

from posthouse.message import Event, MessageId, Millis, Status
from posthouse.ports import Diagnosis
from posthouse.records import AttemptRow, KeyRow, LaneRow, Page, Pause, Record, TransportRow
from posthouse.submission import Receipt

Json = dict[str, object]


def iso(at: Millis | None) -> str | None:
    """ISO 8601 in UTC with milliseconds and Z."""
    if at is None:
        return None
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def receipt(one: Receipt) -> Json:
    """The answer 202 of CONTRACT §2.1."""
    standing = one.standing
    return {
        "id": one.id,
        "status": one.status.value,
        "created_at": iso(one.created_at),
        "reference": one.reference,
        "lane": {
            "mailbox": one.mailbox,
            "ahead": standing.ahead,
            "held_by": standing.held_by,
            "estimated_send_at": iso(standing.estimated_send_at),
        },
        "warnings": [{"code": notice.code, "detail": notice.detail} for notice in one.notices],
        "links": _links(one.id),
    }


def single(receipts: Sequence[Receipt]) -> bytes:
    """The answer to one message."""
    return to_json(receipt(receipts[0]))


def batch(receipts: Sequence[Receipt]) -> bytes:
    """The answer to a batch, in its order."""
    return to_json({"data": [receipt(one) for one in receipts]})


def resolved(receipts: Sequence[Receipt]) -> bytes:
    """The answer to a dry run: nothing has an id, because nothing is kept."""
    return to_json(_resolved(receipts[0]))


def resolved_batch(receipts: Sequence[Receipt]) -> bytes:
    """The same for a batch."""
    return to_json({"data": [_resolved(one) for one in receipts]})


def _resolved(one: Receipt) -> Json:
    shown = receipt(one)
    del shown["id"], shown["links"]
    return shown | {"dry_run": True, "route": list(one.route), "size": one.size}


def record(one: Record, *, attempts: Sequence[AttemptRow] | None, diagnosis: Diagnosis) -> Json:
    """A message; a list leaves ``attempts`` out."""
    shown: Json = {
        "id": one.id,
        "status": one.status.value,
        "client": one.client,
        "door": one.door,
        "mailbox": one.mailbox,
        "from": one.sender,
        "subject": one.subject,
        "reference": one.reference,
        "tags": dict(one.tags),
        "metadata": dict(one.metadata),
        "message_id": one.message_id,
        "route": list(one.route),
        "transport": one.transport,
        "priority": one.priority.name.lower(),
        "size": one.size,
        "created_at": iso(one.created_at),
        "scheduled_at": iso(one.due_at) if one.status is Status.SCHEDULED else None,
        "next_attempt_at": iso(one.due_at) if one.status is Status.DEFERRED else None,
        "expires_at": iso(one.expires_at),
        "finished_at": iso(one.finished_at),
        "held": _cause(one.held_cause, diagnosis) if one.status is Status.HELD else None,
        "unsettled": one.unsettled,
        "erased_at": iso(one.erased_at),
        "recipients": [
            {"address": recipient.address, "kind": recipient.kind, "refused": recipient.refused}
            for recipient in one.recipients
        ],
        "links": _links(one.id),
    }
    if attempts is not None:
        shown["attempts"] = [_attempt(row, diagnosis) for row in attempts]
    return shown


def page(one: Page, *, diagnosis: Diagnosis) -> Json:
    """A list, newest first; ``next`` continues it as ``after``."""
    data = [record(item, attempts=None, diagnosis=diagnosis) for item in one.records]
    return {"data": data, "has_more": one.has_more, "next": one.records[-1].id if one.has_more else None}


def everything(items: Sequence[Json]) -> Json:
    """A list that is shown whole."""
    return {"data": list(items), "has_more": False, "next": None}


def event(one: Event) -> Json:
    """One line of a message's history."""
    return {
        "position": one.position,
        "type": one.type,
        "at": iso(one.at),
        "message": one.message_id,
        "data": {name: _shown(name, value) for name, value in one.data.items()},
    }


def _shown(name: str, value: object) -> object:
    return iso(value) if name.endswith("_at") and isinstance(value, int) else value


def lane(one: LaneRow, *, diagnosis: Diagnosis) -> Json:
    """What waits for an account, and until when."""
    return {
        "account": one.account,
        "waiting": one.waiting,
        "sending": one.sending,
        "held": one.held,
        "unconfirmed": one.unconfirmed,
        "oldest_due_at": iso(one.oldest_due_at),
        "next_at": iso(one.next_at),
        "pauses": [_pause(pause, diagnosis) for pause in one.pauses],
    }


def transport(one: TransportRow, *, kind: str, diagnosis: Diagnosis) -> Json:
    """A way out and its circuit."""
    closed = one.state == "closed"
    return {
        "name": one.name,
        "kind": kind,
        "state": one.state,
        "until": None if closed else iso(one.until),
        "since": iso(one.since) if one.since else None,
        "reason": None if closed else _cause(one.reason, diagnosis),
    }


def key(row: KeyRow) -> Json:
    """A key without its secret."""
    return {
        "id": row.id,
        "client": row.client,
        "senders": list(row.senders),
        "recipient_domains": list(row.recipient_domains),
        "scopes": list(row.scopes),
        "created_at": iso(row.created_at),
        "expires_at": iso(row.expires_at),
        "revoked_at": iso(row.revoked_at),
        "last_used_at": iso(row.last_used_at),
    }


def _links(message_id: MessageId) -> Json:
    self = f"/v1/messages/{message_id}"
    return {"self": self, "events": f"{self}/events", "content": f"{self}/content"}


def _cause(cause: str | None, diagnosis: Diagnosis) -> Json | None:
    return None if cause is None else {"cause": cause, "advice": diagnosis.advice(cause)}


def _pause(one: Pause, diagnosis: Diagnosis) -> Json:
    return {
        "transport": one.transport,
        "until": iso(one.until),
        "reason": one.reason,
        "advice": diagnosis.advice(one.reason),
        "blocked": one.blocked,
        "since": iso(one.since),
    }


def _attempt(row: AttemptRow, diagnosis: Diagnosis) -> Json:
    return {
        "number": row.number,
        "id": row.attempt_id,
        "transport": row.transport,
        "account": row.account,
        "started_at": iso(row.started_at),
        "ended_at": iso(row.ended_at),
        "outcome": row.outcome,
        "scope": row.scope,
        "status": row.status,
        "code": row.code,
        "reply": row.reply,
        "text": row.text,
        "request_id": row.request_id,
        "retry_after": row.retry_after,
        "receipt": row.receipt,
        "fix": None if row.fix is None else {"key": row.fix, "advice": diagnosis.advice(row.fix)},
    }
