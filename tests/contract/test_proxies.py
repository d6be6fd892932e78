"""Graph and Entra by a proxy that misbehaves at each stage: what fails before its tunnel stands is certain, later it is doubt."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from posthouse.findings import Result
from posthouse.fixes import Kind
from posthouse.outcome import Outcome, Scope, Sent, TransientFailure, Unconfirmed
from posthouse.sandbox.chaos import Rule, Target
from posthouse.sandbox.emulator import Emulator, Options
from posthouse.transports.proxies import Proxies, Proxy
from posthouse.transports.tokens import NoToken
from tests.contract.doctor_kit import Clinic, exit_code, failure, inspecting_proxy, results, silent
from tests.contract.transport_kit import GRAPH_SCOPE, dispatch, graph_to, listening, tokens_of
from tests.system.harness import free_port

LOGIN = "Basic cmVsYXk6aHVzaA=="  # relay:hush


@dataclass
class Gateway:
    """A proxy for tunnels, to ``to_port`` whatever was asked for; ``answer`` is what it says instead of one."""

    answer: bytes = b""
    to_port: int | None = None
    asked: list[bytes] = field(default_factory=list)
    ways: list[asyncio.StreamWriter] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head)
        if self.answer:
            writer.write(self.answer)
            await writer.drain()
            return
        host, _, port = head.split(b" ")[1].decode().rpartition(":")
        far, out = await asyncio.open_connection(host, self.to_port or int(port))
        self.ways.append(writer)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(_pass(reader, out), _pass(far, writer))
        finally:
            out.transport.abort()

    def cut(self) -> None:
        """End all tunnels, hard."""
        for way in self.ways:
            way.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


def at(port: int, *, host: str = "127.0.0.1", without: tuple[str, ...] = ()) -> Proxies:
    return Proxies(Proxy(host, port, "relay", "hush"), without)


@pytest.fixture
async def emulator(authority: Path):
    async with Emulator(Options(directory=authority)) as running:
        yield running


async def send_by(emulator: Emulator, proxies: Proxies) -> Outcome:
    """One mail; its token comes without the proxy."""
    async with (
        tokens_of(emulator) as tokens,
        graph_to(emulator.graph_url, tokens, emulator.ca_file, proxies=proxies, connect_timeout=0.5) as transport,
    ):
        return await transport.send(dispatch())


async def test_mail_and_tokens_go_through_the_tunnel_with_the_proxys_login(emulator: Emulator) -> None:
    gateway = Gateway()
    async with (
        listening(gateway) as port,
        tokens_of(emulator, proxies=at(port)) as tokens,
        graph_to(emulator.graph_url, tokens, emulator.ca_file, proxies=at(port)) as transport,
    ):
        outcomes = [await transport.send(dispatch()) for _ in range(2)]
    assert [type(one) for one in outcomes] == [Sent, Sent]
    hosts = [emulator.authority.removeprefix("https://"), emulator.https_url.removeprefix("https://")]
    assert [head.split(b" ")[1].decode() for head in gateway.asked] == hosts  # one tunnel each: the second mail kept it
    assert all(f"Proxy-Authorization: {LOGIN}".encode() in head for head in gateway.asked)


REFUSALS = [
    pytest.param(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "network_proxy_login", id="407"),
    pytest.param(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "network_proxy_refusal", id="403"),
    pytest.param(b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "network_proxy_way", id="502"),
    pytest.param(b"HTTP/1.1 302 Found\r\nLocation: http://login.contoso.com/\r\n\r\n", "network_proxy_way", id="302"),
    pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "network_proxy", id="another-protocol"),
    pytest.param(b"HTTP/1.1 20", "network_proxy", id="cut-short"),
    pytest.param(b"HTTP/1.1 401 Unauthorized\r\n\r\n", "network_proxy_login", id="401"),
]


@pytest.mark.parametrize(("answer", "code"), REFUSALS)
async def test_without_a_tunnel_nothing_was_sent(emulator: Emulator, answer: bytes, code: str) -> None:
    async with listening(Gateway(answer)) as port:
        outcome = await send_by(emulator, at(port))
    assert isinstance(outcome, TransientFailure)
    assert (outcome.scope, outcome.answer.code) == (Scope.TRANSPORT, code)
    assert emulator.world.counters.posts == 0


async def test_a_proxy_that_cannot_be_reached_or_stays_silent_is_named_as_such(emulator: Emulator) -> None:
    async with listening(silent) as mute:
        outcomes = [
            await send_by(emulator, proxies)
            for proxies in (at(free_port()), at(mute), at(3128, host="proxy.nowhere.invalid"))
        ]
    for outcome in outcomes:
        assert isinstance(outcome, TransientFailure)
        assert outcome.answer.code == "network_proxy"
    assert emulator.world.counters.posts == 0


async def test_a_certificate_within_the_tunnel_is_not_the_proxys_fault(emulator: Emulator) -> None:
    async with inspecting_proxy() as foreign, listening(Gateway(to_port=foreign)) as port:
        outcome = await send_by(emulator, at(port))
    assert isinstance(outcome, TransientFailure)
    assert outcome.answer.code == "network_certificate"


async def test_a_tunnel_that_ends_after_the_request_began_leaves_doubt_and_one_post(emulator: Emulator) -> None:
    gateway = Gateway()
    async with (
        listening(gateway) as port,
        tokens_of(emulator) as tokens,
        graph_to(emulator.graph_url, tokens, emulator.ca_file, proxies=at(port)) as transport,
    ):
        for kept in (False, True):
            if kept:
                emulator.world.faults = ()
                assert isinstance(await transport.send(dispatch()), Sent)
            before = emulator.world.counters.posts
            emulator.world.faults = (Rule(target=Target.GRAPH, fault="hang"),)
            sending = asyncio.create_task(transport.send(dispatch()))
            while emulator.world.counters.posts == before:
                await asyncio.sleep(0.01)
            gateway.cut()
            assert isinstance(await sending, Unconfirmed)
            assert emulator.world.counters.posts == before + 1
    assert len(gateway.asked) == 2  # the third mail took the tunnel of the second


async def test_no_proxy_leads_past_it(emulator: Emulator) -> None:
    outcome = await send_by(emulator, at(free_port(), without=("127.0.0.1",)))
    assert isinstance(outcome, Sent)


@pytest.mark.parametrize(("answer", "code"), REFUSALS[:3])
async def test_a_token_that_the_proxy_keeps_away_says_so(emulator: Emulator, answer: bytes, code: str) -> None:
    async with listening(Gateway(answer)) as port, tokens_of(emulator, proxies=at(port)) as tokens:
        with pytest.raises(NoToken) as none:
            await tokens.get_token(GRAPH_SCOPE)
    assert isinstance(none.value.outcome, TransientFailure)
    assert none.value.outcome.answer.code == code


async def test_a_token_by_a_proxy_that_is_not_there_says_so(emulator: Emulator) -> None:
    for host in ("127.0.0.1", "proxy.nowhere.invalid"):
        async with tokens_of(emulator, proxies=at(free_port(), host=host)) as tokens:
            with pytest.raises(NoToken) as none:
                await tokens.get_token(GRAPH_SCOPE)
        assert none.value.outcome.answer.code == "network_proxy"


async def test_the_doctor_goes_by_the_proxy_with_https_and_says_that_smtp_does_not(clinic: Clinic) -> None:
    gateway = Gateway()
    async with listening(gateway) as port:
        clinic.environ["HTTPS_PROXY"] = f"http://relay:hush@127.0.0.1:{port}"
        findings = await clinic.findings()
    by_name = {one.step: one for one in findings}
    assert set(results(findings).values()) == {Result.PASSED}
    proxy = f"by proxy 127.0.0.1:{port}"
    assert proxy in by_name["graph.tcp"].tried
    assert proxy in by_name["graph.tls"].seen
    assert by_name["graph.dns"].seen == "127.0.0.1 is 127.0.0.1 (the proxy)"
    assert f"SMTP does not go by the proxy 127.0.0.1:{port}" in by_name["smtp.tcp"].tried
    submission = f":{clinic.emulator.smtp_port}"
    assert not [head for head in gateway.asked if submission in head.decode()]
    assert "hush" not in str(findings)


@pytest.mark.parametrize(
    ("answer", "fix", "says"),
    [
        (REFUSALS[0].values[0], "network.proxy_login", "HTTP 407 Proxy Authentication Required"),
        (REFUSALS[1].values[0], "network.proxy_refused", "HTTP 403 Forbidden"),
        (REFUSALS[2].values[0], "network.proxy_way", "HTTP 502 Bad Gateway"),
        (REFUSALS[4].values[0], "network.proxy", "it does not speak HTTP"),
    ],
)
async def test_the_doctor_tells_why_a_proxy_opens_no_tunnel(clinic: Clinic, answer: bytes, fix: str, says: str) -> None:
    async with listening(Gateway(answer)) as port:
        clinic.environ["HTTPS_PROXY"] = f"http://relay:hush@127.0.0.1:{port}"
        findings = await clinic.findings()
    found = failure(findings)
    assert found.told == ("graph.tcp", fix, Kind.NETWORK)
    assert says in found.seen
    assert f"127.0.0.1:{port}" in found.seen
    assert "<" not in found.trouble.remedy
    assert exit_code(findings) == 5
    assert "hush" not in str(findings)
