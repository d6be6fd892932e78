"""Records made into the rows that engines write, in the order that the verbs of ``spool/sql`` name."""

import contextlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from posthouse.message import Millis, Status, id_bytes
from posthouse.outcome import (
    Outcome,
    PermanentFailure,
    RefusedRecipient,
    Sent,
    TransientFailure,
    Unconfirmed,
    name_of,
    scope_of,
)
from posthouse.ports import ContentUnreadableError
from posthouse.records import Finish, Mark, NewMessage, Presence
from posthouse.spool.doubts import Doubt
from posthouse.spool.rules import Left
from posthouse.spool.rules import recovered as judged
from posthouse.spool.sealing import HEADER, Keyring, Place, Seal

ANSWER_KEPT: Final[Millis] = 24 * 3_600_000
"""An idempotency key is kept until 24 h after its last message is final (CONTRACT §2.1)."""
SealedTuple = tuple[int, str, bytes, bytes, int, int, int]
"""The order is that of sealed_before.sql."""
CHUNKS: Final = "chunks"
"""The location of a content whose body lies in chunks."""
ENTRY_OVERHEAD: Final = 1_024
"""Bytes of a message beside its content, about; what a group commit is bounded by."""


GRACE: Final[Millis] = 10_000
"""How long after its deadline the request of a former owner may still be alive (PROMISES §7)."""
PACE_READ: Final[Millis] = 240_000
"""How far back attempts are read that may have ended in the last 60 s: one takes a minute and more (PROMISES §3)."""
UPLOADS_READ: Final[Millis] = 480_000
"""The same for uploads of the last five minutes."""
HOUR: Final[Millis] = 3_600_000
DAY_READ: Final = 25
"""Hours whose recipients may still count for the day."""

DIED: Final = {"code": "process_died", "text": "the process ended while the attempt was under way"}
LOST: Final = {"code": "attempt_lost", "text": "the attempt ended inside the service without an outcome"}
FOREVER: Final[Millis] = 1 << 62
CHAINS_KEPT: Final[Millis] = 90 * 86_400_000
"""After so long nobody starts on the same boot of a machine and asks how its time lay; if so, it begins anew."""
CLOCKS_WANDER: Final[Millis] = 60_000
"""What was written less than this ahead of now is no sign that a clock was set back: clocks differ."""


class Stored(NamedTuple):
    """A content as it goes into its row: ``data`` is the header, and the body too unless that lies in chunks.

    ``seal`` is the data key that its chunks were sealed with; the row is sealed when it is written.
    """

    header_size: int
    body_size: int
    location: str
    data: bytes
    seal: Seal | None = None


class SealedRow(NamedTuple):
    """What of a content goes into its row: the key id and the wrapped data key (None where it lies open), the bytes."""

    key_id: str | None
    data_key: bytes | None
    body: bytes


def sealed(stored: Stored, id_: bytes, keyring: Keyring) -> SealedRow:
    """The row of a content of the message with this public id."""
    if not keyring.seals:
        return SealedRow(None, None, stored.data)
    seal = stored.seal or keyring.new()
    place = Place(id_, stored.header_size, stored.body_size, chunked=stored.location == CHUNKS)
    return SealedRow(keyring.key_id, keyring.wrap(seal, place), seal.close(HEADER, stored.data))


def new_message(key: int, new: NewMessage) -> list[object]:
    """The order is that of add.sql."""
    return [
        key,
        id_bytes(new.id).hex(),
        new.client,
        new.account,
        new.priority,
        new.due_at,
        new.expires_at,
        new.gives_up_at,
        new.held_cause,
        new.mailbox,
        new.sender,
        new.content.size,
        new.accepted_at,
        new.subject,
        new.reference,
        new.message_id,
        int(new.own_message_id),
        new.route,
        dict(new.tags),
        dict(new.metadata),
        new.door,
        new.key_id,
        new.envelope.sender,
        new.on_unconfirmed,
        [(recipient.address, recipient.kind) for recipient in new.envelope.recipients],
        new.strand,
        new.traceparent,
    ]


def mark(mark: Mark) -> tuple[object, ...]:
    """The order is that of mark_eligible.sql."""
    return (
        mark.key,
        mark.number,
        mark.attempt_id,
        mark.lane,
        mark.fence,
        mark.transport,
        mark.kind,
        mark.account,
        mark.started_at,
        mark.deadline_at,
        mark.recipients,
        mark.wire_bytes,
    )


def finish(finish: Finish) -> tuple[object, ...]:
    """The order is that of finish.sql."""
    outcome, answer = finish.outcome, finish.outcome.answer
    return (
        finish.key,
        finish.number,
        finish.ended_at,
        name_of(outcome),
        scope_of(outcome),
        answer.status,
        answer.code,
        answer.reply,
        answer.text,
        answer.request_id,
        answer.retry_after,
        outcome.receipt if isinstance(outcome, Sent) else None,
        answer.fix,
        finish.status,
        finish.due_at,
        finish.gives_up_at,
        finish.next_transport,
        finish.held_cause,
        finish.look_at,
        finish.event,
        event_data(finish),
        finish.attempt_id,
        finish.next_account,
    )


def event_data(finish: Finish) -> dict[str, object]:
    """What the history says of an outcome."""
    answer = finish.outcome.answer
    told = {
        "attempt": finish.number,
        "outcome": name_of(finish.outcome),
        "scope": scope_of(finish.outcome),
        "status": answer.status,
        "code": answer.code,
        "reply": answer.reply,
        "text": answer.text,
        "request_id": answer.request_id,
        "fix": answer.fix,
        "retry_after": answer.retry_after,
        "next_attempt_at": finish.due_at if finish.due_at is not None and finish.due_at > finish.ended_at else None,
        "cause": finish.held_cause,
        "next_transport": finish.next_transport,
    }
    return {**{name: value for name, value in told.items() if value is not None}, **finish.data}


def past_since(now: Millis) -> dict[str, Millis]:
    """From when on past.sql reads: attempts, uploads, hours; how long an attempt may outlive its deadline."""
    since = {"starts": now - PACE_READ, "uploads": now - UPLOADS_READ, "hour": first_hour(now)}
    return {"now": now, "grace": GRACE, **since}


def first_hour(now: Millis) -> int:
    """The first hour since 1970 whose recipients may still count for the day."""
    return now // HOUR - DAY_READ


def late(finishes: Sequence[Finish]) -> list[tuple[object, ...]]:
    """Outcomes that change nothing any more, in the order of finish_late.sql."""
    return [(finish.key, finish.number, finish.ended_at, event_data(finish)) for finish in finishes]


def doubts(finishes: Sequence[Finish]) -> list[tuple[object, ...]]:
    """Messages of which nobody knows, in the order of finish_doubt.sql; one that goes again at once is none."""
    return [
        (finish.key, finish.number, finish.ended_at, finish.look_at)
        for finish in finishes
        if isinstance(finish.outcome, Unconfirmed) and finish.status in {Status.UNCONFIRMED, Status.HELD}
    ]


def refused_of(outcome: Outcome) -> tuple[RefusedRecipient, ...]:
    """The recipients that an outcome names as refused."""
    return outcome.refused if isinstance(outcome, Sent | TransientFailure | PermanentFailure) else ()


def refused(rows: Sequence[tuple[int, RefusedRecipient]]) -> list[tuple[object, ...]]:
    """Message, address, reply and text, in the order of refuse.sql."""
    return [(key, one.address, f"{one.reply} {one.text}") for key, one in rows]


def not_sent(finishes: Sequence[Finish]) -> list[tuple[int, int]]:
    """Attempts that certainly sent nothing, in the order of give_back.sql: they do not count for the day."""
    return [(one.key, one.number) for one in finishes if not isinstance(one.outcome, Sent | Unconfirmed)]


def next_accounts(finishes: Sequence[Finish]) -> set[str]:
    """The accounts whose lanes get a row."""
    return {finish.next_account for finish in finishes if finish.next_account is not None}


def again(finishes: Sequence[Finish]) -> list[int]:
    """The messages that an outcome put back into the queue."""
    return [finish.key for finish in finishes if finish.status is Status.QUEUED]


def due_by(now: Millis, taken_at: Millis) -> Millis:
    """By when a row of a restored copy was due that may have been sent since.

    A clock that stands before the copy was made says nothing about how long ago that was: then all of them.
    """
    return now if now >= taken_at - CLOCKS_WANDER else FOREVER


def restored(doubt: Doubt, now: Millis) -> tuple[object, ...]:
    """What a restored copy writes of a message, in the order of restored.sql without its account."""
    status, cause = (Status.UNCONFIRMED, None) if doubt.looked_for else (Status.HELD, doubt.cause)
    look_at = now if doubt.looked_for else None
    return status.value, cause, look_at, doubt.held_before, f"message.{status.value}"


def rewrapped(found: Sequence[SealedTuple], keyring: Keyring) -> tuple[list[tuple[int, str, bytes]], int]:
    """Contents whose data keys were wrapped again (content, earlier key id, data key), and how many could not be."""
    again: list[tuple[int, str, bytes]] = []
    for content, name, wrapped, id_, header_size, body_size, chunked in found:
        place = Place(bytes(id_), header_size, body_size, chunked=bool(chunked))
        with contextlib.suppress(ContentUnreadableError):
            again.append((content, name, keyring.rewrap(name, wrapped, place)))
    return again, len(found) - len(again)


def recovered(lost: Sequence[Left], *, now: Millis, grace: Millis) -> list[tuple[object, ...]]:
    """Messages whose attempts nobody carries any more, in the order of recover.sql."""
    rows: list[tuple[object, ...]] = []
    for left in lost:
        status, cause, looked_for, event = judged(left, now=now)
        since = left.ended(now, grace=grace)
        rows.append((left.key, left.number, status, cause, since, since if looked_for else None, event))
    return rows


def presence(presence: Presence) -> dict[str, int | str | None]:
    """The values of save_presence.sql but for the account's key."""
    witness = presence.witness
    return {
        "kind": presence.kind,
        "own": int(presence.own),
        "level": presence.level.value,
        "proved_at": presence.proved_at,
        "asked_at": presence.asked_at,
        "ask_at": presence.ask_at,
        "answer": presence.answer,
        "witness": None if witness is None else id_bytes(witness.id).hex(),
        "witness_message_id": None if witness is None else witness.message_id,
        "witness_sent_at": None if witness is None else witness.sent_at,
        "witness_transport": None if witness is None else witness.transport,
    }
