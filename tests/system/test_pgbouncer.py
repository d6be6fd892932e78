"""The spool behind PgBouncer in transaction mode: no prepared statement survives there, and nobody is notified."""

import asyncio
from collections import Counter

import pytest

from tests.system.harness import Service, letter
from tests.system.pgbouncer import PgBouncer

pytestmark = pytest.mark.apt

SENDERS = tuple(f"app{number}@contoso.example" for number in range(4))
MESSAGES = 200


@pytest.mark.parametrize("way", ["polling", "a direct address to listen at"])
async def test_mail_goes_through_a_pooler_and_each_message_once(way, fleet, postgres_server, emulator):
    async with PgBouncer(postgres_server) as pooler:
        spool = {"url": pooler.dsn(fleet.dsn), "pooler": True}
        if way != "polling":
            spool["listen_url"] = fleet.dsn
        doors, _ = await fleet.doors(spool=spool), await fleet.worker(spool=spool)
        await doors.make_key(*SENDERS)
        numbers = iter(range(MESSAGES))
        ids: list[str] = []

        async def client() -> None:
            ids.extend([await doors.submit(letter(SENDERS[number % 4], number)) for number in numbers])

        await asyncio.gather(*(client() for _ in range(8)))
        assert set((await doors.until(ids)).values()) == {"sent"}
        received = Counter(one.subject for one in emulator.world.received)
        assert len(received) == MESSAGES
        assert set(received.values()) == {1}


async def test_a_pooler_that_nobody_told_of_is_named(tmp_path, emulator, database, postgres_server):
    async with PgBouncer(postgres_server) as pooler:
        service = Service(tmp_path, emulator, spool={"url": pooler.dsn(database)})
        code, _, error = await service.run("serve", "--config", str(service.config))
        assert code == 3
        assert "spool.pooler = true" in error
        await service.close()
