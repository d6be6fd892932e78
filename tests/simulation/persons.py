"""Persons who act on messages, lanes and transports, and who never lie: what they say was sent, was."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from posthouse.message import MessageId, Millis, Priority
from posthouse.ports import SpoolUnavailableError
from posthouse.records import Action, Change, Command, CommandResult, Obeyed
from tests.simulation.clients import Clients
from tests.simulation.plan import Deed
from tests.simulation.process import GoneError, Process
from tests.simulation.world import Truth, World

if TYPE_CHECKING:
    from posthouse.app import Service
    from posthouse.spool.sqlite.store import SqliteSpool

T = TypeVar("T")
SURE = 250.0
"""Seconds after its last send from which a person who looks knows what became of a mail."""
WHOLE_EXPIRY: Millis = 432_000_000
AGAIN = 5.0


class Persons:
    """Administrators' and clients' hands."""

    def __init__(self, world: World, process: Process, clients: Clients) -> None:
        self.world = world
        self.process = process
        self.clients = clients
        self._paused: dict[tuple[str, str], None] = {}
        self._asked: Counter[str] = Counter()
        """What was asked of each account, transport and message: an answer counts only of what was asked last."""

    async def deed(self, deed: Deed) -> None:
        """Do it at its time, if the order is kept by then."""
        await asyncio.sleep(max(deed.at - self.world.loop.time(), 0.0))
        heard = self.clients.heard.get(deed.order)
        if heard is None or not heard.ids:
            return
        climate = self.world.plan.climate
        way = heard.order.transport or climate.route[0]
        match deed.act:
            case "pause" | "pause_transport" if self.world.calm:
                return  # all that was paused goes on from now on
            case "pause" | "resume":
                account = climate.account(way, heard.order.mailbox)
                await self._tell("lane", account, paused=deed.act == "pause")
            case "pause_transport" | "resume_transport":
                await self._tell("transport", way, paused=deed.act == "pause_transport")
            case _:
                for message_id in heard.ids:
                    await self._do(deed, message_id)

    async def settle(self, message_id: MessageId) -> bool:
        """Say what became of it, if that can be known already."""
        truth, now = self.world.truth[message_id], self.world.loop.time()
        if truth.begun and now - truth.begun[-1] < SURE:
            return False
        action = Action.SETTLE_SENT if truth.taken else Action.SETTLE_NOT_SENT
        truth.settled_by_hand = True
        return isinstance(await self._obey(message_id, action), Obeyed)

    async def resume_all(self) -> None:
        """All that somebody paused goes on; said again until it is heard."""
        for what, name in tuple(self._paused):
            while not await self._tell(what, name, paused=False):
                await asyncio.sleep(AGAIN)

    # --- lanes and transports

    async def _tell(self, what: str, name: str, *, paused: bool) -> bool:
        if paused:
            self._paused[what, name] = None
        else:
            self.world.paused.pop(name, None)
        self._asked[name] += 1
        asked = self._asked[name]

        def say(service: "Service", spool: "SqliteSpool") -> Awaitable[object]:
            at = self.process.now()
            if what == "lane":
                return spool.tell_lane(account=name, paused=paused, at=at, by="ann")
            return self._tell_transport(service, spool, name, paused=paused)

        try:
            await self._ask(say)
        except (GoneError, SpoolUnavailableError):
            return False
        self.world.trace.note("person", f"{'pause' if paused else 'resume'} {what} {name}")
        if paused and asked == self._asked[name]:
            self.world.paused[name] = self.world.loop.time()
        return True

    async def _tell_transport(self, service: "Service", spool: "SqliteSpool", name: str, *, paused: bool) -> None:
        """What the door does."""
        await spool.tell_transport(name=name, paused=paused, at=self.process.now(), by="ann")
        service._gates.listen()

    # --- messages

    async def _do(self, deed: Deed, message_id: MessageId) -> None:
        truth = self.world.truth[message_id]
        match deed.act:
            case "cancel":
                asked = self._asked[message_id]
                result = await self._obey(message_id, Action.CANCEL)
                if isinstance(result, Obeyed) and asked == self._asked[message_id]:
                    truth.canceled_at = self.world.loop.time()
            case "retry" | "retry_twice":
                await self._retry(message_id, truth, twice=deed.act == "retry_twice")
            case "release":
                await self._obey(message_id, Action.RELEASE)
            case "settle":
                await self.settle(message_id)
            case _:
                await self._change(message_id, truth, self._change_of(deed))

    async def _retry(self, message_id: MessageId, truth: Truth, *, twice: bool) -> None:
        truth.retried = True
        self._asked[message_id] += 1
        truth.may_double |= twice
        expires_at = self.process.now() + 600_000 if truth.expires_at is not None else None
        truth.expires_at, truth.canceled_at = expires_at, None
        await self._obey(message_id, Action.RETRY, accept_duplicate=twice, expires_at=expires_at)

    def _change_of(self, deed: Deed) -> Change:
        later = self.process.now() + int(deed.amount * 1000)
        match deed.act:
            case "postpone":
                return Change(due_at=later)
            case "hurry":
                return Change(due_at=self.process.now())
            case "shorten":
                return Change(expires_at=later)
            case "never_expires":
                return Change(never_expires=True)
            case _:
                return Change(priority=Priority.HIGH)

    async def _change(self, message_id: MessageId, truth: Truth, change: Change) -> None:
        """What the client asked for holds from when it was told so; where it heard nothing, either may hold."""
        due_at, expires_at = change.due_at or truth.due_at, change.expires_at or truth.expires_at
        if change.never_expires:
            expires_at = None
        before = truth.due_at, truth.expires_at
        truth.due_at = min(before[0], due_at)
        truth.expires_at = None if None in (before[1], expires_at) else max(before[1] or 0, expires_at or 0)
        result = await self._obey(message_id, Action.CHANGE, change=change, gives_up_at=due_at + WHOLE_EXPIRY)
        if isinstance(result, Obeyed):
            truth.due_at, truth.expires_at = due_at, expires_at
        elif result is not None:
            truth.due_at, truth.expires_at = before

    async def _obey(self, message_id: MessageId, action: Action, **changes) -> CommandResult | None:
        now = self.process.now()
        command = Command(action=action, id=message_id, at=now, by="ann", gives_up_at=now + WHOLE_EXPIRY)
        command = replace(command, **changes)
        try:
            result = await self._ask(lambda _service, spool: spool.obey(command))
        except (GoneError, SpoolUnavailableError):
            return None
        self.world.trace.note("person", f"{action} {message_id}: {result}")
        return result

    async def _ask(self, question: "Callable[[Service, SqliteSpool], Awaitable[T]]") -> T:
        try:
            return await self.process.ask(lambda service, spool, _step: question(service, spool))
        except (GoneError, SpoolUnavailableError):
            raise
        except Exception as fault:
            self.world.complain("fault", f"the door answered with {type(fault).__name__}: {fault}")
            raise GoneError from fault
