"""Fallback to an SMTP server that we did not write."""

from collections import Counter

import pytest

from tests.system.exim import Exim
from tests.system.gate import Gate
from tests.system.harness import letter

pytestmark = pytest.mark.apt
SENDER = "app@contoso.example"
BATCH = 50


async def test_mail_falls_back_to_exim_with_starttls_and_login_and_returns_to_graph(launch, emulator):
    host, port = emulator.https_url.removeprefix("https://").rsplit(":", 1)
    async with Gate(host, int(port)) as gate, Exim(username=SENDER, password="s3cret-of-exim") as exim:
        service = await launch(
            transports__graph={"base_url": f"https://{host}:{gate.port}/v1.0"},
            transports__smtp={
                "host": "localhost",
                "port": exim.port,
                "auth": "login",
                "username": SENDER,
                "password": "s3cret-of-exim",
                "ca_file": str(exim.ca_file),
            },
        )
        await service.make_key(SENDER)
        await gate.refuse()
        ids = [await service.submit(letter(SENDER, number, bcc=["blind@example.net"])) for number in range(BATCH)]
        assert set((await service.until(ids)).values()) == {"sent"}
        mails = await exim.delivered(2 * BATCH)
        assert all(b"with esmtpsa" in mail for mail in mails)
        found = Counter((_field(mail, b"Subject"), _field(mail, b"Envelope-to")) for mail in mails)
        named = {(f"number {number}", f"r{number}@example.net") for number in range(BATCH)}
        blind = {(f"number {number}", "blind@example.net") for number in range(BATCH)}
        assert found == Counter(named | blind)
        assert not any(b"\nBcc:" in mail for mail in mails)
        await gate.open()
        feeler = BATCH
        while not emulator.world.received:
            await service.until([await service.submit(letter(SENDER, feeler))])
            feeler += 1
            assert feeler < 2 * BATCH
        ids = [await service.submit(letter(SENDER, 1000 + number)) for number in range(BATCH)]
        assert set((await service.until(ids)).values()) == {"sent"}
        assert len(emulator.world.received) == BATCH + 1


def _field(mail: bytes, name: bytes) -> str:
    return next(line.partition(b": ")[2].decode() for line in mail.splitlines() if line.startswith(name + b": "))
