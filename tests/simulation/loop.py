"""An event loop whose time is virtual: it passes only when nothing is ready, and a seed orders what is.

Lives of the process share it with the world: what a dead life left behind is never run again, not even its ``finally``.
"""

import asyncio
import contextvars
import heapq
import math
from collections import deque
from collections.abc import Callable, Coroutine
from random import Random
from typing import Protocol, TypeVar

from posthouse.ports import SpoolUnavailableError

T = TypeVar("T")
SPINS = 20_000
"""Turns without any time passing from which the process hangs in a loop of its own."""
MOST = 400_000
"""Turns of a whole run: a seed is small, so more is a loop that time does not end."""


class Mortal(Protocol):
    """One life of the process."""

    dead: bool

    def step(self) -> bool:
        """One more turn of it; False where it dies before that."""
        ...


CLOSINGS = 10
"""How often a coroutine that is let go may wait again on its way out."""


LIFE: contextvars.ContextVar[Mortal | None] = contextvars.ContextVar("LIFE", default=None)


class Turn:
    """A callback that waits for its turn; a handle as asyncio knows it."""

    __slots__ = ("args", "callback", "context", "is_cancelled", "life", "us")

    def __init__(self, callback: Callable[..., object], args: tuple[object, ...], context: contextvars.Context) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self.life = context.get(LIFE)
        self.is_cancelled = False
        self.us = 0

    def cancel(self) -> None:
        self.is_cancelled = True

    def cancelled(self) -> bool:
        return self.is_cancelled

    def when(self) -> float:
        return self.us / 1e6


class Stuck(Exception):
    """Nothing is ready, no timer runs, and what was waited for has not happened."""


class Spinning(Exception):
    """The turns do not end although nothing happens any more."""


class VirtualLoop(asyncio.AbstractEventLoop):
    """``disorder`` is the share of turns that are drawn by chance instead of in their order."""

    def __init__(self, chance: Random, *, disorder: float) -> None:
        self.us = 0
        self.turns = 0
        self.faults: list[str] = []
        self._random = chance.random
        self._disorder = disorder
        self._ready: deque[Turn] = deque()
        self._timers: list[tuple[int, int, Turn]] = []
        self._count = 0
        self._tasks: list[asyncio.Task] = []
        self.over = False

    def time(self) -> float:
        return self.us / 1e6

    def call_soon(self, callback, *args, context=None):
        turn = Turn(callback, args, contextvars.copy_context() if context is None else context)
        if not self.over:
            self._ready.append(turn)
        return turn

    call_soon_threadsafe = call_soon

    def call_later(self, delay, callback, *args, context=None):
        return self.call_at(self.us / 1e6 + delay, callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None):
        turn = Turn(callback, args, contextvars.copy_context() if context is None else context)
        turn.us = max(math.ceil(when * 1e6 - 1e-3), self.us)
        self._count += 1
        heapq.heappush(self._timers, (turn.us, self._count, turn))
        return turn

    def create_future(self) -> asyncio.Future:
        return asyncio.Future(loop=self)

    def create_task(self, coro, *, name=None, context=None):
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)  # a task of a dead life that nobody keeps would run its ``finally`` at once
        return task

    def run_in_executor(self, executor, func, *args):  # noqa: ARG002 - there is no thread
        """What the service gives to a thread is done at once: no thread of another time disturbs the order."""
        done = self.create_future()
        done.set_result(func(*args))
        return done

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context) -> None:
        fault = context.get("exception")
        if isinstance(fault, SpoolUnavailableError):
            return  # the one who waited for it died, or had its answer already
        self.faults.append(f"{context.get('message')}: {type(fault).__name__}: {fault}")

    def run(self, main: Coroutine[object, object, T]) -> T:
        """Run until ``main`` is done; then nothing runs any more."""
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            task = self.create_task(main)
            self._run(task)
            return task.result()
        finally:
            self._bury()
            asyncio._set_running_loop(before)

    def _bury(self) -> None:
        """Note what failed unheard, and let go of the rest without its doing anything."""
        self.over = True
        self._ready.clear()
        self._timers.clear()
        for task in self._tasks:
            if task.done():
                if not task.cancelled() and task._log_traceback:
                    self.call_exception_handler({"message": "nobody heard of it", "exception": task.exception()})
                continue
            task._log_destroy_pending = False  # ty: ignore[missing-attribute] - asyncio's own, nothing public does it
            for _ in range(CLOSINGS):
                try:
                    task.get_coro().close()
                except Exception:  # noqa: BLE001, S112 - it waits again in a ``finally``, or fails there: it is over
                    continue
                break
        self._tasks.clear()

    def _run(self, task: asyncio.Future) -> None:
        ready, still = self._ready, 0
        while not task.done():
            if not ready:
                self._advance()
                still = 0
            turn = self._pick()
            life = turn.life
            if turn.is_cancelled or (life is not None and (life.dead or not life.step())):
                continue
            still += 1
            self.turns += 1
            if still > SPINS or self.turns > MOST:
                raise Spinning(f"{still} turns at {self.time():.3f} s, {self.turns} in all: {turn.callback!r}")
            try:
                turn.context.run(turn.callback, *turn.args)
            except Exception as fault:
                if life is None:
                    raise  # the simulation's own
                self.call_exception_handler({"message": "a callback failed", "exception": fault})

    def _pick(self) -> Turn:
        ready = self._ready
        if self._disorder and len(ready) > 1 and self._random() < self._disorder:
            ready.rotate(-int(self._random() * len(ready)))
        return ready.popleft()

    def _advance(self) -> None:
        """Let time pass to the next timer, and make ready all that are due then."""
        timers = self._timers
        while timers and self._gone(timers[0][2]):
            heapq.heappop(timers)
        if not timers:
            raise Stuck(f"nothing will happen after {self.time():.3f} s")
        self.us = max(self.us, timers[0][0])
        while timers and timers[0][0] <= self.us:
            turn = heapq.heappop(timers)[2]
            if not self._gone(turn):
                self._ready.append(turn)

    def _gone(self, turn: Turn) -> bool:
        return turn.is_cancelled or (turn.life is not None and turn.life.dead)
