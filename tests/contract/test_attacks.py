"""What attackers try, and what they get: each row is one attack with the refusal that meets it (see tests/README.md).

Attacks on tokens stand in test_entra_callers.py and test_graph_door.py, on forwarded addresses in test_clients.py, on the
PROXY protocol in test_smtp_door.py, on the settings in tests/unit/test_settings.py.
"""

import asyncio
import json
import logging
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from posthouse.clients.failures import PER_MINUTE
from posthouse.clients.keys import Grant
from posthouse.doors.smtp.listener import MOST_OF_ONE, Address, SmtpListener
from posthouse.records import Filters
from tests.contract.rest_door import Door, rest_door

FROM = "noreply@contoso.com"
SIMPLE = {"from": FROM, "to": "jo@example.org", "subject": "Order 7", "text": "Hello"}
RAW = b"From: noreply@contoso.com\r\nTo: jo@example.org\r\nSubject: Order 7\r\n\r\nHello\r\n"
INJECTED = "x\r\nBcc: evil@example.net"
CANARY = "canary-in-the-coal-mine"


@dataclass
class Target:
    """A door with an SMTP listener, a key, and a client that uses it."""

    door: Door
    listener: SmtpListener
    key: str
    http: httpx.AsyncClient

    async def post(self, body: object, **headers: str) -> httpx.Response:
        return await self.http.post("/v1/messages", json=body, headers=headers)

    async def raw(
        self, content: bytes | AsyncIterator[bytes], media: str = "message/rfc822", **h: str
    ) -> httpx.Response:
        return await self.http.post("/v1/messages", content=content, headers={"content-type": media, **h})

    async def form(self, content: bytes, boundary: str = "b") -> httpx.Response:
        return await self.raw(content, f"multipart/form-data; boundary={boundary}")

    async def other(self, *scopes: str) -> httpx.AsyncClient:
        return await self.door.http(*scopes, client="other", senders=("*@contoso.com",))

    async def count(self) -> int:
        return len((await self.door.spool.find(Filters(limit=100), now=self.door.clock.now())).records)

    @asynccontextmanager
    async def talk(self) -> AsyncGenerator["Talk"]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        talk = Talk(reader, writer)
        await talk.hear()
        await talk.say("EHLO attacker")
        yield talk
        writer.close()

    async def data(self, *lines: bytes) -> str:
        """What the door says to this content, logged in."""
        async with self.talk() as talk:
            await talk.login(self.key)
            await talk.envelope()
            talk.writer.write(b"".join(lines))
            return await talk.hear()


@dataclass
class Talk:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, line: str) -> str:
        self.writer.write(line.encode("utf-8", "surrogateescape") + b"\r\n")
        return await self.hear()

    async def hear(self) -> str:
        line = b"250-"
        while line[3:4] == b"-":
            line = await asyncio.wait_for(self.reader.readline(), 20)
        return line.decode()

    async def login(self, key: str) -> None:
        assert (await self.say("AUTH PLAIN " + b64encode(b"\0x\0" + key.encode()).decode())).startswith("235")

    async def envelope(self) -> None:
        for line in (f"MAIL FROM:<{FROM}>", "RCPT TO:<jo@example.org>", "DATA"):
            assert (await self.say(line))[0] in "23"


@pytest.fixture
async def target(tmp_path: Path) -> AsyncGenerator[Target]:
    async with rest_door(tmp_path) as door:
        address = Address(listen="127.0.0.1:0", hostname="here", clear=True)
        listener = SmtpListener(address, step=door.step, keys=door.keys, keeper=door.keeper)
        await listener.start()
        key = await door.key("submit", "read")
        yield Target(door, listener, key, door.anonymous(authorization=f"Bearer {key}"))
        await listener.stop()


def told(caplog: pytest.LogCaptureFixture) -> str:
    """All that was logged, but by the client of the test itself."""
    ours = (record for record in caplog.records if not record.name.startswith(("httpx", "httpcore")))
    return "".join(f"{record.getMessage()} {vars(record)}" for record in ours)


# --- over HTTP: what is asked, the status and the code of the answer


async def _foreign(target: Target, ask: Callable[[httpx.AsyncClient, str], Awaitable[httpx.Response]], *scopes: str):
    message = (await target.post(SIMPLE)).json()["id"]
    return await ask(await target.other(*scopes), message)


async def _without(target: Target, **headers: str) -> httpx.Response:
    return await target.door.anonymous(**headers).post("/v1/messages", json=SIMPLE)


async def _guesses(target: Target) -> httpx.Response:
    answers = [await _without(target, authorization=f"Bearer ph_live_{n:010}_x") for n in range(PER_MINUTE + 1)]
    assert {one.status_code for one in answers[:-1]} == {401}
    assert (await target.post(SIMPLE)).status_code == 202, "a good key goes on working"
    return answers[-1]


async def _device(target: Target) -> httpx.Response:
    device, _ = await target.door.keys.create(Grant(client="scan", senders=(FROM,), kind="device"), by="test")
    return await _without(target, authorization=f"Bearer {device.text}")


async def _own_content(target: Target) -> httpx.Response:
    message = (await target.post(SIMPLE)).json()["id"]
    return await target.http.get(f"/v1/messages/{message}/content")


async def _reused(target: Target) -> httpx.Response:
    await target.post(SIMPLE, **{"idempotency-key": "k"})
    return await target.post(SIMPLE | {"to": "evil@example.net"}, **{"idempotency-key": "k"})


async def _endless(size: int) -> AsyncGenerator[bytes]:
    for _ in range(0, size, 65_536):
        yield b'{"text": "' + b"x" * 65_526


def _header(line: bytes) -> bytes:
    return line + b"\r\n" + RAW


def _from(value: str) -> bytes:
    return RAW.replace(b"From: noreply@contoso.com", f"From: {value}".encode())


def _file(**changes: object) -> dict[str, object]:
    return SIMPLE | {"attachments": [{"filename": "a.txt", "content": "aGVsbG8=", **changes}]}


HTTP: dict[str, tuple[Callable[[Target], Awaitable[httpx.Response]], int, str]] = {
    # header injection, through every field that becomes a header
    "injection: subject": (lambda t: t.post(SIMPLE | {"subject": INJECTED}), 422, "validation_error"),
    "injection: name of From": (lambda t: t.post(SIMPLE | {"from": {"name": INJECTED, "address": FROM}}), 422, "validation_error"),
    "injection: name of To": (lambda t: t.post(SIMPLE | {"to": {"name": INJECTED, "address": "a@b.c"}}), 422, "validation_error"),
    "injection: address": (lambda t: t.post(SIMPLE | {"to": "a@example.org\r\nBcc: evil@example.net"}), 422, "validation_error"),
    "injection: Reply-To": (lambda t: t.post(SIMPLE | {"reply_to": f'"{INJECTED}" <a@b.c>'}), 422, "validation_error"),
    "injection: value of a header": (lambda t: t.post(SIMPLE | {"headers": {"X-A": INJECTED}}), 422, "validation_error"),
    "injection: name of a header": (lambda t: t.post(SIMPLE | {"headers": {"X-A: 1\r\nBcc": "e@x.org"}}), 422, "validation_error"),
    "injection: a header of ours": (lambda t: t.post(SIMPLE | {"headers": {"Bcc": "evil@example.net"}}), 422, "validation_error"),
    "injection: file name": (lambda t: t.post(_file(filename=INJECTED)), 422, "invalid_attachment"),
    "injection: content type": (lambda t: t.post(_file(content_type=f"text/plain{INJECTED}")), 422, "invalid_attachment"),
    "injection: content id": (lambda t: t.post(_file(content_id=INJECTED)), 422, "invalid_attachment"),
    "injection: reference": (lambda t: t.post(SIMPLE | {"reference": INJECTED}), 422, "validation_error"),
    "injection: bare LF in a raw header": (lambda t: t.raw(_header(b"X-A: 1\x0bBcc: e@x.org\0")), 422, "invalid_mime"),
    # who sends
    "sender: another domain": (lambda t: t.post(SIMPLE | {"from": "a@fabrikam.com"}), 403, "sender_not_allowed"),
    "sender: shown beside another": (lambda t: t.raw(_from('"noreply@contoso.com" <evil@example.net>')), 403, "sender_not_allowed"),
    "sender: two in From": (lambda t: t.raw(_from("noreply@contoso.com, evil@example.net")), 422, "invalid_mime"),
    "sender: two From": (lambda t: t.raw(_header(b"From: evil@example.net")), 422, "invalid_mime"),
    "sender: none": (lambda t: t.raw(RAW.replace(b"From:", b"X-From:")), 422, "invalid_mime"),
    "sender: a group": (lambda t: t.raw(_from("All: noreply@contoso.com, evil@example.net;")), 422, "invalid_mime"),
    "sender: in Sender": (lambda t: t.raw(_header(b"Sender: evil@example.net")), 403, "sender_not_allowed"),
    "sender: subdomain": (lambda t: t.post(SIMPLE | {"from": "a@contoso.com.evil.net"}), 403, "sender_not_allowed"),
    "sender: Cyrillic o": (lambda t: t.post(SIMPLE | {"from": "a@cont\u043eso.com"}), 403, "sender_not_allowed"),
    "sender: full width": (lambda t: t.post(SIMPLE | {"from": "a@\uff43\uff4fntoso.com"}), 403, "sender_not_allowed"),
    "sender: ideographic full stop": (lambda t: t.post(SIMPLE | {"from": "a@contoso\u3002com"}), 403, "sender_not_allowed"),
    "sender: a second at sign": (lambda t: t.post(SIMPLE | {"from": "a@evil.net@contoso.com"}), 422, "validation_error"),
    "sender: a NUL": (lambda t: t.post(SIMPLE | {"from": "a\0@contoso.com"}), 422, "validation_error"),
    "sender: right to left": (lambda t: t.post(SIMPLE | {"from": "a@contoso.com\u202e"}), 422, "validation_error"),
    # who asks
    "key: none": (_without, 401, "missing_credentials"),
    "key: in the address line": (lambda t: t.door.anonymous().post(f"/v1/messages?key={t.key}", json=SIMPLE), 401, "missing_credentials"),
    "key: as Basic": (lambda t: _without(t, authorization="Basic " + b64encode(f"x:{t.key}".encode()).decode()), 401, "missing_credentials"),
    "key: one letter changed": (lambda t: _without(t, authorization=f"Bearer {t.key[:-1]}{'a' if t.key[-1] != 'a' else 'b'}"), 401, "invalid_key"),
    "key: with more behind it": (lambda t: _without(t, authorization=f"Bearer {t.key}x"), 401, "invalid_key"),
    "key: guessing": (_guesses, 429, "quota_exceeded"),
    "key: a device's password": (_device, 401, "invalid_key"),
    # what belongs to others
    "foreign: read": (lambda t: _foreign(t, lambda c, m: c.get(f"/v1/messages/{m}")), 404, "not_found"),
    "foreign: content": (lambda t: _foreign(t, lambda c, m: c.get(f"/v1/messages/{m}/content"), "submit", "content"), 404, "not_found"),
    "foreign: cancel": (lambda t: _foreign(t, lambda c, m: c.post(f"/v1/messages/{m}/cancel")), 404, "not_found"),
    "foreign: change": (lambda t: _foreign(t, lambda c, m: c.patch(f"/v1/messages/{m}", json={"priority": "low"})), 404, "not_found"),
    "own content without the scope": (_own_content, 403, "insufficient_scope"),
    "administration with a plain key": (lambda t: t.http.post("/v1/keys", json={"client": "x", "senders": [FROM], "scopes": ["admin"]}), 403, "insufficient_scope"),
    "replay: the key of another request": (_reused, 422, "idempotency_key_reused"),
    # too much
    "size: announced": (lambda t: t.raw(b"x", "application/json", **{"content-length": str(11 * 1024 * 1024)}), 413, "message_too_large"),
    "size: not announced": (lambda t: t.raw(_endless(11 * 1024 * 1024), "application/json"), 413, "message_too_large"),
    "size: a raw message": (lambda t: t.raw(RAW + b"x\r\n" * 13_000_000), 413, "message_too_large"),
    "size: header": (lambda t: t.raw(b"X-A: 1\r\n" * 400_000 + RAW), 422, "invalid_mime"),
    "size: one line": (lambda t: t.raw(RAW + b"x" * 1000 + b"\r\n"), 422, "invalid_mime"),
    "size: recipients": (lambda t: t.post(SIMPLE | {"to": [f"a{n}@x.org" for n in range(501)]}), 422, "too_many_recipients"),
    "depth: JSON": (lambda t: t.raw(b'{"metadata": ' + b'{"a":' * 100_000, "application/json"), 400, "invalid_json"),
    "depth: metadata": (lambda t: t.raw(json.dumps(SIMPLE)[:-1].encode() + b', "metadata": {"a": ' + b"[" * 150 + b"]" * 150 + b"}}", "application/json"), 202, ""),
    "form: no end of its header": (lambda t: t.form(b"--b\r\nContent-Disposition: form-data; name=" + b"x" * 100_000), 422, "validation_error"),
    "form: ten thousand parts": (lambda t: t.form((b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n') * 10_000 + b"--b--\r\n"), 422, "validation_error"),
    "form: a boundary without an end": (lambda t: t.form(b"--b\r\n", boundary='"' + "b" * 5000), 422, "validation_error"),
    "compression": (lambda t: t.raw(RAW, **{"content-encoding": "gzip"}), 415, "unsupported_media_type"),
    # what is fetched, opened or expanded elsewhere
    "remote attachment": (lambda t: t.post(_file(path="http://169.254.169.254/latest/meta-data/")), 422, "invalid_attachment"),
    "XML": (lambda t: t.raw(b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "application/xml"), 415, "unsupported_media_type"),
    "path: id": (lambda t: t.http.get("/v1/messages/..%2f..%2fetc%2fpasswd"), 404, "not_found"),
    "path: page of a code": (lambda t: t.door.anonymous().get("/docs/problems/..%2f..%2fetc%2fpasswd"), 404, "not_found"),
    "SQL: filter": (lambda t: t.http.get("/v1/messages", params={"status": "sent' or 1=1 --"}), 422, "validation_error"),
    "method: override": (lambda t: t.http.get("/v1/messages/batch", headers={"x-http-method-override": "DELETE"}), 404, "not_found"),
}  # fmt: skip


@pytest.mark.parametrize("attack", HTTP)
async def test_over_http(target: Target, attack: str, caplog: pytest.LogCaptureFixture) -> None:
    ask, status, code = HTTP[attack]
    with caplog.at_level(logging.DEBUG):
        answer = await ask(target)
    assert answer.status_code == status, answer.text
    if code:
        assert answer.json()["code"] == code
    assert target.key not in answer.text
    assert target.key not in told(caplog)


async def test_unknown_and_foreign_ids_cannot_be_told_apart(target: Target) -> None:
    message = (await target.post(SIMPLE)).json()["id"]
    other = await target.other()
    answers = [await other.get(f"/v1/messages/{one}") for one in (message, "msg_01M85T7QWRFY3V563HV4SF02E4")]
    assert len({json.dumps(one.json() | {"request_id": ""}) for one in answers}) == 1


async def test_a_list_shows_ones_own_whatever_is_asked_for(target: Target) -> None:
    await target.post(SIMPLE)
    other = await target.other("submit")
    assert (await other.get("/v1/messages", params={"client": "shop"})).json().get("data", []) == []


async def test_the_same_idempotency_key_of_another_client_replays_nothing(target: Target) -> None:
    mine = await target.post(SIMPLE, **{"idempotency-key": "k"})
    other = await (await target.other()).post("/v1/messages", json=SIMPLE, headers={"idempotency-key": "k"})
    assert other.status_code == 202
    assert other.json()["id"] != mine.json()["id"]


# --- over SMTP: what is said, and how the reply begins


MAIL = RAW + b".\r\n"


async def _command(target: Target, *lines: str, logged_in: bool = True) -> str:
    async with target.talk() as talk:
        if logged_in:
            await talk.login(target.key)
        return [await talk.say(line) for line in lines][-1]


async def _many(target: Target) -> str:
    opened = [await asyncio.open_connection("127.0.0.1", target.listener.port) for _ in range(MOST_OF_ONE)]
    greetings = [await reader.readline() for reader, _ in opened]
    assert all(one.startswith(b"220") for one in greetings)
    reader, writer = await asyncio.open_connection("127.0.0.1", target.listener.port)
    try:
        return (await reader.readline()).decode()
    finally:
        for one in (writer, *(writer for _, writer in opened)):
            one.close()


async def _recipients(target: Target) -> str:
    async with target.talk() as talk:
        await talk.login(target.key)
        await talk.say(f"MAIL FROM:<{FROM}>")
        talk.writer.write(b"".join(b"RCPT TO:<a%d@x.org>\r\n" % n for n in range(501)))
        return [await talk.hear() for _ in range(501)][-1]


async def _guessed(target: Target) -> str:
    wrong = b64encode(b"\0x\0guess").decode()
    async with target.talk() as talk:
        replies = [await talk.say(f"AUTH PLAIN {wrong}") for _ in range(3)]
        assert all(one.startswith("535") for one in replies)
        return await talk.hear()


SMUGGLED = b"MAIL FROM:<noreply@contoso.com>\r\nRCPT TO:<evil@example.net>\r\nDATA\r\n" + MAIL
SMTP: dict[str, tuple[Callable[[Target], Awaitable[str]], str]] = {
    "smuggling: LF dot CRLF": (lambda t: t.data(RAW, b"\n.\r\n", SMUGGLED, b"\r\n.\r\n"), "554 5.6.0"),
    "smuggling: LF dot LF": (lambda t: t.data(RAW, b"\n.\n", SMUGGLED, b"\r\n.\r\n"), "554 5.6.0"),
    "smuggling: CR dot CR": (lambda t: t.data(RAW, b"\r.\r", SMUGGLED, b"\r\n.\r\n"), "554 5.6.0"),
    "smuggling: CRLF dot CR": (lambda t: t.data(RAW, b".\rx\r\n", MAIL), "554 5.6.0"),
    "smuggling: a bare LF in the header": (lambda t: t.data(b"X-A: 1\nBcc: evil@example.net\r\n", MAIL), "554 5.6.0"),
    "smuggling: a NUL": (lambda t: t.data(RAW, b"\0\r\n.\r\n"), "554 5.6.0"),
    "no login": (lambda t: _command(t, f"MAIL FROM:<{FROM}>", logged_in=False), "530 5.7.0"),
    "no login: DATA at once": (lambda t: _command(t, "DATA", logged_in=False), "530 5.7.0"),
    "guessing": (_guessed, "421 4.7.0"),
    "an unknown mechanism": (lambda t: _command(t, "AUTH CRAM-MD5", logged_in=False), "504 5.5.4"),
    "sender: another in MAIL FROM": (lambda t: _command(t, "MAIL FROM:<evil@example.net>"), "550 5.7.1"),
    "sender: another in From": (lambda t: t.data(_from("evil@example.net"), b".\r\n"), "550 5.7.1"),
    "sender: two From": (lambda t: t.data(b"From: evil@example.net\r\n", MAIL), "554 5.6.0"),
    "sender: in Sender": (lambda t: t.data(b"Sender: evil@example.net\r\n", MAIL), "550 5.7.1"),
    "an unknown parameter": (lambda t: _command(t, f"MAIL FROM:<{FROM}> XEVIL=1"), "555"),
    "size: announced": (lambda t: _command(t, f"MAIL FROM:<{FROM}> SIZE=999999999"), "552 5.3.4"),
    "size: a command line": (lambda t: _command(t, "NOOP " + "x" * 100_000), "500"),
    "size: a line of content": (lambda t: t.data(RAW, b"x" * 1000, b"\r\n.\r\n"), "554 5.6.0"),
    "recipients: the 501st": (_recipients, "452 4.5.3"),
    "connections: one more than a source may have": (_many, "421 4.7.0"),
    "bytes that are no UTF-8": (lambda t: _command(t, "MAIL FROM:<\udcff\udcfe@contoso.com>"), "5"),
    "VRFY": (lambda t: _command(t, "VRFY jo@example.org"), "252"),
    "EXPN": (lambda t: _command(t, "EXPN all"), "502"),
}  # fmt: skip


@pytest.mark.parametrize("attack", SMTP)
async def test_over_smtp(target: Target, attack: str) -> None:
    ask, reply = SMTP[attack]
    assert (await ask(target)).startswith(reply)
    assert await target.count() == 0


# --- secrets


async def test_neither_keys_nor_passwords_nor_content_appear_in_logs_whatever_is_wrong(
    target: Target, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await target.post(SIMPLE | {"subject": CANARY, "text": CANARY})
        await target.post(SIMPLE | {"subject": f"{CANARY}\r\n"})
        await target.post(SIMPLE | {"metadata": CANARY})
        await target.raw(_header(f"Subject: {CANARY}\0".encode()))
        await target.data(b"X-A: " + CANARY.encode() + b"\n", MAIL)
        await target.data(RAW.replace(b"Hello", CANARY.encode()), b".\r\n")
        await _without(target, authorization=f"Bearer {CANARY}")
        await _command(target, "AUTH PLAIN " + b64encode(f"\0{CANARY}\0{CANARY}".encode()).decode(), logged_in=False)
        await _command(
            target,
            f"AUTH LOGIN {b64encode(CANARY.encode()).decode()}",
            b64encode(CANARY.encode()).decode(),
            logged_in=False,
        )
    logged = told(caplog)
    assert logged
    assert CANARY not in logged
    assert b64encode(CANARY.encode()).decode() not in logged
    assert target.key not in logged
