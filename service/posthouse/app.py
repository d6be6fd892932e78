"""Composition root: the only module that knows all the parts; builds, starts, drains and stops them."""

import asyncio
import contextlib
import importlib.metadata
import logging
import os
import platform
import secrets
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from starlette.types import ASGIApp

from posthouse.assembly import Machine, fixed_keys, limits_of, policy_of, rules_of, uses_of, ways_of
from posthouse.circuit import Circuit, Patience
from posthouse.clients.keys import Keys
from posthouse.dispatcher.attempt import Tools as AttemptTools
from posthouse.dispatcher.dispatcher import Dispatcher
from posthouse.dispatcher.effects import Effects
from posthouse.dispatcher.gates import Gates
from posthouse.doors.listener import Listener, Tls, bind, bind_unix
from posthouse.doors.rest.app import build, probes
from posthouse.doors.rest.parts import Parts
from posthouse.fixes import Fixes
from posthouse.lanes import Board, Limits
from posthouse.message import Message
from posthouse.ports import Clock, Spool, SpoolUnavailableError
from posthouse.records import LaneRow
from posthouse.refusal import Condition
from posthouse.settings.model import Settings
from posthouse.settings.role import Role
from posthouse.settings.secrets import secrets_of
from posthouse.settling import Settling
from posthouse.settling import Tools as SettlingTools
from posthouse.spool.postgres.database import Address
from posthouse.spool.postgres.store import open_spool as open_postgres
from posthouse.spool.refused import SpoolRefusedError
from posthouse.spool.sqlite.store import open_spool as open_sqlite
from posthouse.submission import DoorStep, Standing
from posthouse.telemetry import SERVICE_DRAINING, SERVICE_FAULT, SERVICE_READY, SERVICE_STOPPED, SPOOL_RESTORED, log
from posthouse.watch import Watch

SOCKET_NAME: Final = "posthouse.sock"
DEAD_GRACE: Final = 10.0
"""Seconds after its deadline from which an attempt of a dead process counts as ended (PROMISES §5)."""
SWEEP_EVERY: Final = 5.0
WATCH_EVERY: Final = 0.25
"""Seconds between looks at messages that callers wait for and that another process sends."""
SWEEP_ROWS: Final = 100


def version() -> str:
    """The installed version."""
    return importlib.metadata.version("posthouse")


class Backlog:
    """How long the lanes are, as of the last sweep; answers a door from memory."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._rows: Mapping[str, LaneRow] = {}

    def learn(self, rows: Sequence[LaneRow]) -> None:
        """Take what the spool says now."""
        self._rows = {row.account: row for row in rows}

    def standing(self, account: str) -> Standing:
        """What somebody who joins this lane now has before them."""
        row = self._rows.get(account)
        if row is None:
            return Standing(0, None, None)
        now = self._clock.now()
        pause = next((one for one in row.pauses if one.transport is None and (one.until > now or one.blocked)), None)
        start = max(now, pause.until if pause else 0)
        per_minute = self._limits.messages_per_minute
        wait = row.waiting * 60_000 // per_minute if per_minute and row.waiting > per_minute else 0
        return Standing(row.waiting, pause.reason if pause else None, start + wait)


@dataclass(slots=True)
class _State:
    draining: bool = False
    reason: str | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Service:
    """One posthouse: ``start``, and ``stop`` once."""

    def __init__(
        self, settings: Settings, spool: Spool, *, state: Path, machine: Machine, role: Role = Role.ALL
    ) -> None:
        self.settings = settings
        self._role = role
        self._spool = spool
        self._directory = state
        self._machine = machine
        self._clock = machine.clock
        self._state = _State()
        self._policy = policy_of(settings)
        self._board = Board()
        self._proven: set[str] = set()
        self._watch = Watch()
        self._fixes = Fixes()
        self._backlog = Backlog(limits_of(settings.limits), self._clock)
        self.keys = Keys(spool=spool, clock=self._clock, chance=machine.chance, fixed=fixed_keys(settings))
        self._ways = machine.ways(settings, clock=self._clock, unproven=self._unproven)
        self._gates = self._make_gates()
        self._settling = self._make_settling()
        self._dispatcher = self._make_dispatcher()
        self._listeners: list[Listener] = []

    async def start(self) -> None:
        """Recover what a dead process left, then listen, then send.

        Raises:
            ListenError: an address is taken.
        """
        recovered = 0
        if self._role.sends:
            recovered = await self._spool.recover(now=self._clock.now(), grace=DEAD_GRACE)
            await self._restore()
        await self.keys.load()
        await self._gates.restore()
        self._proven |= await self._spool.proven()
        self._spool.on_wake(self._wake)
        await self._listen()
        self._state.tasks = [
            asyncio.create_task(_forever(name, duty), name=name) for name, duty in self._duties().items()
        ]
        listen = self.settings.http.listen
        log(SERVICE_READY, version=version(), role=self._role.value, listen=listen, recovered=recovered)

    def _duties(self) -> dict[str, Callable[[], Coroutine[None, None, None]]]:
        """What goes on beside answering requests, by name."""
        duties: dict[str, Callable[[], Coroutine[None, None, None]]] = {"sweep": self._sweep}
        if self._role.sends:
            duties |= {
                "dispatcher": self._dispatcher.run,
                "settling": self._settling.run,
                "gates": self._gates.run,
                "tokens": self._ways.warm,
            }
        if self._spool.look_every is not None:
            duties["watch"] = self._look_for_ends
        return duties

    async def stop(self) -> None:
        """Take nothing new, let attempts in flight finish, give the lanes back, close."""
        self._state.draining = True
        log(SERVICE_DRAINING)
        self._settling.stop()
        await self._dispatcher.stop(seconds=self._policy.drain_timeout)
        await asyncio.gather(*(listener.stop() for listener in self._listeners))
        for task in self._state.tasks:
            task.cancel()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)
        await self._ways.close()
        (self._directory / SOCKET_NAME).unlink(missing_ok=True)
        log(SERVICE_STOPPED)

    def application(self, *, admin: bool, trusted: bool) -> ASGIApp:
        """What a listener serves; ``trusted``: whoever reaches it is the administrator."""
        parts = Parts(
            step=self.door_step(),
            spool=self._spool,
            keys=self.keys,
            clock=self._clock,
            watch=self._watch,
            diagnosis=self._fixes,
            ready=self._ready,
            transports=lambda: [circuit.row() for circuit in self._gates.circuits.values()],
            resume_lane=self._resume_lane,
            resume_transport=self._gates.resume,
            trusted=trusted,
        )
        app = build(parts, admin=admin, chance=self._machine.chance, version=version())
        if admin or self._role.takes:
            return app
        return probes(parts, chance=self._machine.chance, version=version())

    def door_step(self) -> DoorStep:
        """What every door submits to."""
        return DoorStep(
            spool=self._spool,
            rules=rules_of(self.settings),
            clock=self._clock,
            chance=self._machine.chance,
            backlog=self._backlog.standing,
            closed=self._closed,
        )

    def _make_gates(self) -> Gates:
        delivery = self.settings.delivery
        patience = Patience(
            first=delivery.circuit_open, longest=delivery.circuit_open_max, blocked=delivery.blocked_probe
        )
        circuits = {name: Circuit(name, patience=patience) for name in self._ways.by_name}
        return Gates(circuits=circuits, transports=self._ways.by_name, spool=self._spool, clock=self._clock)

    def _make_settling(self) -> Settling:
        return Settling(
            SettlingTools(
                spool=self._spool,
                evidence=self._ways.evidence,
                board=self._board,
                policy=self._policy,
                clock=self._clock,
                watch=self._watch,
                concurrent=self.settings.limits.concurrent_requests,
            )
        )

    def _make_dispatcher(self) -> Dispatcher:
        carriers = rules_of(self.settings).carriers
        tools = AttemptTools(
            spool=self._spool,
            transports=self._ways.by_name,
            accounts=lambda name, mailbox: carriers[name].account or mailbox,
            gates=self._gates,
            effects=Effects(spool=self._spool, policy=self._policy, clock=self._clock, proven=self._proven),
            policy=self._policy,
            clock=self._clock,
            chance=self._machine.chance,
            watch=self._watch,
        )
        return Dispatcher(owner=self._machine.owner, tools=tools, board=self._board, uses=uses_of(self.settings))

    def _wake(self, lanes: frozenset[int]) -> None:
        self._dispatcher.wake(lanes)
        self._settling.wake(lanes)

    def _unproven(self, message: Message) -> bool:
        """Its mailbox has never sent anything and only a wildcard allows it: then an unknown mailbox is a typing error."""
        return message.account not in self._proven and not self.keys.names(message.client, message.sender)

    async def _resume_lane(self, account: str) -> bool:
        """Somebody says that the cause is mended: the lane goes on now, and pauses again if it is not."""
        wanted = account.lower()
        row = next((row for row in await self._spool.lanes() if row.account.lower() == wanted), None)
        if row is None:
            return False
        lane = self._board.lane(row.account)
        for transport in dict.fromkeys((None, *(pause.transport for pause in row.pauses))):
            lane.resume(self._clock.now(), transport)
            await self._spool.resume(lane=row.lane, transport=transport)
        return True

    def _closed(self) -> Condition | None:
        if self._state.draining:
            return Condition.DRAINING
        return Condition.STORAGE_LOW if self._state.reason is not None else None

    async def _ready(self) -> str | None:
        if self._state.draining:
            return "the service is stopping"
        return await self._spool.writable()

    async def _listen(self) -> None:
        settings = self.settings
        tls = None
        if settings.http.tls_cert is not None and settings.http.tls_key is not None:
            tls = Tls(certificate=settings.http.tls_cert, key=settings.http.tls_key)
        own, admin = bind(settings.http.listen), bind(settings.admin.listen)
        local = bind_unix(self._directory / SOCKET_NAME)
        self._listeners = [
            Listener(self.application(admin=False, trusted=False), own, tls=tls),
            Listener(self.application(admin=True, trusted=False), admin),
            Listener(self.application(admin=True, trusted=True), local),
        ]
        for listener in self._listeners:
            await listener.start()

    async def _look_for_ends(self) -> None:
        """Where other processes send, tell those who wait for a message's end; runs until cancelled."""
        while True:
            waiting = self._watch.waiting
            for message_id, status in (await self._spool.ended(waiting)).items() if waiting else ():
                self._watch.tell(message_id, status)
            await asyncio.sleep(WATCH_EVERY)

    async def _restore(self) -> None:
        """A restored copy is in doubt before it sends (PROMISES §5)."""
        in_doubt = await self._spool.restored(now=self._clock.now(), ways=ways_of(self.settings))
        if in_doubt is not None:
            log(SPOOL_RESTORED, level=logging.WARNING, in_doubt=in_doubt)

    async def _sweep(self) -> None:
        """What comes round every few seconds, in small steps; runs until cancelled."""
        while True:
            self._state.reason = await self._spool.writable()
            self._backlog.learn(await self._spool.lanes())
            if self._spool.look_every is not None:
                await self.keys.load()  # another process may have made or ended one
            if self._role.sends:
                await self._mend()
            await asyncio.sleep(min(SWEEP_EVERY, self._policy.blocked_probe))

    async def _mend(self) -> None:
        """Take over what the dead left, expire, probe blocked senders, purge, wrap keys again."""
        spool, policy, kept = self._spool, self._policy, self.settings.spool
        now = self._clock.now()
        if spool.look_every is not None:
            await spool.recover(now=now, grace=DEAD_GRACE)
        await spool.expire(now=now, most=SWEEP_ROWS)
        await spool.probe_senders(now=now, next_probe=now + int(policy.blocked_probe * 1000))
        purge = partial(
            spool.purge, retention=kept.retention, content_retention=kept.content_retention, most=SWEEP_ROWS
        )
        while await purge(now=self._clock.now()) >= SWEEP_ROWS:
            continue
        while await spool.reseal(most=SWEEP_ROWS):
            continue


async def _forever(name: str, duty: Callable[[], Coroutine[None, None, None]]) -> None:
    """A duty that fails is logged and begins again; only the end of the service ends it."""
    while True:
        try:
            await duty()
        except SpoolUnavailableError as fault:
            log(SERVICE_FAULT, level=logging.WARNING, duty=name, error=str(fault)[:200])
        except Exception as fault:
            log(SERVICE_FAULT, level=logging.ERROR, duty=name, error=type(fault).__name__)
            logging.getLogger("posthouse").debug("fault", exc_info=fault)
        else:
            return
        await asyncio.sleep(1.0)


def owner() -> str:
    """The name under which this process holds its spool and its leases."""
    return f"{platform.node()}:{os.getpid()}:{secrets.token_hex(4)}"


@contextlib.asynccontextmanager
async def open_service(settings: Settings, *, role: Role = Role.ALL) -> AsyncGenerator[Service]:
    """The spool of the settings with everything that works on it, not started yet; the spool is closed at the end.

    Raises:
        SpoolRefusedError: another process holds the spool, or it lies where it cannot be kept durably.
        SpoolUnavailableError: its database cannot be reached.
    """
    machine = Machine(owner=owner())
    spool = await _open_spool(settings, role, machine)
    try:
        yield Service(settings, spool, state=settings.state_directory(), machine=machine, role=role)
    finally:
        await spool.close()


async def _open_spool(settings: Settings, role: Role, machine: Machine) -> Spool:
    kept, secrets = settings.spool, secrets_of(settings)
    if not settings.many_processes:
        if role is not Role.ALL:
            raise SpoolRefusedError(
                f"--role {role.value} needs a spool in PostgreSQL ([spool] url): one process serves a SQLite spool."
            )
        path, floor = settings.spool_path(), kept.floor_bytes
        return await open_sqlite(path, owner=machine.owner, clock=machine.clock, secrets=secrets, floor=floor)
    settings.state_directory().mkdir(mode=0o700, parents=True, exist_ok=True)  # the administrator's socket lies there
    listen = kept.listen_url.read() if kept.listen_url is not None else None
    address = Address(dsn=settings.spool_url(), pooler=kept.pooler, listen_dsn=listen)
    return await open_postgres(address, owner=machine.owner, clock=machine.clock, sends=role.sends, secrets=secrets)


@contextlib.asynccontextmanager
async def open_for_command(settings: Settings) -> AsyncGenerator[ASGIApp]:
    """The administrator's door for one command, where no service runs here."""
    role = Role.DOORS if settings.many_processes else Role.ALL
    async with open_service(settings, role=role) as service:
        await service.keys.load()
        yield service.application(admin=True, trusted=True)
