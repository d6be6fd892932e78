"""The same mail through each door is the same message in the spool (HOUSE)."""

import base64
import re

import aiosmtplib
import pytest

from posthouse.doors.smtp.listener import Address, SmtpListener
from posthouse.message import MessageId, parse_id
from tests.contract.rest_door import Door

FROM = "noreply@contoso.com"
TO = ("jo@example.org", "kim@example.org", "blind@example.org")
HEADER = (
    b"Received: from scanner\r\n"
    b"From: Shop <noreply@contoso.com>\r\n"
    b"To: Jo <jo@example.org>\r\n"
    b"cc: kim@example.org\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"MIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n'
)
BOUNDARY = re.compile(rb"\b[amr][0-9a-f]{32}\b")
BODY = b"--b\r\nContent-Type: text/plain\r\n\r\nHello\r\n.\r\n..\r\n--b--\r\n"


async def by_rest(door: Door, raw: bytes) -> MessageId:
    http = await door.http("submit")
    query = "&".join(f"to={address}" for address in TO)
    answer = await http.post(f"/v1/messages?{query}", content=raw, headers={"content-type": "message/rfc822"})
    assert answer.status_code == 202, answer.text
    return MessageId(answer.json()["id"])


async def by_smtp(door: Door, raw: bytes) -> MessageId:
    listener = SmtpListener(
        Address(listen="127.0.0.1:0", hostname="here", clear=True), step=door.step, keys=door.keys, keeper=door.keeper
    )
    await listener.start()
    try:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=listener.port, start_tls=False) as smtp:
            await smtp.login("app", await door.key())
            _, reply = await smtp.sendmail(FROM, list(TO), raw)
    finally:
        await listener.stop()
    return MessageId(reply.rpartition(" ")[2])


async def by_graph(door: Door, raw: bytes) -> MessageId:
    """Graph has no envelope: who is in no header goes as Bcc."""
    whole = b"Bcc: blind@example.org\r\n" + re.sub(rb"Bcc: .*\r\n", b"", raw)
    http = await door.http("submit")
    url, media = f"/v1.0/users/{FROM}/sendMail", {"content-type": "text/plain"}
    answer = await http.post(url, content=base64.b64encode(whole), headers=media)
    assert answer.status_code == 202, answer.text
    return MessageId(answer.headers["request-id"])


async def seen(door: Door, message_id: MessageId) -> dict[str, object]:
    """All of it but what each message has of its own."""
    record = await door.spool.get(message_id, now=door.clock.now())
    key = await door.spool.key_of(message_id)
    assert record is not None
    assert key is not None
    content = await door.spool.content(key)
    assert content is not None
    header = [line for line in content.header.split(b"\r\n") if not line.startswith((b"Date:", b"Message-ID:"))]
    return {
        "from": record.sender,
        "subject": record.subject,
        "recipients": [(one.address, one.kind) for one in record.recipients],
        "route": record.route,
        "client": record.client,
        "mailbox": record.mailbox,
        "priority": record.priority,
        "tags": record.tags,
        "due_at": record.due_at > door.clock.now() and record.due_at,
        "header": [BOUNDARY.sub(b"boundary", line) for line in header],
        "body": BOUNDARY.sub(b"boundary", b"".join([block async for block in content.body.blocks()])),
    }


@pytest.mark.parametrize(
    "header",
    [
        HEADER,
        HEADER + b"Bcc: secret@example.org\r\n",
        HEADER + b"Message-ID: <a@b>\r\nMessage-ID: <c@d>\r\nDate: Tue, 24 Nov 2026 09:30:00 +0100\r\n",
        HEADER.replace(b"=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße".encode()),
    ],
)
async def test_the_same_mail_through_each_door_is_the_same_message(header: bytes, door: Door) -> None:
    raw = header + b"\r\n" + BODY
    native = await seen(door, await by_rest(door, raw))
    assert await seen(door, await by_smtp(door, raw)) == native
    assert await seen(door, await by_graph(door, raw)) == native


LETTER = {
    "from": "Shop Ö <noreply@contoso.com>",
    "to": ["jo@example.org", "Kim <kim@example.org>"],
    "cc": "cc@example.org",
    "bcc": ["blind@example.org", "JO@example.org"],
    "reply_to": "help@contoso.com",
    "subject": "Grüße",
    "text": "Hello\n.\nÖ",
    "headers": {"X-Entity-Ref-ID": "7"},
}
FILES = {
    "html": '<img src="cid:logo">',
    "scheduled_at": "2099-01-01T09:00:00.000Z",
    "attachments": [
        {"filename": "plan ö.pdf", "content": base64.b64encode(bytes(range(256)) * 9).decode()},
        {"filename": "logo.png", "content": "iVBORw0KGgo=", "content_type": "image/png", "content_id": "logo"},
    ],
}


@pytest.mark.parametrize("more", [{}, FILES])
async def test_the_same_letter_through_each_door_is_the_same_message(more: dict[str, object], door: Door) -> None:
    http = await door.http("submit")
    native = await http.post("/v1/messages", json=LETTER | more | {"tags": {"category": "order"}})
    other = await http.post("/resend/emails", json=LETTER | more | {"tags": [{"name": "category", "value": "order"}]})
    ids = [parse_id(answer.json()["id"]) for answer in (native, other)]
    first, second = [await seen(door, message_id) for message_id in ids if message_id]
    assert first == second


FILE = base64.b64encode(bytes(range(256))).decode()
NATIVE = {
    "from": "Shop <noreply@contoso.com>",
    "to": ["Jo <jo@example.org>", "kim@example.org"],
    "cc": "cc@example.org",
    "bcc": "blind@example.org",
    "reply_to": "help@contoso.com",
    "subject": "Grüße",
    "importance": "high",
    "headers": {"Message-ID": "<own.1@contoso.com>", "X-Order": "7"},
    "html": '<p>Hello <img src="cid:logo"></p>',
    "attachments": [
        {"filename": "prüfung.pdf", "content": FILE},
        {"filename": "logo.png", "content": FILE, "content_id": "logo"},
    ],
}
GRAPH = {
    "from": {"emailAddress": {"name": "Shop", "address": "noreply@contoso.com"}},
    "toRecipients": [
        {"emailAddress": {"name": "Jo", "address": "jo@example.org"}},
        {"emailAddress": {"address": "kim@example.org"}},
    ],
    "ccRecipients": [{"emailAddress": {"address": "cc@example.org"}}],
    "bccRecipients": [{"emailAddress": {"address": "blind@example.org"}}],
    "replyTo": [{"emailAddress": {"address": "help@contoso.com"}}],
    "subject": "Grüße",
    "importance": "high",
    "internetMessageId": "<own.1@contoso.com>",
    "internetMessageHeaders": [{"name": "X-Order", "value": "7"}],
    "body": {"contentType": "html", "content": '<p>Hello <img src="cid:logo"></p>'},
    "attachments": [
        {"@odata.type": "#microsoft.graph.fileAttachment", "name": "prüfung.pdf", "contentBytes": FILE},
        {
            "@odata.type": "#microsoft.graph.fileAttachment",
            "name": "logo.png",
            "contentBytes": FILE,
            "contentId": "logo",
            "isInline": True,
        },
    ],
}


async def test_the_same_letter_as_json_of_each_door_is_the_same_mail(door: Door) -> None:
    http = await door.http("submit")
    rest = (await http.post("/v1/messages", json=NATIVE)).json()["id"]
    graph = (await http.post(f"/v1.0/users/{FROM}/sendMail", json={"message": GRAPH})).headers["request-id"]
    assert await seen(door, MessageId(graph)) == await seen(door, MessageId(rest))
