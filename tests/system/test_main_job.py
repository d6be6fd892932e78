"""REST in, spool, Graph out: everything arrives once and as it was submitted."""

import asyncio
import base64
import email
import email.policy
import hashlib
import random
from collections import Counter
from email.message import EmailMessage

import pytest

from tests.system.harness import letter

MESSAGES = 2_000
CLIENTS = 16
MAILBOXES = 8
SUBJECTS = ("Rechnung Nr. {n} – fällig", "請求書 {n}", "Order {n}", "🚚 {n} is on its way", "=?utf-8?q?{n}?= literally")


def rich(number: int) -> tuple[dict[str, object], dict[str, str]]:
    """A message of many shapes and what must come out of it."""
    chance = random.Random(number)
    subject = SUBJECTS[number % len(SUBJECTS)].format(n=number)
    text = f"Grüße {number}\n.\n..\nFrom here\n{'long ' * 300}\n"
    html = f"<p>Grüße <b>{number}</b></p>"
    data = chance.randbytes(chance.choice((0, 1, 77, 3_000)))
    message = letter(
        f"app{number % MAILBOXES}@contoso.example",
        number,
        subject=subject,
        text=text,
        html=html,
        cc=[{"name": "Doe, Jane @ home", "address": f"cc{number}@example.net"}],
        attachments=[
            {"filename": f"prüfung {number}, „final“.bin", "content": base64.b64encode(data).decode()},
            {"filename": "logo.png", "content": "iVBORw0KGgo=", "content_type": "image/png", "content_id": "logo"},
        ],
    )
    expected = {"subject": subject, "text": text, "html": html, "data": hashlib.sha256(data).hexdigest()}
    return message, expected | {"filename": f"prüfung {number}, „final“.bin"}


def as_read(mime: bytes) -> dict[str, str]:
    """What a mail program would show of it."""
    mail = email.message_from_bytes(mime, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    part = next(part for part in mail.walk() if part.get_content_disposition() == "attachment")
    return {
        "subject": mail["subject"],
        "text": text.get_content().replace("\r\n", "\n"),
        "html": html.get_content().rstrip("\r\n"),
        "data": hashlib.sha256(part.get_content()).hexdigest(),
        "filename": part.get_filename() or "",
    }


@pytest.mark.timeout(300)
async def test_two_thousand_messages_arrive_exactly_once_and_unchanged(launch, emulator):
    service = await launch()
    await service.make_key("*@contoso.example")
    numbers = iter(range(MESSAGES))
    expected: dict[str, dict[str, str]] = {}
    ids: list[str] = []

    async def client() -> None:
        for number in numbers:
            message, content = rich(number)
            ids.append(await service.submit(message))
            expected[f"r{number}@example.net"] = content

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    statuses = await service.until(ids, seconds=200)

    assert Counter(statuses.values()) == {"sent": MESSAGES}
    assert emulator.world.counters.posts == MESSAGES
    arrived = {one.recipients[0]: one for one in emulator.world.received}
    assert len(emulator.world.received) == len(arrived) == MESSAGES
    assert {address: as_read(one.mime) for address, one in arrived.items()} == expected


async def test_sigterm_drains_and_what_waits_is_sent_after_the_next_start(launch, emulator):
    service = await launch(limits={"messages_per_minute": 5})
    await service.make_key("app@contoso.example")
    ids = [await service.submit(letter("app@contoso.example", number)) for number in range(8)]
    await service.until(ids[:5], wanted=frozenset({"sent"}))
    assert await service.stop() == 0
    service.config.write_text(service.config.read_text().replace("messages_per_minute = 5", "messages_per_minute = 0"))
    await service.start()

    assert set((await service.until(ids)).values()) == {"sent"}
    assert sorted(one.subject for one in emulator.world.received) == [f"number {number}" for number in range(8)]
