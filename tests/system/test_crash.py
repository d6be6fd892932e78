"""What was answered 2xx survives SIGKILL and arrives once (PROMISES §1)."""

import asyncio
import random
from collections import Counter
from dataclasses import replace

import httpx
import pytest

from tests.system.harness import Service, letter

SUBMISSIONS = 1_000
KILLS = 6
SENDERS = tuple(f"app{number}@contoso.example" for number in range(8))


async def submit_until_answered(service: Service, number: int) -> str:
    """Submit with an idempotency key, as often as it takes; the id."""
    message = letter(SENDERS[number % len(SENDERS)], number)
    while True:
        try:
            answer = await service.post(message, **{"idempotency-key": f"order-{number}"})
        except httpx.TransportError:
            await asyncio.sleep(0.05)
            continue
        if answer.status_code == 202:
            return answer.json()["id"]
        assert answer.status_code in {429, 503}, answer.text
        await asyncio.sleep(0.05)


async def storm(service: Service, chance: random.Random) -> tuple[list[str], list[int]]:
    """Submit from 16 clients while the service is killed; the ids, and the sends under way at each kill."""
    numbers = iter(range(SUBMISSIONS))
    ids: list[str] = []

    async def client() -> None:
        for number in numbers:
            message_id = await submit_until_answered(service, number)
            ids.append(message_id)

    clients = [asyncio.create_task(client()) for _ in range(16)]
    under_way: list[int] = []
    while len(under_way) < KILLS:
        at_least = SUBMISSIONS * (len(under_way) + 1) // (KILLS + 2) + chance.randrange(40)
        while len(ids) < at_least or service.count("sending") < 3:
            await asyncio.sleep(0.005)
        await service.kill()
        under_way.append(service.count("sending"))
        await service.start()
    await asyncio.gather(*clients)
    return ids, under_way


@pytest.mark.timeout(300)
@pytest.mark.parametrize("may_look", [True, False])
async def test_a_thousand_submissions_under_sigkill_arrive_exactly_once(may_look, launch, emulator):
    service = await launch(delivery={"attempt_timeout": "1s"})
    await service.make_key(*SENDERS)
    for number, sender in enumerate(SENDERS):
        await service.submit(letter(sender, 5000 + number, subject=f"witness {number}"))
    await service.until(list(await service.statuses()))
    grants = emulator.world.settings.grants if may_look else emulator.world.settings.grants - {"Mail.ReadBasic"}
    emulator.world.settings = replace(emulator.world.settings, latency=0.05, grants=grants)
    ids, under_way = await storm(service, random.Random(7))

    assert len(under_way) == KILLS
    assert all(under_way)
    assert len(set(ids)) == SUBMISSIONS
    wanted = frozenset({"sent"}) if may_look else frozenset({"sent", "held"})
    statuses = Counter((await service.until(ids, wanted=wanted, seconds=200)).values())
    received = Counter(one.subject for one in emulator.world.received if one.subject.startswith("number"))
    assert max(received.values()) == 1
    assert statuses["held"] <= (0 if may_look else len(SENDERS) * 4 * KILLS)
    missing = SUBMISSIONS - len(received)
    assert missing <= statuses["held"]


async def test_a_second_service_on_the_same_spool_is_refused(launch):
    service = await launch()
    code, _, error = await service.run("serve", "--config", str(service.config))

    assert code == 3
    assert "another process has the spool" in error
