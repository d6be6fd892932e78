"""A raw TLS server that resets, ends or garbles: what may have been processed is never taken for certain."""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import trustme
from azure.core.credentials import AccessToken

from posthouse.message import Bytes
from posthouse.outcome import Blocked, Outcome, Scope, Sent, TransientFailure, Unconfirmed
from posthouse.records import Copy, NoSight, Sightings
from posthouse.transports.tokens import ClientSecret, EntraOptions, NoToken, TokenSource, credential_factory
from tests.contract.transport_kit import GRAPH_SCOPE, SystemClock, dispatch, graph_to, listening

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
BIG = Bytes(b"x" * 998 + b"\r\n" + b"y" * 2_000_000)


class Always:
    """A credential that always has a token."""

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def get_token(self, *_: str) -> AccessToken:
        return AccessToken("token", 4_000_000_000)


@dataclass
class Authority:
    """A certificate authority made on the spot."""

    made: trustme.CA
    file: Path

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.made.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    made = trustme.CA()
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    made.cert_pem.write_to_path(file)
    return Authority(made, file)


@dataclass
class Graph:
    """Speaks HTTP badly: reads a request (its body only where told), counts the POSTs, answers, maybe breaks off."""

    answer: bytes = b""
    ending: str = "close"
    read_body: bool = True
    posts: int = 0
    connections: int = 0
    answers: list[bytes] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(head)
                self.posts += head.startswith(b"POST ")
                if self.read_body:
                    await reader.readexactly(length(head))
                writer.write(self.answers.pop(0) if self.answers else self.answer)
                await writer.drain()
                if self.ending == "keep":
                    continue
                if self.ending == "silence":
                    await reader.read()
                if self.ending == "reset":
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    writer.transport.abort()
                return
        finally:
            self.ended.set()


def length(head: bytes) -> int:
    lines = (line.split(b":", 1) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return next((int(value) for _, value in lines), 0)


def http(status: int, body: bytes, *headers: bytes) -> bytes:
    head = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n" % (status, len(body))
    return head + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body


@contextlib.asynccontextmanager
async def sender(
    url: str, ca: Path, *, connections: int = 64, connect_timeout: float = 5.0, read_timeout: float = 60.0
):
    async with (
        TokenSource(factory=Always, scopes=(GRAPH_SCOPE,), clock=SystemClock()) as tokens,
        graph_to(
            url,
            tokens,
            ca,
            connections=connections,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
        ) as transport,
    ):
        yield transport


async def send_to(
    graph: Graph, authority: Authority, *, body: Bytes | None = None, read_timeout: float = 60.0
) -> Outcome:
    async with (
        listening(graph, context=authority.context()) as port,
        sender(f"https://127.0.0.1:{port}/v1.0", authority.file, read_timeout=read_timeout) as transport,
    ):
        return await transport.send(dispatch(body=body))


BROKEN = [
    pytest.param(b"", "reset", id="reset"),
    pytest.param(b"", "close", id="eof"),
    pytest.param(b"HTTP/1.1 20", "close", id="partial-status-line"),
    pytest.param(b"HTTP/1.1 20", "reset", id="partial-status-line-then-reset"),
    pytest.param(b"HTTP/1.1 202 Accepted\r\nContent-Le", "close", id="partial-header"),
    pytest.param(b"220 mail.example ESMTP\r\n\r\n", "close", id="another-protocol"),
    pytest.param(b"\x00\xff\x15\x03\x01\x00\x02\x02\r\n\r\n", "close", id="garbage"),
    pytest.param(b"HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\n\r\nshort", "close", id="short-body"),
    pytest.param(b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "close", id="bad-chunk"),
    pytest.param(
        b"HTTP/1.1 202 Accepted\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "close", id="bad-gzip"
    ),
]


@pytest.mark.parametrize(("answer", "ending"), BROKEN)
@pytest.mark.parametrize("read_body", [True, False], ids=["after-the-body", "before-the-body"])
async def test_a_broken_answer_is_doubt_and_one_post(authority, answer, ending, read_body):
    graph = Graph(answer, ending, read_body)
    outcome = await send_to(graph, authority)
    assert isinstance(outcome, Unconfirmed)
    assert graph.posts == 1


@pytest.mark.parametrize("ending", ["reset", "close"])
async def test_a_connection_that_breaks_inside_a_large_body_is_doubt_and_one_post(authority, ending):
    graph = Graph(b"", ending, read_body=False)
    outcome = await send_to(graph, authority, body=BIG)
    assert isinstance(outcome, Unconfirmed)
    assert graph.posts == 1


async def test_silence_after_the_body_is_doubt_and_one_post(authority):
    graph = Graph(b"", "silence")
    outcome = await send_to(graph, authority, read_timeout=0.3)
    assert isinstance(outcome, Unconfirmed)
    assert outcome.answer.code == "network_silence"
    assert graph.posts == 1


async def test_an_answer_before_the_body_was_read_counts(authority):
    early = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
    graph = Graph(early, "silence", read_body=False)
    outcome = await send_to(graph, authority, body=BIG)
    assert isinstance(outcome, TransientFailure)
    assert outcome.answer.retry_after == 7.0
    assert graph.posts == 1


@pytest.mark.parametrize("status", [200, 301, 302, 303, 307, 308])
async def test_a_redirect_or_another_success_is_doubt_and_never_followed(authority, status):
    graph = Graph(ending="keep")
    async with (
        listening(graph, context=authority.context()) as port,
        sender(f"https://127.0.0.1:{port}/v1.0", authority.file) as transport,
    ):
        head = f"HTTP/1.1 {status} Moved\r\nLocation: https://127.0.0.1:{port}/elsewhere\r\nContent-Length: 0\r\n\r\n"
        graph.answer = head.encode()
        outcome = await transport.send(dispatch())
    assert isinstance(outcome, Unconfirmed)
    assert len(graph.requests) == 1


async def test_a_claims_challenge_does_not_make_the_sdk_send_again(authority):
    challenge = (
        b'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer error="x", claims="eyJhIjoxfQ=="\r\nContent-Length: 0\r\n\r\n'
    )
    graph = Graph(challenge, "keep")
    outcome = await send_to(graph, authority)
    assert isinstance(outcome, TransientFailure)
    assert (outcome.scope, outcome.at_once) == (Scope.MESSAGE, True)
    assert graph.posts == 1


async def test_a_kept_connection_that_was_closed_meanwhile_is_replaced(authority):
    graph = Graph(ACCEPTED, "close")
    async with (
        listening(graph, context=authority.context()) as port,
        sender(f"https://127.0.0.1:{port}/v1.0", authority.file) as transport,
    ):
        assert isinstance(await transport.send(dispatch()), Sent)
        await graph.ended.wait()
        assert isinstance(await transport.send(dispatch()), Sent)
    assert graph.posts == 2


async def test_connections_are_kept(authority):
    graph = Graph(ACCEPTED, "keep")
    async with (
        listening(graph, context=authority.context()) as port,
        sender(f"https://127.0.0.1:{port}/v1.0", authority.file) as transport,
    ):
        for _ in range(3):
            await transport.send(dispatch())
    assert (graph.posts, graph.connections) == (3, 1)


async def test_a_cancelled_send_closes_its_connection(authority):
    graph = Graph(b"", "silence")
    async with (
        listening(graph, context=authority.context()) as port,
        sender(f"https://127.0.0.1:{port}/v1.0", authority.file) as transport,
    ):
        sending = asyncio.create_task(transport.send(dispatch()))
        while not graph.posts:
            await asyncio.sleep(0.01)
        sending.cancel()
        await asyncio.wait({sending})
        assert sending.cancelled()
        await graph.ended.wait()


@pytest.mark.parametrize("more", [30, 300_000, -30])
async def test_a_content_of_the_wrong_size_is_never_completed(authority, more):
    class Wrong(Bytes):
        @property
        def size(self) -> int:
            return 1000

    graph = Graph(ACCEPTED, "keep")
    outcome = await send_to(graph, authority, body=Wrong(b"z" * (1000 + more)), read_timeout=2.0)
    assert isinstance(outcome, Unconfirmed)


# --- certain: nothing can have been processed ------------------------------------------------------------------------


async def plain_reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def plain_eof(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def plain_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()


async def mute(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize("talk", [plain_reset, plain_eof, plain_http, mute])
async def test_a_tls_handshake_that_fails_is_certain(authority, talk):
    async with (
        listening(talk) as port,
        sender(f"https://127.0.0.1:{port}/v1.0", authority.file, connect_timeout=0.5) as transport,
    ):
        assert_certain(await transport.send(dispatch()))


async def test_an_unknown_certificate_authority_is_certain(authority, tmp_path):
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    graph = Graph(ACCEPTED)
    async with (
        listening(graph, context=authority.context()) as port,
        sender(f"https://127.0.0.1:{port}/v1.0", other) as transport,
    ):
        outcome = await transport.send(dispatch())
        assert_certain(outcome)
        assert outcome.answer.fix == "network.certificate"
    assert graph.posts == 0


async def test_a_refused_connection_is_certain(authority):
    async with listening(mute) as port:
        pass
    async with sender(f"https://127.0.0.1:{port}/v1.0", authority.file) as transport:
        outcome = await transport.send(dispatch())
        assert_certain(outcome)
        assert outcome.answer.code == "network_refused"
        assert await transport.probe() is False


async def test_a_name_that_cannot_be_resolved_is_certain(authority):
    async with sender("https://graph.invalid/v1.0", authority.file) as transport:
        outcome = await transport.send(dispatch())
        assert_certain(outcome)
        assert outcome.answer.code == "network_dns"
        assert "graph.invalid" not in outcome.answer.text


async def test_a_base_url_that_the_sdk_refuses_is_certain(authority):
    async with sender("http://graph.test/v1.0", authority.file) as transport:
        assert_certain(await transport.send(dispatch()))


async def test_a_body_that_cannot_be_read_is_doubt_and_never_completed(authority):
    class Broken(Bytes):
        async def blocks(self):
            yield b"x"
            raise OSError("disk")

    graph = Graph(ACCEPTED, "keep")
    assert isinstance(await send_to(graph, authority, body=Broken(b"xy"), read_timeout=2.0), Unconfirmed)


async def test_no_free_connection_is_certain(authority):
    graph = Graph(b"", "silence")
    async with (
        listening(graph, context=authority.context()) as port,
        sender(f"https://127.0.0.1:{port}/v1.0", authority.file, connections=1, connect_timeout=0.2) as transport,
    ):
        first = asyncio.create_task(transport.send(dispatch()))
        while not graph.posts:
            await asyncio.sleep(0.01)
        assert_certain(await transport.send(dispatch()))
        assert graph.posts == 1
        first.cancel()
        await asyncio.wait({first})


# --- Entra: never doubt ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "ending", "kind"),
    [
        (http(200, b"<html>welcome</html>", b"Content-Type: text/html"), "keep", TransientFailure),
        (http(200, b"{}", b"Content-Type: application/json"), "keep", TransientFailure),
        (http(502, b"<html>bad</html>", b"Content-Type: text/html"), "keep", TransientFailure),
        (http(429, b"", b"Retry-After: 17"), "keep", TransientFailure),
        (http(403, b"<html>proxy</html>", b"Content-Type: text/html"), "keep", TransientFailure),
        (http(407, b""), "keep", Blocked),
        (b"", "reset", TransientFailure),
        (b"HTTP/1.1 20", "close", TransientFailure),
        (b"220 mail.example ESMTP\r\n\r\n", "close", TransientFailure),
    ],
)
async def test_an_unreadable_entra_is_transient_and_a_refusing_one_blocks(authority, answer, ending, kind):
    async with listening(Graph(answer, ending), context=authority.context()) as port:
        options = EntraOptions(
            tenant_id="11111111-2222-4333-8444-555555555555",
            client_id="11111111-2222-4333-8444-666666666666",
            credential=ClientSecret(lambda: "planted-secret"),
            authority=f"https://127.0.0.1:{port}",
            own_authority=True,
            ca_file=str(authority.file),
        )
        async with TokenSource(
            factory=credential_factory(options), scopes=(GRAPH_SCOPE,), clock=SystemClock()
        ) as tokens:
            with pytest.raises(NoToken) as caught:
                await tokens.get_token(GRAPH_SCOPE)
    outcome = caught.value.outcome
    assert isinstance(outcome, kind)
    assert outcome.scope is Scope.TRANSPORT
    assert "planted-secret" not in repr(outcome) + repr(caught.value) + repr(options)
    if b"Retry-After" in answer:
        assert outcome.answer.retry_after == 17.0


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
        b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"value":[1]}'[:-1],
        b'HTTP/1.1 200 OK\r\nContent-Length: 36\r\n\r\n{"value":[{"internetMessageId":"<1>"}',
        b'HTTP/1.1 404 No\r\nContent-Length: 12\r\n\r\n{"value":[]}',
        b'HTTP/1.1 206 Part\r\nContent-Length: 12\r\n\r\n{"value":[]}',
        b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_only_a_complete_answer_200_counts_as_a_look(authority, answer):
    graph = Graph(answer, "keep")
    async with (
        listening(graph, context=authority.context()) as port,
        sender(f"https://127.0.0.1:{port}/v1.0", authority.file, read_timeout=1.0) as transport,
    ):
        sight = await transport.look_up(account="a@contoso.com", message_ids=["<1@x>"])
    assert isinstance(sight, NoSight)


def assert_certain(outcome: Outcome) -> None:
    assert isinstance(outcome, TransientFailure)
    assert outcome.scope is Scope.TRANSPORT


async def test_the_token_does_not_follow_a_link_to_elsewhere(authority):
    graph = Graph(ending="keep")
    async with (
        listening(graph, context=authority.context()) as port,
        sender(f"https://127.0.0.1:{port}/v1.0", authority.file) as transport,
    ):
        link = f"https://localhost:{port}/v1.0/users/a"
        graph.answer = http(200, json.dumps({"value": [], "@odata.nextLink": link}).encode())
        assert isinstance(await transport.look_up(account="a@contoso.com", message_ids=["<1@x>"]), NoSight)
    assert len(graph.requests) == 1


async def sight_of(authority: Authority, created: object, **headers: str) -> tuple[Copy, ...]:
    """What a look-up says of one copy, of which Graph says that it was ``created`` then."""
    one = {"internetMessageId": "<1@x>", "isDraft": False, "createdDateTime": created}
    head, _, body = http(200, json.dumps({"value": [one]}).encode()).partition(b"\r\n")
    told = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
    graph = Graph(head + b"\r\n" + told + body, ending="keep")
    async with (
        listening(graph, context=authority.context()) as port,
        sender(f"https://127.0.0.1:{port}/v1.0", authority.file) as transport,
    ):
        sight = await transport.look_up(account="a@contoso.com", message_ids=["<1@x>"])
    assert isinstance(sight, Sightings)
    assert b"createdDateTime" in graph.requests[0]
    return sight.found["<1@x>"]


@pytest.mark.parametrize("wrong", [-3600, 0, 3600])
async def test_the_age_of_a_copy_is_told_by_one_clock(authority, wrong):
    """Ours or Microsoft's may be wrong: the answer says what time it is there."""
    now = time.time()
    there = datetime.fromtimestamp(now + wrong, UTC)
    created = (there - timedelta(seconds=90)).strftime("%Y-%m-%dT%H:%M:%SZ")
    (copy,) = await sight_of(authority, created, Date=format_datetime(there, usegmt=True))
    assert copy.between is not None
    after, before = (at / 1000 - (now - 90) for at in copy.between)
    assert -8 < after < 0 < before < 15


@pytest.mark.parametrize(
    ("created", "at"),
    [
        ("2026-01-02T03:04:05Z", 1_767_323_045_000),
        ("2026-01-02T03:04:05.1234567Z", 1_767_323_045_123),
        ("2026-01-02T04:04:05+01:00", 1_767_323_045_000),
        ("2026-01-02T03:04:05", None),
        ("yesterday", None),
        (1_767_323_045, None),
        (None, None),
    ],
)
async def test_a_copy_that_does_not_say_when_it_came_to_be_has_no_age(authority, created, at):
    (copy,) = await sight_of(authority, created)
    assert copy.between == (None if at is None else (at - 5000, at + 5000))


async def test_pages_of_a_look_up_are_counted_together(authority):
    def page(port: int, *, more: bool) -> bytes:
        link = {"@odata.nextLink": f"https://127.0.0.1:{port}/v1.0/users/a/messages?$skip=1"} if more else {}
        return http(200, json.dumps({"value": [{"internetMessageId": "<1@x>", "isDraft": False}], **link}).encode())

    graph = Graph(ending="keep")
    async with (
        listening(graph, context=authority.context()) as port,
        sender(f"https://127.0.0.1:{port}/v1.0", authority.file) as transport,
    ):
        graph.answers = [page(port, more=True), page(port, more=True), page(port, more=False)]
        sight = await transport.look_up(account="a@contoso.com", message_ids=["<1@x>"])
    assert isinstance(sight, Sightings)
    assert sight.found["<1@x>"] == (Copy(draft=False),) * 3
    assert graph.requests[1].startswith(b"GET /v1.0/users/a/messages?$skip=1 ")
