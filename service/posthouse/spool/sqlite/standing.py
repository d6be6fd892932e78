"""Where one message stands, and the deeds that ``rules`` decided on, written down."""

from collections.abc import Sequence
from typing import cast

from posthouse.message import MessageId, Millis, id_bytes
from posthouse.records import Verdict
from posthouse.spool import rows
from posthouse.spool.deeds import verb_of
from posthouse.spool.rules import Alter, Deed, HoldAgain, LookAgain, LookNow, NoteVerdict, Requeue, Standing
from posthouse.spool.sqlite.database import Database
from posthouse.spool.sqlite.sending import give_back, wake, wake_looks


def standing(db: Database, message_id: MessageId) -> Standing | None:
    """Where a message stands; None where there is none."""
    row = db.row("standing", {"public_id": id_bytes(message_id)})
    return None if row is None else rows.standing(cast("rows.StandingTuple", row))


def write(db: Database, key: int, at: Millis, deeds: Sequence[Deed]) -> None:
    """Write the deeds down, in their order, and wake the lanes that have something to do for them."""
    for deed in deeds:
        verb, values = verb_of(deed, key=key, at=at)
        db.run(verb, values)
        if isinstance(deed, NoteVerdict) and deed.verdict is Verdict.NOT_SENT:
            give_back(db, [(key, deed.number)])
        if isinstance(deed, Requeue | HoldAgain | Alter):
            wake(db, [key])
        if isinstance(deed, LookNow | LookAgain):
            wake_looks(db, [key])
