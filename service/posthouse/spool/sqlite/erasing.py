"""A person's request: what lies here of final messages to an address is erased, and cannot be read from the file again."""

from typing import Final, TypeVar, cast

from posthouse.message import id_from_bytes
from posthouse.records import Erased, Erasure
from posthouse.spool.sealing import Keyring
from posthouse.spool.sqlite.committing import Job, Readers, Writer
from posthouse.spool.sqlite.contents import CHUNKS_AT_ONCE, drop_some
from posthouse.spool.sqlite.database import Database, to_json

ROWS_AT_ONCE: Final = 100
NAMED: Final = 100
"""Unfinished messages that are named; all are counted."""
_R = TypeVar("_R")
_Found = tuple[int, bytes, int]
"""The order is that of to_recipient.sql."""


async def erase(writer: Writer, readers: Readers, keyring: Keyring, erasure: Erasure) -> Erased:
    """Erase in small steps; the last one writes the audit row, which knows the address by its keyed hash alone."""
    erased = unfinished = after = 0
    named: list[bytes] = []
    while found := await readers.read(_to_recipient(erasure.recipient, after)):
        after = found[-1][0]
        final = [key for key, _, is_final in found if is_final]
        left = [public_id for _, public_id, is_final in found if not is_final]
        erased, unfinished = erased + len(final), unfinished + len(left)
        named += left[: NAMED - len(named)]
        if final and not erasure.dry_run:
            values = {"messages": to_json(final), "at": erasure.at, "by": erasure.by}
            await writer.write(_zeroed(lambda db, values=values: db.run("erase", values)))
            for key in final:
                while await writer.write(_zeroed(_dropped(key))) == CHUNKS_AT_ONCE:
                    continue
    if not erasure.dry_run:
        await writer.write(_audit(keyring.pseudonym(erasure.recipient), erasure, erased, unfinished))
    return Erased(erased, unfinished, tuple(id_from_bytes(one) for one in named))


def _to_recipient(recipient: str, after: int) -> Job[list[_Found]]:
    asked = {"recipient": recipient, "after": after, "most": ROWS_AT_ONCE}
    return lambda db: cast("list[_Found]", db.rows("to_recipient", asked))


def _zeroed(job: Job[_R]) -> Job[_R]:
    """What this job overwrites is zeroed in the file too (sqlite.org/pragma.html#pragma_secure_delete)."""

    def write(db: Database) -> _R:
        db.connection.pragma("secure_delete", "on")
        try:
            return job(db)
        finally:
            db.connection.pragma("secure_delete", "off")

    return write


def _dropped(key: int) -> Job[int]:
    return lambda db: drop_some(db, key)


def _audit(pseudonym: str, erasure: Erasure, erased: int, unfinished: int) -> Job[None]:
    data = to_json({"erased": erased, "unfinished": unfinished})
    row = {"at": erasure.at, "by": erasure.by, "action": "recipient.erase", "target": pseudonym, "data": data}
    return lambda db: db.run("audit", row)
