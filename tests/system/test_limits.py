"""Microsoft's limits as the other side sees them: kept by the real program, over kills too (PROMISES §7)."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from posthouse.sandbox.chaos import Rule, Target
from posthouse.sandbox.emulator import Emulator
from tests.system.harness import Service, letter

MAILBOXES = tuple(f"app{number}@contoso.example" for number in range(3))
A, B = MAILBOXES[:2]
AT_REST = frozenset({"sent", "unconfirmed"})


def broken(emulator: Emulator) -> dict[str, int]:
    """The limits that were not kept; the minute's only where a test has it on."""
    return {name: count for name, count in emulator.world.violations.counts.items() if count and name != "starts"}


def settle(emulator: Emulator, **changes: Any) -> None:
    emulator.world.settings = replace(emulator.world.settings, **changes)


async def key_of(service: Service, client: str, *senders: str) -> str:
    answer = await service.admin("POST", "/v1/keys", json={"client": client, "senders": list(senders)})
    return answer.json()["key"]


async def submit(service: Service, letters: Sequence[dict[str, object]], key: str | None = None) -> list[str]:
    """Submit in batches; the ids."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    ids: list[str] = []
    for start in range(0, len(letters), 100):
        batch = list(letters[start : start + 100])
        answer = await service.http.post("/v1/messages/batch", json=batch, headers=headers)
        assert answer.status_code == 202, answer.text
        ids += [one["id"] for one in answer.json()["data"]]
    return ids


async def lane(service: Service, account: str = A) -> dict[str, Any]:
    return (await service.admin("GET", f"/v1/lanes/{account}")).json()


async def lane_waits_for(service: Service, reason: str, account: str = A) -> dict[str, Any]:
    """The lane when it waits for this."""
    async with asyncio.timeout(20):
        while True:
            shown = await lane(service, account)
            if "waits_for" in shown and (shown["waits_for"] or {}).get("reason") == reason and not shown["sending"]:
                return shown
            await asyncio.sleep(0.05)


async def rests(service: Service, account: str = A) -> dict[str, Any]:
    """The pause of the lane when there is one."""
    async with asyncio.timeout(20):
        while not (pauses := (await lane(service, account)).get("pauses")):
            await asyncio.sleep(0.02)
    (pause,) = pauses
    return pause


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def subjects(emulator: Emulator) -> list[str]:
    return [one.subject for one in emulator.world.received]


# --- many messages ---------------------------------------------------------------------------------------------------


def bad_day() -> tuple[Rule, ...]:
    """Throttling, and doubts that are looked up in the same slots and rests."""
    return (
        Rule(target=Target.GRAPH, fault="429", retry_after=1, every=170),
        Rule(target=Target.GRAPH, fault="504-after-send", every=190),
        Rule(target=Target.GRAPH, fault="503", code="serviceNotAvailable", retry_after=1, every=310),
    )


def letters(count: int, *, first: int = 0) -> list[dict[str, object]]:
    """Of all mailboxes; every tenth goes by SMTP."""
    numbers = range(first, first + count)
    return [letter(MAILBOXES[n % 3], n, **({"transport": "smtp"} if n % 10 == 0 else {})) for n in numbers]


async def test_two_thousand_messages_on_a_bad_day_break_no_limit(launch, emulator):
    service = await launch()
    await service.make_key(*MAILBOXES)
    other = await key_of(service, "till", *MAILBOXES)
    settle(emulator, latency=0.01)
    emulator.world.faults = bad_day()
    mine, theirs = await asyncio.gather(
        submit(service, letters(1_000)), submit(service, letters(1_000, first=1_000), key=other)
    )
    statuses = await service.until(mine, seconds=200)
    while emulator.world.counters.accepted + emulator.world.counters.smtp_accepted < len(mine) + len(theirs):
        await asyncio.sleep(0.1)

    assert set(statuses.values()) == {"sent"}
    assert max(Counter(subjects(emulator)).values()) == 1
    assert broken(emulator) == {}, emulator.world.violations.examples
    world = emulator.world
    assert max(world.graph_gauge.peak.values()) == 3  # the fourth slot is kept for high
    assert max(world.smtp_gauge.peak.values()) <= 3


@pytest.mark.timeout(300)
async def test_per_kill_no_more_requests_than_were_under_way_break_a_limit(launch, emulator):
    service = await launch(delivery={"attempt_timeout": "1s"})
    await service.make_key(*MAILBOXES)
    settle(emulator, latency=0.05)
    emulator.world.faults = (Rule(target=Target.GRAPH, fault="429", retry_after=1, every=150),)
    chance, ids = random.Random(11), await submit(service, letters(700))
    world, allowed, doubtful = emulator.world, 0, 0
    for kill in range(1, 3):
        while len(emulator.world.received) < 200 * kill + chance.randrange(50):
            await asyncio.sleep(0.005)
        allowed -= world.counters.posts - sum(world.graph_gauge.now.values())
        await service.kill()
        allowed += world.counters.posts  # what was under way, and what came before the process was gone
        doubtful += service.count("sending")  # an answer that was sent and not read leaves a doubt too
        await service.start()
    statuses = Counter((await service.until(ids, wanted=AT_REST)).values())

    assert statuses["unconfirmed"] <= doubtful
    assert max(Counter(subjects(emulator)).values()) == 1
    counts = emulator.world.violations.counts
    assert counts["at_once"] <= allowed
    assert counts["early"] <= allowed
    assert counts["connections"] == counts["uploads"] == counts["recipients"] == 0


@pytest.mark.timeout(300)
async def test_what_a_killed_process_left_under_way_keeps_its_slots_until_it_surely_ended(launch, emulator):
    service = await launch(delivery={"route": ["graph"], "attempt_timeout": "10s"})
    await service.make_key(A)
    emulator.world.faults = (Rule(target=Target.GRAPH, fault="slow", seconds=15, times=3),)
    ids = await submit(service, [letter(A, number) for number in range(60)])
    while emulator.world.graph_gauge.now[A] < 3:
        await asyncio.sleep(0.01)
    settle(emulator, latency=0.05)
    await service.kill()
    await service.start()

    assert set((await service.until(ids, seconds=200)).values()) == {"sent"}
    assert len(subjects(emulator)) == len(set(subjects(emulator))) == 60
    assert broken(emulator) == {}, emulator.world.violations.examples


# --- the minute ------------------------------------------------------------------------------------------------------


async def test_the_first_thirty_of_a_quiet_minute_leave_at_once_and_the_next_a_minute_later(launch, emulator):
    service = await launch(limits={"messages_per_minute": 30})
    await service.make_key(*MAILBOXES)
    await submit(service, [letter(A, number) for number in range(40)])
    shown = await lane_waits_for(service, "pace")

    assert len(emulator.world.received) == 30
    assert (shown["waiting"], shown["pace"]["used"]) == (10, 30)
    assert seconds(shown["waits_for"]["until"]) >= emulator.world.received[0].received_at + 60
    await service.kill()
    await service.start()
    again = await lane_waits_for(service, "pace")
    await service.until([await service.submit(letter(B, 50))])  # another lane goes on, and the first has been asked too
    assert again["waits_for"] == shown["waits_for"]
    assert len(emulator.world.received) == 31
    assert emulator.world.violations.starts == 0


async def test_of_thirty_a_minute_six_are_kept_for_high_once_the_minute_is_not_quiet_any_more(launch, emulator):
    service = await launch(limits={"messages_per_minute": 30})
    await service.make_key(A)
    await service.until(await submit(service, [letter(A, number) for number in range(24)]))
    await service.kill()
    await service.start()
    await submit(service, [letter(A, 100 + number) for number in range(3)])
    await submit(service, [letter(A, 200 + number, priority="high") for number in range(8)])
    while len(emulator.world.received) < 30:
        await asyncio.sleep(0.05)
    shown = await lane_waits_for(service, "pace")

    assert sorted(subjects(emulator)[24:]) == [f"number {200 + number}" for number in range(6)]
    assert {one["priority"]: one["due"] for one in shown["backlog"]} == {"high": 2, "normal": 3}
    assert emulator.world.violations.starts == 0


# --- what Graph asks for ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["429", "504-after-send"])
async def test_a_retry_after_is_kept_to_the_second_over_a_kill_by_sends_and_look_ups(answer, launch, emulator):
    service = await launch(delivery={"route": ["graph"], "settle_checks": ["1.5s", "2.5s", "3.5s"]})
    await service.make_key(A)
    emulator.world.faults = (Rule(target=Target.GRAPH, fault=answer, retry_after=6, times=1),)
    ids = [await service.submit(letter(A, 0))]
    pause = await rests(service)
    assert 6.0 <= seconds(pause["until"]) - seconds(pause["since"]) <= 7.001
    await service.kill()
    await service.start()
    ids += await submit(service, [letter(A, number) for number in range(1, 9)])

    assert set((await service.until(ids, seconds=50)).values()) == {"sent"}
    assert broken(emulator) == {}, emulator.world.violations.examples


# --- turns -----------------------------------------------------------------------------------------------------------


async def overtaken(
    service: Service, emulator: Emulator, later: Iterator[dict[str, object]], key: str | None
) -> list[int]:
    """The places at which five messages arrived that were submitted behind 60 others, of which few had left."""
    settle(emulator, latency=0.1)
    await submit(service, [letter(A, number) for number in range(60)])
    while len(emulator.world.received) < 4:
        await asyncio.sleep(0.01)
    await submit(service, list(later), key=key)
    while len(emulator.world.received) < 65:
        await asyncio.sleep(0.05)
    arrived = subjects(emulator)
    return [arrived.index(f"number {100 + number}") for number in range(5)]


async def test_high_overtakes_a_backlog(launch, emulator):
    service = await launch()
    await service.make_key(A)
    later = (letter(A, 100 + number, priority="high") for number in range(5))

    assert max(await overtaken(service, emulator, later, None)) < 40


async def test_two_clients_of_a_mailbox_take_turns_however_long_the_queue_of_one_is(launch, emulator):
    service = await launch()
    await service.make_key(A)
    key = await key_of(service, "till", A)
    later = (letter(A, 100 + number) for number in range(5))

    assert max(await overtaken(service, emulator, later, key)) < 40


# --- mailboxes and routes --------------------------------------------------------------------------------------------


async def test_a_sender_with_two_mailboxes_has_the_pace_of_both(launch, emulator):
    news = "news@contoso.example"
    service = await launch(
        limits={"messages_per_minute": 10},
        senders=[{"address": news, "mailboxes": [A, B]}],
        delivery={"route": ["graph"]},
    )
    await service.make_key(news)
    settle(emulator, send_as={A: frozenset({news}), B: frozenset({news})})
    ids = await submit(service, [letter(news, number) for number in range(20)])

    assert set((await service.until(ids)).values()) == {"sent"}
    assert Counter(one.mailbox for one in emulator.world.received) == {A: 10, B: 10}
    assert {one.sender for one in emulator.world.received} == {news}


async def test_where_all_recipients_match_another_route_is_taken(launch, emulator):
    service = await launch(routes=[{"recipients": ["*@contoso.example"], "transports": ["smtp"]}])
    await service.make_key(A)
    inside, outside = "r@contoso.example", "r@example.net"
    ids = [await service.submit(letter(A, number, to=to)) for number, to in enumerate([[inside], [inside, outside]])]

    assert set((await service.until(ids)).values()) == {"sent"}
    assert {one.subject: one.transport for one in emulator.world.received} == {"number 0": "smtp", "number 1": "graph"}


# --- a person's word -------------------------------------------------------------------------------------------------


async def test_a_mailbox_that_a_person_paused_stays_so_over_a_restart_and_costs_the_others_nothing(launch):
    service = await launch()
    await service.make_key(*MAILBOXES)
    assert (await service.run("lanes", "pause", A))[0] == 0
    waiting = await submit(service, [letter(A, number) for number in range(3)])
    for end in (service.stop, service.kill):
        await end()
        await service.start()
        await service.until([await service.submit(letter(B, 100))])
        shown = await lane(service)
        assert (shown["waits_for"]["reason"], shown["waits_for"]["until"]) == ("paused_by_person", None)
        assert {(await service.get(one))["status"] for one in waiting} == {"queued"}
    assert (await service.run("lanes", "resume", A))[0] == 0

    assert set((await service.until(waiting)).values()) == {"sent"}


async def test_a_mailbox_that_is_paused_while_it_sends_stops_at_once(launch, emulator):
    service = await launch()
    await service.make_key(A)
    settle(emulator, latency=0.2)
    ids = await submit(service, [letter(A, number) for number in range(60)])
    while not emulator.world.received:
        await asyncio.sleep(0.01)
    await service.admin("POST", f"/v1/lanes/{A}/pause")
    shown = await lane_waits_for(service, "paused_by_person")
    arrived = len(emulator.world.received)
    assert 1 <= shown["waiting"] == 60 - arrived
    await service.until([await service.submit(letter(A, 100, expires_in="1s"))], wanted=frozenset({"expired"}))
    assert len(emulator.world.received) == arrived
    await service.admin("POST", f"/v1/lanes/{A}/resume")

    assert set((await service.until(ids)).values()) == {"sent"}
    assert "number 100" not in subjects(emulator)


async def test_a_transport_that_a_person_paused_is_gone_round_until_it_is_resumed(launch, emulator):
    service = await launch()
    await service.make_key(A)
    assert (await service.run("transports", "pause", "graph"))[0] == 0
    await service.until([await service.submit(letter(A, 0))])
    await service.kill()
    await service.start()
    await service.until([await service.submit(letter(A, 1))])
    assert (await service.run("transports", "resume", "graph"))[0] == 0
    await service.until([await service.submit(letter(A, 2))])

    assert [one.transport for one in emulator.world.received] == ["smtp", "smtp", "graph"]


# --- times and days --------------------------------------------------------------------------------------------------


async def test_what_is_scheduled_is_not_sent_before_its_time_over_a_kill_and_sooner_when_its_client_says_so(
    launch, emulator
):
    service = await launch()
    await service.make_key(A)
    later = await service.submit(letter(A, 1, send_in="6s"))
    sooner, never = [await service.submit(letter(A, number, send_in="1h")) for number in (2, 3)]
    due_at = seconds((await service.get(later))["scheduled_at"])
    await service.kill()
    await service.start()
    assert (await service.http.patch(f"/v1/messages/{sooner}", json={"scheduled_at": None})).status_code == 200
    await service.until([later, sooner])

    arrived = {one.subject: one.received_at for one in emulator.world.received}
    assert arrived.keys() == {"number 1", "number 2"}
    assert arrived["number 1"] >= due_at
    assert (await service.get(never))["status"] == "scheduled"


async def test_what_expires_while_its_mailbox_rests_is_never_sent(launch, emulator):
    service = await launch(delivery={"route": ["graph"]})
    await service.make_key(A)
    emulator.world.faults = (Rule(target=Target.GRAPH, fault="429", retry_after=5, times=1),)
    first = await service.submit(letter(A, 1))
    await rests(service)
    code = await service.submit(letter(A, 2, expires_in="2s"))
    assert await service.until([first, code]) == {first: "sent", code: "expired"}
    assert subjects(emulator) == ["number 1"]


async def test_a_mailbox_whose_day_is_used_up_waits_for_room_over_a_kill_and_others_go_on(launch, emulator):
    service = await launch(limits={"recipients_per_day": 5, "recipients_per_message": 3})
    await service.make_key(*MAILBOXES)
    two = ["r1@example.net", "r2@example.net"]
    sent = await submit(service, [letter(A, number, to=two) for number in range(2)])
    await service.until(sent)
    await service.until([await service.submit(letter(A, 5))])
    late = await service.submit(letter(A, 6))
    shown = await lane_waits_for(service, "recipients_per_day")
    assert shown["day"]["used"] == 5
    assert seconds(shown["waits_for"]["until"]) > emulator.world.received[0].received_at + 86_400
    await service.kill()
    await service.start()
    await service.until([await service.submit(letter(B, 7))])

    assert (await lane_waits_for(service, "recipients_per_day"))["waiting"] == 1
    assert (await service.get(late))["status"] in {"queued", "deferred"}
    assert len(emulator.world.received) == 4
