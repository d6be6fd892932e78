"""Bugs that the simulation must find: each takes one mechanism of the service away, by replacing one function or verb.

They are applied to the running code from here; the product has no option for them. A new one is a function that gives the
replacement, and a line in ``PLANTS``. Those that need several replicas (the fence, the local lease deadline, the lost
wake-up of PostgreSQL) have their place here when a second world simulates PostgreSQL.
"""

import asyncio
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import apsw

from posthouse import continuity, delivery, proof
from posthouse import lanes as of_lanes
from posthouse.circuit import Circuit
from posthouse.clock import SteadyClock
from posthouse.delivery import RetryAt, Step, TryNext
from posthouse.dispatcher import runner
from posthouse.dispatcher.attempt import Attempt
from posthouse.dispatcher.effects import Effects
from posthouse.lanes import Lane
from posthouse.message import Content, Message, Millis, Status
from posthouse.outcome import Answer, Outcome, Scope, TransientFailure
from posthouse.pace import Day, Pace, Volume
from posthouse.ports import SpoolUnavailableError
from posthouse.records import SILENCE, Finish, Mark, Past, Submission
from posthouse.settling import settling
from posthouse.spool import loads, rules
from posthouse.spool.sqlite import accepting, lanes, sweeping
from posthouse.spool.sqlite.committing import Committed, Committer, Entry, Failure, Job
from posthouse.spool.sqlite.database import Database
from posthouse.spool.sqlite.store import SqliteSpool
from posthouse.sweep import Sweep
from tests.simulation.patching import replaced

Name = str


@dataclass(frozen=True, slots=True)
class Plant:
    """``of.name`` is replaced by what ``make`` makes of it; ``promise`` is what then is broken."""

    what: str
    promise: str
    of: object
    name: Name
    make: Callable[..., object]
    seed: int = 1
    """One that finds it."""


def _always(value: object) -> Callable[..., object]:
    return lambda _was: lambda *_arguments, **_named: value


# --- settling ------------------------------------------------------------------------------------------------------


def _resend_blindly(_was: object) -> object:
    def after_doubt(_message: Message, situation: delivery.Situation, _policy: object) -> Step:
        return RetryAt(situation.now + 5_000)

    return after_doubt


def _fall_back_on_doubt(was: Callable) -> object:
    def after_doubt(message: Message, situation: delivery.Situation, policy: object) -> Step:
        if situation.fallback is not None:
            return TryNext(situation.fallback)
        return was(message, situation, policy)

    return after_doubt


def _alone(was: Callable) -> object:
    return lambda item, **named: was(item, **{**named, "sharing": ()})


def _drafts_count(was: Callable) -> object:
    return lambda item, **named: was(
        item, **{**named, "copies": tuple(replace(one, draft=False) for one in named["copies"])}
    )


def _any_witness(was: Callable) -> object:
    """Witnesses of any kind of transport and any origin of Message-ID."""

    async def witnesses(self: SqliteSpool, **named) -> object:
        found = []
        for kind in ("graph", "smtp"):
            for own in (True, False):
                found += await was(self, **{**named, "kind": kind, "own": own})
        return found

    return witnesses


# --- around the wire -----------------------------------------------------------------------------------------------


class _Early(Attempt):
    """The real attempt, with its send before its mark."""

    _before: Outcome | None = None

    async def run(self) -> None:
        mark = self._mark(self._tools.clock.now())
        self._before = await super()._outcome(mark, await self._tools.spool.content(self._message.key))
        await super().run()

    async def _outcome(self, mark: Mark, content: Content | BaseException | None) -> Outcome:
        return self._before or await super()._outcome(mark, content)


def _another_outcome(_was: object) -> object:
    """A finish that fails becomes a failure that can be tried again."""

    async def finish(self: Attempt, finish: Finish) -> None:
        self._let_go()
        try:
            await self._tools.spool.finish(finish)
        except SpoolUnavailableError:
            await asyncio.sleep(5.0)
            failed = TransientFailure(scope=Scope.MESSAGE, answer=Answer(status="4.3.0", text="the spool failed"))
            again = replace(finish, outcome=failed, status=Status.QUEUED, due_at=self._tools.clock.now(), look_at=None)
            await self._tools.spool.finish(again)

    return finish


def _deaf_to_rest(was: Callable) -> object:
    async def apply(self: Effects, message: Message, outcome: Outcome, **named) -> None:
        if not (isinstance(outcome, TransientFailure) and outcome.scope is Scope.MAILBOX):
            await was(self, message, outcome, **named)

    return apply


# --- the spool -----------------------------------------------------------------------------------------------------


def _whole_group_fails(_was: object) -> object:
    def commit(self: Committer, entries: Sequence[Entry]) -> Committed:
        try:
            return self._transact(entries)
        except apsw.Error as fault:
            self._roll_back()
            return Committed([(entry.future, Failure(self._explained(fault))) for entry in entries], frozenset())

    return commit


def _key_apart(was: Callable) -> object:
    """The idempotency key is written down after its message, in a transaction of its own."""

    async def add(self: SqliteSpool, submission: Submission) -> object:
        given = submission.idempotency
        if given is None:
            return await was(self, submission)
        known = await self._writer.write(
            lambda db: accepting._given(db, [accepting.prepare(submission, first=0, contents=())])
        )
        if known:
            return await was(self, submission)
        first = self._next_key
        result = await was(self, replace(submission, idempotency=None))
        load = accepting.prepare(submission, first=first, contents=())
        await self._writer.write(lambda db: accepting._insert_keys(db, [load]))
        return result

    return add


def _forget_pauses(was: Callable) -> object:
    def lease(**named) -> Job:
        take = was(**named)
        return lambda db: [replace(one, pauses=()) for one in take(db)]

    return lease


def _forget_past(_was: object) -> object:
    async def past(_self: SqliteSpool, *, lanes: Sequence[int], **_named: object) -> Mapping[int, Past]:
        return {lane: Past() for lane in lanes}

    return past


def _queue_again(_was: object) -> object:
    """What a dead process left in ``sending`` goes again at once."""

    def recovered(_left: object, **_named: object) -> tuple[Status, None, bool, str]:
        return Status.QUEUED, None, False, "message.deferred"

    return recovered


def _expire_all(_was: object) -> object:
    def expire(*, now: Millis, most: int) -> Job[int]:
        def sweep(db: Database) -> int:
            rows = db.rows("expired", {"now": now, "most": most})
            for key, _ in rows:
                db.run("end_message", {"message": key, "status": "expired", "at": now})
                db.run("event", {"message": key, "at": now, "type": "message.expired", "data": "{}"})
            return len(rows)

        return sweep

    return expire


def _cancel_all(_was: object) -> object:
    def cancel(_command: object, stands: rules.Standing) -> object:
        if stands.status.final or stands.status is Status.SENDING:
            return rules.NotPossible("too late")
        return rules._ended(Status.CANCELED, data={})

    return cancel


# --- limits, persons, clocks ---------------------------------------------------------------------------------------


def _at_once(_was: object) -> object:
    """Whatever counts, there is room now."""

    def room_at(_self: object, now: Millis, **_named: object) -> Millis:
        return now

    return room_at


def _look_at_once(_was: object) -> object:
    def looks_at(_self: Lane, now: Millis, _transport: str) -> Millis:
        return now

    return looks_at


def _by_the_wall(_was: object) -> object:
    def now(self: SteadyClock) -> Millis:
        self._latest = max(self._wall() // 1_000_000, self._latest)
        return self._latest

    return now


def _deaf_to_people(was: Callable) -> object:
    def paused(self: Lane, now: Millis) -> object:
        told, self._told = self._told, SILENCE
        try:
            return was(self, now)
        finally:
            self._told = told

    return paused


async def _nothing(*_arguments, **_named) -> None:
    await asyncio.sleep(1e9)


async def _no_note(*_arguments, **_named) -> None:
    return


PLANTS: Final[Mapping[Name, Plant]] = {
    "settling": Plant("doubt is resent blindly", "doubled", delivery, "_after_doubt", _resend_blindly),
    "fallback": Plant(
        "doubt falls back to the next transport", "doubled", delivery, "_after_doubt", _fall_back_on_doubt
    ),
    "witness": Plant("absence needs no witness", "doubled", settling, "presence", _always(value=True)),
    "witness-kind": Plant("any witness will do", "doubled", SqliteSpool, "witnesses", _any_witness, seed=92),
    "shared-message-id": Plant("a shared Message-ID is nobody else's", "lost", settling, "conclude", _alone, seed=23),
    "early-absence": Plant(
        "absence counts at the first look", "doubled", proof, "next_check", _always(value=None), seed=3
    ),
    "draft": Plant("a draft counts as sent", "lost", settling, "conclude", _drafts_count, seed=74),
    "mark": Plant("sending is marked after the wire", "doubled", runner, "Attempt", lambda _was: _Early, seed=2),
    "finish": Plant(
        "a failing finish becomes another outcome", "doubled", Attempt, "_finish", _another_outcome, seed=2
    ),
    "retry-after": Plant("a throttled mailbox does not rest", "retry_after", Effects, "apply", _deaf_to_rest, seed=2),
    "sweep": Plant("nothing is swept", "stranded", Sweep, "run", lambda _was: _nothing, seed=49),
    "group": Plant("one bad entry fails its group", "fault", Committer, "commit", _whole_group_fails, seed=2),
    "idempotency": Plant("the key is kept after its message", "spool", SqliteSpool, "add", _key_apart),
    "recover": Plant("a crash is no doubt", "doubled", loads, "judged", _queue_again, seed=21),
    "lease-pauses": Plant("a new owner knows no pause", "retry_after", lanes, "lease", _forget_pauses, seed=2),
    "lease-starts": Plant("a new owner knows no start", "pace", SqliteSpool, "past", _forget_past, seed=32),
    "expiry": Plant("expiry ends doubt", "untrue", sweeping, "expire", _expire_all),
    "cancel": Plant("a cancel ends doubt", "untrue", rules, "_cancel", _cancel_all, seed=161),
    "refused": Plant(
        "refused recipients are not noted before DATA",
        "refused",
        SqliteSpool,
        "note_refused",
        lambda _was: _no_note,
        seed=172,
    ),
    "restored": Plant(
        "a restored copy sends before it settles", "doubled", SqliteSpool, "restored", lambda _was: _no_note, seed=25
    ),
    "watched": Plant(
        "absence counts by a clock that may have been set", "doubled", settling, "WATCHED", lambda _was: 0.0, seed=607
    ),
    "chain": Plant(
        "a process goes on with the times of one that had another time",
        "doubled",
        continuity,
        "AGREES",
        lambda _was: 10**12,
        seed=607,
    ),
    "clock": Plant("the service lives by the wall clock", "early", SteadyClock, "now", _by_the_wall, seed=2),
    "pace": Plant("a minute has no limit", "pace", Pace, "next_at", _at_once),
    "slots": Plant("slots have no limit", "concurrency", Lane, "_full", _always(value=False), seed=4),
    "room": Plant("no slot is kept for high", "room", of_lanes, "kept", _always(value=0), seed=11),
    "uploads": Plant("uploads have no limit", "uploads", Volume, "next_at", _at_once, seed=14),
    "day": Plant("a day has no limit", "day", Day, "room_at", _at_once, seed=73),
    "look-rest": Plant("look-ups do not rest", "retry_after", Lane, "looks_at", _look_at_once, seed=28),
    "pause-lane": Plant("a person's pause of a lane is no pause", "paused", Lane, "paused", _deaf_to_people, seed=10),
    "pause-transport": Plant(
        "a person's pause of a transport is not heard", "paused", Circuit, "hear", _always(value=False), seed=18
    ),
}


@contextmanager
def planted(name: str | None) -> Generator[None]:
    """The service with this bug in it; None: as it is."""
    if name is None:
        yield
        return
    plant = PLANTS[name]
    with replaced((plant.of, plant.name, plant.make(getattr(plant.of, plant.name)))):
        yield
