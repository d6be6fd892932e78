"""What a service makes good every few seconds, on its real spool (PROMISES §7)."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from posthouse.message import Status
from posthouse.meter import UNHEARD, Meter
from posthouse.metrics import Metrics
from posthouse.outcome import Answer, PermanentFailure, Scope
from posthouse.records import SenderBlock
from posthouse.sweep import Sweep, Times, Tools
from tests.contract.spools import DAY, HOUR, NOON, SECOND, SENT, SHOP, House, house

pytestmark = pytest.mark.usefixtures("engine")

FAILED = PermanentFailure(scope=Scope.MESSAGE, answer=Answer(status="5.0.0", text="x"))


async def no_keys() -> None:
    """Nobody made a key."""


def sweep_of(spool: House, *, sends: bool = True, at_once: Sequence[str] = (), meter: Meter = UNHEARD) -> Sweep:
    times = Times(retention=30 * 86_400.0, content_retention=86_400.0, blocked_probe=900.0)
    return Sweep(
        Tools(
            spool=spool.spool,
            clock=spool.clock,
            times=times,
            sends=sends,
            live=frozenset,
            transports=("graph", "smtp"),
            carrying=("smtp",),
            lanes=lambda *_: None,
            storage=lambda _: None,
            keys=no_keys,
            at_once=lambda: at_once,
            meter=meter,
        )
    )


async def test_an_attempt_that_nobody_carries_is_in_doubt(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, _ = await spool.start()
        sweep = sweep_of(spool)
        await sweep.once()
        assert await spool.status(row.id) is Status.SENDING
        spool.clock.at += HOUR
        await sweep_of(spool).once()
        assert await spool.status(row.id) is Status.UNCONFIRMED


async def test_what_a_client_wants_deleted_once_it_was_sent_is_deleted(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(SENT, Status.SENT)
        await sweep_of(spool).once()
        assert await spool.spool.content(row.key) is not None
        await sweep_of(spool, at_once=[row.client]).once()
        assert await spool.spool.content(row.key) is None


async def test_what_is_held_for_a_cause_that_is_gone_goes_on(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        held = await spool.put(held_cause="no_transport")
        await sweep_of(spool).once()
        assert await spool.history(held) == ["accepted", "held", "released"]


async def test_a_lane_that_forgot_when_it_is_due_is_woken(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        await spool.plant("update lanes set next_at = null")
        assert not await spool.leases()
        await sweep_of(spool).once()
        assert await spool.leases()


async def test_what_expired_ends_though_nobody_reads_its_lane(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        waits = await spool.put(expires_at=NOON + SECOND, held_cause="client_paused")
        spool.clock.at += 2 * SECOND
        metrics = Metrics()
        await sweep_of(spool, meter=metrics).once()
        assert await spool.status(waits) is Status.EXPIRED
        ended = {"status": "expired", "transport": "none"}
        assert metrics.registry.get_sample_value("posthouse_messages_finished_total", ended) == 1


async def test_a_blocked_sender_may_try_when_its_probe_is_due(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        waits = await spool.put()
        block = SenderBlock(mailbox=SHOP, sender=SHOP, since=NOON, probe_at=NOON + 900 * SECOND, reason="s")
        await spool.spool.block_sender(block)
        await sweep_of(spool).once()
        assert await spool.status(waits) is Status.HELD
        spool.clock.at += 900 * SECOND
        await sweep_of(spool).once()
        assert await spool.status(waits) is Status.QUEUED


async def test_what_is_final_goes_when_its_time_is_over(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        over = [await spool.go(FAILED, Status.FAILED, account=f"{number}@contoso.com") for number in range(3)]
        kept = await spool.put(account="kept@contoso.com")
        spool.clock.at += 31 * DAY
        await sweep_of(spool).once()
        assert [await spool.spool.get(row.id, now=spool.clock.at) for row in over] == [None] * 3
        assert await spool.status(kept) is Status.QUEUED


@pytest.mark.engine("postgres")
async def test_what_a_dead_worker_was_sending_is_in_doubt_for_those_that_live(tmp_path: Path) -> None:
    async with house(tmp_path) as dies, house(tmp_path, owner="lives", clock=dies.clock) as lives:
        row, _ = await dies.start()
        lives.clock.at += HOUR
        await dies.die()
        await sweep_of(lives, sends=False).once()
        assert await lives.status(row.id) is Status.SENDING
        sweep = sweep_of(lives)
        sweep._mended_at = lives.clock.monotonic()
        await sweep.once()
        assert await lives.status(row.id) is Status.UNCONFIRMED


async def test_what_was_sent_keeps_its_history_and_loses_its_content_after_a_day(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(SENT, Status.SENT)
        spool.clock.at += 2 * DAY
        await sweep_of(spool).once()
        assert await spool.spool.content(row.key) is None
        assert await spool.status(row.id) is Status.SENT
