"""A storm: thousands of messages, an ill Graph, workers that die; counted at the other side (PROMISES §1, §5, §7).

``uv run python -m tests.system.storm --engine postgres --messages 10000`` prints what it counted. On PostgreSQL one
doors and three workers share a database and a worker is killed every few seconds; on SQLite it is the one process.
A reader pages through ``/v1/events`` meanwhile.
"""

import argparse
import asyncio
import contextlib
import itertools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import apsw
import httpx

from posthouse.message import id_from_bytes
from posthouse.sandbox.emulator import Emulator
from posthouse.sandbox.options import Options
from tests import postgres
from tests.system.fleet import Fleet
from tests.system.harness import FINAL, Service, letter
from tests.system.tally import ILL, Kill, Tally, Weather, examples

CLIENTS = 8


class Post:
    """The processes of one storm: ``front`` takes mail, ``workers`` send it."""

    def __init__(self, front: Service, workers: Sequence[Service]) -> None:
        self.front = front
        self.workers = list(workers)


async def submit(front: Service, weather: Weather) -> list[str]:
    """Submit everything with idempotency keys, as often as it takes; the ids."""
    numbers = iter(range(weather.messages))
    ids: list[str] = []

    async def client() -> None:
        for number in numbers:
            message = letter(weather.senders[number % weather.mailboxes], number)
            while True:
                with contextlib.suppress(httpx.TransportError):
                    answer = await front.post(message, **{"idempotency-key": f"order-{number}"})
                    if answer.status_code == 202:
                        ids.append(answer.json()["id"])
                        break
                    assert answer.status_code in {429, 503}, answer.text
                await asyncio.sleep(0.05)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return ids


async def read(front: Service, tally: Tally, over: asyncio.Event) -> None:
    """Page through the feed until it is over and nothing more comes."""
    after: dict[str, str] = {}
    while True:
        last = over.is_set()
        page: dict[str, Any] | None = None
        with contextlib.suppress(httpx.TransportError):
            answer = await front.http.get("/v1/events", params={"limit": "500", **after})
            page = answer.json() if answer.status_code == 200 else None
        if page is None:
            await asyncio.sleep(0.2)
            continue
        assert not page["gap"]
        for event in page["data"]:
            tally.read[event["message"]].append((event["position"], event["type"]))
        after = {"after": page["next"]}
        if not page["has_more"]:
            if last and not page["data"]:
                return
            await asyncio.sleep(0.2)


async def kill(post: Post, emulator: Emulator, tally: Tally, over: asyncio.Event) -> None:
    """Kill one worker after the other and start each again meanwhile; it lives at least as long as two kills are apart."""
    starts: dict[Service, asyncio.Task[None]] = {}
    try:
        for worker in itertools.islice(itertools.cycle(post.workers), tally.weather.kills):
            if worker in starts:
                await starts[worker]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), tally.weather.kill_every)
            if over.is_set():
                return
            world = emulator.world
            under_way = sum(world.graph_gauge.now.values()) + sum(world.smtp_gauge.now.values())
            tally.kills.append(Kill(under_way, tally.count(world)))
            await worker.kill()
            starts[worker] = asyncio.create_task(worker.start())
    finally:
        await asyncio.gather(*starts.values())


async def until_all_end(front: Service, weather: Weather, emulator: Emulator) -> Counter[str]:
    """Wait until every message is final or held; how many stand where."""
    deadline = time.monotonic() + weather.seconds
    while True:
        with contextlib.suppress(httpx.TransportError, KeyError):
            if len(emulator.world.received) >= weather.messages:
                found = Counter((await front.statuses()).values())
                if found.total() == weather.messages and found.keys() <= FINAL | {"held"}:
                    return found
        assert time.monotonic() < deadline, f"{len(emulator.world.received)} arrived; {front.log.read_text()[-2000:]}"
        await asyncio.sleep(1.0)


async def blow(post: Post, emulator: Emulator, weather: Weather) -> Tally:
    """One storm, from the first submission to the last event."""
    tally, over, told, began = Tally(weather), asyncio.Event(), asyncio.Event(), time.monotonic()
    world = emulator.world
    world.faults = weather.faults
    reader = asyncio.create_task(read(post.front, tally, told))
    killer = asyncio.create_task(kill(post, emulator, tally, over)) if weather.kill_every else None
    try:
        ids = await submit(post.front, weather)
        assert len(set(ids)) == weather.messages
        tally.statuses = await until_all_end(post.front, weather, emulator)
        tally.seconds = time.monotonic() - began
    finally:
        over.set()
        if killer is not None:
            await killer
    told.set()
    await asyncio.wait_for(reader, 120)
    tally.violations = tally.count(world)
    tally.examples = examples(world, tally.violations)
    tally.received = Counter(one.subject for one in world.received)
    tally.at_once = max(world.graph_gauge.peak.values(), default=0)
    if tally.statuses["held"]:
        page = (await post.front.http.get("/v1/messages", params={"status": "held", "limit": "100"})).json()
        for row in page["data"]:
            tally.causes[(await post.front.get(row["id"]))["held"]["cause"]] += 1
    return tally


def settings(weather: Weather) -> dict[str, Any]:
    """What the processes are told."""
    return {
        "delivery": {"attempt_timeout": weather.attempt_timeout, "settle_checks": list(weather.settle_checks)},
        "limits": {"messages_per_minute": weather.per_minute},
    }


@contextlib.asynccontextmanager
async def microsoft(home: Path, weather: Weather) -> AsyncGenerator[Emulator]:
    """The other side."""
    (home / "microsoft").mkdir()
    options = Options(
        directory=home / "microsoft",
        appear_after=weather.appear_after,
        latency=weather.latency,
        enforce_limits=bool(weather.per_minute),
    )
    async with Emulator(options) as emulator:
        yield emulator


async def on_sqlite(home: Path, weather: Weather) -> Tally:
    """One process."""
    (home / "service").mkdir()
    async with microsoft(home, weather) as emulator:
        service = Service(home / "service", emulator, **settings(weather))
        try:
            await service.start()
            await service.make_key(*weather.senders)
            tally = await blow(Post(service, [service]), emulator, weather)
            spool = apsw.Connection(str(service.state / "spool.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
            written = spool.execute(
                "select hex(m.public_id), e.position from events e join messages m on m.id = e.message order by e.position"
            ).fetchall()
            spool.close()
        finally:
            await service.close()
    _keep(tally, [(str(public_id), str(position)) for public_id, position in written])
    return tally


async def on_postgres(home: Path, weather: Weather, dsn: str) -> Tally:
    """One doors, some workers."""
    async with microsoft(home, weather) as emulator, Fleet(home, emulator, dsn) as fleet:
        doors = await fleet.doors(**settings(weather))
        workers = [await fleet.worker(**settings(weather)) for _ in range(weather.workers)]
        await doors.make_key(*weather.senders)
        tally = await blow(Post(doors, workers), emulator, weather)
        written = await fleet.ask(
            "select replace(m.public_id::text, '-', ''), e.feed, e.id"
            " from events e join messages m on m.id = e.message order by e.id"
        )
    _keep(tally, [(str(public_id), f"{feed}.{number}") for public_id, feed, number in written])
    return tally


def _keep(tally: Tally, written: Sequence[tuple[str, str]]) -> None:
    for public_id, position in written:
        tally.written[id_from_bytes(bytes.fromhex(public_id))].append(position)


async def _main(arguments: argparse.Namespace) -> int:
    weather = Weather(
        messages=arguments.messages,
        mailboxes=arguments.mailboxes,
        kill_every=arguments.kill_every,
        per_minute=arguments.per_minute,
        appear_after=arguments.appear_after,
        faults=() if arguments.fair else ILL,
    )
    with tempfile.TemporaryDirectory() as folder:
        if arguments.engine == "sqlite":
            tally = await on_sqlite(Path(folder), weather)
        else:
            with postgres.server() as server:
                dsn = await server.take()
                tally = await on_postgres(Path(folder), weather, dsn)
    sys.stdout.write(f"{arguments.engine}: {tally.told}\n")
    return 0 if tally.kept else 1


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=["sqlite", "postgres"], required=True)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--mailboxes", type=int, default=40)
    parser.add_argument("--kill-every", type=float, default=5.0, help="seconds; 0: nobody is killed")
    parser.add_argument("--per-minute", type=int, default=0, help="messages of a mailbox, enforced by the emulator too")
    parser.add_argument("--appear-after", type=float, default=3.0, help="seconds until a copy is found in Sent Items")
    parser.add_argument("--fair", action="store_true", help="Graph is well")
    return asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
