"""What an outcome does beyond its message: rests to the second, blocks, one alarm each (PROMISES §4, §6, §7)."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from posthouse.circuit import Circuit, Patience, State
from posthouse.delivery import Policy
from posthouse.dispatcher.effects import Effects
from posthouse.dispatcher.gates import Gates
from posthouse.lanes import Lane
from posthouse.message import Message
from posthouse.outcome import Answer, Blocked, Outcome, Scope, Sent, TransientFailure
from posthouse.ports import SpoolUnavailableError
from posthouse.records import Lease, Pause
from tests.contract.spools import NOON, SECOND, SENT, SHOP, House, house

pytestmark = pytest.mark.usefixtures("engine")

NEVER_LEFT = Blocked(scope=Scope.MAILBOX, answer=Answer(status="4.3.5", text="x", code="ErrorQuotaExceeded", fix="q"))
NO_SEND_AS = Blocked(scope=Scope.SENDER, answer=Answer(status="4.3.5", text="x", code="ErrorSendAsDenied", fix="s"))
NO_TOKEN = Blocked(scope=Scope.TRANSPORT, answer=Answer(status="4.3.5", text="x", code="AADSTS7000215", fix="e"))


@dataclass
class Hand:
    """Tells what came of an attempt of one message, as an attempt does."""

    house: House
    effects: Effects
    row: Message
    lease: Lease
    lane: Lane = field(default_factory=Lane)

    async def came(self, outcome: Outcome) -> None:
        await self.effects.apply(self.row, outcome, transport="graph", lane=self.lane, lane_key=self.lease.lane)

    async def written(self) -> list[Pause]:
        """What whoever leases the lane next finds."""
        (row,) = await self.house.spool.lanes(now=self.house.clock.now(), account=SHOP)
        return list(row.pauses)


@asynccontextmanager
async def hand(folder: Path, *, proven: bool = False, chance: Callable[[int], bytes] = bytes) -> AsyncGenerator[Hand]:
    async with house(folder) as spool:
        row, lease = await spool.start()
        effects = Effects(
            spool=spool.spool, policy=Policy(), clock=spool.clock, chance=chance, proven={SHOP} if proven else set()
        )
        yield Hand(spool, effects, row, lease)


def warnings(caplog: pytest.LogCaptureFixture, event: str) -> int:
    return len([one for one in caplog.records if one.message == event and one.levelno >= logging.WARNING])


def throttled(seconds: float | None) -> TransientFailure:
    answer = Answer(status="4.4.5", text="x", code="ApplicationThrottled", fix="graph.throttled", retry_after=seconds)
    return TransientFailure(scope=Scope.MAILBOX, answer=answer)


@pytest.mark.parametrize(("asked", "rests"), [(37.0, 37), (0.0, 1), (None, 10)])
@pytest.mark.parametrize("luck", [b"\x00", b"\xff"])
async def test_a_throttled_mailbox_rests_as_long_as_it_was_told_and_chance_comes_only_behind_it(
    tmp_path: Path, asked: float | None, rests: int, luck: bytes
) -> None:
    async with hand(tmp_path, chance=lambda count: luck * count) as one:
        await one.came(throttled(asked))
        (pause,) = await one.written()
        late = pause.until - (NOON + rests * SECOND)
        assert late == 0 if luck == b"\x00" else 0 < late <= SECOND
        assert one.lane.paused(NOON + rests * SECOND - 1) is not None
        assert one.lane.paused(pause.until) is None


async def test_mail_that_was_taken_with_a_retry_after_rests_its_mailbox_too(tmp_path: Path) -> None:
    async with hand(tmp_path) as one:
        await one.came(Sent(answer=Answer(status="2.0.0", text="taken", reply=202, retry_after=20.0)))
        (pause,) = await one.written()
        assert (pause.until, pause.blocked) == (NOON + 20 * SECOND, False)
        assert one.lane.paused(NOON + 19 * SECOND) is not None


async def test_the_rest_that_came_with_a_success_holds_whatever_the_spool_can_write_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block that the success ended must not take the Retry-After along, nor may anything go before it is written."""
    async with hand(tmp_path, proven=True) as one:
        await one.came(NEVER_LEFT)
        resumed: list[str | None] = []

        async def fails(*, transport: str | None, **_: int) -> None:
            assert one.lane.paused(NOON + 19 * SECOND) is not None
            resumed.append(transport)
            raise SpoolUnavailableError("full")

        with monkeypatch.context() as patch:
            patch.setattr(one.house.spool, "resume", fails)
            await one.came(Sent(answer=Answer(status="2.0.0", text="taken", reply=202, retry_after=20.0)))
        assert resumed == [None]
        (unsaved,) = one.lane.unsaved(NOON)
        assert (unsaved.until, unsaved.blocked) == (NOON + 20 * SECOND, False)


@pytest.mark.parametrize(("proven", "seconds"), [(False, 120), (True, 900)])
async def test_a_block_is_probed_every_two_minutes_until_the_first_success_ever(
    tmp_path: Path, *, proven: bool, seconds: int
) -> None:
    async with hand(tmp_path, proven=proven) as one:
        await one.came(NEVER_LEFT)
        (pause,) = await one.written()
        assert (pause.until, pause.blocked) == (NOON + seconds * SECOND, True)
        await one.came(NO_SEND_AS)
        held = await one.house.put()
        assert await one.house.spool.probe_senders(now=NOON + seconds * SECOND - 1, next_probe=NOON) == 0
        assert await one.house.spool.probe_senders(now=NOON + seconds * SECOND, next_probe=NOON) == 1
        assert "released" in await one.house.history(held)


async def test_a_blocked_mailbox_is_alarmed_of_once_until_it_sent_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with hand(tmp_path) as one:
        for _ in range(3):
            await one.came(NEVER_LEFT)
            one.house.clock.at += 120 * SECOND
        assert warnings(caplog, "lane.paused") == 1
        await one.came(SENT)
        assert await one.written() == []
        await one.came(NEVER_LEFT)
        assert warnings(caplog, "lane.paused") == 2


async def test_a_blocked_sender_is_alarmed_of_once_until_it_sent_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with hand(tmp_path) as one:
        for _ in range(3):
            await one.came(NO_SEND_AS)
        assert warnings(caplog, "sender.blocked") == 1
        await one.came(SENT)
        await one.came(NO_SEND_AS)
        assert warnings(caplog, "sender.blocked") == 2


async def test_a_blocked_transport_is_alarmed_of_once_and_found_blocked_by_the_next_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with hand(tmp_path, proven=True) as one:
        gates = gates_of(one.house)
        for _ in range(3):
            gates.observe("graph", one.row, NO_TOKEN)
            one.house.clock.at += 900 * SECOND
        assert warnings(caplog, "transport.degraded") == 1
        await gates._save()
        later = gates_of(one.house)
        await later.restore()
        assert later._circuits["graph"].state is State.BLOCKED
        later.observe("graph", one.row, SENT)
        later.observe("graph", one.row, NO_TOKEN)
        assert warnings(caplog, "transport.degraded") == 2


def gates_of(spool: House) -> Gates:
    circuits = {"graph": Circuit("graph", patience=Patience())}
    return Gates(circuits=circuits, transports={}, spool=spool.spool, clock=spool.clock, proven={SHOP})
