"""Everything a spool holds, table by table, for a spool on another engine that goes on with it; then this one serves no more.

The mark is made before the other side commits: whatever breaks off in between, never do two spools send from one queue.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, cast

import apsw

from posthouse.message import Millis
from posthouse.ports import Clock
from posthouse.spool.sealing import Secrets
from posthouse.spool.sqlite.database import Database, Row
from posthouse.spool.sqlite.guard import lock_spool
from posthouse.spool.sqlite.opening import make_room, open_file
from posthouse.spool.sqlite.restoring import MOVED_AT
from posthouse.spool.sqlite.unlocking import kept, key_ids

TABLES: Final = (
    "clients", "keys", "lanes", "pauses", "messages", "details", "recipients", "tags", "contents", "chunks",
    "idempotency", "attempts", "unsettled", "blocks", "transports", "events", "audit", "presence", "appearances",
    "recipient_hours", "drafts", "facts", "client_minutes", "refusals",
    "inboxes", "bounces",
)  # fmt: skip
"""What goes along; workers, masters and the place of the feed are told apart."""
_VERBS: Final = {"messages": "export_messages", "events": "export_events", "facts": "export_facts"}


class Export:
    """An opened spool to be read whole; ``moved_at`` says when another took its place, or was about to."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @property
    def moved_at(self) -> Millis | None:
        """None where it never was."""
        return self._db.number("fact", {"name": MOVED_AT})

    def give_up(self, at: Millis) -> Millis:
        """From now on it serves no more; when it began."""
        known = self.moved_at
        if known is None:
            self._db.run("set_fact", {"name": MOVED_AT, "value": at})
        return known or at

    def go_on(self) -> None:
        """The other spool certainly took nothing."""
        self._db.run("forget_fact", {"name": MOVED_AT})

    @property
    def masters(self) -> Sequence[str]:
        """The key ids of the masters that contents may depend on."""
        return key_ids(self._db)

    @property
    def lost_events(self) -> int:
        """The highest position of the feed that was deleted with its message."""
        return self._db.number("feed_purged", {}) or 0

    def rows(self, table: str) -> tuple[tuple[str, ...], Iterator[Row]]:
        """The names of the columns, and a table in its own order, read as it is asked for; no names where it is empty."""
        cursor = self._db.connection.execute(self._db.text(_VERBS.get(table, "export")).replace("{table}", table))
        try:
            names = tuple(name for name, _ in cursor.get_description())
        except apsw.ExecutionCompleteError:
            return (), iter(())
        return names, cast("Iterator[Row]", cursor)


@asynccontextmanager
async def exported(path: Path, *, owner: str, clock: Clock, secrets: Secrets) -> AsyncGenerator[Export]:
    """The spool at ``path`` for us alone; raises SpoolRefusedError where a service has it or it cannot be opened."""
    await asyncio.to_thread(make_room, path, create=False)
    lock = await lock_spool(path, owner=owner, clock=clock, wait=0.0)
    try:
        opened = await asyncio.to_thread(
            open_file, path, owner, secrets=_secrets_of(path, secrets), now=clock.now(), lock=lock, moved=True
        )
        try:
            yield Export(opened.writer)
        finally:
            for db in (*opened.readers, opened.writer):
                db.connection.close()
    finally:
        lock.release()


def _secrets_of(path: Path, secrets: Secrets) -> Secrets:
    """The masters of the settings are the other spool's; the one beside this file is this one's."""
    own = kept(path)
    if own is None or own == secrets.master:
        return secrets
    given = () if secrets.master is None else (secrets.master,)
    return Secrets(master=own, previous=(*given, *secrets.previous), seal=secrets.seal)
