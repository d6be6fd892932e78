"""Keeps how the times of the processes that write here lie (``continuity``)."""

from typing import cast

from posthouse.continuity import Anchor, Chain, carried_on, joined
from posthouse.message import Millis
from posthouse.spool.loads import CHAINS_KEPT
from posthouse.spool.postgres.database import Row, Session


async def anchor(session: Session, anchor: Anchor, *, before: Anchor | None, now: Millis) -> Chain:
    """A process starts or goes on; where nothing is new, nothing is written."""
    if before is not None:
        stands = _chain(await session.row("chain", boot=anchor.boot))
        if stands is not None and carried_on(stands, anchor, before=before, now=now) == stands:
            return stands
    async with session.transaction():
        stands = _chain(await session.row("chain_locked", boot=anchor.boot))
        if before is None:
            made = joined(stands, anchor, now=now)
            await session.run("forget_chains", boot=anchor.boot, before=now - CHAINS_KEPT)
        else:
            made = carried_on(stands, anchor, before=before, now=now)
        await session.run("save_chain", boot=anchor.boot, ahead=made.ahead, since=made.since, now=now)
    return made


def _chain(row: Row | None) -> Chain | None:
    return None if row is None else Chain(*cast("tuple[int, int]", tuple(row)))
