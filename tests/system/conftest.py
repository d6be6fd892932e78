"""The emulator and a posthouse in front of it, for each test its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from posthouse.sandbox.emulator import Emulator, Options
from tests import postgres
from tests.system.fleet import Fleet
from tests.system.harness import Service


@pytest.fixture
async def emulator(tmp_path: Path) -> AsyncIterator[Emulator]:
    directory = tmp_path / "microsoft"
    directory.mkdir()
    async with Emulator(Options(directory=directory)) as running:
        yield running


@pytest.fixture
async def launch(tmp_path: Path, emulator: Emulator) -> AsyncIterator[Callable[..., Awaitable[Service]]]:
    """Start a posthouse with changed settings."""
    running: list[Service] = []

    async def start(**changes: Any) -> Service:
        service = Service(tmp_path, emulator, **changes)
        running.append(service)
        await service.start()
        return service

    yield start
    for service in running:
        await service.close()


@pytest.fixture
async def database(postgres_server: postgres.Server) -> AsyncIterator[str]:
    """A database without mail; its address."""
    dsn = await postgres_server.take()
    yield dsn
    await postgres_server.give_back(dsn)


@pytest.fixture
async def fleet(tmp_path: Path, emulator: Emulator, database: str) -> AsyncIterator[Fleet]:
    """Processes that share one database."""
    async with Fleet(tmp_path, emulator, database) as started:
        yield started
