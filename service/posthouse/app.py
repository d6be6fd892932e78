"""Composition root: the only module that knows all the parts; builds, starts, drains and stops them."""

import asyncio
import contextlib
import importlib.metadata
import logging
import os
import platform
import secrets
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from starlette.types import ASGIApp

from posthouse.assembly import SystemClock, WaysOut, discipline_of, fixed_keys, limits_of, policy_of, rules_of
from posthouse.circuit import Circuit, Patience
from posthouse.clients.keys import Keys
from posthouse.concurrency import Ceiling
from posthouse.dispatcher.attempt import Tools as AttemptTools
from posthouse.dispatcher.dispatcher import Dispatcher
from posthouse.dispatcher.effects import Effects
from posthouse.dispatcher.gates import Gates
from posthouse.doors.listener import Listener, Tls, bind, bind_unix
from posthouse.doors.rest.app import build
from posthouse.doors.rest.parts import Parts
from posthouse.fixes import Fixes
from posthouse.lanes import Board
from posthouse.message import Message
from posthouse.ports import Spool, SpoolUnavailableError
from posthouse.reckoning import Backlog
from posthouse.refusal import Condition
from posthouse.settings.model import Settings
from posthouse.settling import Settling
from posthouse.settling import Tools as SettlingTools
from posthouse.spool.sqlite.store import open_spool
from posthouse.submission import DoorStep
from posthouse.telemetry import SERVICE_DRAINING, SERVICE_FAULT, SERVICE_READY, SERVICE_STOPPED, log
from posthouse.watch import Watch

SOCKET_NAME: Final = "posthouse.sock"
DEAD_GRACE: Final = 10.0
"""Seconds after its deadline from which an attempt of a dead process counts as ended (PROMISES §5)."""
SWEEP_EVERY: Final = 5.0
SWEEP_ROWS: Final = 100


def version() -> str:
    """The installed version."""
    return importlib.metadata.version("posthouse")


@dataclass(slots=True)
class _State:
    draining: bool = False
    reason: str | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Service:
    """One posthouse: ``start``, and ``stop`` once."""

    def __init__(self, settings: Settings, spool: Spool, *, state: Path) -> None:
        self.settings = settings
        self._spool = spool
        self._directory = state
        self._clock = SystemClock()
        self._state = _State()
        self._policy = policy_of(settings)
        self._board = Board()
        self._proven: set[str] = set()
        self._watch = Watch()
        self._fixes = Fixes()
        self._discipline = discipline_of(settings)
        self._backlog = Backlog(limits_of(settings.limits))
        self.keys = Keys(spool=spool, clock=self._clock, chance=secrets.token_bytes, fixed=fixed_keys(settings))
        self._ways = WaysOut(settings, clock=self._clock, unproven=self._unproven)
        self._gates = self._make_gates()
        self._settling = self._make_settling()
        self._dispatcher = self._make_dispatcher()
        self._listeners: list[Listener] = []

    async def start(self) -> None:
        """Recover what a dead process left, then listen, then send.

        Raises:
            ListenError: an address is taken.
        """
        recovered = await self._spool.recover(now=self._clock.now(), grace=DEAD_GRACE)
        await self.keys.load()
        await self._gates.restore()
        self._proven |= await self._spool.proven()
        self._spool.on_wake(self._wake)
        await self._listen()
        duties: dict[str, Callable[[], Coroutine[None, None, None]]] = {
            "dispatcher": self._dispatcher.run,
            "listening": self._dispatcher.listen,
            "settling": self._settling.run,
            "gates": self._gates.run,
            "tokens": self._ways.warm,
            "sweep": self._sweep,
        }
        self._state.tasks = [asyncio.create_task(_forever(name, duty), name=name) for name, duty in duties.items()]
        log(SERVICE_READY, version=version(), listen=self.settings.http.listen, recovered=recovered)

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
            step=DoorStep(
                spool=self._spool,
                rules=rules_of(self.settings),
                clock=self._clock,
                chance=secrets.token_bytes,
                backlog=self._backlog,
                closed=self._closed,
            ),
            spool=self._spool,
            keys=self.keys,
            clock=self._clock,
            watch=self._watch,
            diagnosis=self._fixes,
            ready=self._ready,
            discipline=self._discipline,
            transports=self._gates.rows,
            ceiling=self._ceiling,
            spoken=self._gates.listen,
            trusted=trusted,
        )
        return build(parts, admin=admin, chance=secrets.token_bytes, version=version())

    def _ceiling(self, transport: str) -> Ceiling | None:
        use = self._discipline.uses.get(transport)
        return self._board.ceiling(use.app) if use is not None and use.app else None

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
            effects=Effects(
                spool=self._spool,
                policy=self._policy,
                clock=self._clock,
                chance=secrets.token_bytes,
                proven=self._proven,
            ),
            policy=self._policy,
            clock=self._clock,
            chance=secrets.token_bytes,
            watch=self._watch,
        )
        return Dispatcher(owner=owner(), tools=tools, board=self._board, discipline=self._discipline)

    def _wake(self, lanes: frozenset[int]) -> None:
        self._dispatcher.wake(lanes)
        self._settling.wake(lanes)

    def _unproven(self, message: Message) -> bool:
        """Its mailbox has never sent anything and only a wildcard allows it: then an unknown mailbox is a typing error."""
        return message.account not in self._proven and not self.keys.names(message.client, message.sender)

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

    async def _sweep(self) -> None:
        """Expire, probe blocked senders, purge, see whether the disk has room; in small steps."""
        spool, policy, kept = self._spool, self._policy, self.settings.spool
        while True:
            now = self._clock.now()
            self._state.reason = await spool.writable()
            rows = await spool.lanes(now=now)
            self._backlog.learn(rows, await spool.past(lanes=[row.lane for row in rows], now=now), now)
            await spool.expire(now=now, most=SWEEP_ROWS)
            await spool.probe_senders(now=now, next_probe=now + int(policy.blocked_probe * 1000))
            purge = partial(
                spool.purge, retention=kept.retention, content_retention=kept.content_retention, most=SWEEP_ROWS
            )
            while await purge(now=self._clock.now()) >= SWEEP_ROWS:
                continue
            await asyncio.sleep(min(SWEEP_EVERY, policy.blocked_probe))


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
async def open_service(settings: Settings) -> AsyncGenerator[Service]:
    """The spool of the settings with everything that works on it, not started yet; the spool is closed at the end.

    Raises:
        SpoolRefusedError: another process holds the spool, or it lies where it cannot be kept durably.
    """
    path = settings.spool_path()
    spool = await open_spool(path, owner=owner(), clock=SystemClock())
    try:
        yield Service(settings, spool, state=settings.state_directory())
    finally:
        await spool.close()


@contextlib.asynccontextmanager
async def open_for_command(settings: Settings) -> AsyncGenerator[ASGIApp]:
    """The administrator's door for one command, where no service runs."""
    async with open_service(settings) as service:
        await service.keys.load()
        yield service.application(admin=True, trusted=True)
