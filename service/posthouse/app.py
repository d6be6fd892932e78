"""Composition root: the only module that knows all the parts; builds, starts, drains and stops them."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from starlette.types import ASGIApp

from posthouse.assembly import (
    Machine,
    callers_of,
    circuits_of,
    discipline_of,
    limits_of,
    policy_of,
    rules_of,
    times_of,
    tracer_of,
    version,
    ways_of,
)
from posthouse.board import Board
from posthouse.clients.keeping import Keeper
from posthouse.clients.keys import Keys
from posthouse.clients.tokens import Tokens
from posthouse.concurrency import Ceiling
from posthouse.credentials import credentials_of
from posthouse.dispatcher.attempt import Tools as AttemptTools
from posthouse.dispatcher.dispatcher import Dispatcher
from posthouse.dispatcher.effects import Effects
from posthouse.dispatcher.gates import Gates
from posthouse.doors.handshake import listed
from posthouse.doors.http.application import application
from posthouse.doors.http.parts import Parts
from posthouse.doors.listener import Listener, Tls, bind, bind_unix
from posthouse.doors.smtp.listener import SmtpListener
from posthouse.duty import forever, look_for_ends
from posthouse.entrances import http_doors, smtp_listeners
from posthouse.errands import errands
from posthouse.examination import Load, beside
from posthouse.fixes import Fixes
from posthouse.message import Message, Millis
from posthouse.metrics import Metrics, Sources
from posthouse.ports import Spool
from posthouse.rates import Rates
from posthouse.reckoning import Backlog
from posthouse.records import LaneRow, Past
from posthouse.refusal import Condition
from posthouse.settings.clients import fixed_keys, fixed_terms
from posthouse.settings.model import Settings
from posthouse.settings.places import SOCKET
from posthouse.settings.role import Role
from posthouse.settling.settling import Settling
from posthouse.settling.settling import Tools as SettlingTools
from posthouse.submission import DoorStep
from posthouse.sweep import DEAD_GRACE, Sweep
from posthouse.sweep import Tools as SweepTools
from posthouse.telemetry import (
    CLOCK_TURNED_BACK,
    SERVICE_DRAINING,
    SERVICE_READY,
    SERVICE_STOPPED,
    SPOOL_RESTORED,
    log,
)
from posthouse.telling import alerts_of, reports_of
from posthouse.watch import News, Watch


@dataclass(slots=True)
class _State:
    draining: bool = False
    reason: str | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Service:
    """One posthouse: ``start``, and ``stop`` once; ``load`` reads its settings anew, for the doctor."""

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        *,
        state: Path,
        machine: Machine,
        role: Role = Role.ALL,
        load: Load | None = None,
    ) -> None:
        self.settings = settings
        self._doctor = beside(settings, load=load or (lambda **_: settings), spool=spool, clock=machine.clock)
        self._role = role
        self._spool = spool
        self.pseudonym = spool.pseudonym
        self._directory = state
        self._machine = machine
        self._clock = machine.clock
        self._state = _State()
        self._policy = policy_of(settings)
        self._board = Board()
        self._metrics = Metrics()
        self._tracer = tracer_of(settings, spool)
        self._proven: set[str] = set()
        self._watch = Watch()
        self._news = News()
        self._fixes = Fixes()
        self._discipline = discipline_of(settings)
        self._backlog = Backlog(limits_of(settings.limits))
        self.keys = Keys(
            spool=spool,
            clock=self._clock,
            chance=machine.chance,
            fixed=fixed_keys(settings),
            terms=fixed_terms(settings),
        )
        self._rates = Rates()
        self._keeper = Keeper(
            spool=spool, clock=self._clock, owner=machine.owner, rates=self._rates, meter=self._metrics
        )
        self._callers = callers_of(settings, keys=self.keys, clock=self._clock)
        self._ways = machine.ways(settings, clock=self._clock, unproven=self._unproven)
        self._credentials = partial(credentials_of, settings, self._ways)
        self._gates = self._make_gates()
        self._settling = self._make_settling()
        self._dispatcher = self._make_dispatcher()
        self._alerts = alerts_of(settings, self._sources(), step=self.door_step(), diagnosis=self._fixes)
        self._listeners: list[Listener | SmtpListener] = []

    async def start(self) -> None:
        """Recover what a dead process left, then listen, then send.

        Raises:
            ListenError: an address is taken.
        """
        recovered = await self._recover() if self._role.sends else 0
        await self.keys.load()
        if self.keys.rated:
            await self._keeper.learn()
        await self._gates.restore()
        self._proven |= await self._spool.proven()
        self._spool.on_wake(self._wake)
        self._spool.on_commit(self._news.tell)
        await self._listen()
        self._state.tasks = [
            asyncio.create_task(forever(name, duty), name=name) for name, duty in self._duties().items()
        ]
        log(SERVICE_READY, version=version(), role=self._role, listen=self.settings.http.listen, recovered=recovered)

    async def _recover(self) -> int:
        """What a dead process, a clock that was set back and a restored copy left; how many are in doubt for the first."""
        await self._settling.begin()
        turned_back = await self._spool.turn_back(now=self._clock.now())
        if turned_back:
            log(CLOCK_TURNED_BACK, level=logging.WARNING, seconds=turned_back / 1000)
        recovered = await self._spool.recover(now=self._clock.now(), grace=DEAD_GRACE)
        in_doubt = await self._spool.restored(now=self._clock.now(), ways=ways_of(self.settings))
        if in_doubt is not None:
            log(SPOOL_RESTORED, level=logging.WARNING, in_doubt=in_doubt)
        return recovered

    def _duties(self) -> dict[str, Callable[[], Coroutine[None, None, None]]]:
        """What goes on beside answering requests, by name."""
        duties: dict[str, Callable[[], Coroutine[None, None, None]]] = {
            "sweep": self._make_sweep().run,
            "alerts": self._alerts.run,
        }
        if self._role.sends:
            duties |= {
                "dispatcher": self._dispatcher.run,
                "listening": self._dispatcher.listen,
                "settling": self._settling.run,
                "gates": self._gates.run,
                "tokens": self._ways.warm,
            }
            duties |= errands(
                self.settings, self._ways, spool=self._spool, board=self._board, clock=self._clock, meter=self._metrics
            )
            reports = reports_of(self.settings, self._sources(), step=self.door_step(), diagnosis=self._fixes)
            if reports is not None:
                duties["reports"] = reports.run
        if self._spool.look_every is not None:
            duties["watch"] = partial(look_for_ends, self._watch, self._spool)
        return duties

    async def stop(self) -> None:
        """Take nothing new, let attempts in flight finish, answer who waits, give the lanes back, close."""
        self._state.draining = True
        log(SERVICE_DRAINING)
        await self._settling.stop()
        await self._dispatcher.stop(seconds=self._policy.drain_timeout)
        self._watch.close()
        self._news.close()
        await asyncio.gather(*(listener.stop() for listener in self._listeners))
        for task in self._state.tasks:
            task.cancel()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)
        await self._keeper.close()
        if self._callers is not None:
            await self._callers.close()
        await self._ways.close()
        await self._tracer.close()
        (self._directory / SOCKET).unlink(missing_ok=True)
        log(SERVICE_STOPPED)

    def application(self, *, admin: bool, trusted: bool) -> ASGIApp:
        """What a listener serves; ``trusted``: whoever reaches it is the administrator."""
        parts = Parts(
            step=self.door_step(),
            spool=self._spool,
            keys=self.keys,
            clock=self._clock,
            watch=self._watch,
            news=self._news,
            diagnosis=self._fixes,
            ready=self._ready,
            discipline=self._discipline,
            transports=self._gates.rows,
            ceiling=self._ceiling,
            spoken=self._gates.listen,
            trusted=trusted,
            keeper=self._keeper,
            doctor=self._doctor,
            proxies=self.settings.http.trusted_proxies,
            callers=self._callers,
            tokens=None if admin else self._tokens(),
            meter=self._metrics,
            credentials=self._credentials,
            metrics=partial(self._metrics.page, sources=self._sources()),
            test_alerts=self._alerts.test,
        )
        doors = http_doors(self.settings, self._role, clock=self._clock, admin=admin)
        made = application(parts, doors, documented=admin, chance=self._machine.chance, version=version())
        return self._tracer.around(made)

    def _tokens(self) -> Tokens | None:
        if not self.settings.graph_door.token_endpoint:
            return None
        return Tokens(self.keys, signing=self._spool.token_keys, clock=self._clock)

    def door_step(self) -> DoorStep:
        """What every door submits to."""
        return DoorStep(
            spool=self._spool,
            rules=rules_of(self.settings),
            clock=self._clock,
            chance=self._machine.chance,
            backlog=self._backlog,
            closed=self._closed,
            offered=self._ways.offered,
            rates=self._rates,
            took=self._keeper.took,
            meter=self._metrics,
            tracer=self._tracer,
        )

    def _ceiling(self, transport: str) -> Ceiling | None:
        use = self._discipline.uses.get(transport)
        return self._board.ceiling(use.app) if use is not None and use.app else None

    def _make_gates(self) -> Gates:
        return Gates(
            circuits=circuits_of(self.settings, self._ways.by_name),
            transports=self._ways.by_name,
            spool=self._spool,
            clock=self._clock,
            proven=self._proven,
            sends=self._role.sends,
        )

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
                chance=self._machine.chance,
                kinds={name: way.kind for name, way in ways_of(self.settings).items()},
                meter=self._metrics,
            )
        )

    def _make_sweep(self) -> Sweep:
        carriers = rules_of(self.settings).carriers
        return Sweep(
            SweepTools(
                spool=self._spool,
                clock=self._clock,
                times=times_of(self.settings),
                sends=self._role.sends,
                live=self._dispatcher.live,
                transports=tuple(carriers),
                carrying=[name for name, one in carriers.items() if one.extra_header_recipients != "hold"],
                lanes=self._learn_lanes,
                storage=self._learn_storage,
                keys=self.keys.load,
                at_once=self.keys.content_until_sent,
                meter=self._metrics,
            )
        )

    def _learn_lanes(self, rows: Sequence[LaneRow], pasts: Mapping[int, Past], now: Millis) -> None:
        self._backlog.learn(rows, pasts, now)
        self._metrics.lanes(rows)

    def _sources(self) -> Sources:
        rows, credentials = self._gates.rows, self._credentials
        return Sources(
            spool=self._spool, clock=self._clock, transports=rows, credentials=credentials, ready=self._ready
        )

    def _learn_storage(self, reason: str | None) -> None:
        self._state.reason = reason

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
                chance=self._machine.chance,
                proven=self._proven,
            ),
            policy=self._policy,
            clock=self._clock,
            chance=self._machine.chance,
            watch=self._watch,
            sent=lambda message, account, kind: self._settling.sent(message, account=account, kind=kind),
            meter=self._metrics,
            tracer=self._tracer,
        )
        return Dispatcher(owner=self._machine.owner, tools=tools, board=self._board, discipline=self._discipline)

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
        local = bind_unix(self._directory / SOCKET)
        self._listeners = [
            Listener(
                self.application(admin=False, trusted=False), own, tls=tls, failed=listed(self._keeper, door="http")
            ),
            Listener(self.application(admin=True, trusted=False), admin),
            Listener(self.application(admin=True, trusted=True), local),
        ]
        if self._role.takes:
            self._listeners += smtp_listeners(
                settings, step=self.door_step(), keys=self.keys, keeper=self._keeper, meter=self._metrics
            )
        for listener in self._listeners:
            await listener.start()
