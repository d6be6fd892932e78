"""What a process may remember of the database: the ids of lanes, which never change, and a block of keys of its own."""

import asyncio
from collections.abc import Iterable
from typing import Final, cast

from posthouse.spool.postgres.database import Database

BLOCK: Final = 256
"""Keys that ``key_block`` hands out at a time; a submission's keys follow each other in one block."""


class Lanes:
    """The ids of accounts' lanes, made where there is none."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids: dict[str, int] = {}

    async def ids(self, accounts: Iterable[str]) -> dict[str, int]:
        """The lanes of these accounts, by their names in small letters: one lane, however its name is written."""
        wanted = {account.lower() for account in accounts}
        while missing := sorted(wanted - self._ids.keys()):
            # a lane that another process makes at this moment is not seen yet: then ask once more
            async with self._database.session() as session:
                for account, lane in await session.rows("lanes_of", accounts=missing):
                    self._ids[cast("str", account)] = cast("int", lane)
        return {account: self._ids[account] for account in wanted}

    def known(self, account: str) -> int | None:
        """The lane of an account that was asked for before."""
        return self._ids.get(account.lower())


class Keys:
    """Keys of messages and contents that no other process gets."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._next = 0
        self._end = 0
        self._taking = asyncio.Lock()

    async def take(self, count: int) -> int:
        """The first of ``count`` keys that follow each other; at most a block's."""
        async with self._taking:
            if self._next + count > self._end:
                async with self._database.session() as session:
                    self._next = await session.number("key_block") or 0
                self._end = self._next + BLOCK
            first, self._next = self._next, self._next + count
            return first
