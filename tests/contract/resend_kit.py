"""The Resend door behind a real listener, with the official SDK of PyPI as its client."""

import asyncio
import email
import email.policy
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

import httpx
import pytest
import resend
from resend.exceptions import ResendError

from posthouse.doors.listener import Listener, bind
from posthouse.message import MessageId, parse_id
from posthouse.records import Filters, Record
from tests.contract.rest_door import Door

EMAIL: dict[str, Any] = {
    "from": "Shop <noreply@contoso.com>",
    "to": ["jo@example.org"],
    "subject": "Order 7",
    "html": "<p>Hello</p>",
}
EMAILS = "/resend/emails"


@dataclass
class Sdk:
    """The SDK with a key of the client ``shop``."""

    door: Door
    url: str
    patch: pytest.MonkeyPatch

    async def call(self, function: Callable[..., object], *arguments: object) -> Any:
        """A call of the SDK, which waits for its answer; its types lag behind the API."""
        return await asyncio.to_thread(function, *arguments)

    def use(self, key: str) -> None:
        """Go on with another key."""
        self.patch.setattr(resend, "api_key", key)

    async def send(self, **changes: object) -> str:
        """The id of an email that must be taken."""
        return (await self.call(resend.Emails.send, EMAIL | changes))["id"]

    async def refusal(self, function: Callable[..., object], *arguments: object) -> ResendError:
        """What the SDK raises."""
        with pytest.raises(ResendError) as raised:
            await self.call(function, *arguments)
        return raised.value

    async def record(self, uuid: str) -> Record:
        """What is kept under the id that the SDK was told."""
        record = await self.door.spool.get(own(uuid), now=self.door.clock.now())
        assert record is not None
        return record

    async def mail(self, uuid: str) -> EmailMessage:
        """The content that is kept."""
        key = await self.door.spool.key_of(own(uuid))
        content = await self.door.spool.content(key or 0)
        assert content is not None
        body = b"".join([block async for block in content.body.blocks()])
        parsed = email.message_from_bytes(content.header + b"\r\n" + body, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed


@asynccontextmanager
async def sdk_at(door: Door, patch: pytest.MonkeyPatch) -> AsyncGenerator[Sdk]:
    """The SDK, pointed at a listener of this door; nothing else of it is changed."""
    bound = bind("127.0.0.1:0")
    listener = Listener(door.app, bound)
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    await listener.start()
    patch.setattr(resend, "api_url", f"{url}/resend")
    patch.setattr(resend, "api_key", await door.key())
    try:
        yield Sdk(door, url, patch)
    finally:
        await listener.stop()


async def post(door: Door, body: object, path: str = EMAILS, **headers: str) -> httpx.Response:
    """A request that an SDK of any language might make."""
    return await (await door.http()).post(path, json=body, headers=headers)


async def count(door: Door) -> int:
    """Messages in the spool."""
    return len((await door.spool.find(Filters(limit=100), now=door.clock.now())).records)


def own(uuid: str) -> MessageId:
    """Our form of an id."""
    message_id = parse_id(uuid)
    assert message_id is not None
    return message_id
