"""The fault matrix: every illness of the other side, before, during and after a SIGKILL, on both engines.

A cell has an emulator and a posthouse of its own. In each phase some messages meet the illness; then the other side is
well again, and what became of them is counted there. ``python -m tests.system.matrix`` prints the whole table.
"""

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from posthouse.sandbox.chaos import Rule, Stage, Target
from posthouse.sandbox.emulator import Emulator, Options
from tests import postgres
from tests.system.gate import Gate
from tests.system.harness import Service, letter

SENDERS = ("app0@contoso.example", "app1@contoso.example")
TRANSPORTS = ("graph", "smtp")
EACH = 6
"""Messages of one phase."""
PHASES = ("before", "during", "after")
SECONDS = 200.0
"""After which a phase is taken to hang: it comes to rest within 20, on a machine that has nothing else to do."""

Switch = Callable[["Cell"], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Illness:
    """How the other side is ill; ``ends`` are the words in which a message may end that met it."""

    name: str
    rules: tuple[Rule, ...] = ()
    falls: Switch | None = None
    recovers: Switch | None = None
    route: tuple[str, ...] = ("graph", "smtp")
    rewrites: bool = False
    gated: bool = False
    ends: frozenset[str] = frozenset({"sent"})


@dataclass
class Count:
    """What became of the messages of one phase."""

    lost: int = 0
    doubled: int = 0
    held: int = 0
    failed: int = 0
    sent: int = 0
    causes: Counter[str] = field(default_factory=Counter)


async def _stop_graph(cell: "Cell") -> None:
    await cell.emulator.stop_graph()


async def _start_graph(cell: "Cell") -> None:
    await cell.emulator.start_graph()


async def _garble(cell: "Cell") -> None:
    assert cell.gate is not None
    await cell.gate.garble()


async def _open(cell: "Cell") -> None:
    assert cell.gate is not None
    await cell.gate.open()


def _graph(name: str, fault: str, **options: Any) -> Illness:
    return Illness(name=name, rules=(Rule(target=Target.GRAPH, fault=fault, **options),))


_FINAL_AT_RCPT = frozenset({"sent", "failed"})
_STAGES = (Stage.CONNECT, Stage.EHLO, Stage.AUTH, Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.AFTER_DOT)


def _smtp(code: str, stage: Stage) -> Illness:
    """A reply at a stage; what a recipient or a content is refused for finally is the message's end."""
    final = code in {"550", "552"} and stage in {Stage.RCPT, Stage.DATA, Stage.AFTER_DOT}
    return Illness(
        name=f"SMTP {code} at {stage}",
        rules=(Rule(target=Target.SMTP, fault=code, stage=stage),),
        route=("smtp",),
        ends=_FINAL_AT_RCPT if final or code == "552" else frozenset({"sent"}),
    )


ILLNESSES: tuple[Illness, ...] = (
    Illness(name="connection refused", falls=_stop_graph, recovers=_start_graph),
    _graph("reset before the reply", "reset"),
    _graph("reset after acceptance", "reset-after-send"),
    _graph("accepted, then 504", "504-after-send"),
    _graph("502 HTML", "502", body="html"),
    _graph("500", "500"),
    _graph("503", "503", code="serviceNotAvailable"),
    _graph("503 with Retry-After", "503", code="serviceNotAvailable", retry_after=1),
    _graph("429 with Retry-After", "429", retry_after=1),
    Illness(name="401 once", rules=(Rule(target=Target.GRAPH, fault="401", times=1),)),
    Illness(name="token endpoint down", rules=(Rule(target=Target.ENTRA, fault="503"),)),
    Illness(
        name="Message-IDs rewritten, accepted, then 504",
        rules=(Rule(target=Target.GRAPH, fault="504-after-send"),),
        rewrites=True,
        ends=frozenset({"sent", "held"}),
    ),
    Illness(name="DNS failure"),
    Illness(name="TLS failure", falls=_garble, recovers=_open, gated=True),
    *(_smtp(code, stage) for code in ("421", "451", "535", "550", "552") for stage in _STAGES),
    Illness(
        name="SMTP lost after DATA",
        rules=(Rule(target=Target.SMTP, fault="drop", stage=Stage.AFTER_DOT),),
        route=("smtp",),
    ),
    Illness(
        name="SMTP accepted, then lost",
        rules=(Rule(target=Target.SMTP, fault="drop-after-send", stage=Stage.AFTER_DOT),),
        route=("smtp",),
    ),
)


class Cell:
    """One illness on one engine, through its three phases."""

    def __init__(self, illness: Illness, home: Path, emulator: Emulator, *, dsn: str | None) -> None:
        self.illness = illness
        self.emulator = emulator
        self.gate: Gate | None = None
        self.counts: dict[str, Count] = {}
        self._home = home
        self._dsn = dsn
        self._service: Service | None = None
        self._number = 0

    async def run(self, phases: Sequence[str] = PHASES) -> None:
        """These phases, one after the other, each with its kill."""
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            for phase in phases:
                self.counts[phase] = await self._phase(phase)

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        world = self.emulator.world
        world.settings = replace(world.settings, rewrite_message_ids=self.illness.rewrites)
        url = self.emulator.graph_url
        if self.illness.gated:
            host, port = self.emulator.https_url.removeprefix("https://").rsplit(":", 1)
            self.gate = await stack.enter_async_context(Gate(host, int(port)))
            url = f"https://{host}:{self.gate.port}/v1.0"
        changes: dict[str, Any] = {"spool": {"url": self._dsn}} if self._dsn else {}
        routes = [{"recipients": [f"*@by-{one}.example"], "transports": [one]} for one in TRANSPORTS]
        self._service = service = Service(
            self._home,
            self.emulator,
            transports__graph={"base_url": url},
            delivery={
                "route": list(self.illness.route),
                "attempt_timeout": "1s",
                "settle_checks": ["0.3s", "1s", "2s"],
            },
            routes=routes,
            **changes,
        )
        stack.push_async_callback(service.close)
        await service.start()
        await service.make_key(*SENDERS)
        # a mailbox that sends for years has sent by each transport: a witness of the same kind (PROMISES §5)
        witnesses = [
            await service.submit(
                letter(sender, 0, subject=f"witness {sender} {one}", to=[f"someone@by-{one}.example"])
                | {"on_unconfirmed": "retry"}  # a busy machine may need longer than the deadline
            )
            for sender in SENDERS
            for one in TRANSPORTS
        ]
        await service.until(witnesses)

    @property
    def service(self) -> Service:
        """The posthouse of this cell."""
        assert self._service is not None
        return self._service

    async def _phase(self, phase: str) -> Count:
        if phase == "after":
            await self._kill_and_start()
        await self._fall()
        world = self.emulator.world
        world.settings = replace(world.settings, latency=0.3 if phase == "during" else 0.0)
        numbers = range(self._number, self._number + EACH)
        self._number += EACH
        ids = [await self.service.submit(letter(SENDERS[n % 2], n)) for n in numbers]
        if phase == "during":
            await self._wait(self._on_the_wire)
            await self._kill_and_start(well=True)
        else:
            await self._wait(self._has_struck)
            if phase == "before":
                await self._kill_and_start(well=True)
            else:
                await self._recover()
        world.settings = replace(world.settings, latency=0.0)
        return await self._count(ids, [f"number {n}" for n in numbers])

    async def _fall(self) -> None:
        self._posts = self.emulator.world.counters.posts
        self._sessions = self.emulator.world.counters.smtp_sessions
        self._tokens = self.emulator.world.counters.tokens_asked
        if self.illness.name == "DNS failure":
            await self._restart_with(self.emulator.graph_url, "https://graph.invalid/v1.0")
        if self.illness.name == "token endpoint down":
            self.emulator.world.faults = self.illness.rules
            await self.service.kill()
            await self.service.start()
        self.emulator.world.faults = self.illness.rules
        if self.illness.falls is not None:
            await self.illness.falls(self)

    async def _recover(self) -> None:
        self.emulator.world.faults = ()
        if self.illness.recovers is not None:
            await self.illness.recovers(self)
        if self.illness.name == "DNS failure":
            await self._restart_with("https://graph.invalid/v1.0", self.emulator.graph_url)

    async def _kill_and_start(self, *, well: bool = False) -> None:
        await self.service.kill()
        if well:
            await self._recover()
        if self.service.process is None or self.service.process.returncode is not None:
            await self.service.start()

    async def _restart_with(self, old: str, new: str) -> None:
        if self.service.process is not None and self.service.process.returncode is None:
            await self.service.kill()
        self.service.config.write_text(self.service.config.read_text().replace(old, new))
        await self.service.start()

    async def _on_the_wire(self) -> bool:
        world = self.emulator.world
        busy = sum(world.graph_gauge.now.values()) or world.counters.smtp_sessions > self._sessions
        return bool(busy) or await self._has_struck()

    async def _has_struck(self) -> bool:
        """Whether the illness was met: requests came, or (where none can) messages were put off or went another way."""
        counters = self.emulator.world.counters
        if counters.posts > self._posts or counters.smtp_sessions > self._sessions:
            return True
        return counters.tokens_asked > self._tokens

    async def _wait(self, what: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not await what():
            await asyncio.sleep(0.02)

    async def _count(self, ids: Sequence[str], subjects: Sequence[str]) -> Count:
        ends = frozenset({"sent", "failed", "expired", "canceled"} | (self.illness.ends & {"held"}))
        statuses = await self.service.until(ids, wanted=ends, seconds=SECONDS)
        received = Counter(one.subject for one in self.emulator.world.received)
        count = Count()
        for message_id, subject in zip(ids, subjects, strict=True):
            status, copies = statuses[message_id], received[subject]
            assert status in self.illness.ends, f"{self.illness.name}: {message_id} is {status}"
            count.lost += status == "sent" and copies == 0
            count.doubled += copies > 1 or (status == "failed" and copies > 0)
            count.held += status == "held"
            count.failed += status == "failed"
            count.sent += status == "sent"
            if status == "held":
                count.causes[(await self.service.get(message_id))["held"]["cause"]] += 1
        return count


@contextlib.asynccontextmanager
async def cell(illness: Illness, home: Path, server: postgres.Server | None) -> AsyncGenerator[Cell]:
    """A cell on SQLite, or on a database of ``server``."""
    dsn = None if server is None else await server.take()
    (home / "microsoft").mkdir(parents=True)
    try:
        async with Emulator(Options(directory=home / "microsoft")) as emulator:
            yield Cell(illness, home, emulator, dsn=dsn)
    finally:
        if server is not None and dsn is not None:
            await server.give_back(dsn)


def suite(*, postgres: bool) -> dict[str, str]:
    """The suite's part: each illness on one of the engines, in one phase; from one to the next they go round."""
    return {one.name: PHASES[n // 2 % len(PHASES)] for n, one in enumerate(ILLNESSES) if n % 2 == postgres}


async def run(
    illnesses: Mapping[str, Sequence[str]], home: Path, server: postgres.Server | None, *, at_once: int
) -> list[Cell]:
    """Run these phases of these illnesses, some cells at a time."""
    room = asyncio.Semaphore(at_once)

    async def one(number: int, illness: Illness) -> Cell:
        async with room, cell(illness, home / f"cell-{number}", server) as made:
            await made.run(illnesses[illness.name])
            return made

    wanted = [illness for illness in ILLNESSES if illness.name in illnesses]
    return await asyncio.gather(*(one(number, illness) for number, illness in enumerate(wanted)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="illnesses whose name holds this")
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--engine", choices=("sqlite", "postgres"), help="one engine alone")
    given = parser.parse_args()
    wanted = {one.name: PHASES for one in ILLNESSES if given.only in one.name}
    with postgres.server() as server, tempfile.TemporaryDirectory() as folder:
        for engine, on in (("sqlite", None), ("postgres", server)):
            if given.engine not in {None, engine}:
                continue
            for made in asyncio.run(run(wanted, Path(folder) / engine, on, at_once=given.at_once)):
                for phase, count in made.counts.items():
                    causes = ", ".join(f"{n} {cause}" for cause, n in count.causes.items())
                    print(
                        f"{engine:9}{made.illness.name:45}{phase:8}lost {count.lost} doubled {count.doubled} "
                        f"sent {count.sent} failed {count.failed} held {count.held} {causes}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
