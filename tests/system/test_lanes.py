"""One lane's or one transport's trouble costs the others nothing (PROMISES §2, §6, §7)."""

import asyncio
from dataclasses import replace

from posthouse.sandbox.chaos import Rule, Stage, Target
from tests.system.harness import letter

SENDER = "app0@contoso.example"
DISABLED = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the {}."


async def transports(service) -> dict[str, str]:
    """Every transport's state."""
    return {one["name"]: one["state"] for one in (await service.admin("GET", "/v1/transports")).json()["data"]}


async def test_one_time_codes_are_sent_although_a_circuit_waits_for_its_trial(launch, emulator):
    service = await launch(delivery={"circuit_open": "2s", "circuit_open_max": "2s", "route": ["graph"]})
    await service.make_key(SENDER)
    emulator.world.faults = [Rule(target=Target.GRAPH, fault="503", code="serviceNotAvailable")]
    first = [await service.submit(letter(SENDER, number, expires_in="10m")) for number in range(3)]
    while (await transports(service))["graph"] == "closed":
        await asyncio.sleep(0.05)
    emulator.world.faults = []
    codes = [await service.submit(letter(SENDER, 100 + number, expires_in="30s")) for number in range(5)]

    assert set((await service.until([*first, *codes], seconds=50)).values()) == {"sent"}


async def test_mail_that_waits_for_a_blocked_transport_does_not_hide_the_mail_behind_it(launch, emulator):
    service = await launch(delivery={"blocked_probe": "60s"})
    await service.make_key(SENDER)
    emulator.world.faults = [Rule(target=Target.SMTP, fault=DISABLED.format("Tenant"), stage=Stage.AUTH)]
    pinned = [await service.submit(letter(SENDER, number, transport="smtp")) for number in range(40)]
    while (await transports(service))["smtp"] != "blocked":
        await asyncio.sleep(0.05)
    ordinary = [await service.submit(letter(SENDER, 100 + number)) for number in range(3)]

    assert set((await service.until(ordinary, seconds=10)).values()) == {"sent"}
    found = await service.statuses()
    assert {found[one] for one in pinned} <= {"queued", "deferred"}


async def test_mail_whose_transport_was_removed_from_the_settings_is_held_and_the_lane_goes_on(launch):
    service = await launch()
    await service.make_key(SENDER)
    old = await service.submit(letter(SENDER, 1, transport="smtp", send_in="2s"))
    await service.stop()
    text = service.config.read_text()
    service.config.write_text(text.replace("[transports.smtp]", "[transports.relay]").replace('"smtp"]', '"relay"]'))
    await service.start()
    await service.until([old], wanted=frozenset({"held"}))
    assert (await service.get(old))["held"]["cause"] == "no_transport"
    new = [await service.submit(letter(SENDER, 10 + number)) for number in range(3)]

    assert set((await service.until(new)).values()) == {"sent"}


async def test_smtp_switched_off_for_a_mailbox_does_not_stop_graph_for_it(launch, emulator):
    service = await launch(delivery={"blocked_probe": "60s"})
    await service.make_key(SENDER)
    emulator.world.faults = [
        Rule(target=Target.GRAPH, fault="503", code="serviceNotAvailable", times=1),
        Rule(target=Target.SMTP, fault=DISABLED.format("Mailbox"), stage=Stage.AUTH),
    ]
    ids = [await service.submit(letter(SENDER, number)) for number in range(5)]

    assert set((await service.until(ids, seconds=50)).values()) == {"sent"}
    assert {one.transport for one in emulator.world.received} == {"graph"}


async def test_mailboxes_that_share_a_login_take_turns_on_its_connections(launch, emulator):
    """40 mails of 8 mailboxes over one login with 3 connections: each lane is woken when another's slot falls free."""
    login = "svc@contoso.example"
    senders = [f"app{number}@contoso.example" for number in range(8)]
    service = await launch(
        transports__smtp={"auth": "login", "username": login, "password": emulator.smtp_password(login)},
        delivery={"route": ["smtp"]},
    )
    await service.make_key(*senders)
    emulator.world.settings = replace(emulator.world.settings, send_as={login: frozenset(senders)})
    emulator.world.faults = [Rule(target=Target.SMTP, fault="slow", stage=Stage.AFTER_DOT, seconds=0.1)]
    ids = [await service.submit(letter(senders[number % 8], number)) for number in range(40)]

    assert set((await service.until(ids, seconds=50)).values()) == {"sent"}
    assert emulator.world.smtp_gauge.peak[login] <= 3


async def test_a_person_who_mended_the_cause_need_not_wait_for_the_next_probe(launch, emulator):
    """`posthouse queue` names cause and command; the command lets the mail go although the probe is an hour away."""
    service = await launch(delivery={"blocked_probe": "1h", "route": ["graph"]})
    await service.make_key(SENDER)
    emulator.world.faults = [Rule(target=Target.GRAPH, fault="403", code="ErrorAccessDenied")]
    ids = [await service.submit(letter(SENDER, number)) for number in range(4)]
    await service.until(ids[:1], wanted=frozenset({"deferred"}))
    code, shown, notes = await service.run("queue")
    assert code == 0
    assert "graph.mailbox_permission" in shown
    assert "Test-ServicePrincipalAuthorization" in notes
    assert "posthouse lanes resume" in notes
    emulator.world.faults = []
    code, _, error = await service.run("lanes", "resume", SENDER)

    assert code == 0, error
    assert set((await service.until(ids, seconds=50)).values()) == {"sent"}


async def test_a_transport_can_be_resumed_too(launch, emulator):
    service = await launch(delivery={"blocked_probe": "1h", "route": ["graph"]})
    await service.make_key(SENDER)
    emulator.world.faults = [Rule(target=Target.GRAPH, fault="403", code="Authorization_RequestDenied")]
    ids = [await service.submit(letter(SENDER, number)) for number in range(4)]
    while (await transports(service))["graph"] != "blocked":
        await asyncio.sleep(0.05)
    emulator.world.faults = []
    code, _, error = await service.run("transports", "resume", "graph")

    assert code == 0, error
    assert set((await service.until(ids, seconds=50)).values()) == {"sent"}
