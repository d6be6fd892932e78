"""Settling over a real spool and the emulator, with the real SDK between them; time stands still until a test moves it."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from posthouse.board import Board
from posthouse.delivery import Policy
from posthouse.message import Message, Status
from posthouse.metrics import Metrics
from posthouse.outcome import Outcome, Sent
from posthouse.ports import Evidence
from posthouse.records import Lease, Record
from posthouse.sandbox.chaos import Rule, Target
from posthouse.sandbox.emulator import Emulator
from posthouse.sandbox.options import Options
from posthouse.settling.settling import Settling, Tools
from posthouse.transports.graph.transport import GraphTransport
from posthouse.watch import Watch
from tests.contract.spools import LOST, SECOND, SENT, SHOP, Clock, House, house
from tests.contract.transport_kit import dispatch, graph_to, message, tokens_of

CHECKS = (5.0, 30.0, 120.0)
LAST = 120 * SECOND
LONG = 10**8


@dataclass
class Bench:
    """One service's settling, its spool, and the mailboxes that it looks into."""

    house: House
    emulator: Emulator
    graph: GraphTransport
    evidence: dict[str, Evidence]
    board: Board = field(default_factory=Board)
    metrics: Metrics = field(default_factory=Metrics)
    look_seconds: float = 20.0

    def __post_init__(self) -> None:
        self.settling = self.start()

    @property
    def clock(self) -> Clock:
        return self.house.clock

    def start(self) -> Settling:
        """A process that has just begun to settle."""
        return Settling(
            Tools(
                spool=self.house.spool,
                evidence=self.evidence,
                board=self.board,
                policy=Policy(settle_checks=CHECKS),
                clock=self.clock,
                watch=Watch(),
                concurrent=4,
                chance=bytes,
                look_seconds=self.look_seconds,
                kinds={"graph": "graph", "smtp": "smtp"},
                meter=self.metrics,
            )
        )

    async def restart(self) -> None:
        """The process dies; the next one begins as the service does."""
        await self.settling.stop()
        self.settling = self.start()
        await self.settling.begin()

    def setting(self, **changes: object) -> None:
        """Change the emulator's settings."""
        self.emulator.world.settings = replace(self.emulator.world.settings, **changes)

    def may_look(self, *, may: bool) -> None:
        """Grant or take away the right to look messages up."""
        grants = self.emulator.world.settings.grants
        self.setting(grants=grants | {"Mail.ReadBasic"} if may else grants - {"Mail.ReadBasic"})

    async def send(
        self, *rules: Rule, lost: bool = False, by: Literal["graph", "smtp"] = "graph", **changes
    ) -> Message:
        """Send one message by Graph under these faults; ``lost``: its answer counts as lost, whatever it was.

        ``by`` is what the spool says that it went by.
        """
        row, lease = await self.house.start(by=by, **changes)
        self.emulator.world.faults = rules
        outcome: Outcome = await self.graph.send(dispatch(row))
        self.emulator.world.faults = ()
        done = isinstance(outcome, Sent) and not lost
        first = self.clock.now() + int(CHECKS[0] * 1000)
        ended = (SENT, Status.SENT) if done else (LOST, Status.UNCONFIRMED)
        assert await self.house.finish(row, *ended, look_at=None if done else first)
        await self.house.release(lease)
        if done:
            self.settling.sent(row, account=row.account, kind=by)
            await self.settling._proofs.close()
        return row

    async def elsewhere(self, message_id: str) -> None:
        """The mailbox sends a mail of which the spool knows nothing: another program's, or one that a backup does not hold."""
        foreign = message(account=SHOP, sender=SHOP)
        assert isinstance(await self.graph.send(dispatch(replace(foreign, message_id=message_id))), Sent)

    async def again(self, message: Message) -> None:
        """Send a message that is queued again."""
        lease = await self.house.lease(message.account)
        (row,) = await self.house.due(lease.lane)
        assert await self.house.spool.mark(self.house.mark_of(row, fence=lease.fence))
        assert isinstance(await self.graph.send(dispatch(row)), Sent)
        assert await self.house.finish(row, SENT, Status.SENT)
        await self.house.release(lease)

    async def arrived(self, **changes) -> Message:
        """A doubtful message that Exchange took."""
        return await self.send(Rule(target=Target.GRAPH, fault="504-after-send"), **changes)

    async def refused(self, **changes) -> Message:
        """A doubtful message that Exchange never saw."""
        return await self.send(Rule(target=Target.GRAPH, fault="504"), **changes)

    async def look(self, *, after: int = 0) -> None:
        """Let time pass, then look for all that is due."""
        self.clock.at += after
        leases = await self.hold()
        while True:
            await self.settling._round()
            looks = tuple(self.settling._busy.values())
            if not looks:
                break
            await asyncio.gather(*looks)
        for lease in leases:
            self.board.give_back(lease.lane)
            await self.house.release(lease)

    async def hold(self) -> list[Lease]:
        """Lease what is due, as the dispatcher does."""
        leases = await self.house.leases(most=99)
        for lease in leases:
            self.board.take(lease.lane)
        return leases

    async def looks(self, seconds: Iterable[int]) -> None:
        """Look at these seconds from now on."""
        start = self.clock.at
        for at in seconds:
            await self.look(after=start + at * SECOND - self.clock.at)

    async def stands(self, row: Message) -> tuple[Status, str | None]:
        """Where it stands, and why it is held."""
        record: Record = await self.house.record(row.id)
        return record.status, record.held_cause


@asynccontextmanager
async def bench(folder: Path, *, look_seconds: float = 20.0) -> AsyncGenerator[Bench]:
    """All of it, for one test."""
    clock = Clock()
    async with (
        house(folder, clock=clock) as spool,
        Emulator(Options(directory=folder / "microsoft"), clock=lambda: clock.at / 1000) as emulator,
        tokens_of(emulator) as tokens,
        graph_to(emulator.graph_url, tokens, emulator.ca_file, clock=clock) as graph,
    ):
        emulator.world.settings = replace(emulator.world.settings, expires_in=LONG)
        made = Bench(spool, emulator, graph, {"graph": graph, "smtp": graph}, look_seconds=look_seconds)
        try:
            yield made
        finally:
            await made.settling.stop()
