"""One spool, many processes: each may die, hang or lose the database, and nothing is lost or sent twice (SPOOL §6, §8)."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from tests.system.harness import letter

SENDERS = tuple(f"app{number}@contoso.example" for number in range(8))
SHORT = {"attempt_timeout": "2s"}


async def submit(doors, count: int, *, first: int = 0) -> list[str]:
    numbers = iter(range(first, first + count))
    ids: list[str] = []

    async def client() -> None:
        ids.extend([await doors.submit(letter(SENDERS[number % len(SENDERS)], number)) for number in numbers])

    await asyncio.gather(*(client() for _ in range(8)))
    return ids


def once(emulator, count: int) -> bool:
    """Whether the other side got every number once."""
    received = Counter(one.subject for one in emulator.world.received if one.subject.startswith("number"))
    return len(received) == count and set(received.values()) == {1}


async def test_doors_take_mail_while_nobody_sends_and_a_worker_sends_what_waits(fleet, emulator):
    doors = await fleet.doors()
    await doors.make_key(*SENDERS)
    ids = await submit(doors, 20)
    assert set((await doors.statuses()).values()) == {"queued"}
    worker = await fleet.worker()
    assert set((await doors.until(ids)).values()) == {"sent"}
    assert once(emulator, 20)
    refused = await worker.http.post("/v1/messages", json=letter(SENDERS[0], 1))
    assert refused.status_code == 404
    assert (await worker.http.get("/livez")).status_code == 200


async def test_a_caller_who_waits_at_the_doors_hears_that_a_worker_sent_it(fleet):
    doors, _ = await fleet.doors(), await fleet.worker()
    await doors.make_key(*SENDERS)
    answer = await doors.post(letter(SENDERS[0], 1), prefer="wait=20")
    assert (answer.status_code, answer.json()["status"]) == (202, "sent")


async def test_a_key_made_at_one_door_opens_another(fleet):
    first, second = await fleet.doors(), await fleet.doors()
    key = await first.make_key(*SENDERS)
    second.http.headers["authorization"] = f"Bearer {key}"
    async with asyncio.timeout(20):
        while (await second.post(letter(SENDERS[0], 1))).status_code != 202:
            await asyncio.sleep(0.2)


async def test_roles_need_postgresql(launch):
    service = await launch()
    code, _, error = await service.run("serve", "--config", str(service.config), "--role", "worker")
    assert code == 3
    assert "PostgreSQL" in error


@pytest.mark.timeout(300)
async def test_a_workers_lanes_go_on_with_another_when_it_is_killed(fleet, emulator):
    emulator.world.settings = replace(emulator.world.settings, latency=0.05)
    doors = await fleet.doors(delivery=SHORT)
    workers = [await fleet.worker(delivery=SHORT) for _ in range(2)]
    await doors.make_key(*SENDERS)
    ids = await submit(doors, 400)
    while len(emulator.world.received) < 60:
        await asyncio.sleep(0.02)
    await workers[0].kill()
    statuses = await doors.until(ids, seconds=200)
    assert set(statuses.values()) == {"sent"}
    assert once(emulator, 400)


@pytest.mark.timeout(300)
async def test_a_worker_that_hangs_past_its_lease_and_wakes_again_doubles_nothing(fleet, emulator):
    emulator.world.settings = replace(emulator.world.settings, latency=0.05)
    doors = await fleet.doors(delivery=SHORT)
    workers = [await fleet.worker(delivery=SHORT) for _ in range(2)]
    await doors.make_key(*SENDERS)
    ids = await submit(doors, 400)
    while len(emulator.world.received) < 60:
        await asyncio.sleep(0.02)
    owned = await fleet.ask("select count(distinct owner) from lanes where owner is not null")
    assert owned == [(2,)]
    await workers[0].freeze()
    async with asyncio.timeout(40):
        while len(await fleet.ask("select distinct owner from lanes where owner is not null")) > 1:
            await asyncio.sleep(0.2)
    await workers[0].thaw()
    statuses = await doors.until(ids, seconds=200)
    assert set(statuses.values()) == {"sent"}
    assert once(emulator, 400)


@pytest.mark.timeout(300)
async def test_postgresql_restarted_under_load_costs_nothing_that_was_answered(postgres_server, fleet, emulator):
    """The doors answer 503 with Retry-After meanwhile; callers try again with their idempotency keys."""
    doors, _ = await fleet.doors(), await fleet.worker()
    await doors.make_key(*SENDERS)
    numbers, refused, ids = iter(range(1_500)), Counter[str](), set[str]()

    async def client() -> None:
        for number in numbers:
            message = letter(SENDERS[number % len(SENDERS)], number)
            while True:
                answer = await doors.post(message, **{"idempotency-key": f"order-{number}"})
                if answer.status_code == 202:
                    ids.add(answer.json()["id"])
                    break
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["retry-after"]) > 0
                refused[answer.json()["code"]] += 1
                await asyncio.sleep(0.1)

    clients = [asyncio.create_task(client()) for _ in range(16)]
    for number, end in enumerate((postgres_server.stop, postgres_server.kill), 1):
        while len(ids) < 300 * number:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(end)
        await asyncio.sleep(1.5)
        await asyncio.to_thread(postgres_server.start)
    await asyncio.gather(*clients)
    statuses = await doors.until(sorted(ids), seconds=200)
    assert len(ids) == 1_500
    assert set(statuses.values()) == {"sent"}
    assert once(emulator, 1_500)
    assert set(refused) <= {"storage_low"}
