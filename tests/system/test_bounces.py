"""What Exchange says later: a report in the mailbox becomes an event of its message, once, whatever dies meanwhile."""

import asyncio
from dataclasses import replace

import pytest

from posthouse.sandbox.chaos import Rule, Target
from posthouse.sandbox.emulator import Emulator
from tests.system.harness import Service, letter

SENDER = "app@contoso.example"
GONE = "bounced@simulator.test"
TOLD = {"transports__graph": {"bounces": True}}


@pytest.fixture
def microsoft(emulator: Emulator) -> Emulator:
    settings = emulator.world.settings
    emulator.world.settings = replace(settings, grants=settings.grants | {"Mail.Read"})
    return emulator


async def bounces(service: Service, message: str) -> list[dict]:
    """The events about it, once there is one."""
    async with asyncio.timeout(30):
        while True:
            found = await service.http.get(f"/v1/messages/{message}/events")
            told = [one for one in found.json()["data"] if one["type"] == "message.bounced"]
            if told:
                return told
            await asyncio.sleep(0.05)


async def looked_twice_more(microsoft: Emulator) -> None:
    seen = microsoft.world.counters.inbox_reads
    async with asyncio.timeout(30):
        while microsoft.world.counters.inbox_reads < seen + 2:
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("microsoft")
@pytest.mark.parametrize("route", ["graph", "smtp"])
async def test_a_report_is_told_where_somebody_looks_and_the_message_stays_sent(launch, route) -> None:
    service = await launch(**TOLD, delivery={"route": [route, *({"graph", "smtp"} - {route})]})
    await service.make_key(SENDER)
    sent = await service.submit(letter(SENDER, 1, to=[GONE, "ann@example.org"]))
    (event,) = await bounces(service, sent)
    assert event["data"]["recipient"] == GONE
    assert (event["diagnosis"]["key"], event["diagnosis"]["code"]) == ("bounce.recipient_unknown", "5.1.10")

    message = await service.get(sent)
    assert message["status"] == "sent"
    assert [(one["recipient"], one["diagnosis"]["class"]) for one in message["bounces"]] == [(GONE, "message")]
    _, out, _ = await service.run("why", GONE)
    assert f"that it did not reach {GONE}" in out
    assert f"Get-Recipient {GONE}" in out
    _, out, _ = await service.run("messages", "show", sent)
    assert "Exchange reported later that it did not arrive" in out
    assert f"Exchange Online took it, and reported later that it did not reach {GONE}." in out
    page = (await service.admin("GET", "/metrics")).text
    assert 'posthouse_bounces_total{class="message"} 1.0' in page
    log = service.log.read_text()
    assert '"event": "message.bounced"' in log
    assert GONE not in log
    assert "deltatoken" not in log


async def test_a_kill_while_a_report_is_read_neither_loses_nor_doubles_it(launch, microsoft) -> None:
    service = await launch(**TOLD)
    await service.make_key(SENDER)
    microsoft.world.faults = [Rule(target=Target.INBOX, fault="hang", match="$value", times=1)]
    sent = await service.submit(letter(SENDER, 1, to=[GONE]))
    async with asyncio.timeout(30):
        while microsoft.world.counters.inbox_reads < 2:
            await asyncio.sleep(0.01)
    await service.kill()
    await service.start()
    await bounces(service, sent)
    await service.kill()
    await service.start()
    await looked_twice_more(microsoft)
    assert len(await bounces(service, sent)) == 1


@pytest.mark.usefixtures("microsoft")
async def test_a_refused_tenant_is_a_warning_in_the_log(launch) -> None:
    service = await launch(**TOLD)
    await service.make_key(SENDER)
    sent = await service.submit(letter(SENDER, 1, to=["bounced+5.7.232@simulator.test"]))
    (event,) = await bounces(service, sent)
    assert event["diagnosis"]["key"] == "smtp.tenant_quota"
    assert '"event": "tenant.limited"' in service.log.read_text()
