"""What a client of Graph sends to the door, and what of it is kept."""

from base64 import b64encode
from collections.abc import Mapping
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP

import httpx

from posthouse.message import MessageId
from posthouse.records import Record
from tests.contract.rest_door import Door

FROM = "noreply@contoso.com"
URL = f"/v1.0/users/{FROM}/sendMail"
TO = [{"emailAddress": {"address": "jo@example.org"}}]
BODY = {"contentType": "Text", "content": "Hello"}
SIMPLE: dict[str, object] = {"subject": "Hi", "body": BODY, "toRecipients": TO}


def person(address: str, name: str | None = None) -> dict[str, object]:
    return {"emailAddress": {"address": address} | ({"name": name} if name else {})}


def file(**changes: object) -> dict[str, object]:
    content = b64encode(b"a,b\r\n").decode()
    given = {"@odata.type": "#microsoft.graph.fileAttachment", "name": "list.csv", "contentBytes": content}
    return {name: value for name, value in (given | changes).items() if value is not ...}


async def send(
    door: Door, url: str = URL, *, message: Mapping[str, object] = SIMPLE, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    return await (await door.http()).post(url, json={"message": message}, headers=headers)


async def send_mime(
    door: Door, raw: bytes, url: str = URL, *, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    content = {"content-type": "text/plain", **(headers or {})}
    return await (await door.http()).post(url, content=b64encode(raw), headers=content)


def id_of(answer: httpx.Response) -> MessageId:
    assert (answer.status_code, answer.content) == (202, b""), answer.text
    return MessageId(answer.headers["request-id"])


async def record(door: Door, answer: httpx.Response) -> Record:
    found = await door.spool.get(id_of(answer), now=door.clock.now())
    assert found is not None
    return found


async def raw_mail(door: Door, answer: httpx.Response) -> bytes:
    content = await door.spool.content(await door.spool.key_of(id_of(answer)) or 0)
    assert content is not None
    return content.header + b"\r\n" + b"".join([block async for block in content.body.blocks()])


async def mail(door: Door, answer: httpx.Response) -> EmailMessage:
    """The kept message, as a mail program reads it."""
    return message_from_bytes(await raw_mail(door, answer), policy=SMTP)


async def count(door: Door) -> int:
    """Messages in the spool."""
    return len((await (await door.http("read")).get("/v1/messages")).json()["data"])
