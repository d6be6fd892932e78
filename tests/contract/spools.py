"""A spool to test with, a clock that stands still, and words for what the dispatcher does with both."""

import itertools
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from posthouse.continuity import Anchor
from posthouse.message import (
    Body,
    Bytes,
    Content,
    Envelope,
    Kind,
    Message,
    MessageId,
    OnUnconfirmed,
    Priority,
    Recipient,
    Status,
    new_id,
)
from posthouse.outcome import Answer, Outcome, Scope, Sent, TransientFailure, Unconfirmed
from posthouse.records import (
    Action,
    Added,
    AddResult,
    Command,
    CommandResult,
    Finish,
    Idempotency,
    Lease,
    Mark,
    NewMessage,
    Past,
    Record,
    Settlement,
    Start,
    Submission,
    Unsettled,
    Verdict,
)
from posthouse.spool.postgres.database import Address
from posthouse.spool.postgres.store import PostgresSpool
from posthouse.spool.postgres.store import open_spool as open_postgres
from posthouse.spool.sealing import Secrets
from posthouse.spool.sqlite.store import SqliteSpool, open_spool

DATABASES: dict[Path, str] = {}
"""The databases of tests that run on PostgreSQL, by the folder in which SQLite's file would lie."""
MASTER = Secrets(master="the master of all the tests on PostgreSQL")
NOON = 1_764_000_000_000
SECOND = 1_000
HOUR = 3_600_000
DAY = 24 * HOUR
SHOP = "shop@contoso.com"
SENT = Sent(answer=Answer(status="2.0.0", text="accepted", reply=202, request_id="r-1"))
LATER = TransientFailure(scope=Scope.TRANSPORT, answer=Answer(status="4.4.1", text="no connection", code="refused"))
LOST = Unconfirmed(answer=Answer(status="4.4.2", text="the answer was lost", code="reset"))


@dataclass
class Clock:
    """Wall time stands still until a test moves it; durations are real. Without a ``boot`` it has no anchor."""

    at: int = NOON
    boot: str | None = None
    ahead: int = 0

    def now(self) -> int:
        return self.at

    def monotonic(self) -> float:
        return time.monotonic()

    def apart(self) -> int:
        return 0

    def anchor(self) -> Anchor | None:
        return None if self.boot is None else Anchor(self.boot, self.ahead)

    def put(self, millis: int) -> None:
        """Somebody sets the machine's clock, and a process starts by it."""
        self.at += millis
        self.ahead += millis


@dataclass
class House:
    """A spool with a hand of its own for what a test says."""

    spool: SqliteSpool | PostgresSpool
    clock: Clock
    woken: set[int] = field(default_factory=set)
    running: set[int] = field(default_factory=set)
    numbers: itertools.count = field(default_factory=lambda: itertools.count(time.monotonic_ns()))

    def new(
        self,
        *,
        account: str = SHOP,
        body: bytes | Body = b"hello\r\n",
        to: tuple[str, ...] = ("bob@fabrikam.com",),
        **changes,
    ) -> NewMessage:
        """A message as submission hands it over."""
        n, now = next(self.numbers), self.clock.now()
        sender = str(changes.get("sender", account))
        message = NewMessage(
            id=new_id(now=now, chance=n.to_bytes(10, "big")),
            client="shop",
            key_id="k1",
            door="rest",
            mailbox=account,
            account=account,
            sender=sender,
            envelope=Envelope(sender, tuple(Recipient(address, Kind.TO) for address in to)),
            subject=f"Order {n}",
            reference=None,
            tags={},
            metadata={},
            message_id=f"<{n}@contoso.com>",
            own_message_id=True,
            route=("graph", "smtp"),
            content=Content(b"Subject: Order\r\n", Bytes(body) if isinstance(body, bytes) else body),
            priority=Priority.NORMAL,
            accepted_at=now,
            due_at=now,
            expires_at=None,
            gives_up_at=now + 5 * DAY,
            on_unconfirmed=OnUnconfirmed.SETTLE,
        )
        return replace(message, **changes)

    async def add(self, *messages: NewMessage, key: str | None = None, request: bytes = b"hash") -> AddResult:
        """Accept them together."""
        idempotency = None if key is None else Idempotency("shop", key, request)
        return await self.spool.add(Submission(messages=messages, answer=b"answer", idempotency=idempotency))

    async def put(self, **changes) -> MessageId:
        """Accept one message."""
        message = self.new(**changes)
        assert await self.add(message) == Added()
        return message.id

    async def leases(self, *, most: int = 9) -> list[Lease]:
        """What the dispatcher would take now; it tells what it runs already."""
        taken = await self.spool.lease(owner="me", now=self.clock.now(), most=most, running=self.running)
        self.running |= {lease.lane for lease in taken}
        return list(taken)

    async def lease(self, account: object = None) -> Lease:
        """The lane of this account, or the only one that is due."""
        leases = await self.leases()
        for other in leases:
            if account not in {None, other.account}:
                await self.release(other)
        (lease,) = [lease for lease in leases if account in {None, lease.account}]
        return lease

    async def due(self, lane: int, *, most: int = 16) -> list[Message]:
        """What a lane's owner would see now."""
        return list(await self.spool.peek(lane=lane, now=self.clock.now(), most=most))

    def mark_of(self, row: Message, *, fence: int, transport: str = "graph", account: str | None = None) -> Mark:
        """The mark that the dispatcher would write."""
        now = self.clock.now()
        return Mark(
            key=row.key,
            id=row.id,
            lane=row.lane,
            fence=fence,
            number=row.attempts + 1,
            attempt_id=f"attempt-{next(self.numbers)}",
            transport=transport,
            kind="smtp" if transport == "smtp" else "graph",
            account=account or row.account,
            started_at=now,
            deadline_at=now + 60 * SECOND,
            recipients=len(row.envelope.recipients),
            wire_bytes=row.size,
        )

    async def start(self, *, by: str = "graph", **changes) -> tuple[Message, Lease]:
        """Accept one message and mark it ``sending``, in a lane that holds no other."""
        await self.put(**changes)
        lease = await self.lease(changes.get("account", SHOP))
        (row,) = await self.due(lease.lane)
        assert await self.spool.mark(self.mark_of(row, fence=lease.fence, transport=by))
        return row, lease

    async def go(self, outcome: Outcome, status: Status, *, finish: dict | None = None, **changes) -> Message:
        """Accept one message, try it once, and give its lane back."""
        row, lease = await self.start(**changes)
        assert await self.finish(row, outcome, status, **(finish or {}))
        await self.release(lease)
        return row

    async def doubt(self, *, look_in: int = 5 * SECOND, **changes) -> Message:
        """A message whose answer was lost."""
        look_at = self.clock.now() + look_in
        return await self.go(LOST, Status.UNCONFIRMED, finish={"look_at": look_at}, **changes)

    def finish_of(self, row: Message, outcome: Outcome, status: Status, **changes) -> Finish:
        """The outcome of the next attempt after ``row`` was read."""
        finish = Finish(
            key=row.key,
            id=row.id,
            lane=row.lane,
            number=row.attempts + 1,
            ended_at=self.clock.now(),
            outcome=outcome,
            status=status,
            event=f"message.{status.value}",
        )
        return replace(finish, **changes)

    async def finish(self, row: Message, outcome: Outcome, status: Status, **changes) -> bool:
        """Write an outcome."""
        return await self.spool.finish(self.finish_of(row, outcome, status, **changes))

    async def past(self, lease: Lease) -> Past:
        """What the account of a lane used up lately."""
        return (await self.spool.past(lanes=[lease.lane], now=self.clock.now()))[lease.lane]

    async def starts(self, lease: Lease) -> tuple[Start, ...]:
        """The attempts that count for its pace."""
        return (await self.past(lease)).starts

    async def release(self, lease: Lease) -> None:
        """Give a lane back."""
        await self.spool.release(lane=lease.lane, fence=lease.fence, now=self.clock.now())
        self.running.discard(lease.lane)

    async def looks(self, *, at: int | None = None, most: int = 9) -> list[Unsettled]:
        """What whoever holds all lanes would look for at a time; now, if none is given."""
        at = self.clock.now() if at is None else at
        taken = await self.spool.lease(owner="me", now=at, most=99, running=self.running)
        self.running |= {lease.lane for lease in taken}
        return list(await self.spool.unsettled(now=at, most=most, lanes=self.running))

    async def next_look(self) -> int | None:
        """When the next look-up is due, for whoever holds all lanes."""
        await self.looks(at=self.clock.now() + 400 * DAY)
        return await self.spool.next_look(lanes=self.running)

    async def settle(self, row: Message, verdict: Verdict, **changes) -> bool:
        """Write a conclusion about the message's first attempt."""
        settlement = Settlement(
            key=row.key, id=row.id, lane=row.lane, number=1, at=self.clock.now(), verdict=verdict, looks=1
        )
        return await self.spool.settle(replace(settlement, **changes))

    async def obey(self, action: Action, message_id: MessageId, **changes) -> CommandResult:
        """What a person asks for."""
        command = Command(action=action, id=message_id, at=self.clock.now(), by="ann")
        return await self.spool.obey(replace(command, **changes))

    async def record(self, message_id: MessageId) -> Record:
        """The message as it is shown."""
        record = await self.spool.get(message_id, now=self.clock.now())
        assert record is not None
        return record

    async def status(self, message_id: MessageId) -> Status:
        """Where it stands."""
        return (await self.record(message_id)).status

    async def plant(self, text: str) -> None:
        """Put the spool into a state that only a fault or a foreign hand leaves, in words of every engine."""
        spool = self.spool
        if isinstance(spool, PostgresSpool):
            await self.ask(text)
        else:
            await spool._writer.write(lambda db: db.connection.execute(text).fetchall())

    async def die(self) -> None:
        """The process ends without a word, long enough ago for others to know."""
        if isinstance(self.spool, PostgresSpool):
            worker = self.spool._heart.worker
            await self.spool._heart.stop()
            await self.ask(f"update workers set alive_until = 0 where id = {worker}")  # noqa: S608 - our own number
            for lane in self.running:
                await self.ask(f"update lanes set owner = {worker} where id = {lane}")  # noqa: S608 - our own numbers

    async def ask(self, text: str) -> list[Any]:
        """The rows of a question in words that every engine understands."""
        spool = self.spool
        if isinstance(spool, PostgresSpool):
            async with spool._database.session() as session:
                return [tuple(row) for row in await session.ask(text, {})]
        return [tuple(row) for row in await spool._readers.read(lambda db: db.ask(text, {}))]

    @property
    def sqlite(self) -> SqliteSpool:
        """The engine of a test that is about SQLite."""
        assert isinstance(self.spool, SqliteSpool)
        return self.spool

    async def history(self, message_id: MessageId) -> list[str]:
        """The types of its events, oldest first, without ``message.``."""
        return [event.type.removeprefix("message.") for event in await self.spool.events(message_id)]


@asynccontextmanager
async def house(
    folder: Path, *, clock: Clock | None = None, owner: str = "me", **options: Any
) -> AsyncGenerator[House]:
    """The spool in this folder, opened for one life of a process."""
    clock = clock or Clock()
    if folder in DATABASES:
        options.setdefault("secrets", MASTER)
        spool = await open_postgres(Address(dsn=DATABASES[folder]), owner=owner, clock=clock, **options)
    else:
        spool = await open_spool(folder / "spool.sqlite", owner=owner, clock=clock, wait=0.0, **options)
    made = House(spool, clock)
    spool.on_wake(lambda lanes: made.woken.update(lanes - {0}))
    try:
        yield made
    finally:
        await spool.close()
