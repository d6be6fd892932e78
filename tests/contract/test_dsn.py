"""Mail of the SMTP door that fails comes back to its reverse-path as a report (RFC 3464), once."""

import asyncio
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from functools import partial
from pathlib import Path

import aiosmtplib
import pytest

from posthouse import dsn
from posthouse.doors.smtp.listener import Address, SmtpListener
from posthouse.dsn import CLIENT, Reports, Tools
from posthouse.fixes import Fixes
from posthouse.message import Envelope, Kind, MessageId, Recipient, Status, id_bytes
from posthouse.outcome import Answer, PermanentFailure, RefusedRecipient, Scope, Sent
from posthouse.policy import Client
from posthouse.records import Filters, Idempotency, Submission
from tests.contract.rest_door import Door
from tests.contract.spools import NOON, house

FROM = "noreply@contoso.com"
MAIL = b"From: noreply@contoso.com\r\nTo: jo@example.org\r\nSubject: Order 7\r\nMessage-ID: <own.1@contoso.com>\r\n\r\nSecret body\r\n"
UNKNOWN = PermanentFailure(
    scope=Scope.MESSAGE, answer=Answer(status="5.1.1", text="no such user", reply=550, fix="smtp.recipient")
)


async def sent(door: Door, *, sender: str = FROM) -> MessageId:
    address = Address(listen="127.0.0.1:0", hostname="here", clear=True)
    listener = SmtpListener(address, step=door.step, keys=door.keys, keeper=door.keeper)
    await listener.start()
    try:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=listener.port, start_tls=False) as smtp:
            await smtp.login("app", await door.key())
            _, reply = await smtp.sendmail(sender, ["jo@example.org", "kim@example.org"], MAIL)
    finally:
        await listener.stop()
    return MessageId(reply.rpartition(" ")[2])


def reports(door: Door) -> Reports:
    return Reports(
        Tools(spool=door.spool, step=door.step, clock=door.clock, diagnosis=Fixes(), sender="posthouse@contoso.com")
    )


async def reported(door: Door) -> list[tuple[str | None, list[str], EmailMessage]]:
    """Reverse-path, recipients and content of each report."""
    found = []
    for record in (await door.spool.find(Filters(client=CLIENT, limit=100), now=door.clock.now())).records:
        key = await door.spool.key_of(record.id)
        content = await door.spool.content(key or 0)
        assert content is not None
        raw = content.header + b"\r\n" + b"".join([block async for block in content.body.blocks()])
        parsed = message_from_bytes(raw, policy=policy.SMTP)
        assert isinstance(parsed, EmailMessage)
        found.append((record.sender, [one.address for one in record.recipients], parsed))
    return found


async def test_the_reverse_path_is_told_what_failed_for_whom_and_why(door: Door) -> None:
    message = await sent(door)
    await door.attempt(message, UNKNOWN, status=Status.FAILED)
    await reports(door).once()
    ((sender, to, mail),) = await reported(door)
    assert (sender, to, mail["To"]) == ("posthouse@contoso.com", [FROM], FROM)
    assert (mail["Auto-Submitted"], mail["In-Reply-To"]) == ("auto-replied", "<own.1@contoso.com>")
    assert mail.get_content_type() == "multipart/report"
    assert mail["Content-Type"].params["report-type"] == "delivery-status"
    people, programs, header = mail.iter_parts()
    assert "no such user" in people.get_content()
    assert str(message) in people.get_content()
    blocks = programs.get_payload()
    assert isinstance(blocks, list)
    per_message, *recipients = [dict(block.items()) for block in blocks if isinstance(block, Message)]
    assert per_message["Original-Envelope-Id"] == message
    assert [one["Final-Recipient"] for one in recipients] == ["rfc822; jo@example.org", "rfc822; kim@example.org"]
    assert all((one["Action"], one["Status"]) == ("failed", "5.1.1") for one in recipients)
    assert "Subject: Order 7" in str(header.get_content())
    assert b"Secret body" not in mail.as_bytes()


async def test_each_is_reported_once_however_many_processes_look(door: Door) -> None:
    await door.attempt(await sent(door), UNKNOWN, status=Status.FAILED)
    one, other = reports(door), reports(door)
    for _ in range(2):
        await one.once()
        await other.once()
    assert len(await reported(door)) == 1


async def test_recipients_that_were_refused_are_reported_though_the_others_got_it(door: Door) -> None:
    message = await sent(door)
    refused = (RefusedRecipient("kim@example.org", 550, "5.1.1 unknown"),)
    await door.attempt(message, Sent(answer=Answer(status="2.0.0", text=""), refused=refused), status=Status.SENT)
    await reports(door).once()
    ((_, _, mail),) = await reported(door)
    text = mail.get_body(("plain",))
    assert text is not None
    assert "kim@example.org: 550 5.1.1 unknown" in text.get_content()
    assert "jo@example.org" not in text.get_content()


async def test_nobody_is_told_of_mail_without_a_reverse_path_of_other_doors_or_that_was_sent(door: Door) -> None:
    await door.attempt(await sent(door, sender=""), UNKNOWN, status=Status.FAILED)
    await door.attempt(await sent(door), Sent(answer=Answer(status="2.0.0", text="")), status=Status.SENT)
    http = await door.http()
    answer = await http.post("/v1/messages", json={"from": FROM, "to": "jo@example.org", "text": "x"})
    await door.attempt(answer.json()["id"], UNKNOWN, status=Status.FAILED)
    await reports(door).once()
    assert await reported(door) == []


async def test_what_a_server_replied_writes_no_lines_of_its_own(door: Door) -> None:
    reply = Answer(status="5.1.1", text="no\r\nAction: relayed\r\n\r\n--x ü" + "ü" * 2000, reply=550)
    await door.attempt(await sent(door), PermanentFailure(scope=Scope.MESSAGE, answer=reply), status=Status.FAILED)
    await reports(door).once()
    ((_, _, mail),) = await reported(door)
    blocks = list(mail.iter_parts())[1].get_payload()
    assert isinstance(blocks, list)
    assert [dict(block.items()).get("Action") for block in blocks if isinstance(block, Message)] == [
        None,
        "failed",
        "failed",
    ]
    assert max(map(len, mail.as_bytes().split(b"\r\n"))) <= 998


async def test_reports_that_cannot_be_kept_now_are_kept_later_and_hinder_no_others(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dsn, "ROWS", 2)
    for _ in range(5):
        await door.attempt(await sent(door), UNKNOWN, status=Status.FAILED)
    looking = reports(door)
    monkeypatch.setattr(looking, "_client", Client(name=CLIENT, senders=()))
    async with asyncio.timeout(30):
        await looking.once()
    assert await reported(door) == []
    monkeypatch.undo()
    await reports(door).once()
    assert len(await reported(door)) == 5


@pytest.mark.usefixtures("engine")
async def test_every_engine_tells_what_failed_since_and_forgets_what_was_reported(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        ask = partial(spool.spool.unreported, client=CLIENT, most=9)
        envelope = Envelope(FROM, (Recipient("jo@example.org", Kind.TO),))
        row = await spool.go(UNKNOWN, Status.FAILED, door="smtp", envelope=envelope)
        await spool.go(UNKNOWN, Status.FAILED, door="rest", envelope=envelope)
        (found,) = await ask(since=NOON - 1, after=0)
        assert (found.key, found.id, found.reverse_path) == (row.key, row.id, FROM)
        assert await ask(since=found.finished_at, after=found.key) == []
        report = Idempotency(CLIENT, id_bytes(row.id).hex(), b"hash")
        await spool.spool.add(Submission(messages=(spool.new(client=CLIENT),), answer=b"answer", idempotency=report))
        assert await ask(since=NOON - 1, after=0) == []
