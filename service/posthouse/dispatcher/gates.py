"""The circuits of all transports: asks them, tells them what happened, writes their changes down, sends their probes."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from posthouse.circuit import FIRST_PROBE, Circuit, State
from posthouse.message import Message, Millis
from posthouse.outcome import Blocked, Outcome, Scope, Sent, TransientFailure, Unconfirmed
from posthouse.pace import NEVER
from posthouse.ports import Clock, Spool, SpoolUnavailableError, Transport
from posthouse.records import TransportRow
from posthouse.telemetry import TRANSPORT_DEGRADED, TRANSPORT_RECOVERED, log

UNAUTHORIZED = 401
HEAR_EVERY = 3.0
"""Seconds after which at the latest a process hears what a person said to another one."""


class Gates:
    """Keeps one circuit per transport; ``changed`` is called when a transport may have become usable."""

    def __init__(
        self,
        *,
        circuits: Mapping[str, Circuit],
        transports: Mapping[str, Transport],
        spool: Spool,
        clock: Clock,
        proven: AbstractSet[str],
        sends: bool = True,
    ) -> None:
        self._circuits = dict(circuits)
        self._transports = transports
        self._spool = spool
        self._clock = clock
        self._proven = proven
        self._sends = sends
        self._news = asyncio.Event()
        self._unsaved: dict[str, None] = {}
        self._watched: dict[Callable[[], None], None] = {}  # told in the order of asking

    def watch(self, changed: Callable[[], None]) -> None:
        """Tell ``changed`` when a circuit changes."""
        self._watched[changed] = None

    def unwatch(self, changed: Callable[[], None]) -> None:
        """Tell it no more."""
        self._watched.pop(changed, None)

    async def rows(self) -> Sequence[TransportRow]:
        """What operators see: the circuits of this process, with what people said last, wherever they said it.

        A process that does not send has none of its own: it says what another wrote down last.
        """
        known = {row.name: row for row in await self._spool.transports()}
        rows = [circuit.row() for circuit in self._circuits.values()]
        if not self._sends:
            return [known.get(row.name, row) for row in rows]
        return [replace(row, told=known[row.name].told if row.name in known else row.told) for row in rows]

    async def restore(self) -> None:
        """Go on where the last process stopped."""
        for row in await self._spool.transports():
            if row.name in self._circuits:
                self._circuits[row.name].restore(row)

    def unusable(self, now: Millis) -> dict[str, Millis]:
        """The transports that may not be used now, and when to ask again."""
        closed = {name: circuit.usable_at(now) for name, circuit in self._circuits.items()}
        return {name: at for name, at in closed.items() if at is not None}

    def steady(self, name: str) -> bool:
        """Whether everybody may use it: its circuit is closed and nobody paused it."""
        return self._circuits[name].steady

    def admits(self, name: str, message: Message, now: Millis, *, alone: bool) -> bool:
        """Whether this message may go by it now; ``alone``: it has no other way."""
        return self._circuits[name].admits(now, key=message.key, expires_at=message.expires_at, alone=alone)

    def block_ended_at(self, name: str) -> Millis:
        """When the latest block of the transport ended; NEVER while one stands, 0 where there was none."""
        circuit = self._circuits[name]
        return NEVER if circuit.state is State.BLOCKED else circuit.block_ended_at

    def abandoned(self, name: str, message: Message) -> None:
        """It did not go after all."""
        self._circuits[name].abandoned(message.key)

    def observe(self, name: str, message: Message, outcome: Outcome) -> None:
        """Learn from an outcome."""
        circuit, now = self._circuits[name], self._clock.now()
        answer = outcome.answer
        retry_after, reason = answer.retry_after, answer.fix or answer.code
        match outcome:
            case TransientFailure(scope=Scope.TRANSPORT):
                changed = circuit.failed(now, key=message.key, retry_after=retry_after, reason=reason)
            case Unconfirmed():
                changed = circuit.doubted(now, key=message.key, retry_after=retry_after, reason=reason)
            case Blocked(scope=Scope.TRANSPORT):
                # nothing was ever sent: somebody is just setting it up, and does not want to wait long for the next try
                changed = circuit.block(now, reason=reason, longest=None if self._proven else FIRST_PROBE)
            case Sent():
                changed = circuit.alive(now)
            case _ if answer.reply is not None and answer.reply != UNAUTHORIZED:
                changed = circuit.alive(now)
            case _:
                circuit.abandoned(message.key)
                changed = False
        if changed or circuit.state is not State.CLOSED:
            self._changed(circuit, news=changed)

    def listen(self) -> None:
        """Somebody spoke about a transport: read it now and not only in a while."""
        self._news.set()

    async def run(self) -> None:
        """Hear what people say, write changes down, send probes when their time comes; runs until cancelled."""
        while True:
            self._news.clear()
            await self._hear()
            await self._save()
            await asyncio.gather(*(self._probe(circuit) for circuit in self._circuits.values()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._news.wait()

    def _pause(self) -> float:
        now = self._clock.now()
        waits = [max(c.until - now, 0) / 1000 for c in self._circuits.values() if c.state is State.OPEN]
        return min([*waits, HEAR_EVERY]) + 0.005

    async def _hear(self) -> None:
        now = self._clock.now()
        try:
            rows = await self._spool.transports()
        except SpoolUnavailableError:
            return  # it is asked again in a few seconds
        for row in rows:
            circuit = self._circuits.get(row.name)
            if circuit is not None and circuit.hear(row.told, now):
                self._changed(circuit, news=False)

    async def _probe(self, circuit: Circuit) -> None:
        if not circuit.wants_probe(self._clock.now()):
            return
        alive = await self._transports[circuit.name].probe()
        if circuit.probed(self._clock.now(), alive=alive):
            self._changed(circuit, news=False)

    def _changed(self, circuit: Circuit, *, news: bool) -> None:
        self._unsaved[circuit.name] = None
        self._news.set()
        if news:
            recovered = circuit.state is State.CLOSED
            log(
                TRANSPORT_RECOVERED if recovered else TRANSPORT_DEGRADED,
                level=logging.INFO if recovered else logging.WARNING,
                transport=circuit.name,
                state=circuit.state.value,
                reason=None if recovered else circuit.reason,
                until=None if recovered else circuit.until,
            )
        for changed in tuple(self._watched):
            changed()

    async def _save(self) -> None:
        for name in tuple(self._unsaved):
            del self._unsaved[name]
            try:
                await self._spool.save_transport(self._circuits[name].row())
            except SpoolUnavailableError:
                self._unsaved[name] = None
                return
