"""What the REST door shows of what is kept: receipts, records, events, lanes, keys, as JSON-ready objects."""

from collections.abc import Sequence
from typing import Final

from pydantic_core import to_json

from posthouse.concurrency import Ceiling
from posthouse.doors.http.parts import iso
from posthouse.doors.rest.diagnoses import Json, explained, of_event, of_record, of_report
from posthouse.identities import KeyRow
from posthouse.lanes import PAUSED_BY_PERSON
from posthouse.limits import PLAIN, Discipline
from posthouse.message import Event, MessageId, Millis, Status
from posthouse.pace import kept
from posthouse.ports import Diagnosis
from posthouse.reckoning import Account, WaitsFor, lane_of
from posthouse.records import (
    AlertRow,
    AttemptRow,
    Credential,
    FeedEvent,
    FeedPage,
    Page,
    Pause,
    Presence,
    Record,
    TransportRow,
)
from posthouse.submission import Receipt
from posthouse.ways import Way

FOREVER: Final[Millis] = 253_402_300_799_000
"""The end of the year 9999, until when what a person paused is paused."""


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
    ways = [_way(way) for way in one.ways]
    return shown | {"dry_run": True, "route": list(one.route), "ways": ways, "size": one.size}


def _way(way: Way) -> Json:
    """How a transport stands to the message, and why."""
    return {"transport": way.transport, "form": way.form, "able": way.able, "limit_bytes": way.limit, "why": way.why}


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
        "diagnosis": of_record(one, diagnosis),
        "unsettled": one.unsettled,
        "erased_at": iso(one.erased_at),
        "recipients": [
            {"address": recipient.address, "kind": recipient.kind, "refused": recipient.refused}
            for recipient in one.recipients
        ],
        "bounces": [
            {"recipient": bounce.recipient, "at": iso(bounce.at), "diagnosis": of_report(bounce, one, diagnosis)}
            for bounce in one.bounces
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


def feed(page: FeedPage, *, diagnosis: Diagnosis) -> Json:
    """Events of all messages; ``next`` goes on as ``after``, whether or not there was any."""
    data = [fed(one, diagnosis=diagnosis) for one in page.events]
    return {"data": data, "has_more": page.has_more, "next": page.next, "gap": page.gap}


def fed(one: FeedEvent, *, diagnosis: Diagnosis) -> Json:
    """An event with what its client gave the message to be told by."""
    return event(one.event, diagnosis=diagnosis) | {
        "client": one.client,
        "reference": one.reference,
        "metadata": dict(one.metadata),
    }


def event(one: Event, *, diagnosis: Diagnosis) -> Json:
    """One line of a message's history."""
    return {
        "position": one.position,
        "type": one.type,
        "at": iso(one.at),
        "message": one.message_id,
        "data": {name: _shown(name, value) for name, value in one.data.items()},
        "diagnosis": of_event(one, diagnosis),
    }


def _shown(name: str, value: object) -> object:
    return iso(value) if name.endswith("_at") and isinstance(value, int) else value


def lane(
    account: Account,
    why: WaitsFor | None,
    *,
    discipline: Discipline,
    proofs: Sequence[Presence],
    diagnosis: Diagnosis,
) -> Json:
    """What waits for an account, for what, until when; how its limits stand; whether a doubtful send could be settled."""
    one = account.row
    pauses = [_pause(pause, diagnosis, one.account) for pause in one.pauses]
    if one.told.paused:
        told = Pause(None, FOREVER, PAUSED_BY_PERSON, blocked=False, since=one.told.at)
        pauses.insert(0, _pause(told, diagnosis, one.account) | {"until": None, "by": one.told.by})
    return {
        "account": one.account,
        "waiting": one.waiting,
        "sending": one.sending,
        "held": one.held,
        "unconfirmed": one.unconfirmed,
        "oldest_due_at": iso(one.oldest_due_at),
        "next_at": None if one.told.paused else iso(one.next_at),
        "waits_for": None if why is None else _waits_for(why, diagnosis, one.account),
        **_limits(account, discipline),
        "backlog": [
            {
                "priority": part.priority.name.lower(),
                "client": part.client,
                "waiting": part.count,
                "due": part.due,
                "oldest_due_at": iso(part.oldest_due_at),
            }
            for part in one.backlog
        ],
        "pauses": pauses,
        "proofs": [_proof(proof) for proof in proofs],
    }


def _proof(one: Presence) -> Json:
    return {
        "kind": one.kind,
        "message_ids": "ours" if one.own else "clients",
        "level": one.level.value,
        "proved_at": iso(one.proved_at),
        "witness": None if one.witness is None else one.witness.id,
        "asked_at": iso(one.asked_at),
        "next_look_at": iso(one.ask_at),
        "answer": one.answer,
    }


def _waits_for(why: WaitsFor, diagnosis: Diagnosis, account: str) -> Json:
    return {
        "reason": why.reason,
        "until": iso(why.until),
        "advice": diagnosis.advice(why.reason),
        "diagnosis": _known(why.reason, diagnosis, mailbox=account),
    }


def _limits(account: Account, discipline: Discipline) -> Json:
    """How much of each limit is used; limits of 0 are none and shown as null."""
    now, use = account.at, discipline.usual
    lane, limits = lane_of(account, discipline), use.limits
    starts, uploaded, recipients = lane.used(now, use)
    start_at = lane.pace_at(now, use, PLAIN)
    room_at = lane.day.room_at(now, limit=limits.recipients_per_day, recipients=1)
    return {
        "pace": _use(starts, limits.messages_per_minute)
        | {"kept_for_high": kept(limits.messages_per_minute), "next_start_at": iso(start_at)},
        "slots": _use(account.row.sending, limits.concurrent_requests)
        | {"kept_for_high": kept(limits.concurrent_requests)},
        "day": _use(recipients, limits.recipients_per_day) | {"room_at": iso(room_at) if room_at > now else None},
        "upload": _use(uploaded, limits.upload_bytes_per_5_minutes),
    }


def _use(used: int, limit: int) -> Json:
    return {"used": used, "limit": limit or None}


def transport(one: TransportRow, *, kind: str, ceiling: Ceiling | None, diagnosis: Diagnosis) -> Json:
    """A way out, its circuit, and how many requests its app may have under way in the process that answers."""
    if one.told.paused:
        state, until, reason, since = "paused", None, _cause(PAUSED_BY_PERSON, diagnosis), one.told.at
    elif one.state == "closed":
        state, until, reason, since = one.state, None, None, one.since
    else:
        state, until, reason, since = one.state, iso(one.until), _cause(one.reason, diagnosis), one.since
    return {
        "name": one.name,
        "kind": kind,
        "state": state,
        "until": until,
        "since": iso(since) if since else None,
        "reason": reason,
        "by": one.told.by if one.told.paused else None,
        "concurrency": None if ceiling is None else {"limit": ceiling.limit, "under_way": ceiling.under_way},
    }


def credential(one: Credential, diagnosis: Diagnosis) -> Json:
    """What is shown to others, until when it is good, and where it is not there: why."""
    reason: Json | None = None
    if one.answer is not None:
        key = one.answer.fix
        reason = explained(key, diagnosis.fix(key) if key else None, {}, text=one.answer.text)
        reason |= {"code": one.answer.code, "request_id": one.answer.request_id}
    return {"kind": one.kind, "name": one.name, "expires_at": iso(one.expires_at), "reason": reason}


def alert(row: AlertRow, diagnosis: Diagnosis) -> Json:
    """An alert with its diagnosis."""
    one = row.alert
    words = {"mailbox": one.mailboxes[0] if len(one.mailboxes) == 1 else ""}
    return {
        **explained(one.key, diagnosis.fix(one.key), words, text=None),
        "subject": one.subject,
        "text": one.text,
        "transports": list(one.transports),
        "mailboxes": list(one.mailboxes),
        "raised_at": iso(row.raised_at),
        "told_at": iso(row.told_at),
    }


def key(row: KeyRow) -> Json:
    """A key without its secret."""
    return {
        "id": row.id,
        "client": row.client,
        "kind": row.kind,
        "senders": list(row.senders),
        "recipient_domains": list(row.recipient_domains),
        "networks": list(row.networks),
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
    if cause is None:
        return None
    return {"cause": cause, "advice": diagnosis.advice(cause), "diagnosis": _known(cause, diagnosis)}


def _known(key: str, diagnosis: Diagnosis, **words: str) -> Json:
    return explained(key, diagnosis.fix(key), words, text=None)


def _pause(one: Pause, diagnosis: Diagnosis, account: str) -> Json:
    return {
        "transport": one.transport,
        "until": iso(one.until),
        "reason": one.reason,
        "advice": diagnosis.advice(one.reason),
        "diagnosis": _known(one.reason, diagnosis, mailbox=account),
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
        "diagnosis": None if row.fix is None else _known(row.fix, diagnosis),
    }
