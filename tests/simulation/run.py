"""One seed from its first order to its last: a storm, then calm, then the judgement."""

import asyncio
import gc
import logging
import tempfile
import time
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from posthouse import sweep
from posthouse.dispatcher import dispatcher, gates, runner
from posthouse.message import OnUnconfirmed
from posthouse.settling import settling
from posthouse.telemetry import LOGGER
from tests.simulation import oracle
from tests.simulation.chance import Chance
from tests.simulation.clients import Clients
from tests.simulation.clock import VirtualClock
from tests.simulation.disk import File, on_one_file
from tests.simulation.drawing import draw
from tests.simulation.loop import Spinning, Stuck, VirtualLoop
from tests.simulation.patching import replaced
from tests.simulation.persons import Persons
from tests.simulation.plan import Death, Order, Plan, Trouble
from tests.simulation.process import Process
from tests.simulation.trace import Log, Trace
from tests.simulation.world import World

POLLS: Final = (
    (dispatcher, "LONGEST_WAIT"),
    (dispatcher, "HEAR_EVERY"),
    (gates, "HEAR_EVERY"),
    (runner, "LONGEST_WAIT"),
    (settling, "LONGEST_WAIT"),
)
"""After so many seconds they look again, whatever they wait for."""
SWEEPS: Final = ((sweep, "EVERY"), (sweep, "MEND_EVERY"))
LOOK: Final = 60.0
"""Seconds between looks at whether all is final."""
LOOK_LATER: Final = 600.0
"""The same when little goes on any more."""
PATIENCE: Final = {True: 3 * 3600.0, False: 8 * 3600.0}
"""Seconds of calm after which what waits still waits for a person; by whether the settings are quick."""
HOURLY: Final = 4200.0
"""Seconds in which whatever is held is looked at again at least once."""
LAST_WORDS: Final = 3 * 3600.0
DAY: Final = 26 * 3600.0
LATE_JUMP: Final = 5.0
"""Seconds after the storm at which the clock is set where the climate says so."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a seed showed."""

    seed: int
    broken: tuple[str, ...]
    digest: str
    turns: int
    messages: int
    taken: int
    held: int
    seconds: float
    spent: float
    """Seconds of a core; everything else is the same for the same seed."""


class Run:
    """One run of a plan."""

    def __init__(self, plan: Plan, file: File, *, show: Callable[[str], None] | None = None) -> None:
        self.plan = plan
        self.loop = VirtualLoop(Chance(plan.seed, "turns"), disorder=plan.climate.disorder)  # ty: ignore[abstract-class-instantiation] - what the service asks of a loop is there
        self.trace = Trace(self.loop, show=show)
        self._shown = show is not None
        self.clock = VirtualClock(self.loop)
        self.world = World(plan, self.loop, self.clock, self.trace)
        self.process = Process(self.world, file)
        self.clients = Clients(self.world, self.process)
        self.persons = Persons(self.world, self.process, self.clients)
        self.held: dict[str, str] = {}

    def judge(self) -> Verdict:
        """Run it to its end."""
        start = time.process_time()
        log = Log(self.trace, fault=self._fault, level=logging.INFO if self._shown else logging.WARNING)
        LOGGER.addHandler(log)
        try:
            self.loop.run(self._all())
        except (Stuck, Spinning) as fault:
            self.world.complain(type(fault).__name__.lower(), str(fault))
        except Exception as fault:
            raise RuntimeError(f"the simulation itself failed at seed {self.plan.seed}") from fault
        finally:
            LOGGER.removeHandler(log)
        for fault in self.loop.faults:
            self.world.complain("fault", fault)
        truth = self.world.truth.values()
        return Verdict(
            seed=self.plan.seed,
            broken=tuple(self.world.broken),
            digest=self.trace.digest,
            turns=self.loop.turns,
            messages=sum(len(heard.ids) for heard in self.clients.heard.values()),
            taken=sum(bool(one.taken) for one in truth),
            held=len(self.held),
            seconds=self.loop.time(),
            spent=time.process_time() - start,
        )

    def _fault(self, text: str) -> None:
        self.world.complain("fault", text)

    async def _all(self) -> None:
        plan, loop = self.plan, self.loop
        living = loop.create_task(self.process.run())
        for trouble in plan.troubles:
            self._trouble(trouble)
        for death in plan.deaths:
            loop.call_later(death.at, self._die, death)
        for restore in plan.restores:
            loop.call_later(restore.taken, self.process.copy)
            loop.call_later(restore.at, self.process.lose, restore)
        orders = [loop.create_task(self.clients.order(order)) for order in plan.orders]
        deeds = [loop.create_task(self.persons.deed(deed)) for deed in plan.deeds]
        await asyncio.sleep(plan.climate.storm)
        self._calm()
        resumed = loop.create_task(self.persons.resume_all())
        witnesses = [loop.create_task(self.clients.order(order)) for order in self._witnesses()]
        if plan.climate.late_jump:
            loop.call_later(LATE_JUMP, self.set_clock, plan.climate.late_jump)
        await self._wait(asyncio.gather(*orders, *deeds, *witnesses, resumed), seconds=3600.0)
        await self._settle_down()
        await self.process.end()
        await living
        oracle.judge(self)

    def _trouble(self, trouble: Trouble) -> None:
        self.world.troubles.append(trouble)
        self.loop.call_later(
            trouble.at, self.trace.note, "trouble", f"{trouble.what} {trouble.of} until {trouble.until:.1f}"
        )
        if trouble.what == "clock":
            self.loop.call_later(trouble.at, self.set_clock, trouble.amount)

    def set_clock(self, seconds: float) -> None:
        """Somebody sets the machine's clock."""
        self.clock.jump(seconds)
        self.world.limits.set_clock = True
        self.trace.note("clock", f"set by {seconds:.0f} s")

    def _die(self, death: Death) -> None:
        if not self.world.calm:
            self.process.kill(death)

    def _calm(self) -> None:
        """Faults stop; administrators have mended what was theirs."""
        self.world.calm = True
        if self.process.life is not None:
            self.process.life.doom = None
        self.trace.note("world", "calm")

    def _witnesses(self) -> Iterator[Order]:
        """Ordinary mail by every way, so that everything that can be proved will be; one a mailbox if nothing is left."""
        plan, now = self.plan, self.loop.time()
        left = oracle.left_at_calm(self)
        for box in plan.climate.mailboxes:
            for way in plan.climate.route:
                for own in (True, False):
                    if not ((box, own) in left or plan.restores or (own and way == plan.climate.route[0])):
                        continue
                    name = f"witness-{box.partition('@')[0]}-{way}-{own}"
                    message_id = None if own else f"<{name}@shop.example>"
                    yield Order(
                        name=name,
                        at=now + 1.0,
                        sender=box,
                        mailbox=box,
                        message_id=message_id,
                        transport=way,
                        witness=True,
                    )

    async def _wait(self, work: asyncio.Future, *, seconds: float) -> None:
        try:
            await asyncio.wait_for(work, seconds)
        except TimeoutError:
            self.world.complain("lost", "a client was never told that its mail is kept, although nothing was wrong")

    async def _settle_down(self) -> None:
        """Wait until all is final; what is left then waits for a person, who knows the truth."""
        climate, begin = self.plan.climate, self.loop.time()
        polls(max(climate.polls, 2 * 3600.0), 300.0)
        self.loop.call_later(HOURLY, polls, 2 * 3600.0, 3600.0 if climate.quota else 900.0)
        patience = PATIENCE[climate.quick] + self._days() * DAY
        left: list[oracle.Waiting] = []
        while oracle.any_left(self):
            left, calm = oracle.unfinished(self), self.loop.time() - begin
            if self._all_by_hand(left) or calm > patience:
                break
            if calm > HOURLY and all(oracle.may_wait(self, one) for one in left):
                break  # every look that can still change something was made
            await asyncio.sleep(LOOK if calm < HOURLY else LOOK_LATER)
        else:
            left = []
        self.held = {record.id: record.cause or "" for record in left}
        oracle.judge_waiting(self, left)
        end = self.loop.time() + LAST_WORDS + self._days() * DAY
        while (left := oracle.unfinished(self)) and self.loop.time() < end:
            for one in left:
                if one.status != "queued":
                    await self.persons.settle(one.id)
            await asyncio.sleep(LOOK)

    def _days(self) -> int:
        """How many days all of it takes, where a day has a limit."""
        quota = self.plan.climate.quota
        recipients = sum(order.count * order.recipients for order in self.plan.orders)
        return 0 if not quota else 2 + recipients * len(self.plan.climate.mailboxes) // quota

    def _all_by_hand(self, left: Collection[oracle.Waiting]) -> bool:
        """Whether nothing is left but what only a person can end, and everything else had its time."""
        wishes = {order.name: order.wish for order in self.plan.orders}
        return all(
            one.status == "held"
            and one.cause == "unconfirmed"
            and wishes.get(self.world.truth[one.id].order) is OnUnconfirmed.HOLD
            for one in left
        )


def polls(seconds: float, sweeps: float) -> None:
    """How often the service looks again for what nobody told it; its own times are too many turns for a virtual day."""
    for module, name in POLLS:
        setattr(module, name, seconds)
    for module, name in SWEEPS:
        setattr(module, name, sweeps)


class Bench:
    """A place to run seeds in: one file in memory, emptied for each of them."""

    def __init__(self, file: File) -> None:
        self._file = file

    def run(self, plan: Plan, *, show: Callable[[str], None] | None = None) -> Verdict:
        """Run a plan in an empty spool."""
        self._file.clear()
        polls(plan.climate.polls, 30.0)
        LOGGER.setLevel(logging.WARNING if show is None else logging.INFO)
        collecting = gc.isenabled()
        gc.disable()  # what it collects would run in the middle of a turn
        try:
            return Run(plan, self._file, show=show).judge()
        finally:
            if collecting:
                gc.enable()


@contextmanager
def bench() -> Generator[Bench]:
    """A bench for as long as it is wanted."""
    shm = Path("/dev/shm")
    were = [(module, name, getattr(module, name)) for module, name in (*POLLS, *SWEEPS)]
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as folder:
        file = File(Path(folder) / "spool.sqlite")
        with replaced(*on_one_file(file), *were), _quiet():
            yield Bench(file)
        file.connection.close()


@contextmanager
def _quiet() -> Generator[None]:
    """The service's log goes into the trace and nowhere else."""
    level = LOGGER.level
    with replaced((LOGGER, "propagate", False)):
        try:
            yield
        finally:
            LOGGER.setLevel(level)


def run_seed(
    place: Bench, seed: int, *, without: Collection[str] = (), show: Callable[[str], None] | None = None
) -> Verdict:
    """The verdict about a seed."""
    return place.run(draw(seed).without(without), show=show)
