"""After a new master: wraps the data keys of older contents again, a few at a time, until none needs an earlier one."""

import logging
from typing import Final, cast

from posthouse.spool.loads import SealedTuple, rewrapped
from posthouse.spool.sealing import Keyring
from posthouse.spool.sqlite.committing import Readers, Writer
from posthouse.spool.sqlite.database import Database, to_json
from posthouse.spool.sqlite.unlocking import key_ids
from posthouse.telemetry import SPOOL_RESEALED, log

RANGE: Final = 2_000
"""Ids that are looked through in one reading, so that a large spool never keeps a reader long."""


class Resealing:
    """One pass over all contents, from the oldest; what comes in meanwhile is sealed under the master in force."""

    def __init__(self, writer: Writer, readers: Readers, keyring: Keyring) -> None:
        self._writer = writer
        self._readers = readers
        self._keyring = keyring
        self._after = 0
        self._done = 0
        self._unreadable = 0
        self._over = False

    async def step(self, most: int) -> int:
        """Wrap at most ``most`` data keys again; how many; 0 where nothing is left to do."""
        if self._over or await self._ended():
            self._over = True
            return 0
        asked = {"key_id": self._keyring.key_id, "after": self._after, "upto": self._after + RANGE, "most": most}
        rows = cast("list[SealedTuple]", await self._readers.read(lambda db: db.rows("sealed_before", asked)))
        again, unreadable = rewrapped(rows, self._keyring)
        self._unreadable += unreadable
        if again:
            rows_json = to_json([(content, name, data_key.hex()) for content, name, data_key in again])
            values = {"key_id": self._keyring.key_id, "rows": rows_json}
            await self._writer.write(lambda db: db.run("reseal", values))
        self._done += len(again)
        self._after = rows[-1][0] if len(rows) == most else self._after + RANGE
        return max(1, len(again))

    async def _ended(self) -> bool:
        """Whether nothing needs an earlier master: none is known, or the pass has come to its end."""
        earlier = set(await self._readers.read(key_ids)) - {self._keyring.key_id}
        if not earlier or not self._keyring.seals:
            return True
        if self._after < (await self._readers.read(lambda db: db.number("last_content", {})) or 0):
            return False
        if not self._unreadable:
            await self._writer.write(lambda db: _forget(db, earlier))
        level = logging.WARNING if self._unreadable else logging.INFO
        log(SPOOL_RESEALED, level=level, key_id=self._keyring.key_id, contents=self._done, unreadable=self._unreadable)
        return True


def _forget(db: Database, earlier: set[str]) -> None:
    for name in earlier:
        db.run("forget_master", {"key_id": name})
