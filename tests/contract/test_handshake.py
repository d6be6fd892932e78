"""TLS of the HTTP listener: who fails is found in the refusals, and what comes with the handshake is not lost."""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from posthouse.doors.handshake import listed
from posthouse.doors.listener import Listener, bind
from tests.contract.certificates import anything, issued, old_tls
from tests.contract.rest_door import Door, rest_door

REQUEST = b"GET /livez HTTP/1.1\r\nHost: mail.contoso.example\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class House:
    """A door behind TLS."""

    door: Door
    port: int

    async def refusals(self) -> list[tuple[str, str, str, str]]:
        """All that is listed."""
        return [(one.door, one.source, one.code, one.detail) for one in await self.door.keeper.refusals()]

    async def ask(self, context: ssl.SSLContext | None) -> bytes:
        """The answer to a request."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        writer.write(REQUEST)
        answer = await reader.read()
        writer.close()
        return answer


@pytest.fixture
async def house(tmp_path: Path) -> AsyncGenerator[House]:
    async with rest_door(tmp_path) as door, opened(door, tmp_path) as port:
        yield House(door, port)


@asynccontextmanager
async def opened(door: Door, directory: Path) -> AsyncGenerator[int]:
    bound = bind("127.0.0.1:0")
    tls = issued(directory / "tls", trustme.CA())
    listener = Listener(door.app, bound, tls=tls, failed=listed(door.keeper, door="http"))
    await listener.start()
    try:
        yield bound.getsockname()[1]
    finally:
        await listener.stop()


async def test_who_speaks_an_old_tls_is_listed_with_its_address_and_openssls_word(house: House) -> None:
    assert await asyncio.to_thread(_fails, house.port, old_tls())
    assert await house.refusals() == [("http", "127.0.0.1", "tls_failed", "UNSUPPORTED_PROTOCOL")]


async def test_who_does_not_trust_the_certificate_is_listed(house: House) -> None:
    assert await asyncio.to_thread(_fails, house.port, ssl.create_default_context())
    assert b"200 OK" in await house.ask(anything())
    assert await house.refusals() == [("http", "127.0.0.1", "tls_failed", "TLSV1_ALERT_UNKNOWN_CA")]


async def test_who_speaks_http_to_the_encrypted_port_is_listed(house: House) -> None:
    assert await house.ask(None) == b""
    assert await house.refusals() == [("http", "127.0.0.1", "tls_failed", "HTTP_REQUEST")]


async def test_a_balancer_that_only_looks_in_is_no_refusal(house: House) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.close()
    await writer.wait_closed()
    assert b"200 OK" in await house.ask(anything())
    assert await house.refusals() == []


async def test_a_request_that_comes_together_with_the_end_of_the_handshake_is_answered(house: House) -> None:
    """As clients of TLS 1.3 may send it (RFC 8446 §4.4.4): what is decrypted early must reach the application."""
    assert b"200 OK" in await asyncio.to_thread(_in_one_packet, house.port)


def _fails(port: int, context: ssl.SSLContext) -> bool:
    """Whether a client that says why (asyncio's does not) cannot connect."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as wire:
        try:
            context.wrap_socket(wire, server_hostname="mail.contoso.example").close()
        except OSError:
            return True
        return False


def _in_one_packet(port: int) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = anything().wrap_bio(incoming, outgoing)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as wire:
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        wire.sendall(outgoing.read())
        while True:
            incoming.write(wire.recv(65_536))
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                continue
        tls.write(REQUEST)
        wire.sendall(outgoing.read())
        answer = b""
        while block := wire.recv(65_536):
            incoming.write(block)
            try:
                answer += tls.read(65_536)
            except ssl.SSLWantReadError:
                continue
            if b"200 OK" in answer:
                break
        return answer
