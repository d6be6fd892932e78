"""The emulator counts what goes beyond Microsoft's limits, as the server sees it, and answers no otherwise for it."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiosmtplib
import httpx
import pytest

from posthouse.sandbox.chaos import Rule, Target
from posthouse.sandbox.emulator import Emulator, Options
from posthouse.sandbox.recorder import EXAMPLES, UPLOAD_BYTES

A, B = "a@contoso.com", "b@contoso.com"
NONE = {"at_once": 0, "starts": 0, "early": 0, "uploads": 0, "recipients": 0, "connections": 0}


MAIL = f"From: {A}\r\nTo: r@example.com\r\nSubject: hello\r\n\r\nGood morning.\r\n"


@dataclass
class Clock:
    """A time that tests turn."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Client:
    """A client without any discipline."""

    emulator: Emulator
    http: httpx.AsyncClient
    clock: Clock

    async def send(self, mailbox: str = A) -> httpx.Response:
        message = {"subject": "hello", "toRecipients": [{"emailAddress": {"address": "r@example.com"}}]}
        return await self.http.post(f"{self.emulator.graph_url}/users/{mailbox}/sendMail", json={"message": message})

    async def look(self, mailbox: str = A) -> httpx.Response:
        return await self.http.get(f"{self.emulator.graph_url}/users/{mailbox}/messages")

    @property
    def counts(self) -> dict[str, int]:
        return {name: count for name, count in self.emulator.world.violations.counts.items() if count}

    async def token(self, scope: str = "https://graph.microsoft.com/.default") -> str:
        options = self.emulator.options
        form = {"grant_type": "client_credentials", "scope": scope}
        form |= {"client_id": options.client_id, "client_secret": options.client_secret}
        answer = await self.http.post(f"{self.emulator.authority}/{options.tenant_id}/oauth2/v2.0/token", data=form)
        return answer.json()["access_token"]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncGenerator[Client]:
    clock = Clock()
    async with Emulator(Options(directory=tmp_path), clock=clock) as emulator:
        settle(emulator, expires_in=10**6)
        trusted = ssl.create_default_context(cafile=str(emulator.ca_file))
        async with httpx.AsyncClient(verify=trusted, timeout=10) as http:
            made = Client(emulator, http, clock)
            http.headers["authorization"] = f"Bearer {await made.token()}"
            yield made


def settle(emulator: Emulator, **changes: object) -> None:
    emulator.world.settings = replace(emulator.world.settings, **changes)


@asynccontextmanager
async def session(client: Client, mailbox: str = A) -> AsyncGenerator[aiosmtplib.SMTP]:
    emulator = client.emulator
    smtp = aiosmtplib.SMTP(
        hostname=emulator.smtp_host,
        port=emulator.smtp_port,
        start_tls=True,
        tls_context=ssl.create_default_context(cafile=str(emulator.ca_file)),
        username=mailbox,
        password=emulator.smtp_password(mailbox),
        timeout=5,
    )
    try:
        await smtp.connect()
        yield smtp
    finally:
        smtp.close()


async def test_requests_beyond_four_at_once_of_a_mailbox_are_counted_and_answered_as_ever(client: Client) -> None:
    settle(client.emulator, latency=0.3)
    answers = await asyncio.gather(*(client.send() for _ in range(4)), client.look(), client.look(), client.send(B))
    assert [one.status_code for one in answers] == [202] * 4 + [200, 200, 202]
    assert client.counts == {"at_once": 2}
    (first, second) = client.emulator.world.violations.examples
    assert (first.mailbox, first.app, first.detail) == (A, client.emulator.options.client_id, "5 under way")
    assert second.detail == "6 under way"
    await asyncio.gather(*(client.send() for _ in range(4)))
    assert client.counts == {"at_once": 2}


async def test_each_message_beyond_thirty_in_a_sliding_minute_is_counted_over_graph_and_smtp(client: Client) -> None:
    for _ in range(15):
        await client.send()
    client.clock.now += 30
    async with session(client) as smtp:
        for _ in range(15):
            await smtp.sendmail(A, ["r@example.com"], MAIL)
        assert client.counts == {}
        client.clock.now += 29.999
        await smtp.sendmail(A, ["r@example.com"], MAIL)
    await client.send()
    await client.look()
    assert client.counts == {"starts": 2}
    client.clock.now += 0.001
    await client.send(B)
    assert client.counts == {"starts": 2}
    client.clock.now += 60
    for _ in range(30):
        await client.send()
    assert client.counts == {"starts": 2}


async def test_a_request_before_a_retry_after_is_over_is_counted_but_for_those_that_were_on_the_way(
    client: Client,
) -> None:
    client.emulator.world.faults = (Rule(target=Target.GRAPH, fault="429", retry_after=10, times=1),)
    await client.send()
    client.clock.now += 1
    for _ in range(3):  # as many as may have left before the answer was read
        await client.send()
    assert client.counts == {}
    await client.send()
    assert client.counts == {"early": 1}
    client.clock.now += 8.9
    await client.look()
    assert client.counts == {"early": 2}
    assert client.emulator.world.violations.examples[-1].detail == "0.100 s before Retry-After was over"
    await client.send(B)
    client.clock.now += 0.1
    await client.send()
    assert client.counts == {"early": 2}


async def test_a_client_that_never_rests_is_not_forgiven_because_it_is_told_again_and_again(client: Client) -> None:
    client.emulator.world.faults = (Rule(target=Target.GRAPH, fault="429", retry_after=10),)
    for _ in range(20):
        await client.send()
        client.clock.now += 0.5
    assert client.counts == {"early": 16}


@pytest.mark.parametrize("fault", ["202", "503", "504-after-send"])
@pytest.mark.parametrize("retry_after", [20, "Fri, 15 Jan 2027 08:00:20 GMT"])
async def test_any_answer_may_ask_for_rest_in_seconds_or_by_a_date(
    client: Client, fault: str, retry_after: float | str
) -> None:
    client.emulator.world.faults = (Rule(target=Target.GRAPH, fault=fault, retry_after=retry_after, times=1),)
    await client.send()
    client.clock.now += 19.9
    await client.send()
    assert client.counts == {"early": 1}
    client.clock.now += 0.1
    await client.send()
    assert client.counts == {"early": 1}


async def test_request_bodies_beyond_150_mb_in_five_minutes_are_counted(client: Client) -> None:
    body = b" " * (UPLOAD_BYTES // 10)
    url = f"{client.emulator.graph_url}/users/{A}/sendMail"
    for _ in range(10):
        assert (await client.http.post(url, content=body)).status_code == 413
    assert client.counts == {}
    client.clock.now += 299
    await client.http.post(url, content=b" ")
    assert client.counts == {"uploads": 1}
    client.clock.now += 1
    await client.http.post(url, content=body)
    assert client.counts == {"uploads": 1}


async def test_messages_beyond_ten_thousand_recipients_in_a_day_are_counted_over_both_ways(client: Client) -> None:
    client.emulator.world.recorder.accepted(A, recipients=9_998)  # a mail to so many takes the emulator seconds
    await client.send()
    async with session(client) as smtp:
        await smtp.sendmail(A, ["r@example.com"], MAIL)
        assert client.counts == {}
        await smtp.sendmail(A, ["r@example.com"], MAIL)
    assert client.counts == {"recipients": 1}
    client.clock.now += 86_400
    await client.send()
    assert client.counts == {"recipients": 1}


async def test_smtp_sessions_beyond_three_of_a_mailbox_are_counted(client: Client) -> None:
    async with session(client), session(client), session(client), session(client, B):
        assert client.counts == {}
        async with session(client):
            assert client.counts == {"connections": 1}
    async with session(client):
        assert client.counts == {"connections": 1}


async def test_what_was_counted_is_told_by_the_control_api_and_the_inbox_and_bounded(client: Client) -> None:
    inbox = client.emulator.inbox_url
    assert (await client.http.get(f"{inbox}/control/state")).json()["violations"] == NONE
    assert "throttled" not in (await client.http.get(f"{inbox}/inbox")).text
    for _ in range(30 + EXAMPLES + 5):
        await client.send()
    assert (await client.http.get(f"{inbox}/control/state")).json()["violations"] == NONE | {"starts": EXAMPLES + 5}
    listed = (await client.http.get(f"{inbox}/control/violations")).json()
    assert Counter((one["kind"], one["mailbox"]) for one in listed) == {("starts", A): EXAMPLES}
    assert (
        f"more than 30 messages a minute of a mailbox ({EXAMPLES + 5})"
        in (await client.http.get(f"{inbox}/inbox")).text
    )
