"""What a huge backlog costs: claim time per message with 1,000,000 waiting, 900,000 of them in a paused lane, to 1,000.

``uv run python -m tests.bench.claim [sqlite|postgres ...]``; ten minutes, 2 GB of temporary files.
A claim is what the dispatcher does: lease, past, peek, four marks at once, four finishes at once, release. Both sides
take turns lane by lane in one run.
"""

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import apsw
import asyncpg
import uvloop

from posthouse.spool.postgres.database import Address
from posthouse.spool.postgres.store import PostgresSpool
from posthouse.spool.postgres.store import open_spool as open_postgres
from posthouse.spool.sealing import Secrets
from posthouse.spool.sqlite.store import SqliteSpool, open_spool
from tests import postgres
from tests.bench.spool import Wall, finish_of, mark_of, submission

MANY: Final = 1_000_000
PAUSED: Final = 900_000
FEW: Final = 1_000
LANES: Final = 50
PEEK: Final = 16
AT_ONCE: Final = 4
WARM: Final = 5
"""Lanes at the beginning that are not counted."""
ROUNDS: Final = 3
PLANTED: Final = 1_000_000_000
"""Where the keys of planted rows begin; each row that is multiplied has a million of them."""
HUGE: Final = "huge@contoso.com"

Spool = SqliteSpool | PostgresSpool
Ask = Callable[[str], object]


def account(number: int) -> str:
    return f"lane{number}@contoso.com"


async def templates(spool: Spool, accounts: Sequence[str]) -> None:
    """One message for each account, accepted as any other is."""
    now = Wall().now()
    for number, name in enumerate(accounts):
        one = submission(number, now)
        (message,) = one.messages
        await spool.add(replace(one, messages=(replace(message, account=name, mailbox=name, sender=name),)))


def multiplied(*, waiting: int, huge: int, columns: Callable[[str], Sequence[str]], random_id: str) -> Iterator[str]:
    """SQL that multiplies every template, in words that both engines understand; ``columns`` tells those of a table."""
    each = (waiting - huge) // LANES - 1
    last = max(each, huge - 1)
    series = f"with recursive series(n) as (select 1 union all select n + 1 from series where n < {last}) "  # noqa: S608 - our own numbers
    changed = {"id": f"{PLANTED} + t.id * 1000000 + n", "public_id": random_id, "due_at": "t.due_at - 1000000 + n"}
    most = f"case when t.mailbox = '{HUGE}' then {huge - 1} else {each} end"
    shown = ", ".join(changed.get(name, f"t.{name}") for name in columns("messages"))
    source = f"from messages t join series on n <= {most}"
    yield f"{series}insert into messages ({', '.join(columns('messages'))}) select {shown} {source}"
    for table in ("details", "recipients"):
        shown = ", ".join("m.id" if name == "message" else f"t.{name}" for name in columns(table))
        source = f"from messages m join {table} t on t.message = (m.id - {PLANTED}) / 1000000 where m.id > {PLANTED}"
        yield f"insert into {table} ({', '.join(columns(table))}) select {shown} {source}"
    yield "update lanes set next_at = (select min(due_at) from messages where lane = lanes.id)"


@asynccontextmanager
async def on_sqlite(*, waiting: int, huge: int) -> AsyncGenerator[Spool]:
    """A spool in a file with so many messages waiting, ``huge`` of them in one lane."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spool" / "spool.sqlite"
        spool = await open_spool(path, owner="plant", clock=Wall())
        await templates(spool, accounts_of(huge))
        await spool.close()
        file = apsw.Connection(str(path))

        def columns(table: str) -> list[str]:
            return [str(row[1]) for row in file.execute(f"pragma table_info({table})")]

        file.execute("pragma synchronous = off; pragma cache_size = -200000; begin immediate").fetchall()
        for text in multiplied(waiting=waiting, huge=huge, columns=columns, random_id="randomblob(16)"):
            file.execute(text)
        file.execute("commit; pragma wal_checkpoint(truncate)").fetchall()
        file.close()
        spool = await open_spool(path, owner="bench", clock=Wall())
        try:
            yield spool
        finally:
            await spool.close()


@dataclass
class OnPostgres:
    """Spools in databases of one server."""

    server: postgres.Server
    secrets: Secrets = field(default_factory=lambda: Secrets(master="the master of the benchmark"))

    @asynccontextmanager
    async def __call__(self, *, waiting: int, huge: int) -> AsyncGenerator[Spool]:
        """A database with so many messages waiting, ``huge`` of them in one lane."""
        dsn = await self.server.take()
        spool = await self._open(dsn, "plant")
        await templates(spool, accounts_of(huge))
        await spool.close()
        session = await asyncpg.connect(dsn)
        found = await session.fetch(
            "select table_name, column_name from information_schema.columns where table_schema = 'public'"
        )

        def columns(table: str) -> list[str]:
            return [row["column_name"] for row in found if row["table_name"] == table]

        for text in multiplied(waiting=waiting, huge=huge, columns=columns, random_id="gen_random_uuid()"):
            await session.execute("analyze")  # as autovacuum does; a plan for empty tables never ends
            await session.execute(text, timeout=600)
        await session.execute("vacuum analyze", timeout=600)  # as autovacuum does while a backlog grows
        await session.close()
        spool = await self._open(dsn, "bench")
        try:
            yield spool
        finally:
            await spool.close()
            await self.server.give_back(dsn)

    async def _open(self, dsn: str, owner: str) -> PostgresSpool:
        return await open_postgres(Address(dsn=dsn), owner=owner, clock=Wall(), secrets=self.secrets)


def accounts_of(huge: int) -> list[str]:
    return [*map(account, range(LANES)), *([HUGE] if huge else [])]


async def claim(spool: Spool) -> float:
    """One lane leased, some messages handed over, the lane given back: seconds a message."""
    clock, began = Wall(), time.perf_counter()
    (lease,) = await spool.lease(owner="bench", now=clock.now(), most=1)
    await spool.past(lanes=[lease.lane], now=clock.now())
    rows = (await spool.peek(lane=lease.lane, now=clock.now(), most=PEEK))[:PEEK]
    for start in range(0, len(rows), AT_ONCE):
        batch = rows[start : start + AT_ONCE]
        assert all(await asyncio.gather(*(spool.mark(mark_of(row, lease.fence, clock.now())) for row in batch)))
        await asyncio.gather(*(spool.finish(finish_of(row, clock.now())) for row in batch))
    await spool.release(lane=lease.lane, fence=lease.fence, now=clock.now())
    assert len(rows) == PEEK
    return (time.perf_counter() - began) / PEEK


async def measured(opened: Callable[..., AbstractAsyncContextManager[Spool]], engine: str) -> None:
    """Print one line: the medians of all lanes, and the ratio of each round."""
    few, many, ratios = list[float](), list[float](), list[float]()
    async with opened(waiting=MANY, huge=PAUSED) as huge:
        await huge.tell_lane(account=HUGE, paused=True, at=Wall().now(), by="bench")
        for _ in range(ROUNDS):
            async with opened(waiting=FEW, huge=0) as small:
                pairs = [(await claim(small), await claim(huge)) for _ in range(LANES)][WARM:]
            one, other = ([pair[side] for pair in pairs] for side in (0, 1))
            ratios.append(statistics.median(other) / statistics.median(one))
            few += one
            many += other
    a, b = statistics.median(few), statistics.median(many)
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(
        f"{engine:9} claim of a message: {FEW:,} waiting {a * 1e6:,.0f} us, {MANY:,} waiting {b * 1e6:,.0f} us ="
        f" {b / a:.2f} x ({each}); aim <= 1.5",
        flush=True,
    )


def main() -> None:
    """Measure the engines that are named, or both."""
    engines = sys.argv[1:] or ["sqlite", "postgres"]
    for engine in engines:
        with contextlib.ExitStack() as stack:
            opened = on_sqlite if engine == "sqlite" else OnPostgres(stack.enter_context(postgres.server()))
            asyncio.Runner(loop_factory=uvloop.new_event_loop).run(measured(opened, engine))


if __name__ == "__main__":
    main()
