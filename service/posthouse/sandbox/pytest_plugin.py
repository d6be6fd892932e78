"""For the tests of others: ``pytest_plugins = ["posthouse.sandbox.pytest_plugin"]`` gives the ``microsoft365`` fixture."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from posthouse.sandbox.emulator import Emulator, Options


@pytest_asyncio.fixture
async def microsoft365(tmp_path: Path) -> AsyncIterator[Emulator]:
    """A running emulator with its own ports and certificate authority, for one test."""
    async with Emulator(Options(directory=tmp_path / "microsoft365")) as emulator:
        yield emulator
