"""How a service ends: it takes no more, finishes what is under way, and never lies about what it left (PROMISES §9)."""

import asyncio
import signal
from dataclasses import replace

import apsw
import httpx

from posthouse.sandbox.chaos import Rule, Target
from tests.system.harness import Service, letter

APP = "app@contoso.example"
HOUR = 3_600_000


def told_to_end(service: Service) -> None:
    assert service.process is not None
    service.process.send_signal(signal.SIGTERM)


async def sending(emulator, posts: int = 1) -> None:
    async with asyncio.timeout(20):
        while emulator.world.counters.posts < posts:
            await asyncio.sleep(0.01)


async def test_at_sigterm_what_is_under_way_is_finished_and_nothing_more_is_taken(launch, emulator):
    service = await launch()
    await service.make_key(APP)
    emulator.world.settings = replace(emulator.world.settings, latency=2.0)
    await service.submit(letter(APP, 1))
    await sending(emulator)
    told_to_end(service)
    async with asyncio.timeout(20):
        while (answer := await service.post(letter(APP, 2))).status_code == 202:
            await asyncio.sleep(0.01)
    assert (answer.status_code, answer.json()["code"]) == (503, "draining")
    assert int(answer.headers["retry-after"]) > 0
    assert (await service.http.get("/readyz")).status_code == 503
    assert service.process is not None
    assert await asyncio.wait_for(service.process.wait(), 20) == 0
    assert service.count("sending") == service.count("unconfirmed") == 0
    assert service.count("sent") >= 1
    assert [one.subject for one in emulator.world.received].count("number 1") == 1


async def test_a_second_sigterm_stops_at_once_and_leaves_a_truthful_spool(launch, emulator):
    service = await launch()
    await service.make_key(APP)
    emulator.world.faults = (Rule(target=Target.GRAPH, fault="hang", times=1),)
    message = await service.submit(letter(APP, 1))
    await sending(emulator)
    told_to_end(service)
    async with asyncio.timeout(20):
        while (await service.http.get("/readyz")).status_code != 503:
            await asyncio.sleep(0.01)
    told_to_end(service)
    assert service.process is not None
    assert await asyncio.wait_for(service.process.wait(), 10) == 1
    assert service.count("sending") == 1
    await service.start()
    assert (await service.get(message))["status"] == "unconfirmed"
    assert emulator.world.counters.posts == 1


async def test_mail_that_waits_does_not_wait_an_hour_longer_because_the_clock_was_set_back(launch, emulator):
    service = await launch()
    await service.make_key(APP)
    emulator.world.faults = (Rule(target=Target.GRAPH, fault="503"), Rule(target=Target.SMTP, fault="421"))
    message = await service.submit(letter(APP, 1))
    await sending(emulator)
    await service.until([message], wanted=frozenset({"deferred"}))
    assert await service.stop() == 0
    spool = apsw.Connection(str(service.state / "spool.sqlite"))
    for text in (
        "update events set at = at + ?1",
        "update messages set accepted_at = accepted_at + ?1, due_at = due_at + ?1",
        "update attempts set started_at = started_at + ?1, ended_at = ended_at + ?1",
        "update lanes set next_at = next_at + ?1",
        "update transports set until = until + ?1",
    ):
        spool.execute(text, (HOUR,))
    spool.close()
    emulator.world.faults = ()
    await service.start()
    assert set((await service.until([message])).values()) == {"sent"}


async def test_a_caller_who_waits_for_the_end_of_a_message_is_answered_when_the_service_stops(launch, emulator):
    service = await launch()
    await service.make_key(APP)
    emulator.world.faults = (Rule(target=Target.GRAPH, fault="503"), Rule(target=Target.SMTP, fault="421"))
    waiting = asyncio.create_task(service.post(letter(APP, 1), prefer="wait=30"))
    await sending(emulator)
    assert await service.stop() == 0
    answer: httpx.Response = await asyncio.wait_for(waiting, 10)
    assert answer.status_code == 202
