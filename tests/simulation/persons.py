"""Persons who act on messages, and who never lie: what they say was sent, was."""

import asyncio
from dataclasses import replace

from posthouse.message import MessageId
from posthouse.ports import SpoolUnavailableError
from posthouse.records import Action, Command, CommandResult, Obeyed
from tests.simulation.clients import Clients
from tests.simulation.plan import Deed
from tests.simulation.process import GoneError, Process
from tests.simulation.world import World

SURE = 250.0
"""Seconds after its last send from which a person who looks knows what became of a mail."""
WHOLE_EXPIRY = 432_000_000


class Persons:
    """An administrator's hands."""

    def __init__(self, world: World, process: Process, clients: Clients) -> None:
        self.world = world
        self.process = process
        self.clients = clients

    async def deed(self, deed: Deed) -> None:
        """Do it at its time, if the order is kept by then."""
        await asyncio.sleep(max(deed.at - self.world.loop.time(), 0.0))
        heard = self.clients.heard.get(deed.order)
        for message_id in heard.ids if heard else ():
            await self._do(deed.act, message_id)

    async def settle(self, message_id: MessageId) -> bool:
        """Say what became of it, if that can be known already."""
        truth, now = self.world.truth[message_id], self.world.loop.time()
        if truth.begun and now - truth.begun[-1] < SURE:
            return False
        action = Action.SETTLE_SENT if truth.taken else Action.SETTLE_NOT_SENT
        truth.settled_by_hand = True
        return isinstance(await self._obey(message_id, action), Obeyed)

    async def _do(self, act: str, message_id: MessageId) -> None:
        truth = self.world.truth[message_id]
        match act:
            case "cancel":
                result = await self._obey(message_id, Action.CANCEL)
                if isinstance(result, Obeyed):
                    truth.canceled_at = self.world.loop.time()
            case "retry" | "retry_twice":
                truth.retried = True
                twice = act == "retry_twice"
                truth.may_double |= twice
                expires_at = self.process.now() + 600_000 if truth.expires_at is not None else None
                truth.expires_at, truth.canceled_at = expires_at, None
                await self._obey(message_id, Action.RETRY, accept_duplicate=twice, expires_at=expires_at)
            case "release":
                await self._obey(message_id, Action.RELEASE)
            case "settle":
                await self.settle(message_id)
            case _:
                await self._resume(message_id)

    async def _resume(self, message_id: MessageId) -> None:
        order = next(h.order for h in self.clients.heard.values() if message_id in h.ids)
        try:
            await self.process.ask(
                lambda _service, spool, _step: spool.tell_lane(
                    account=order.mailbox, paused=False, at=self.process.now(), by="ann"
                )
            )
        except (GoneError, SpoolUnavailableError):
            return
        except Exception as fault:  # noqa: BLE001 - the door's 500
            self.world.complain("fault", f"the door answered resume with {type(fault).__name__}")

    async def _obey(self, message_id: MessageId, action: Action, **changes) -> CommandResult | None:
        now = self.process.now()
        command = Command(action=action, id=message_id, at=now, by="ann", gives_up_at=now + WHOLE_EXPIRY)
        command = replace(command, **changes)
        try:
            result = await self.process.ask(lambda _service, spool, _step: spool.obey(command))
        except (GoneError, SpoolUnavailableError):
            return None
        except Exception as fault:  # noqa: BLE001 - the door's 500
            self.world.complain("fault", f"the door answered {action} with {type(fault).__name__}")
            return None
        self.world.trace.note("person", f"{action} {message_id}: {result}")
        return result
