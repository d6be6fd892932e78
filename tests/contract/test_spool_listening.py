"""The listener of PostgreSQL ends when it is told to, in whatever turn of the loop that happens."""

import asyncio
from pathlib import Path

import pytest

from posthouse.spool.postgres.listening import Listener
from posthouse.spool.postgres.store import PostgresSpool
from posthouse.spool.postgres.waking import Waker
from tests.contract.spools import house

pytestmark = [pytest.mark.usefixtures("engine"), pytest.mark.engine("postgres")]


async def test_a_service_that_stops_just_when_its_proof_of_hearing_arrives_does_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``asyncio.wait_for`` swallows such a cancellation before Python 3.12 (python/cpython#86296)."""
    async with house(tmp_path) as spool:
        assert isinstance(spool.spool, PostgresSpool)
        for turns in range(8):
            listener, arrived = Listener(spool.spool._database, Waker()), asyncio.Event()
            hear = listener._hear

            def heard(*said, hear=hear, arrived=arrived) -> None:
                hear(*said)
                arrived.set()

            monkeypatch.setattr(listener, "_hear", heard)
            listener.start()
            await arrived.wait()
            for _ in range(turns):
                await asyncio.sleep(0)
            async with asyncio.timeout(10):
                await listener.stop()
