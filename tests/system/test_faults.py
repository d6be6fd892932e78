"""What happens to mail when Graph, Entra or a mailbox is ill (PROMISES §4 to §6)."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from posthouse.sandbox.chaos import Rule, Stage, Target
from tests.system.breaker import Breaker
from tests.system.gate import Gate
from tests.system.harness import letter

SENDERS = tuple(f"app{number}@contoso.example" for number in range(5))
BATCH = 50


async def submit(service, count: int = BATCH, *, first: int = 0, senders=SENDERS) -> list[str]:
    return [
        await service.submit(letter(senders[number % len(senders)], number)) for number in range(first, first + count)
    ]


def arrived_by(emulator) -> Counter[str]:
    """How many mails arrived by each transport, after seeing that none arrived twice."""
    received = list(emulator.world.received)
    assert len({one.subject for one in received}) == len(received)
    return Counter(one.transport for one in received)


async def back_on_graph(service, emulator, *, first: int, count: int = BATCH, senders=SENDERS) -> None:
    """Mail returns to Graph by itself, once the circuit has seen it alive."""
    feeler = first
    while True:
        status = await service.until(await submit(service, 1, first=feeler, senders=senders))
        assert set(status.values()) == {"sent"}
        feeler += 1
        if emulator.world.received[-1].transport == "graph":
            break
        assert feeler < first + 200
    while any(lane["pauses"] for lane in (await service.admin("GET", "/v1/lanes")).json()["data"]):
        await asyncio.sleep(0.05)  # a mailbox obeys its own Retry-After although the circuit is closed again
    before = arrived_by(emulator)
    await service.until(await submit(service, count, first=feeler, senders=senders))
    assert arrived_by(emulator)["graph"] - before["graph"] == count


@pytest.mark.parametrize("illness", ["refuse", "garble"])
async def test_with_graph_unreachable_mail_goes_by_smtp_and_returns_when_it_is_back(illness, launch, emulator):
    host, port = emulator.https_url.removeprefix("https://").rsplit(":", 1)
    async with Gate(host, int(port)) as gate:
        service = await launch(transports__graph={"base_url": f"https://{host}:{gate.port}/v1.0"})
        await service.make_key(*SENDERS)
        await (gate.refuse() if illness == "refuse" else gate.garble())
        statuses = await service.until(await submit(service))
        assert set(statuses.values()) == {"sent"}
        assert arrived_by(emulator) == {"smtp": BATCH}
        assert emulator.world.counters.posts == 0
        await gate.open()
        await back_on_graph(service, emulator, first=1000)


async def test_with_graphs_name_unresolvable_mail_goes_by_smtp(launch, emulator):
    service = await launch(transports__graph={"base_url": "https://graph.invalid/v1.0"})
    await service.make_key(*SENDERS)
    statuses = await service.until(await submit(service))
    assert set(statuses.values()) == {"sent"}
    assert arrived_by(emulator) == {"smtp": BATCH}
    await service.stop()
    service.config.write_text(service.config.read_text().replace("https://graph.invalid/v1.0", emulator.graph_url))
    await service.start()
    await back_on_graph(service, emulator, first=1000)


async def test_a_prompt_503_falls_back_and_mail_returns(launch, emulator):
    service = await launch()
    await service.make_key(*SENDERS)
    emulator.world.faults = [Rule(target=Target.GRAPH, fault="503", code="serviceNotAvailable", retry_after=1)]
    statuses = await service.until(await submit(service))
    assert set(statuses.values()) == {"sent"}
    assert arrived_by(emulator) == {"smtp": BATCH}
    emulator.world.faults = []
    await back_on_graph(service, emulator, first=1000)


async def test_with_entra_down_a_login_carries_the_mail(launch, emulator):
    sender = SENDERS[0]
    login = {"auth": "login", "username": sender, "password": emulator.smtp_password(sender)}
    emulator.world.faults = [Rule(target=Target.ENTRA, fault="503")]
    service = await launch(transports__smtp=login)
    await service.make_key(sender)
    statuses = await service.until(await submit(service, senders=(sender,)))
    assert set(statuses.values()) == {"sent"}
    assert arrived_by(emulator) == {"smtp": BATCH}
    emulator.world.faults = []
    await back_on_graph(service, emulator, first=1000, senders=(sender,))


@pytest.mark.parametrize(
    ("fault", "code", "meanwhile"),
    [
        ("400", "ErrorInvalidRecipients", "failed"),
        ("403", "ErrorAccessDenied", "deferred"),
        ("403", "ErrorSendAsDenied", "deferred"),
        ("404", "ErrorInvalidUser", "deferred"),
        ("429", "ApplicationThrottled", "deferred"),
    ],
)
async def test_what_is_no_illness_of_graph_never_goes_to_smtp(fault, code, meanwhile, launch, emulator):
    service = await launch()
    await service.make_key(*SENDERS)
    emulator.world.faults = [
        Rule(target=Target.GRAPH, fault=fault, code=code, retry_after=1 if fault == "429" else None)
    ]
    ids = await submit(service)
    if meanwhile == "failed":
        assert set((await service.until(ids)).values()) == {"failed"}
    else:
        await service.until(ids[: len(SENDERS)], wanted=frozenset({meanwhile}))
        assert emulator.world.counters.posts >= len(SENDERS)
    assert arrived_by(emulator) == {}
    assert emulator.world.counters.smtp_sessions == 0
    emulator.world.faults = []
    if meanwhile != "failed":
        assert set((await service.until(ids)).values()) == {"sent"}
    await back_on_graph(service, emulator, first=1000)


async def test_a_black_hole_of_504s_opens_the_circuit_and_new_mail_goes_by_smtp(launch, emulator):
    service = await launch(
        delivery={"circuit_open": "20s", "circuit_open_max": "20s", "settle_checks": ["0.2s", "0.5s", "15s"]}
    )
    await service.make_key(SENDERS[0])
    warm = await submit(service, 1, first=900, senders=SENDERS[:1])
    await service.until(warm)
    emulator.world.faults = [Rule(target=Target.GRAPH, fault="504")]
    doubtful = [(await submit(service, 1, first=number, senders=SENDERS[:1]))[0] for number in range(5)]
    await service.until(doubtful, wanted=frozenset({"unconfirmed"}))
    after = await submit(service, first=100, senders=SENDERS[:1])
    assert set((await service.until(after)).values()) == {"sent"}
    assert emulator.world.counters.posts == 1 + 5
    assert arrived_by(emulator) == {"graph": 1, "smtp": BATCH}
    emulator.world.faults = []
    assert set((await service.until(doubtful)).values()) == {"sent"}
    await back_on_graph(service, emulator, first=1000, senders=SENDERS[:1])


@pytest.mark.parametrize("fault", ["200", "302", "307", "500", "504"])
async def test_only_202_is_success_and_doubt_is_never_resent_blindly(fault, launch, emulator):
    """Each doubtful message is posted once; what was not accepted is posted again only after absence was proved."""
    service = await launch()
    await service.make_key(*SENDERS)
    await service.until(await submit(service, 5, first=900))
    emulator.world.faults = [Rule(target=Target.GRAPH, fault=fault, every=2)]
    ids = await submit(service)
    emulator_posts = emulator.world.counters
    statuses = await service.until(ids)
    assert set(statuses.values()) == {"sent"}
    assert arrived_by(emulator) == {"graph": BATCH + 5}
    doubtful = emulator_posts.posts_by_status[fault]
    assert doubtful > 0
    assert emulator_posts.posts == BATCH + 5 + doubtful


@pytest.mark.parametrize("end", ["reset", "end", "garbage", "half a status line"])
async def test_a_reply_that_is_lost_after_the_body_is_never_posted_again_nor_falls_back(end, launch, emulator):
    """Three messages at a server that takes the whole request and then breaks: three POSTs, nothing by SMTP."""
    async with Breaker(emulator, end) as breaker:
        service = await launch(transports__graph={"base_url": breaker.url}, delivery={"settle_checks": ["30s"]})
        await service.make_key(*SENDERS)
        ids = await submit(service, 3)
        await service.until(ids, wanted=frozenset({"unconfirmed"}))
        assert breaker.posts == 3
        assert emulator.world.counters.smtp_sessions == 0
        assert list(emulator.world.received) == []


@pytest.mark.parametrize("may_look", [True, False])
async def test_two_hundred_messages_answered_504_half_of_them_accepted(may_look, launch, emulator):
    """With the look-up right and a witness all are sent once and none is held; without the right all are held."""
    service = await launch()
    await service.make_key(*SENDERS)
    await service.until(await submit(service, 5, first=900))
    if not may_look:
        emulator.world.settings = _without_look_ups(emulator.world.settings)
    emulator.world.faults = [
        Rule(target=Target.GRAPH, fault="504-after-send", match="accepted", every=1),
        Rule(target=Target.GRAPH, fault="504", match="refused", times=100),
    ]
    ids: list[str] = []
    for number in range(100):
        for word in ("accepted", "refused"):
            sender = SENDERS[number % len(SENDERS)]
            subject = f"{word} {number}"
            ids.append(await service.submit(letter(sender, number, subject=subject)))
        proof_of_life = await submit(service, 1, first=2000 + number)
        await service.until(proof_of_life)
    if may_look:
        assert set((await service.until(ids, seconds=200)).values()) == {"sent"}
        received = Counter(one.subject for one in emulator.world.received if not one.subject.startswith("number"))
        assert len(received) == 200
        assert set(received.values()) == {1}
    else:
        statuses = await service.until(ids, wanted=frozenset({"held"}), seconds=200)
        assert Counter(statuses.values()) == {"held": 200}
        received = Counter(one.subject for one in emulator.world.received if not one.subject.startswith("number"))
        assert len(received) == 100
        assert set(received.values()) == {1}
        shown = await service.get(ids[0])
        assert shown["held"]["cause"] == "unconfirmed_no_right"


def _without_look_ups(settings):
    return replace(settings, grants=settings.grants - {"Mail.ReadBasic"})


async def test_smtp_lost_after_the_dot_is_settled_by_its_copy_in_sent_items(launch, emulator):
    service = await launch(delivery={"route": ["smtp"]})
    await service.make_key(*SENDERS)
    await service.until(await submit(service, 5, first=900))
    emulator.world.faults = [Rule(target=Target.SMTP, fault="drop-after-send", stage=Stage.AFTER_DOT, times=3)]
    statuses = await service.until(await submit(service, 10))
    assert set(statuses.values()) == {"sent"}
    assert arrived_by(emulator) == {"smtp": 15}


async def test_a_sender_without_send_as_is_held_alone_and_released_when_it_is_granted(launch, emulator):
    """alerts@ goes by the mailbox relay@ without the right; relay@ itself sends on, and the grant lets all go."""
    relay, alerts = "relay@contoso.example", "alerts@contoso.example"
    service = await launch(senders=[{"address": alerts, "mailboxes": [relay]}])
    await service.make_key(relay, alerts)
    refused = await submit(service, 5, senders=(alerts,))
    await service.until(refused, wanted=frozenset({"held"}))
    posts = emulator.world.counters.posts
    later = await submit(service, 5, first=100, senders=(alerts,))
    own = await submit(service, 5, first=200, senders=(relay,))
    assert set((await service.until(own)).values()) == {"sent"}
    assert set((await service.until(later, wanted=frozenset({"held"}))).values()) == {"held"}
    assert emulator.world.counters.posts - posts < len(own) + len(later)
    shown = await service.get(refused[0])
    assert "Add-RecipientPermission" in shown["held"]["advice"]
    emulator.world.settings = replace(emulator.world.settings, send_as={relay: frozenset({alerts})})
    assert set((await service.until([*refused, *later])).values()) == {"sent"}
    assert arrived_by(emulator) == {"graph": 15}


async def test_what_a_person_does_to_a_message_that_waits(launch, emulator):
    """cancel ends it, release lets it go, settle as sent believes the person; each only where PROMISES allows it."""
    service = await launch(delivery={"settle_checks": ["30s"], "route": ["graph"]})
    await service.make_key(*SENDERS)
    emulator.world.faults = [Rule(target=Target.GRAPH, fault="504", match="doubtful")]
    doubtful = await service.submit(letter(SENDERS[0], 1, subject="doubtful"))
    scheduled = await service.submit(letter(SENDERS[1], 2, send_in="1h"))
    await service.until([doubtful], wanted=frozenset({"unconfirmed"}))

    refused = await service.admin("POST", f"/v1/messages/{doubtful}/retry")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_retryable")
    settled = await service.admin("POST", f"/v1/messages/{doubtful}/settle", json={"as": "sent"})
    assert settled.status_code == 200, settled.text
    assert (await service.admin("POST", f"/v1/messages/{scheduled}/cancel")).status_code == 200
    again = await service.admin("POST", f"/v1/messages/{scheduled}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "not_cancelable")
    assert await service.until([doubtful, scheduled]) == {doubtful: "sent", scheduled: "canceled"}
    assert emulator.world.counters.posts == 1
