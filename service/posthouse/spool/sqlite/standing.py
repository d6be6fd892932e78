"""Where one message stands, and the deeds that ``rules`` decided on, written down."""

from collections.abc import Mapping, Sequence
from typing import assert_never, cast

from posthouse.message import MessageId, Millis, id_bytes
from posthouse.spool import rows
from posthouse.spool.rules import (
    Deed,
    End,
    ForbidResend,
    HoldAgain,
    HoldUnsettled,
    LookAgain,
    LookNow,
    NoteVerdict,
    Requeue,
    Standing,
    Tell,
)
from posthouse.spool.sqlite.database import Database, to_json
from posthouse.spool.sqlite.sending import wake


def standing(db: Database, message_id: MessageId) -> Standing | None:
    """Where a message stands; None where there is none."""
    row = db.row("standing", {"public_id": id_bytes(message_id)})
    return None if row is None else rows.standing(cast("rows.StandingTuple", row))


def write(db: Database, key: int, at: Millis, deeds: Sequence[Deed]) -> None:
    """Write the deeds down, in their order."""
    for deed in deeds:
        _write(db, key, at, deed)


def _write(db: Database, key: int, at: Millis, deed: Deed) -> None:
    match deed:
        case Tell():
            _tell(db, key, at, event=deed.event, data=deed.data)
        case End():
            db.run("end_message", {"message": key, "status": deed.status.value, "at": at})
        case Requeue():
            _requeue(db, key, deed)
        case ForbidResend():
            db.run("forbid_resend", {"message": key})
        case LookNow():
            db.run("look_now", {"message": key, "at": at})
        case NoteVerdict():
            db.run("attempt_settled", {"message": key, "number": deed.number, "verdict": deed.verdict.value})
        case LookAgain():
            again = {"looks": deed.looks, "absent_at": deed.absent_at, "look_at": deed.look_at}
            db.run("look_again", {"message": key, **again})
        case HoldAgain():
            db.run("hold_again", {"message": key, "cause": deed.cause})
            wake(db, [key])
        case HoldUnsettled():
            db.run("hold_unsettled", {"message": key, "cause": deed.cause})
        case _:
            assert_never(deed)


def _tell(db: Database, key: int, at: Millis, *, event: str, data: Mapping[str, object]) -> None:
    told = {name: value for name, value in data.items() if value is not None}
    db.run("event", {"message": key, "at": at, "type": event, "data": to_json(told)})


def _requeue(db: Database, key: int, again: Requeue) -> None:
    values = {
        "message": key,
        "due_at": again.due_at,
        "accept_duplicate": int(again.accept_duplicate),
        "expires_at": again.expires_at,
        "gives_up_at": again.gives_up_at,
    }
    db.run("requeue", values)
    wake(db, [key])
