"""After a new master: wraps the data keys of older contents again, a few at a time, until none needs an earlier one."""

import logging
from collections.abc import Sequence
from typing import Final, cast

from posthouse.spool.loads import SealedTuple, rewrapped
from posthouse.spool.postgres.database import Database
from posthouse.spool.postgres.unlocking import key_ids
from posthouse.spool.sealing import Keyring
from posthouse.telemetry import SPOOL_RESEALED, log

RANGE: Final = 2_000
"""Ids that are looked through in one statement."""


class Resealing:
    """One pass over all contents, from the oldest; several processes may be at it."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
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
        name = self._keyring.key_id
        async with self._database.session() as session:
            found = await session.rows(
                "sealed_before", key_id=name, after=self._after, upto=self._after + RANGE, most=most
            )
            rows = cast("Sequence[SealedTuple]", found)
            again, unreadable = rewrapped(rows, self._keyring)
            if again:
                ids, befores, keys = zip(*again, strict=True)
                await session.run("reseal", key_id=name, ids=list(ids), befores=list(befores), data_keys=list(keys))
        self._unreadable += unreadable
        self._done += len(again)
        self._after = rows[-1][0] if len(rows) == most else self._after + RANGE
        return max(1, len(again))

    async def _ended(self) -> bool:
        """Whether nothing needs an earlier master: none is known, or the pass has come to its end."""
        async with self._database.session() as session:
            earlier = set(await key_ids(session)) - {self._keyring.key_id}
            if not earlier or not self._keyring.seals:
                return True
            if self._after < (await session.number("last_content") or 0):
                return False
            for name in earlier:
                await session.run("forget_master", key_id=name)
        level = logging.WARNING if self._unreadable else logging.INFO
        log(SPOOL_RESEALED, level=level, key_id=self._keyring.key_id, contents=self._done, unreadable=self._unreadable)
        return True
