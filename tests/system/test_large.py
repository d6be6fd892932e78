"""A message of 150 MB costs the service no more memory than a small one, and arrives byte for byte."""

import asyncio
import hashlib
import re
import smtplib
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pybase64
import pytest

from posthouse.sandbox.emulator import Emulator
from posthouse.sandbox.world import Received
from tests.system.harness import Service, free_port, letter
from tests.system.large import CONTENT_TYPE, File, forget_peak, form, resident

SENDER = "app@contoso.example"
ROOM = 160_000_000
FILE = File(105_000_000, seed=7)
MAY_RISE = 32 * 1024 * 1024
"""Bytes that the service may grow by (issue 4)."""


Submit = Callable[[Service, str], Awaitable[str]]
"""Submits the file with a key; gives the id of the message."""


async def by_form(service: Service, _key: str) -> str:
    """As a form of the REST door."""
    message = letter(SENDER, 1, attachments=[{"filename": "large.bin", "part": "file"}])
    answer = await service.http.post(
        "/v1/messages", content=form(message, {"file": FILE}), headers={"content-type": CONTENT_TYPE}
    )
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def by_smtp(port: int) -> Submit:
    """As a complete message at the SMTP door."""

    def talk(key: str) -> str:
        head = f"From: {SENDER}\r\nTo: jo@example.com\r\nSubject: number 1\r\nMIME-Version: 1.0\r\n"
        part = "--b\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=large.bin\r\n\r\n"
        file = pybase64.encodebytes(b"".join(FILE.blocks())).replace(b"\n", b"\r\n")
        begun = f"{head}Content-Type: multipart/mixed; boundary=b\r\n\r\n{part}".encode()
        with smtplib.SMTP("127.0.0.1", port, timeout=100) as smtp:
            smtp.login("app", key)
            smtp.mail(SENDER)
            smtp.rcpt("jo@example.com")
            code, said = smtp.data(begun + file + b"--b--\r\n")
        assert code == 250, said
        return said.decode().rpartition(" ")[2]

    async def submit(_service: Service, key: str) -> str:
        return await asyncio.to_thread(talk, key)

    return submit


async def sent(service: Service, emulator: Emulator, record_property, submit: Submit = by_form) -> Received:
    """Submit the file and wait until it is sent; the service has grown by less than 32 MB."""
    key = await service.make_key(SENDER)
    await service.until([await service.submit(letter(SENDER, 0))])
    assert service.process is not None
    pid = service.process.pid
    idle = resident(pid, "VmRSS")
    forget_peak(pid)
    begun = time.monotonic()
    message_id = await submit(service, key)
    accepted, peak = time.monotonic() - begun, resident(pid, "VmHWM")
    statuses = await service.until([message_id], seconds=200)
    assert set(statuses.values()) == {"sent"}, await service.get(message_id)
    figures = {
        "idle MB": idle / 1e6,
        "accepted s": accepted,
        "accepted rise MB": (peak - idle) / 1e6,
        "sent s": time.monotonic() - begun,
        "rise MB": (resident(pid, "VmHWM") - idle) / 1e6,
    }
    for name, value in figures.items():
        record_property(name, round(value, 1))
    print(figures)
    assert resident(pid, "VmHWM") - idle < MAY_RISE
    assert (await service.get(message_id))["size"] > 140_000_000
    (found,) = [one for one in emulator.world.received if one.subject == "number 1"]
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("door", ["rest", "smtp"])
async def test_150_mb_by_smtp(launch, emulator, record_property, door: str) -> None:
    port = free_port()
    listeners = [{"listen": f"127.0.0.1:{port}"}]
    service = await launch(limits={"max_message_bytes": ROOM}, smtp_door={"listeners": listeners})
    found = await sent(service, emulator, record_property, by_smtp(port) if door == "smtp" else by_form)
    assert found.transport == "smtp"
    head = re.search(rb'filename="?large.bin"?\r\n(?:[^\r]+\r\n)*\r\n', found.mime)
    assert head is not None
    encoded = found.mime[head.end() : found.mime.index(b"\r\n--", head.end())]
    assert hashlib.sha256(pybase64.b64decode(encoded)).hexdigest() == FILE.digest()


@pytest.mark.timeout(300)
async def test_150_mb_by_draft_and_upload_session(launch, emulator, record_property) -> None:
    emulator.world.settings = replace(
        emulator.world.settings,
        grants=emulator.world.settings.grants | {"Mail.ReadWrite"},
        digest_above=10_000_000,
    )
    service = await launch(
        limits={"max_message_bytes": ROOM}, transports__graph={"drafts": True}, delivery={"route": ["graph"]}
    )
    found = await sent(service, emulator, record_property)
    assert found.transport == "graph"
    assert [(one.name, one.size, one.digest) for one in found.files] == [("large.bin", FILE.size, FILE.digest())]
    assert emulator.world.counters.drafts_made == 1
    assert not emulator.world.drawer.drafts
