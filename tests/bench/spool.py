"""Spool figures as ratios to raw append+fdatasync of the same run: `uv run python -m tests.bench.spool [folder]`.

Bounded to about 20 s. Nothing is asserted: ratios wander with the neighbours' load (SPOOL.md §9 names the aims).
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import uvloop

from posthouse.message import (
    Bytes,
    Content,
    Envelope,
    Kind,
    Message,
    OnUnconfirmed,
    Priority,
    Recipient,
    Status,
    new_id,
)
from posthouse.outcome import Answer, Sent
from posthouse.records import Finish, Idempotency, Mark, NewMessage, Submission
from posthouse.spool.sqlite.store import SqliteSpool, open_spool

T = TypeVar("T")
TASKS = 32
IN_FLIGHT = 128
MESSAGES = 6_000
ROUNDS = 3
RAW_SECONDS = 0.7


class Wall:
    """The real clock."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    def apart(self) -> int:
        return 0

    def anchor(self) -> None:
        return None


def submission(i: int, now: int) -> Submission:
    account = f"sender{i % 8}@contoso.com"
    message = NewMessage(
        id=new_id(now=now, chance=os.urandom(10)),
        client="shop",
        key_id="abcdefghij",
        door="rest",
        mailbox=account,
        account=account,
        sender=account,
        envelope=Envelope(account, (Recipient(f"customer{i}@fabrikam.com", Kind.TO),)),
        subject=f"Your order {i}",
        reference=None,
        tags={},
        metadata={},
        message_id=f"<{now}.{i}@contoso.com>",
        own_message_id=True,
        route=("graph", "smtp"),
        content=Content(b"X-Header: 50 bytes of a header of a small mail.\r\n" * 4, Bytes(b"x" * 822)),
        priority=Priority.NORMAL,
        accepted_at=now,
        due_at=now,
        expires_at=None,
        gives_up_at=now + 432_000_000,
        on_unconfirmed=OnUnconfirmed.SETTLE,
    )
    idempotency = Idempotency("shop", f"order-{now}-{i}", os.urandom(32))
    return Submission(messages=(message,), answer=b'{"id":"msg_0123","status":"queued"}', idempotency=idempotency)


def raw(folder: Path) -> float:
    """Appends of 1 KB with fdatasync, per second."""
    block, done = os.urandom(1024), 0
    with (folder / "raw").open("wb", buffering=0) as file:
        start = time.perf_counter()
        while time.perf_counter() - start < RAW_SECONDS:
            file.write(block)
            os.fdatasync(file.fileno())
            done += 1
        return done / (time.perf_counter() - start)


async def spread(
    items: Sequence[T], work: Callable[[T], Awaitable[object]], *, tasks: int = TASKS
) -> tuple[float, list[float]]:
    """Work on items by some tasks: items per second, and the seconds that each took."""
    waiting, took = iter(items), list[float]()

    async def one() -> None:
        for item in waiting:
            began = time.perf_counter()
            await work(item)
            took.append(time.perf_counter() - began)

    start = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(tasks)))
    return len(items) / (time.perf_counter() - start), took


async def drain(spool: SqliteSpool, clock: Wall) -> float:
    """Mark and finish all that is queued, as 32 lanes would with 4 at once each: messages per second."""
    work: list[tuple[Message, int]] = []
    for lease in await spool.lease(owner="bench", now=clock.now(), most=64):
        rows = await spool.peek(lane=lease.lane, now=clock.now() + MESSAGES, most=MESSAGES)
        work += [(row, lease.fence) for row in rows]

    async def send(item: tuple[Message, int]) -> None:
        row, fence = item
        at = clock.now()
        await spool.mark(mark_of(row, fence, at))
        await spool.finish(finish_of(row, at))

    rate, _ = await spread(work, send, tasks=IN_FLIGHT)
    for lane in await spool.lanes(now=clock.now()):
        await spool.release(lane=lane.lane, fence=1, now=clock.now())
    return rate


def mark_of(row: Message, fence: int, now: int) -> Mark:
    return Mark(
        key=row.key,
        id=row.id,
        lane=row.lane,
        fence=fence,
        number=1,
        attempt_id=f"attempt-{row.key}",
        transport="graph",
        kind="graph",
        account=row.account,
        started_at=now,
        deadline_at=now + 60_000,
        recipients=1,
        wire_bytes=row.size,
    )


def finish_of(row: Message, now: int) -> Finish:
    return Finish(
        key=row.key,
        id=row.id,
        lane=row.lane,
        number=1,
        ended_at=now,
        outcome=Sent(answer=Answer(status="2.0.0", text="accepted", reply=202)),
        status=Status.SENT,
        event="message.sent",
    )


async def one_round(folder: Path) -> tuple[float, float, float, float]:
    clock = Wall()
    bare = raw(folder)
    spool = await open_spool(folder / "spool" / "spool.sqlite", owner="bench", clock=clock)
    now = clock.now()
    items = [submission(i, now + i // 16) for i in range(MESSAGES)]
    accepted, took = await spread(items, spool.add)
    p95 = statistics.quantiles(took, n=20)[-1]
    handed = await drain(spool, clock)
    await spool.close()
    return bare, accepted, handed, p95


def main() -> None:
    where = sys.argv[1] if len(sys.argv) > 1 else None
    print(f"{TASKS} tasks, {MESSAGES} messages of 1 KB; aims: accept >= 3, mark+finish >= 4, p95 <= 12 raw writes")
    for _ in range(ROUNDS):
        with (
            tempfile.TemporaryDirectory(dir=where) as folder,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as run,
        ):
            bare, accepted, handed, p95 = run.run(one_round(Path(folder)))
        print(
            f"raw append+fdatasync {bare:,.0f}/s   accept {accepted:,.0f}/s = {accepted / bare:.1f} x raw,"
            f" p95 {p95 * 1000:.1f} ms = {p95 * bare:.1f} raw writes   mark+finish {handed:,.0f}/s = {handed / bare:.1f} x raw"
        )


if __name__ == "__main__":
    main()
