"""Programs that submit: each with an idempotency key, again and again until they are told that it is kept."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from posthouse.message import Bytes, Content, Envelope, Kind, MessageId, Recipient
from posthouse.policy import Client
from posthouse.records import Idempotency
from posthouse.refusal import Condition, Refused
from posthouse.submission import DoorStep, Draft, Receipt, Wishes
from tests.simulation.plan import Order
from tests.simulation.process import GoneError, Process
from tests.simulation.world import Truth, World

CLIENT = Client(name="shop", key_id="k", senders=("*",))
AGAIN = 2.0
"""Seconds after which a client that was refused or not heard tries again."""


@dataclass(slots=True)
class Heard:
    """What a client knows of its order: the ids that it was told, once it was told."""

    order: Order
    ids: tuple[MessageId, ...] = ()
    refused: Condition | None = None
    answers: set[tuple[MessageId, ...]] = field(default_factory=set)


class Clients:
    """All of them."""

    def __init__(self, world: World, process: Process) -> None:
        self.world = world
        self.process = process
        self.heard: dict[str, Heard] = {}

    async def order(self, order: Order) -> None:
        """Submit it at its time, until it is kept."""
        loop = self.world.loop
        heard = self.heard[order.name] = Heard(order)
        await asyncio.sleep(max(order.at - loop.time(), 0.0))
        if order.twice:
            loop.create_task(self._try(heard))
        while not heard.ids and heard.refused is None:
            tried = loop.create_task(self._try(heard))
            await asyncio.wait({tried}, timeout=order.patience)  # whatever comes later is heard all the same
            if not heard.ids and heard.refused is None:
                await asyncio.sleep(AGAIN)

    async def _try(self, heard: Heard) -> None:
        order = heard.order
        try:
            ids = await self.process.ask(lambda _service, _spool, step: self._submit(step, order))
        except GoneError:
            return
        except Refused as refused:
            self.world.trace.note("client", f"{order.name} refused: {refused.condition}")
            if refused.condition not in {Condition.SPOOL_FULL, Condition.STORAGE_LOW, Condition.DRAINING}:
                heard.refused = refused.condition
            return
        except Exception as fault:  # noqa: BLE001 - the door's 500
            self.world.complain("fault", f"the door answered {order.name} with {type(fault).__name__}")
            return
        self.world.trace.note("client", f"{order.name} is kept: {' '.join(ids)}")
        heard.answers.add(ids)
        heard.ids = ids

    async def _submit(self, step: DoorStep, order: Order) -> tuple[MessageId, ...]:
        step.welcome(CLIENT)
        drafts = [self._draft(step, order, n) for n in range(order.count)]
        for draft in drafts:
            assert draft.wishes.due_at is not None
            self.world.truth[draft.identity.id] = Truth(
                order.name, draft.wishes.due_at, draft.wishes.expires_at, may_double=order.wish == "retry"
            )
        idempotency = Idempotency("shop", order.name, hashlib.sha256(order.name.encode()).digest())
        result = await step.accept(drafts, answer=_answer, idempotency=idempotency)
        return tuple(json.loads(result.answer))

    def _draft(self, step: DoorStep, order: Order, n: int) -> Draft:
        identity = step.identify(order.sender)
        # what a client wants counts from when it wanted it, not from its latest try
        wanted = identity.at - int((self.world.loop.time() - order.at) * 1000)
        name = f"{order.name}-{n}"
        recipients = tuple(Recipient(f"{name}@fabrikam{k or ''}.com", Kind.TO) for k in range(order.recipients))
        due_at = wanted + int((order.scheduled or 0.0) * 1000)
        expires_at = None if order.expires is None else max(wanted + int(order.expires * 1000), identity.at + 1000)
        return Draft(
            identity=identity,
            client=CLIENT,
            door="rest",
            sender=order.sender,
            envelope=Envelope(order.sender, recipients),
            content=Content(b"Subject: x\r\n", Bytes(f"{name} ".encode().ljust(order.size, b"x"))),
            subject="x",
            own_message_id=order.message_id,
            wishes=Wishes(
                reference=name,
                priority=order.priority,
                due_at=due_at,
                expires_at=expires_at,
                transport=order.transport,
                on_unconfirmed=order.wish,
            ),
        )


def _answer(receipts: Sequence[Receipt]) -> bytes:
    return json.dumps([receipt.id for receipt in receipts]).encode()
