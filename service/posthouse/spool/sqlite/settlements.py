"""Writes down what settling concluded, and finds what it needs to conclude (PROMISES §5)."""

from collections.abc import Sequence
from typing import cast

from posthouse.message import MessageId, Millis, Status, id_from_bytes
from posthouse.records import Settlement, TransportKind, Verdict, Witness
from posthouse.spool.sqlite.database import Database
from posthouse.spool.sqlite.standing import Standing, standing, tell, was_not_sent, was_sent
from posthouse.spool.sqlite.threads import Job


def settle(settlement: Settlement) -> Job[bool]:
    """Write a conclusion; False where the row is settled already or another attempt is the doubtful one."""

    def write(db: Database) -> bool:
        stands = standing(db, settlement.id)
        if stands is None or stands.unsettled != settlement.number:
            return False
        at, data = settlement.at, settlement.data
        match settlement.verdict:
            case Verdict.SENT:
                was_sent(db, stands, at, data=data)
            case Verdict.NOT_SENT:
                was_not_sent(db, stands, at, due_at=settlement.due_at or at, data=data)
            case Verdict.HELD | Verdict.LATER:
                _still_unsettled(db, stands, settlement)
        return True

    return write


def _still_unsettled(db: Database, stands: Standing, settlement: Settlement) -> None:
    db.run(
        "look_again",
        {
            "message": stands.key,
            "looks": settlement.looks,
            "absent_at": settlement.absent_at,
            "look_at": settlement.look_at,
        },
    )
    data = {**settlement.data, "cause": settlement.cause, "next_look_at": settlement.look_at}
    news = settlement.verdict is Verdict.HELD and (stands.status, stands.held_cause) != (Status.HELD, settlement.cause)
    if news:
        db.run("hold_unsettled", {"message": stands.key, "cause": settlement.cause})
    # a held message is looked for again for days: only news is history
    if news or stands.status is not Status.HELD:
        tell(db, stands.key, settlement.at, event="message.held" if news else "message.looked_up", data=data)


def witnesses(
    *, account: str | None, kind: TransportKind, own: bool, before: Millis, after: Millis, most: int
) -> Job[Sequence[Witness]]:
    """Messages known as sent with that kind and origin of Message-ID, latest first; None asks all accounts."""
    verb = "witnesses_anywhere" if account is None else "witnesses_of"
    asked = {"account": account, "kind": kind, "own": int(own), "before": before, "after": after, "most": most}

    def read(db: Database) -> Sequence[Witness]:
        rows = cast("list[tuple[str, str, str, int]]", db.document(verb, asked))
        return [
            Witness(id_from_bytes(bytes.fromhex(public_id)), of, message_id, sent_at)
            for public_id, of, message_id, sent_at in rows
        ]

    return read


def sharing(*, account: str, message_id: str) -> Job[Sequence[tuple[MessageId, Status]]]:
    """Messages with this Message-ID that went out through this account, or may have."""

    def read(db: Database) -> Sequence[tuple[MessageId, Status]]:
        rows = cast("Sequence[tuple[bytes, str]]", db.rows("sharing", {"account": account, "message_id": message_id}))
        return [(id_from_bytes(public_id), Status(status)) for public_id, status in rows]

    return read
