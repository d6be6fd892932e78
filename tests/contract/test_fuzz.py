"""What nobody would send, to the SMTP door and to the reader of complete messages: no fault, no crash, no growth.

The inputs are drawn by hypothesis from what such input is made of; how many are tried stands in tests/README.md.
"""

import asyncio
import logging
import os
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posthouse.doors.smtp.listener import Address, SmtpListener
from posthouse.telemetry import SERVICE_FAULT
from tests.contract.rest_door import Door, rest_door

DIALOGUES = 250
MESSAGES = 600
GROWTH = 24 * 1024 * 1024
"""Bytes that the process may grow by after its first inputs: what caches and the allocator keep."""
WARM = 60

FROM = b"noreply@contoso.com"
Open = tuple[Door, SmtpListener, str]

# --- what is drawn

words = st.sampled_from([
    b"EHLO x", b"HELO x", b"EHLO", b"AUTH PLAIN", b"AUTH PLAIN =", b"AUTH LOGIN", b"AUTH LOGIN eA==", b"AUTH PLAIN AHgAeA==",
    b"STARTTLS", b"STARTTLS x", b"RSET", b"NOOP", b"NOOP x", b"VRFY x", b"EXPN x", b"HELP", b"HELP MAIL", b"DATA", b"DATA x",
    b"BDAT 3 LAST", b"MAIL FROM:<noreply@contoso.com>", b"MAIL FROM:<>", b"MAIL FROM:<noreply@contoso.com> SIZE=12",
    b"MAIL FROM:<noreply@contoso.com> BODY=8BITMIME SMTPUTF8", b"MAIL FROM:<a@b.c> SIZE=-1", b"MAIL FROM:<a@b.c> SIZE=x",
    b"MAIL FROM: <noreply@contoso.com>", b'MAIL FROM:<"a b"@contoso.com>', b"MAIL FROM:<a@[127.0.0.1]>", b"MAIL", b"MAIL TO:<a@b.c>",
    b"RCPT TO:<jo@example.org>", b"RCPT TO:<jo@example.org> NOTIFY=NEVER", b"RCPT TO:<>", b"RCPT TO:jo", b"RCPT TO:<Postmaster>", b"RCPT",
    b"RCPT TO:<" + b"a" * 300 + b"@example.org>", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1", b"GET / HTTP/1.1", b"QUIT", b"\xff\xfe", b"\0", b"*",
    b"From: noreply@contoso.com", b"To: jo@example.org", b"Subject: x", b"X-Posthouse-Priority: high", b"Idempotency-Key: k", b"",
    b".", b"..", b". ", b"x" * 998, b"x" * 5000, b"Content-Type: multipart/mixed; boundary=b", b"--b", b"--b--",
])  # fmt: skip
ends = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n", b"", b"\r\n.\r\n"])
lines = st.builds(lambda word, end: word + end, st.one_of(words, st.binary(max_size=40)), ends)
dialogues = st.tuples(st.booleans(), st.lists(lines, max_size=25), st.integers(1, 60))

names = st.sampled_from([
    b"From", b"from", b"To", b"Cc", b"Bcc", b"Sender", b"Subject", b"Date", b"Message-ID", b"Content-Type", b"MIME-Version",
    b"Content-Transfer-Encoding", b"Content-Disposition", b"Reply-To", b"X-A", b"Received", b"", b" ", b"A B", b"\xc3\xbc",
])  # fmt: skip
values = st.one_of(
    st.sampled_from([
        b"noreply@contoso.com", b"Shop <noreply@contoso.com>", b'"a\\"b" <noreply@contoso.com>', b"jo@example.org, kim@example.org",
        b"All: jo@example.org, kim@example.org;", b"=?utf-8?q?=00=0d=0a?= <noreply@contoso.com>", b"=?x?b?!!!?=", b"(a(b(c", b"<<<<", b"a@b@c",
        b"noreply@contoso.com (" + b"(" * 200, b"multipart/mixed; boundary=b", b'multipart/mixed; boundary="', b"multipart/mixed",
        b"message/rfc822", b'text/plain; charset="' + b"x" * 500, b"text/plain; charset*0*=utf-8''%", b"base64", b"quoted-printable", b"x-uuencode",
        b"<a@b>", b"<a@b> <c@d>", b"Tue, 99 Xxx", b"\xff\xfe\xfd", b"\0", b" folded\r\n twice", b"\tx", b"",
    ]),
    st.binary(max_size=60),
)  # fmt: skip
header_lines = st.builds(
    lambda n, v, e: n + b": " + v + e, names, values, st.sampled_from([b"\r\n", b"\n", b"\r", b""])
)
bodies = st.lists(
    st.one_of(
        st.sampled_from([b"\r\n", b"--b\r\n", b"--b--\r\n", b"--b", b"Content-Type: multipart/mixed; boundary=c\r\n\r\n", b"--c\r\n", b".\r\n"]),
        st.sampled_from([b"Content-Type: message/rfc822\r\n\r\nFrom: a@b.c\r\n\r\n", b"x" * 2000 + b"\r\n", b"\0", b"\r", b"\n", b"=\r\n", b"=3D"]),
        st.binary(max_size=80),
    ),
    max_size=30,
)  # fmt: skip
messages = st.builds(
    lambda sound, head, body: (
        (b"From: noreply@contoso.com\r\nTo: jo@example.org\r\n" if sound else b"")
        + b"".join(head)
        + b"\r\n"
        + b"".join(body)
    ),
    st.booleans(),
    st.lists(header_lines, max_size=12),
    bodies,
)
nested = st.integers(1, 3000).map(
    lambda depth: (
        b"From: noreply@contoso.com\r\nTo: jo@example.org\r\n"
        + b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(depth))
    )
)


# --- the runs


def run(directory: Path, work: Callable[[Open, Callable[[Coroutine[Any, Any, None]], None]], None]) -> None:
    """Open a door with a listener in a loop of its own, and let ``work`` use it."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        opened = runner.run(stack.enter_async_context(opening(directory)))
        try:
            work(opened, runner.run)
        finally:
            runner.run(stack.aclose())


@asynccontextmanager
async def opening(directory: Path) -> AsyncGenerator[Open]:
    async with rest_door(directory) as door:
        address = Address(listen="127.0.0.1:0", hostname="here", clear=True)
        listener = SmtpListener(address, step=door.step, keys=door.keys, keeper=door.keeper)
        await listener.start()
        yield door, listener, await door.key()
        await listener.stop()


async def speak(opened: Open, logged_in: bool, said: bytes, size: int) -> None:  # noqa: FBT001 - drawn
    """Say it in pieces of this size, hang up, and hear that every line of the answer is a reply of SMTP."""
    _, listener, key = opened
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    first = b"EHLO x\r\nAUTH PLAIN " + b64encode(b"\0x\0" + key.encode()) + b"\r\n" if logged_in else b""
    whole = first + said
    try:
        for at in range(0, len(whole), size * 50):
            writer.write(whole[at : at + size * 50])
            await writer.drain()
        writer.write_eof()
        heard = await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        heard = b""
    finally:
        writer.close()
    for line in heard.split(b"\r\n")[:-1]:
        assert line[:3].isdigit(), line
        assert line[3:4] in b"- ", line
        assert b" 4.3.0 " not in line, heard


async def submit(opened: Open, raw: bytes) -> None:
    door, _, key = opened
    headers = {"authorization": f"Bearer {key}", "content-type": "message/rfc822"}
    answer = await door.anonymous().post("/v1/messages", content=raw, headers=headers)
    assert answer.status_code in {202, 403, 413, 422}, answer.text


class Growth:
    """How much memory the process holds beyond what it held after its first inputs."""

    def __init__(self) -> None:
        self._seen = 0
        self._before = 0

    def look(self) -> None:
        self._seen += 1
        if self._seen == WARM:
            self._before = resident()

    @property
    def bytes(self) -> int:
        assert self._before, "too few inputs"
        return resident() - self._before


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def bounded(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def test_no_dialogue_makes_the_smtp_door_fault_or_grow(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def work(opened: Open, do: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        growth = Growth()

        @bounded(DIALOGUES)
        @given(dialogues)
        def one(dialogue: tuple[bool, list[bytes], int]) -> None:
            logged_in, said, size = dialogue
            do(speak(opened, logged_in, b"".join(said), size))
            growth.look()

        one()
        assert growth.bytes < GROWTH

    with caplog.at_level(logging.INFO, "posthouse"):
        run(tmp_path, work)
    assert [record for record in caplog.records if record.getMessage() == SERVICE_FAULT] == []


def test_no_message_makes_its_reader_fault_or_grow(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def work(opened: Open, do: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        growth = Growth()

        @bounded(MESSAGES)
        @given(st.one_of(messages, messages, messages, nested))
        def one(raw: bytes) -> None:
            do(submit(opened, raw))
            growth.look()

        one()
        assert growth.bytes < GROWTH

    with caplog.at_level(logging.INFO, "posthouse"):
        run(tmp_path, work)
    assert [record for record in caplog.records if record.getMessage() == SERVICE_FAULT] == []
