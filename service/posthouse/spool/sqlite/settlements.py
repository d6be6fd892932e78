"""Writes down what settling concluded, and finds what it needs to conclude (PROMISES §5)."""

from collections.abc import Sequence
from typing import cast

from posthouse.message import Millis
from posthouse.records import Presence, Settlement, Sharer, TransportKind, Witness
from posthouse.spool import loads, rows, rules
from posthouse.spool.sqlite.committing import Job
from posthouse.spool.sqlite.database import Database
from posthouse.spool.sqlite.sending import wake_looks
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
        found = cast("list[tuple[str, str, str, int, str]]", db.document(verb, asked))
        return [rows.witness(row) for row in found]

    return read


def sharing(*, account: str, message_id: str) -> Job[Sequence[Sharer]]:
    """All attempts with this Message-ID that went out through this account, or may have."""

    def read(db: Database) -> Sequence[Sharer]:
        found = db.rows("sharing", {"account": account, "message_id": message_id})
        return [rows.sharer(cast("tuple[bytes, str, int]", row)) for row in found]

    return read


def look_held(*, account: str, cause: str, at: Millis) -> Job[int]:
    """Look at ``at`` for what is held for this cause and went out through this account; how many."""

    def write(db: Database) -> int:
        found = db.rows("held_looks", {"account": account, "cause": cause, "at": at})
        wake_looks(db, [cast("int", row[0]) for row in found])
        return len(found)

    return write


def save_presence(presence: Presence) -> Job[None]:
    """Write down whether an account's copies are found; its lane wakes at ``ask_at``."""

    def write(db: Database) -> None:
        (lane,) = db.lanes_of({presence.account})
        db.run("save_presence", {"account": lane, **loads.presence(presence)})
        if presence.ask_at is not None:
            db.woken.add(lane)

    return write


def slowest(*, after: Millis) -> Job[Millis]:
    """The slowest appearance seen since ``after``; 0 where none was."""
    return lambda db: db.number("slowest", {"after": after}) or 0
