"""Keeps how the times of the processes that write here lie (``continuity``)."""

from typing import cast

from posthouse.continuity import Anchor, Chain, carried_on, joined
from posthouse.message import Millis
from posthouse.spool.loads import CHAINS_KEPT
from posthouse.spool.sqlite.committing import Job
from posthouse.spool.sqlite.database import Database


def chain(boot: str) -> Job[Chain | None]:
    """What stands for this run of the machine."""

    def read(db: Database) -> Chain | None:
        row = db.row("chain", {"boot": boot})
        return None if row is None else Chain(*cast("tuple[int, int]", row))

    return read


def join(anchor: Anchor, *, now: Millis) -> Job[Chain]:
    """A process starts."""

    def write(db: Database) -> Chain:
        made = joined(chain(anchor.boot)(db), anchor, now=now)
        db.run("forget_chains", {"boot": anchor.boot, "before": now - CHAINS_KEPT})
        _save(db, anchor.boot, made, now=now)
        return made

    return write


def carry_on(anchor: Anchor, *, before: Anchor, now: Millis) -> Job[Chain]:
    """A process goes on."""

    def write(db: Database) -> Chain:
        made = carried_on(chain(anchor.boot)(db), anchor, before=before, now=now)
        _save(db, anchor.boot, made, now=now)
        return made

    return write


def _save(db: Database, boot: str, made: Chain, *, now: Millis) -> None:
    db.run("save_chain", {"boot": boot, "ahead": made.ahead, "since": made.since, "now": now})
