"""The rows that engines read, made into records: every engine selects the same columns in the same order.

JSON columns arrive as text or already parsed, as the engine's driver gives them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar, cast

from posthouse.message import (
    EarlierDraft,
    Envelope,
    Event,
    Kind,
    Message,
    MessageId,
    Millis,
    OnUnconfirmed,
    Priority,
    Recipient,
    Status,
    id_from_bytes,
    shown_status,
)
from posthouse.ports import ContentUnreadableError
from posthouse.records import (
    AttemptRow,
    Backlogged,
    FeedEvent,
    Inbox,
    LaneRow,
    LastAnswer,
    Lease,
    Past,
    Pause,
    Presence,
    ProofLevel,
    RecipientState,
    Record,
    Report,
    Sharer,
    Start,
    Stray,
    Told,
    TransportKind,
    TransportRow,
    Unreported,
    Unsettled,
    Witness,
)
from posthouse.spool.doubts import DoubtLeft, Waiting
from posthouse.spool.loads import CHUNKS
from posthouse.spool.rules import Left, Standing
from posthouse.spool.sealing import HEADER, Keyring, Place, Seal

WHOLE_LANE: Final = ""
"""The transport of a pause that is the whole lane's."""

_T = TypeVar("_T")

MessageTuple = tuple[
    int, str, str, int, str, str, str, str | None, str | list[tuple[str, str]], str, int, str | list[str], str | None, int, int, int,
    int, int | None, int, int, str, int, int | None, str, str | tuple[str, str, str | None, int] | None,
]  # fmt: skip
"""The order is that of peek.sql."""
UnsettledTuple = tuple[
    MessageTuple, int, str, TransportKind, str, int, int, int, int | None, int, str | None, int, str | None, int, int,
]  # fmt: skip
"""The order is that of unsettled.sql."""
ReportTuple = tuple[str, int, str | None, int | None, str | None, str]
"""Recipient, when, code, reply, text, fix."""
RecordTuple = tuple[
    bytes, str, str, str, str, str, str, str, str | None, str, str, str, str, str | None, int, int, int, int, int | None,
    int | None, int, str | None, int, str, int | None, str | None, str | None, int | None, str | None, str | None, str | None,
    str | list[ReportTuple] | None,
]  # fmt: skip
"""The order is that of record.sql."""
AttemptTuple = tuple[
    int, str, str, str, int, int | None, str | None, str | None, str | None, str | None, int | None, str | None,
    str | None, float | None, str | None, str | None,
]  # fmt: skip
"""The order is that of attempts.sql."""
StandingTuple = tuple[
    int, str, str, int, int | None, int | None, int | None, int | None, str | None, int, str | None,
]  # fmt: skip
"""The order is that of standing.sql."""
ContentTuple = tuple[int, int, str, str | None, bytes | None, bytes, bytes]
"""The order is that of content.sql."""
DoubtLeftTuple = tuple[int, str, str, str]
WaitingTuple = tuple[int, int, str | None, str, str, str]
"""The order is that of restorable.sql."""
LaneTuple = tuple[int, str, int, int, int, int | None, str, str | None, int, int, str]
"""The order is that of lanes.sql."""
LeaseTuple = tuple[int, str, int, int, int, str, int]
"""The order is that of lease.sql."""
PastTuples = tuple[
    list[tuple[int, int | None, str, int | None, str | None, int | None]],
    list[tuple[int, int, int]],
    list[tuple[int, int, int]],
]
"""The order is that of past.sql: the lane, then when an attempt ended, transport, priority, sender, until when it may be
alive; end, bytes; hour, recipients."""
PauseTuple = tuple[str, int, str, int, int, int, int]
"""Transport, until, reason, blocked, since, length, asked until."""
EventTuple = tuple[int | str, int, str, str]
"""The order is that of events.sql."""
FeedTuple = tuple[int | str, int, str, str, bytes, str, str | None, str]
"""The order is that of feed.sql."""
LeftTuple = tuple[int, int, int, int, str, int | None]
"""Of left_sending.sql: message, number, started, deadline, what its client wants of doubt, expiry."""
PresenceTuple = tuple[
    str, TransportKind, int, str, int | None, int | None, int | None, str | None, str | None, str | None, int | None,
    str | None,
]  # fmt: skip
"""The order is that of presences.sql."""
TransportTuple = tuple[str, Literal["closed", "open", "blocked", "paused"], int, int, str, int, int, int, int, str]
"""The order is that of transports.sql."""
StrayTuple = tuple[int, str, str, str, str, str | None, int]
"""The order is that of strays.sql."""
InboxTuple = tuple[int, str, str, int, str | None]
"""The order is that of inboxes.sql."""
BouncedTuple = tuple[int, bytes, str | None]
"""The order is that of bounced_message.sql."""


def message(row: MessageTuple) -> Message:
    """A due message."""
    recipients = parsed(row[8], list[tuple[str, str]])
    envelope = Envelope(row[7], tuple(Recipient(address, Kind(kind)) for address, kind in recipients))
    route = tuple(parsed(row[11], list[str]))
    draft = None if row[24] is None else _draft(*parsed(row[24], tuple[str, str, str | None, int]))
    return Message(
        key=row[0],
        id=id_from_bytes(bytes.fromhex(row[1])),
        client=row[2],
        lane=row[3],
        account=row[4],
        mailbox=row[5],
        sender=row[6],
        envelope=envelope,
        message_id=row[9],
        own_message_id=bool(row[10]),
        route=route if draft is None or not draft.pinned else (draft.transport,),
        next_transport=row[12],
        priority=Priority(row[13]),
        size=row[14],
        accepted_at=row[15],
        due_at=row[16],
        expires_at=row[17],
        gives_up_at=row[18],
        attempts=row[19],
        on_unconfirmed=OnUnconfirmed(row[20]),
        accept_duplicate=bool(row[21]),
        first_tried_at=row[22],
        strand=row[23],
        draft=draft,
    )


def _draft(transport: str, account: str, id_: str | None, pinned: int) -> EarlierDraft:
    return EarlierDraft(transport=transport, account=account, id=id_, pinned=bool(pinned))


def unsettled(row: UnsettledTuple) -> Unsettled:
    """A doubtful message and the attempt that left it so."""
    of, number, transport, kind, account, started_at, since, looks, last_absent_at, may_resend = row[:10]
    held, lane, draft, strays, any_way = row[10:]
    return Unsettled(
        message=message(of),
        number=number,
        transport=transport,
        kind=kind,
        account=account,
        started_at=started_at,
        since=since,
        looks=looks,
        last_absent_at=last_absent_at,
        may_resend=bool(may_resend),
        held=held,
        lane=lane,
        draft=draft,
        strays=bool(strays),
        any_way=bool(any_way),
    )


def record(row: RecordTuple, *, now: Millis) -> Record:
    """A message as clients and operators see it."""
    recipients = parsed(row[23], list[tuple[str, str, str | None]])
    return Record(
        id=id_from_bytes(row[0]),
        status=shown_status(Status(row[1]), attempts=row[20], due_at=row[17], now=now),
        client=row[2],
        door=row[3],
        mailbox=row[4],
        account=row[5],
        sender=row[6],
        subject=row[7],
        reference=row[8],
        tags=parsed(row[9], dict[str, str]),
        metadata=parsed(row[10], dict[str, object]),
        message_id=row[11],
        route=tuple(parsed(row[12], list[str])),
        transport=row[13],
        priority=Priority(row[14]),
        size=row[15],
        created_at=row[16],
        due_at=row[17],
        expires_at=row[18],
        finished_at=row[19],
        attempts=row[20],
        held_cause=row[21],
        unsettled=bool(row[22]),
        recipients=tuple(
            RecipientState(address=address, kind=kind, refused=refused) for address, kind, refused in recipients
        ),
        erased_at=row[24],
        last=None
        if row[25] is None
        else LastAnswer(code=row[26], reply=row[27], text=row[28], request_id=row[29], fix=row[30]),
        bounces=() if row[31] is None else tuple(_report(one) for one in parsed(row[31], list[ReportTuple])),
    )


def _report(row: ReportTuple) -> Report:
    recipient, at, code, reply, text, fix = row
    return Report(recipient=recipient, at=at, code=code, reply=reply, text=text, fix=fix)


def inbox(row: InboxTuple) -> Inbox:
    """A mailbox whose reports are read now."""
    lane, account, transport, since, cursor = row
    return Inbox(lane=lane, account=account, transport=transport, since=since, cursor=cursor)


def attempt(row: AttemptTuple) -> AttemptRow:
    """One try as written down."""
    return AttemptRow(
        number=row[0],
        attempt_id=row[1],
        transport=row[2],
        account=row[3],
        started_at=row[4],
        ended_at=row[5],
        outcome=row[6],
        scope=row[7],
        status=row[8],
        code=row[9],
        reply=row[10],
        text=row[11],
        request_id=row[12],
        retry_after=row[13],
        receipt=row[14],
        fix=row[15],
    )


def standing(row: StandingTuple) -> Standing:
    """Where a message stands."""
    key, status, client, lane, expires_at, purged_at, unsettled_number, may_resend, held_cause, due_at, held_before = (
        row
    )
    return Standing(
        key=key,
        status=Status(status),
        client=client,
        lane=lane,
        expires_at=expires_at,
        purged=purged_at is not None,
        unsettled=unsettled_number,
        may_resend=bool(may_resend),
        held_cause=held_cause,
        due_at=due_at,
        held_before=held_before,
    )


def waiting(row: WaitingTuple) -> Waiting:
    """A queued or held message of a restored copy."""
    key, number, held_cause, mailbox, route, wish = row
    return Waiting(
        key=key,
        number=number,
        held_cause=held_cause,
        mailbox=mailbox,
        route=tuple(parsed(route, list[str])),
        wish=OnUnconfirmed(wish),
    )


def doubt_left(row: DoubtLeftTuple) -> DoubtLeft:
    """A message of a restored copy that was looked for already."""
    key, mailbox, route, account = row
    return DoubtLeft(key=key, mailbox=mailbox, route=tuple(parsed(route, list[str])), account=account)


def lane(row: LaneTuple) -> LaneRow:
    """A lane as operators see it."""
    key, account, sending, held, unconfirmed, next_at, pauses, backlog, told_at, told_paused, told_by = row
    return LaneRow(
        lane=key,
        account=account,
        sending=sending,
        held=held,
        unconfirmed=unconfirmed,
        next_at=next_at,
        pauses=tuple(pause(one) for one in parsed(pauses, list[PauseTuple])),
        backlog=_backlog(parsed(backlog or "[]", list[tuple[int, str, int, int, int]])),
        told=told((told_at, told_paused, told_by)),
    )


def _backlog(strands: Sequence[tuple[int, str, int, int, int]]) -> tuple[Backlogged, ...]:
    """The strands of a client together; a strand begins with its client."""
    found: dict[tuple[int, str], tuple[int, int, int]] = {}
    for priority, strand, count, due, oldest in strands:
        key = (priority, strand.partition("\n")[0])
        known = found.get(key, (0, 0, oldest))
        found[key] = (known[0] + count, known[1] + due, min(known[2], oldest))
    return tuple(
        Backlogged(priority=Priority(priority), client=client, count=count, due=due, oldest_due_at=oldest)
        for (priority, client), (count, due, oldest) in sorted(found.items())
    )


def told(row: tuple[int, int, str]) -> Told:
    """What a person last said: when, whether to pause, who."""
    at, paused, by = row
    return Told(at=at, paused=bool(paused), by=by)


def lease(row: LeaseTuple, *, pauses: Sequence[Pause]) -> Lease:
    """A lane that was just taken."""
    key, account, fence, at, paused, by, block_ended_at = row
    return Lease(
        lane=key,
        account=account,
        fence=fence,
        pauses=tuple(pauses),
        told=told((at, paused, by)),
        block_ended_at=block_ended_at,
    )


def pasts(found: PastTuples, *, lanes: Sequence[int]) -> Mapping[int, Past]:
    """What the accounts of these lanes used up lately."""
    starts, uploads, hours = found
    return {
        lane: Past(
            starts=tuple(
                Start(ended_at, transport, priority == Priority.HIGH, sender or "")
                for of, ended_at, transport, priority, sender, _ in starts
                if of == lane
            ),
            alive=tuple(until for of, _, _, _, _, until in starts if of == lane and until is not None),
            uploads=tuple((at, size) for of, at, size in uploads if of == lane),
            hours=tuple((hour, count) for of, hour, count in hours if of == lane),
        )
        for lane in lanes
    }


def pause(row: PauseTuple | Sequence[object]) -> Pause:
    """A pause of a lane or of one transport of it."""
    transport, until, reason, blocked, since, length, asked_until = cast("PauseTuple", row)
    blocks = bool(blocked)
    return Pause(transport or None, until, reason, blocked=blocks, since=since, length=length, asked_until=asked_until)


def event(row: EventTuple, *, of: MessageId) -> Event:
    """One line of a message's history."""
    position, at, type_, data = row
    return Event(position=str(position), message_id=of, at=at, type=type_, data=parsed(data, dict[str, object]))


def fed(row: FeedTuple) -> FeedEvent:
    """One event of the feed."""
    position, at, type_, data, public_id, client, reference, metadata = row
    return FeedEvent(
        event=event((position, at, type_, data), of=id_from_bytes(public_id)),
        client=client,
        reference=reference,
        metadata=parsed(metadata, dict[str, object]),
    )


def left(row: LeftTuple) -> Left:
    """A message in ``sending`` whose attempt nobody carries."""
    return Left(*row[:4], OnUnconfirmed(row[4]), row[5])


def sharer(row: tuple[bytes, str, int]) -> Sharer:
    """An attempt that may have left a copy."""
    public_id, status, began = row
    return Sharer(id_from_bytes(public_id), Status(status), began)


def witness(row: tuple[str, str, str, int, str]) -> Witness:
    """A message that is known as sent: public id in hex, account, Message-ID, when it was sent, by which transport."""
    public_id, account, message_id, sent_at, transport = row
    return Witness(id_from_bytes(bytes.fromhex(public_id)), account, message_id, sent_at, transport)


def presence(row: PresenceTuple) -> Presence:
    """Whether an account's copies are found."""
    account, kind, own, level, proved_at, asked_at, ask_at, answer, seen_id, message_id, sent_at, transport = row
    seen = None
    if seen_id and message_id is not None and sent_at is not None and transport is not None:
        seen = witness((seen_id, account, message_id, sent_at, transport))
    return Presence(
        account=account,
        kind=kind,
        own=bool(own),
        level=ProofLevel(level),
        witness=seen,
        proved_at=proved_at,
        asked_at=asked_at,
        ask_at=ask_at,
        answer=answer,
    )


@dataclass(frozen=True, slots=True)
class OpenedRow:
    """A content's row, opened: ``data`` is the header, and the body too unless that lies in chunks."""

    header_size: int
    body_size: int
    chunked: bool
    data: bytes
    seal: Seal | None


def opened_row(row: ContentTuple, keyring: Keyring | None) -> OpenedRow:
    """Open a content's row; raises ContentUnreadableError."""
    header_size, body_size, location, name, wrapped, id_, data = row
    chunked, seal = location == CHUNKS, None
    if name is not None:
        if keyring is None:
            raise ContentUnreadableError(f"the content is sealed, and its master is not at hand (key id {name})")
        seal = keyring.open(name, wrapped or b"", Place(bytes(id_), header_size, body_size, chunked=chunked))
        data = seal.open(HEADER, data)
    return OpenedRow(header_size, body_size, chunked, data, seal)


def stray(row: StrayTuple) -> Stray:
    """A final message that may have left drafts."""
    key, public_id, account, transport, message_id, sent, again = row
    return Stray(
        key=key,
        id=id_from_bytes(bytes.fromhex(public_id)),
        account=account,
        transport=transport,
        message_id=message_id,
        sent=sent,
        again=bool(again),
    )


def transport(row: TransportTuple) -> TransportRow:
    """What was written down of a circuit or a block."""
    name, state, until, opened, reason, since, block_ended_at, at, paused, by = row
    return TransportRow(
        name=name,
        state=state,
        until=until,
        opened=opened,
        reason=reason,
        since=since,
        block_ended_at=block_ended_at,
        told=told((at, paused, by)),
    )


def parsed(value: object, _kind: type[_T]) -> _T:
    """A JSON column, which the engine's driver may have parsed already."""
    return cast("_T", json.loads(value) if isinstance(value, str) else value)


def unreported(row: tuple[int, str, str, int]) -> Unreported:
    """Failed mail whose sender is to be told."""
    key, public_id, reverse_path, finished_at = row
    id_ = id_from_bytes(bytes.fromhex(public_id))
    return Unreported(key=key, id=id_, reverse_path=reverse_path, finished_at=finished_at)
