"""Alerts reach a webhook and a mailbox, once, by a way that they are not about; also where the spool cannot be written."""

import base64
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from posthouse.alerts.duty import LASTS, Alerts, Channels, Tools
from posthouse.alerts.letters import Letters
from posthouse.alerts.standing import Seen, Thresholds
from posthouse.alerts.webhook import Target, Webhook
from posthouse.fixes import Fixes
from posthouse.mailboxes import SenderRule
from posthouse.message import Priority
from posthouse.ports import SpoolUnavailableError
from posthouse.records import Alert, Filters, LaneRow, Pause, Record
from posthouse.verdict import Standing
from tests.contract.rest_door import RULES, Door, rest_door

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OPS, SPARE = "ops@contoso.com", "spare@contoso.com"
FULL = Alert(
    key="graph.mailbox_full",
    subject="mailboxes by graph",
    text="ops@contoso.com cannot send by graph",
    transports=("graph",),
    mailboxes=(OPS,),
)

LANE = LaneRow(
    lane=1,
    account=OPS,
    sending=0,
    held=0,
    unconfirmed=0,
    next_at=None,
    pauses=(Pause("graph", 1, "graph.mailbox_full", blocked=True, since=0),),
)


@dataclass
class Receiver:
    """Somebody's webhook."""

    url: str = ""
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def hear(self, request: web.Request) -> web.Response:
        self.heard.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        return web.Response(status=self.status, headers=self.headers)

    @property
    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.heard]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_post("/{any:.*}", found.hear)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    found.url = f"http://{host}:{port}/hook/s3cret"
    yield found
    await runner.cleanup()


@dataclass
class Desk:
    """The duty over a real spool, with what it sees in the test's hand."""

    door: Door
    sees: list[LaneRow] = field(default_factory=list)
    ill: str | None = None
    alerts: Alerts = field(init=False)

    def tell(self, **channels: Any) -> None:
        self.alerts = Alerts(
            Tools(
                spool=self.door.spool,
                clock=self.door.clock,
                look=self.look,
                thresholds=Thresholds(lane_age=1, recipients_per_day=0, tenant_recipients_per_day=0, floor_bytes=0),
                channels=Channels(**channels),
                diagnosis=Fixes(),
                host="mail1",
            )
        )

    async def look(self) -> Seen:
        if self.ill is not None:
            raise SpoolUnavailableError(self.ill)
        standing = Standing(now=self.door.clock.now(), ready=None, counts={}, lanes=tuple(self.sees), transports=())
        return Seen(standing=standing)

    async def after(self, millis: int, *, steps: int = 1) -> None:
        for _ in range(steps):
            self.door.clock.ahead += millis // steps
            await self.alerts.once()

    def letters(self, *senders: str) -> Letters:
        return Letters(self.door.step, to=("ada@contoso.com", "bob@contoso.com"), senders=senders)

    async def mail(self) -> Sequence[Record]:
        return (await self.door.spool.find(Filters(), now=self.door.clock.now())).records


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    senders = (SenderRule("monitor@contoso.com", (OPS,)), SenderRule(SPARE, (SPARE,)))
    async with rest_door(tmp_path, rules=replace(RULES, senders=senders)) as door:
        yield Desk(door)


def hook(receiver: Receiver, **changes: Any) -> Webhook:
    return Webhook(replace(Target(url=lambda: receiver.url), **changes))


# --- the webhook -----------------------------------------------------------------------------------------------------


async def test_a_webhook_is_told_once_and_of_the_end_and_can_tell_who_told(desk: Desk, receiver: Receiver) -> None:
    desk.tell(webhook=hook(receiver, secret=lambda: SECRET))
    desk.sees.append(LANE)
    await desk.after(0)
    headers, body = receiver.heard[0]
    told = Verifier(SECRET).verify(body, headers)["data"]
    assert (told["class"], told["host"]) == ("licence or policy", "mail1")
    assert told["fix"].endswith("Set-Mailbox ops@contoso.com -RetentionPolicy <policy>.")
    await desk.after(60_000)
    assert receiver.types == ["alert.raised"]
    desk.sees.clear()
    await desk.after(2 * LASTS, steps=20)
    assert receiver.types == ["alert.raised", "alert.ended"]


async def test_another_secret_does_not_fit(desk: Desk, receiver: Receiver) -> None:
    other = "whsec_" + base64.b64encode(b"x" * 32).decode()
    desk.tell(webhook=hook(receiver, secret=lambda: other))
    await desk.alerts.test()
    headers, body = receiver.heard[0]
    with pytest.raises(WebhookVerificationError, match="signature"):
        Verifier(SECRET).verify(body, headers)


async def test_a_webhook_that_refuses_is_told_again_later_under_the_same_id(desk: Desk, receiver: Receiver) -> None:
    desk.tell(webhook=hook(receiver))
    desk.sees.append(LANE)
    receiver.status = 503
    await desk.after(0)
    await desk.after(59_000)
    assert len(receiver.heard) == 1
    receiver.status = 200
    await desk.after(1_000)
    await desk.after(LASTS // 2, steps=20)
    assert len(receiver.heard) == 2
    first, second = (headers["webhook-id"] for headers, _ in receiver.heard)
    assert first == second


async def test_a_webhook_leads_nowhere_else_and_its_address_is_never_said(
    desk: Desk, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.status, receiver.headers = 307, {"location": f"{receiver.url}/elsewhere"}
    desk.tell(webhook=hook(receiver))
    desk.sees.append(LANE)
    await desk.after(0)
    said = await desk.alerts.test()
    assert said == {"webhook": "127.0.0.1 answers 307"}
    assert len(receiver.heard) == 2
    assert "alert.untold" in caplog.messages
    assert "s3cret" not in str([record.__dict__ for record in caplog.records])


async def test_a_webhook_that_is_not_there_is_said_by_its_host(desk: Desk, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/hook/s3cret"
    desk.tell(webhook=Webhook(Target(url=lambda: url)))
    assert await desk.alerts.test() == {"webhook": "127.0.0.1 cannot be told: ConnectError"}


async def test_a_webhook_is_told_by_the_proxy_of_the_settings_alone_and_its_login_is_not_said(
    desk: Desk, receiver: Receiver, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_tcp_port}")
    desk.tell(webhook=hook(receiver))
    assert await desk.alerts.test() == {"webhook": None}
    desk.tell(webhook=hook(receiver, proxy=lambda _url: f"http://ada:s3cret@127.0.0.1:{unused_tcp_port}"))
    assert await desk.alerts.test() == {"webhook": "127.0.0.1 cannot be told: ConnectError"}
    assert len(receiver.heard) == 1


async def test_where_the_spool_cannot_be_written_the_webhook_hears_it_once_for_each_time(
    desk: Desk, receiver: Receiver
) -> None:
    desk.tell(webhook=hook(receiver), letters=desk.letters(SPARE))
    desk.ill = "the disk is full"
    await desk.after(60_000, steps=4)
    assert ["the disk is full" in body.decode() for _, body in receiver.heard] == [True]
    desk.ill = None
    await desk.after(60_000)
    desk.ill = "the disk is full"
    await desk.after(60_000)
    assert len(receiver.heard) == 2
    assert await desk.mail() == ()


# --- mail ------------------------------------------------------------------------------------------------------------


async def test_mail_goes_from_a_mailbox_and_by_a_transport_that_it_is_not_about(desk: Desk) -> None:
    desk.tell(letters=desk.letters("monitor@contoso.com", SPARE))
    desk.sees.append(LANE)
    await desk.after(0)
    await desk.after(60_000)
    (record,) = await desk.mail()
    assert (record.sender, record.mailbox, record.route) == (SPARE, SPARE, ("smtp",))
    assert (record.priority, record.door, record.client) == (Priority.HIGH, "alerts", "posthouse")
    assert record.subject == "posthouse: ops@contoso.com cannot send by graph"
    assert [one.address for one in record.recipients] == ["ada@contoso.com", "bob@contoso.com"]
    assert record.expires_at == record.created_at + 86_400_000


async def test_mail_goes_as_it_can_where_there_is_no_other_way(desk: Desk) -> None:
    desk.tell(letters=desk.letters("monitor@contoso.com"))
    desk.sees.append(replace(LANE, pauses=(replace(LANE.pauses[0], transport=None),)))
    await desk.after(0)
    (record,) = await desk.mail()
    assert (record.mailbox, record.route) == (OPS, ("graph", "smtp"))


async def test_mail_says_what_mends_it_and_asks_for_no_answer(desk: Desk) -> None:
    desk.tell(letters=desk.letters(SPARE))
    desk.sees.append(LANE)
    await desk.after(0)
    (record,) = await desk.mail()
    key = await desk.door.spool.key_of(record.id)
    content = await desk.door.spool.content(key or 0)
    assert content is not None
    body = b"".join([block async for block in content.body.blocks()])
    mail = message_from_bytes(content.header + b"\r\n" + body, policy=default)
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "Set-Mailbox ops@contoso.com -RetentionPolicy <policy>" in mail.get_content()


async def test_a_webhook_that_fails_does_not_send_the_mail_twice(desk: Desk, receiver: Receiver) -> None:
    desk.tell(webhook=hook(receiver), letters=desk.letters(SPARE))
    receiver.status = 500
    desk.sees.append(LANE)
    await desk.after(30 * 60_000, steps=30)
    assert len(receiver.heard) > 2
    assert len(await desk.mail()) == 1


async def test_the_daily_line_is_sent_once_a_day_from_its_hour_on(desk: Desk, receiver: Receiver) -> None:
    begun = datetime.fromtimestamp(desk.door.clock.now() / 1000, UTC)
    midnight = (begun + timedelta(days=1)).replace(hour=0, minute=0, second=30, microsecond=0)
    desk.tell(webhook=hook(receiver), summary_at=time(7))
    desk.door.clock.ahead = int((midnight - begun).total_seconds() * 1000)
    await desk.after(0)
    await desk.after(7 * 3_600_000 - 60_000, steps=7)
    assert receiver.types == []
    await desk.after(17 * 3_600_000, steps=17 * 12)
    await desk.after(24 * 3_600_000, steps=24 * 12)
    assert receiver.types == ["alert.summary", "alert.summary"]


async def test_without_a_channel_the_log_is_told(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.tell(summary_at=time(0))
    desk.sees.append(LANE)
    await desk.after(0)
    await desk.after(60_000)
    assert caplog.messages.count("alert.raised") == 1
    (row,) = await desk.door.spool.alerts()
    assert row.alert == FULL
