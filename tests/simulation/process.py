"""The process: the real service without its sockets, started again whenever it died."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar, cast

import apsw

from posthouse.app import Service
from posthouse.assembly import Machine
from posthouse.clock import SteadyClock
from posthouse.message import Millis, id_from_bytes
from posthouse.ports import SpoolUnavailableError
from posthouse.settings.model import Settings
from posthouse.spool.loads import CLOCKS_WANDER
from posthouse.spool.sqlite.database import Database
from posthouse.spool.sqlite.restoring import COPIED_AT, mark
from posthouse.spool.sqlite.store import SqliteSpool
from posthouse.submission import DoorStep
from tests.simulation.chance import Chance
from tests.simulation.disk import Disk, File, open_files, spool_of, verbs
from tests.simulation.life import Life
from tests.simulation.loop import LIFE
from tests.simulation.plan import LOGIN, Climate, Death, Restore, kind_of
from tests.simulation.ways import SimulatedWays
from tests.simulation.world import Memory, World

T = TypeVar("T")
RESTART = 3.0
"""Seconds after which a service manager starts a service again that could not start."""


@dataclass(slots=True)
class Copied:
    """A copy of the spool, when it was taken, and what was true then."""

    file: apsw.Connection
    at: Millis
    memory: Memory


class GoneError(Exception):
    """The process is not there, or died before it answered."""


class Quiet(Service):
    """The service without its listeners: clients call the door step."""

    async def _listen(self) -> None:
        return


class Process:
    """Starts lives, one after the other, until told to stop."""

    def __init__(self, world: World, file: File) -> None:
        self.world = world
        self.disk = Disk(file, world)
        self.settings = settings_of(world.plan.climate).at(file.path.parent)
        self.life: Life | None = None
        self.service: Service | None = None
        self.spool: SqliteSpool | None = None
        self.step: DoorStep | None = None
        self.clock: SteadyClock | None = None
        self.lives = 0
        self._copy: Copied | None = None
        self._lost = False
        self._calls: dict[asyncio.Future, None] = {}
        self._ended = asyncio.Event()
        self._down = RESTART
        self._stopping = False

    async def run(self) -> None:
        """One life after the other."""
        while not self._stopping:
            self._ended.clear()
            if self._lost and self._copy is not None:
                self._restore(self._copy)
                self._lost, self._copy = False, None
            life = self._begin()
            await self._ended.wait()
            self._bury(life)
            if not self._stopping:
                await asyncio.sleep(self._down)

    async def end(self) -> None:
        """Tell it to stop, for the last time."""
        self._stopping = True
        life = self.life
        if life is not None and self.service is not None:
            life.doom = None
            self._inside(life, self._drain(life))
        while self.life is not None:
            await asyncio.sleep(1.0)

    def kill(self, death: Death) -> None:
        """A death of the plan comes."""
        life, self._down = self.life, death.down
        if life is None or life.dead:
            return
        self.world.trace.note("death", f"{death.kind} at {death.moment} {death.count}")
        if death.kind == "crash":
            life.arm(death)
            return
        self._inside(life, self._drain(life))
        if death.second is not None:
            self.world.loop.call_later(death.second, life.end)

    def now(self) -> Millis:
        """What the process believes the time is, or the machine where none runs."""
        return self.world.clock.wall() if self.clock is None else self.clock.now()

    def copy(self) -> None:
        """Somebody copies the spool as it is now."""
        self.world.trace.note("copy", "taken")
        file = self.disk.file.copy()
        kept = {id_from_bytes(cast("bytes", row[0])) for row in file.execute("select public_id from messages")}
        self._copy = Copied(file, self.now(), self.world.remember(kept))

    def lose(self, restore: Restore) -> None:
        """The machine is lost; the copy is put where the spool was."""
        if self._copy is None:
            return
        self.world.trace.note("copy", "the machine is lost")
        self.world.clock.machine = "another"
        self._lost, self._down = True, restore.down
        if restore.backup:
            mark(Database(self._copy.file, verbs()), self._copy.at)
        if self.life is not None:
            self.life.end()

    def _restore(self, copied: Copied) -> None:
        self.disk.file.put_back(copied.file)
        db = self.disk.file.open()
        if db.number("fact", {"name": COPIED_AT}) is None:
            mark(db, 0)  # ``spool restored``, by hand
        self.world.recall(copied.memory)
        now = self.world.clock.wall()
        if (
            now >= (db.number("fact", {"name": COPIED_AT}) or 0) - CLOCKS_WANDER
        ):  # else the service knows that it is wrong
            self.world.forgive(now=now)
        self.world.trace.note("copy", "restored")

    async def ask(self, question: Callable[[Service, SqliteSpool, DoorStep], Awaitable[T]]) -> T:
        """Call into the process and wait for its answer; raises GoneError."""
        life = self.life
        if life is None or life.dead or self.service is None or self.spool is None or self.step is None:
            raise GoneError
        heard: asyncio.Future[T] = self.world.loop.create_future()
        self._calls[heard] = None
        task = self._inside(life, question(self.service, self.spool, self.step))
        task.add_done_callback(partial(_pass_on, heard), context=contextvars.copy_context())
        try:
            return await heard
        finally:
            self._calls.pop(heard, None)

    # --- one life

    def _begin(self) -> Life:
        world = self.world
        self.lives += 1
        climate = world.plan.climate
        frail = climate.sick_disk > 0 or any(one.what == "disk_full" for one in world.plan.troubles)
        life = self.life = Life(self.lives, world.loop, frail)
        # heard in the world's context, whoever's turn it is
        life.on_end = lambda: world.loop.call_soon(self._ended.set, context=world.context) and None
        world.trace.note("life", f"{life.number} begins")
        self._inside(life, self._serve(life))
        return life

    async def _serve(self, life: Life) -> None:
        world, owner = self.world, f"life {life.number}"
        if world.clock.was_set_since_start():
            world.limits.forget()  # what was written down lies at other times now
        clock = world.clock.begin()
        opened = open_files(self.disk.file, owner=owner, now=clock.now())
        spool = spool_of(opened, disk=self.disk, life=life, clock=clock)
        chance = Chance(world.plan.seed, owner)
        machine = Machine(
            owner=owner,
            clock=clock,
            chance=chance.randbytes,
            ways=partial(SimulatedWays, world=world, life=life),
        )
        service = Quiet(self.settings, spool, state=self.disk.file.path.parent, machine=machine)
        try:
            await service.start()
        except SpoolUnavailableError:
            world.trace.note("life", f"{life.number} could not start")
            self._down = RESTART
            life.end()
            return
        self.spool, self.service, self.step, self.clock = spool, service, service.door_step(), clock

    async def _drain(self, life: Life) -> None:
        if self.service is None or self.spool is None:
            life.end()  # no handler of signals yet
        elif not self._closing(life):
            await self.service.stop()
            await self.spool.close()
            self.world.trace.note("life", f"{life.number} drained")
            life.end()

    def _closing(self, life: Life) -> bool:
        closing, life.draining = life.draining, True
        return closing

    def _bury(self, life: Life) -> None:
        self.world.trace.note("life", f"{life.number} is over")
        self.life = self.service = self.spool = self.step = self.clock = None
        for call in tuple(self._calls):
            if not call.done():
                call.set_exception(GoneError())
        self._calls.clear()

    def _inside(self, life: Life, coroutine) -> asyncio.Task:
        context = contextvars.copy_context()
        context.run(LIFE.set, life)
        return self.world.loop.create_task(coroutine, context=context)


def settings_of(climate: Climate) -> Settings:
    """The settings of the service in this climate."""
    boxes = list(climate.mailboxes)
    aliases = {f"alias{n}@contoso.com": boxes if n == 1 and climate.shared else [boxes[n % len(boxes)]] for n in (0, 1)}
    delivery: dict[str, object] = {"route": list(climate.route)}
    if climate.quick:
        probe = "15m" if climate.quota else "2m"  # a sweep as often: too many for days
        delivery |= {"settle_checks": ["5s", "30s", "3m"], "retry_max": "1m", "blocked_probe": probe}
    limits = {
        "messages_per_minute": climate.per_minute,
        "concurrent_requests": climate.concurrent,
        "recipients_per_day": climate.per_day,
        "upload_bytes_per_5_minutes": climate.uploads,
    }
    return Settings.model_validate(
        {
            "transports": {name: _transport(name, climate, limits) for name in sorted(climate.route)},
            "delivery": delivery,
            "limits": {**limits, "tenant_recipients_per_day": climate.tenant_per_day},
            "senders": [
                {"address": address, "mailboxes": mailboxes, "limits": _sender_limits(address, climate)}
                for address, mailboxes in aliases.items()
            ],
        }
    )


def _transport(name: str, climate: Climate, limits: Mapping[str, int]) -> Mapping[str, object]:
    transport: dict[str, object] = {"kind": kind_of(name)}
    if name == "relay":
        transport |= {"auth": "login", "username": LOGIN, "password": "x"}
    if name == "graph2":
        transport["entra"] = {"client_id": "another"}
    if name in climate.own_pace:
        transport["limits"] = {**limits, "messages_per_minute": climate.own_pace[name]}
    return transport


def _sender_limits(address: str, climate: Climate) -> Mapping[str, int] | None:
    paced = climate.sender_pace and address == climate.paced_sender
    return {"messages_per_minute": climate.sender_pace} if paced else None


def _pass_on(heard: asyncio.Future, task: asyncio.Task) -> None:
    if heard.done():
        return
    if task.cancelled():
        heard.set_exception(GoneError())
    elif (fault := task.exception()) is not None:
        heard.set_exception(fault)
    else:
        heard.set_result(task.result())
