"""The content of an attempt, as the transports read it; remembers that it could not be read to its end."""

import asyncio
from collections.abc import AsyncIterator

from posthouse.message import Body, Content
from posthouse.outcome import Answer, Blocked, Outcome, Scope, Sent
from posthouse.ports import ContentUnreadableError

UNREADABLE = "content_unreadable"
"""Why a message is held whose content was changed where it lies, or whose master is not at hand; a key of fixes."""


class WatchedBody:
    """A body that says afterwards why it broke off."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self.fault: ContentUnreadableError | None = None

    @property
    def size(self) -> int:
        """Bytes in all blocks together."""
        return self._body.size

    async def blocks(self) -> AsyncIterator[bytes]:
        """The bytes in order; what the body raises is remembered."""
        async for block in self._watched(self._body.blocks()):
            yield block

    async def span(self, start: int, end: int) -> AsyncIterator[bytes]:
        """The same from ``start`` to before ``end``."""
        async for block in self._watched(self._body.span(start, end)):
            yield block

    async def _watched(self, blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for block in blocks:
                yield block
        except ContentUnreadableError as fault:
            self.fault = fault
            raise


def unreadable(fault: ContentUnreadableError) -> Blocked:
    """Held, with its cause: trying again mends nothing, and nothing of it was sent."""
    answer = Answer(status="4.3.0", text=str(fault), code=UNREADABLE, fix=UNREADABLE)
    return Blocked(scope=Scope.MESSAGE, answer=answer)


def watched(content: Content) -> tuple[Content, WatchedBody]:
    """The same content with its body watched."""
    body = WatchedBody(content.body)
    return Content(content.header, body), body


def broken_off(send: asyncio.Task[Outcome], body: WatchedBody) -> Blocked | None:
    """The outcome of a send whose body broke off: no doubt, because a mail cut before its end cannot have been taken."""
    ended = not send.cancelled() and send.exception() is None
    if body.fault is None or (ended and isinstance(send.result(), Sent)):
        return None
    return unreadable(body.fault)
