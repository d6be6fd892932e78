"""The real program tells a webhook, a mailbox, the log and its commands what is wrong, by ways that still go."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from posthouse.sandbox.chaos import Rule, Target
from tests.system.harness import letter

SENDER, OPS = "app0@contoso.example", "ops@contoso.example"


@dataclass
class Channel:
    """A channel of Slack."""

    url: str = ""
    heard: list[dict[str, object]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def hear(self, request: web.Request) -> web.Response:
        self.heard.append(await request.json())
        self.came.set()
        return web.Response(text="ok")


@pytest.fixture
async def channel() -> AsyncIterator[Channel]:
    found = Channel()
    app = web.Application()
    app.router.add_post("/services/T0/B0/s3cret", found.hear)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/services/T0/B0/s3cret"
    yield found
    await runner.cleanup()


async def test_a_mailbox_that_may_not_send_is_told_by_another_and_by_slack(launch, emulator, channel):
    service = await launch(
        delivery={"route": ["graph"], "blocked_probe": "60s"},
        alerts={
            "mail_to": ["ada@contoso.example"],
            "mail_from": [SENDER, OPS],
            "webhook": channel.url,
            "format": "slack",
            "daily_summary": False,
        },
    )
    await service.make_key(SENDER)
    emulator.world.faults = [Rule(target=Target.GRAPH, fault="403", code="ErrorAccessDenied", mailbox=SENDER)]
    await service.submit(letter(SENDER, 1))
    async with asyncio.timeout(60):
        await channel.came.wait()
    (told,) = channel.heard
    assert told["text"] == f"posthouse: {SENDER} cannot send"
    assert "Add-DistributionGroupMember" in json.dumps(told)

    deadline = time.monotonic() + 60
    while not (mails := [one for one in emulator.world.received if "ada@contoso.example" in one.recipients]):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    (mail,) = mails
    assert mail.mailbox == OPS

    code, out, _ = await service.run("alerts", "list")
    assert code == 0
    assert f"{SENDER} cannot send (told " in out
    assert f"  fix  Add-DistributionGroupMember '<group>' -Member {SENDER}" in out
    _, out, _ = await service.run("status")
    assert f"alert       {SENDER} cannot send (since " in out

    lines = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
    (raised,) = [line for line in lines if line["event"] == "alert.raised"]
    assert raised["key"] == "graph.mailbox_permission"
    assert "s3cret" not in service.log.read_text()


async def test_the_test_of_the_channels_says_which_fails(launch, channel):
    service = await launch(
        alerts={"webhook": f"{channel.url}/gone", "mail_to": ["ada@contoso.example"], "mail_from": [OPS]},
    )
    code, out, errors = await service.run("alerts", "test")
    assert code == 5
    assert out.splitlines() == ["webhook  127.0.0.1 answers 404", "mail  told"]
    assert "a channel could not be told" in errors


async def test_without_alerts_in_the_settings_the_test_says_what_to_write(launch):
    service = await launch()
    code, _, errors = await service.run("alerts", "test")
    assert code == 3
    assert "mail_to and mail_from, or webhook" in errors
