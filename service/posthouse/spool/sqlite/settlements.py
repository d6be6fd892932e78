"""Writes down what settling concluded, and finds what it needs to conclude (PROMISES §5)."""

from collections.abc import Sequence
from typing import cast

from posthouse.message import MessageId, Millis, Status, id_from_bytes
from posthouse.records import Settlement, TransportKind, Witness
from posthouse.spool import rows, rules
from posthouse.spool.sqlite.committing import Job
from posthouse.spool.sqlite.database import Database
from posthouse.spool.sqlite.standing import standing, write


def settle(settlement: Settlement) -> Job[bool]:
    """Write a conclusion; False where the row is settled already or another attempt is the doubtful one."""

    def conclude(db: Database) -> bool:
        stands = standing(db, settlement.id)
        decision = rules.conclude(settlement, stands)
        if stands is None or decision is None:
            return False
        write(db, stands.key, settlement.at, decision.deeds)
        return True

    return conclude


def witnesses(
    *, account: str | None, kind: TransportKind, own: bool, before: Millis, after: Millis, most: int
) -> Job[Sequence[Witness]]:
    """Messages known as sent with that kind and origin of Message-ID, latest first; None asks all accounts."""
    verb = "witnesses_anywhere" if account is None else "witnesses_of"
    asked = {"account": account, "kind": kind, "own": int(own), "before": before, "after": after, "most": most}

    def read(db: Database) -> Sequence[Witness]:
        return [rows.witness(row) for row in cast("list[tuple[str, str, str, int]]", db.document(verb, asked))]

    return read


def sharing(*, account: str, message_id: str) -> Job[Sequence[tuple[MessageId, Status]]]:
    """Messages with this Message-ID that went out through this account, or may have."""

    def read(db: Database) -> Sequence[tuple[MessageId, Status]]:
        found = db.rows("sharing", {"account": account, "message_id": message_id})
        pairs = cast("Sequence[tuple[bytes, str]]", found)
        return [(id_from_bytes(public_id), Status(status)) for public_id, status in pairs]

    return read
