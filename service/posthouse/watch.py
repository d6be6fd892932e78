"""Tells whoever waits for a message that it is final; knows nothing of doors or spools."""

import asyncio
from collections import defaultdict

from posthouse.message import MessageId, Status


class Watch:
    """Futures of those who wait, by message."""

    def __init__(self) -> None:
        self._waiting: defaultdict[MessageId, list[asyncio.Future[Status]]] = defaultdict(list)

    @property
    def waiting(self) -> tuple[MessageId, ...]:
        """The messages that somebody waits for."""
        return tuple(self._waiting)

    async def final(self, message_id: MessageId, *, seconds: float) -> Status | None:
        """The final status, or None where ``seconds`` pass first; ask before the message is added."""
        future = self.expect(message_id)
        try:
            return await asyncio.wait_for(future, seconds)
        except TimeoutError:
            return None
        finally:
            self.forget(message_id, future)

    def expect(self, message_id: MessageId) -> asyncio.Future[Status]:
        """A future that ``tell`` fills; ``forget`` it afterwards."""
        future = asyncio.get_running_loop().create_future()
        self._waiting[message_id].append(future)
        return future

    def forget(self, message_id: MessageId, future: asyncio.Future[Status]) -> None:
        """Wait no more."""
        waiting = self._waiting.get(message_id)
        if waiting is not None and future in waiting:
            waiting.remove(future)
            if not waiting:
                del self._waiting[message_id]

    def tell(self, message_id: MessageId, status: Status) -> None:
        """The message stands at ``status`` durably; those who wait are told where it is final."""
        if not status.final:
            return
        for future in self._waiting.pop(message_id, ()):
            if not future.done():
                future.set_result(status)
