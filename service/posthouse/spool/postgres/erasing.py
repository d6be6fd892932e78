"""A person's request: what lies here of final messages to an address is erased."""

from collections.abc import Sequence
from typing import Final, cast

from posthouse.message import id_from_bytes
from posthouse.records import Erased, Erasure
from posthouse.spool.postgres.contents import drop_chunks
from posthouse.spool.postgres.database import Session
from posthouse.spool.postgres.standing import audit
from posthouse.spool.sealing import Keyring

ROWS_AT_ONCE: Final = 100
NAMED: Final = 100
"""Unfinished messages that are named; all are counted."""


async def erase(session: Session, keyring: Keyring, erasure: Erasure) -> Erased:
    """Erase in small steps; the last one writes the audit row, which knows the address by its keyed hash alone."""
    erased = unfinished = after = 0
    named: list[bytes] = []
    while found := await _to_recipient(session, erasure.recipient, after):
        after = found[-1][0]
        final = [key for key, _, is_final in found if is_final]
        left = [bytes(public_id) for _, public_id, is_final in found if not is_final]
        erased, unfinished = erased + len(final), unfinished + len(left)
        named += left[: NAMED - len(named)]
        if final and not erasure.dry_run:
            for row in await session.rows("erase", messages=final, at=erasure.at, by=erasure.by):
                await drop_chunks(session, cast("int", row[0]))
    if not erasure.dry_run:
        counted = {"erased": erased, "unfinished": unfinished}
        target = keyring.pseudonym(erasure.recipient)
        await audit(session, erasure.at, by=erasure.by, action="recipient.erase", target=target, data=counted)
    return Erased(erased, unfinished, tuple(id_from_bytes(one) for one in named))


async def _to_recipient(session: Session, recipient: str, after: int) -> Sequence[tuple[int, bytes, int]]:
    found = await session.rows("to_recipient", recipient=recipient, after=after, most=ROWS_AT_ONCE)
    return [cast("tuple[int, bytes, int]", tuple(row)) for row in found]
