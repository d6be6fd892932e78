"""Tells whoever waits: for a message that it is final, for the feed that it grew; knows nothing of doors or spools."""

import asyncio
from collections import defaultdict

from posthouse.message import MessageId, Status


class Watch:
    """Futures of those who wait, by message; None is the answer of a service that stops."""

    def __init__(self) -> None:
        self._waiting: defaultdict[MessageId, list[asyncio.Future[Status | None]]] = defaultdict(list)
        self._closed = False

    @property
    def waiting(self) -> tuple[MessageId, ...]:
        """The messages that somebody waits for."""
        return tuple(self._waiting)

    def expect(self, message_id: MessageId) -> asyncio.Future[Status | None]:
        """A future that ``tell`` or ``close`` fills; ask before the message is added, ``forget`` it afterwards."""
        future = asyncio.get_running_loop().create_future()
        if self._closed:
            future.set_result(None)
        else:
            self._waiting[message_id].append(future)
        return future

    def forget(self, message_id: MessageId, future: asyncio.Future[Status | None]) -> None:
        """Wait no more."""
        waiting = self._waiting.get(message_id)
        if waiting is not None and future in waiting:
            waiting.remove(future)
            if not waiting:
                del self._waiting[message_id]

    def tell(self, message_id: MessageId, status: Status) -> None:
        """The message stands at ``status`` durably; those who wait are told where it is final."""
        if status.final:
            self._answer(message_id, status)

    def close(self) -> None:
        """Nothing more will happen here: whoever waits, now or later, is answered at once."""
        self._closed = True
        for message_id in tuple(self._waiting):
            self._answer(message_id, None)

    def _answer(self, message_id: MessageId, status: Status | None) -> None:
        for future in self._waiting.pop(message_id, ()):
            if not future.done():
                future.set_result(status)


class News:
    """Wakes the readers of the feed after each commit; ``count`` is read before the feed, so that none is missed."""

    def __init__(self) -> None:
        self.count = 0
        self.closed = False
        self._waiting: set[asyncio.Future[None]] = set()

    def tell(self) -> None:
        """The feed may have grown."""
        self.count += 1
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    def close(self) -> None:
        """No more news: readers end cleanly and go on elsewhere from their cursor."""
        self.closed = True
        self.tell()

    async def after(self, seen: int, *, seconds: float) -> None:
        """Return when there are news since ``seen``, or the seconds have passed."""
        if self.count != seen or self.closed:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await asyncio.wait({future}, timeout=seconds)
        finally:
            self._waiting.discard(future)
