"""Several processes of the real program on one PostgreSQL: doors and workers, each with a folder of its own."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg

from posthouse.spool.sealing import new_master
from tests.system.harness import Coordinates, Service


class Fleet:
    """Starts processes; ``doors`` of the first doors is what clients speak to."""

    def __init__(self, home: Path, emulator: Coordinates, dsn: str) -> None:
        self._home = home
        self._emulator = emulator
        self.dsn = dsn
        self.services: list[Service] = []
        (home / "master").write_text(new_master())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for service in self.services:
            await service.close()

    async def doors(self, **changes: Any) -> Service:
        """A process that takes messages."""
        return await self._start("doors", **changes)

    async def worker(self, **changes: Any) -> Service:
        """A process that sends them."""
        return await self._start("worker", **changes)

    async def _start(self, role: str, **changes: Any) -> Service:
        home = self._home / f"{role}-{len(self.services)}"
        home.mkdir()
        changes["spool"] = {"url": self.dsn} | changes.get("spool", {})
        changes.setdefault("secrets", {"master": f"file:{self._home / 'master'}"})
        service = Service(home, self._emulator, role=role, **changes)
        self.services.append(service)
        await service.start()
        return service

    async def ask(self, text: str) -> list[tuple[Any, ...]]:
        """The rows of a question to the database."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return [tuple(row) for row in await connection.fetch(text)]
        finally:
            await connection.close()
