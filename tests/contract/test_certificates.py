"""A renewed certificate is shown without a restart, by HTTP and by SMTP; half a renewal changes nothing."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiosmtplib
import pytest
import trustme
from starlette.applications import Starlette

from posthouse.doors import certificates
from posthouse.doors.listener import Listener, Tls, bind
from posthouse.doors.smtp.listener import Address, SmtpListener
from posthouse.telemetry import CERTIFICATE_KEPT, CERTIFICATE_READ
from tests.contract.certificates import anything, issued
from tests.contract.rest_door import rest_door


async def by_smtp(port: int) -> bytes:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=True, tls_context=anything()) as smtp:
        assert smtp.transport is not None
        return smtp.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)


async def by_tls(port: int) -> bytes:
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=anything())
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return found


@asynccontextmanager
async def smtp(directory: Path, tls: Tls, *, implicit: bool) -> AsyncGenerator[int]:
    address = Address(listen="127.0.0.1:0", hostname="here", certificate=tls, implicit=implicit)
    async with rest_door(directory) as door:
        listener = SmtpListener(address, step=door.step, keys=door.keys, keeper=door.keeper)
        await listener.start()
        yield listener.port
        await listener.stop()


@asynccontextmanager
async def http(tls: Tls) -> AsyncGenerator[int]:
    bound = bind("127.0.0.1:0")
    listener = Listener(Starlette(), bound, tls=tls)
    await listener.start()
    yield bound.getsockname()[1]
    await listener.stop()


@pytest.mark.parametrize("kind", ["https", "starttls", "implicit"])
async def test_a_renewed_certificate_is_shown_and_half_a_renewal_is_not(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "LOOK_EVERY", 0.02)
    told: list[str] = []
    monkeypatch.setattr(certificates, "log", lambda event, **_fields: told.append(event))
    ca = trustme.CA()
    tls, other = issued(tmp_path / "tls", ca), issued(tmp_path / "other", ca)
    listening = http(tls) if kind == "https" else smtp(tmp_path, tls, implicit=kind == "implicit")
    ask = by_smtp if kind == "starttls" else by_tls
    async with listening as port, asyncio.timeout(30):
        first = await ask(port)
        tls.certificate.write_bytes(other.certificate.read_bytes())
        while CERTIFICATE_KEPT not in told:
            await asyncio.sleep(0.01)
        assert await ask(port) == first, "the key is not there yet"
        tls.key.write_bytes(other.key.read_bytes())
        while CERTIFICATE_READ not in told:
            await asyncio.sleep(0.01)
        assert await ask(port) != first
