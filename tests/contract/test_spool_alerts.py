"""Alerts in the spool: told once, told again where they get worse, ended where nobody sees them any more."""

from dataclasses import replace
from pathlib import Path

import pytest

from posthouse.records import Alert, AlertRow
from tests.contract.spools import DAY, HOUR, NOON, SECOND, House, house

pytestmark = pytest.mark.usefixtures("engine")

MINUTE = 60 * SECOND
FULL = Alert(
    key="graph.mailbox_full",
    subject="mailboxes by graph",
    text="shop@contoso.com sends nothing",
    transports=("graph",),
    mailboxes=("shop@contoso.com",),
)
LATE = Alert(key="credential_ends", subject="certificate", text="it ends")
LINE = Alert(key="summary", subject="2026-11-24", text="nothing is held")


async def see(spool: House, *seen: Alert) -> None:
    await spool.spool.see_alerts(seen, now=spool.clock.at, before=spool.clock.at - 10 * MINUTE, passing=("summary",))


async def claim(spool: House) -> list[AlertRow]:
    return list(await spool.spool.claim_alerts(now=spool.clock.at))


async def tell(spool: House) -> list[Alert]:
    rows = await claim(spool)
    for row in rows:
        await spool.spool.alert_told(row, at=spool.clock.at)
    return [row.alert for row in rows]


async def test_an_alert_is_told_once_as_long_as_it_stands(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await see(spool, FULL, LATE)
        assert sorted(await tell(spool), key=lambda one: one.key) == [LATE, FULL]
        spool.clock.at += 5 * MINUTE
        await see(spool, replace(FULL, text="two mailboxes send nothing"), LATE)
        assert await tell(spool) == []
    async with house(tmp_path, owner="later") as spool:
        spool.clock.at = NOON + 40 * MINUTE  # the service was away for longer than an alert lasts unseen
        await see(spool, FULL, LATE)
        assert await tell(spool) == []
        rows = await spool.spool.alerts()
        assert [(row.alert, row.raised_at, row.told_at) for row in rows] == [(LATE, NOON, NOON), (FULL, NOON, NOON)]


async def test_what_was_not_told_is_due_again_later_and_later(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        times = list[int]()
        for minute in range(200):
            await see(spool, FULL)
            times += [minute for _ in await claim(spool)]
            spool.clock.at += MINUTE
        assert times == [0, 1, 3, 7, 15, 31, 63, 123, 183]


async def test_two_processes_do_not_tell_the_same(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await see(spool, FULL)
        assert [row.alert for row in await claim(spool)] == [FULL]
        assert await claim(spool) == []


async def test_one_that_gets_worse_is_told_again_and_not_when_it_gets_better(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        told = list[int]()
        for level in (1, 2, 1, 2, 3):
            await see(spool, replace(LATE, level=level))
            told += [one.level for one in await tell(spool)]
            spool.clock.at += MINUTE
        assert told == [1, 2, 3]


async def test_one_that_got_worse_while_it_was_told_is_told_again(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await see(spool, LATE)
        (claimed,) = await claim(spool)
        await see(spool, replace(LATE, level=2))
        await spool.spool.alert_told(claimed, at=spool.clock.at)
        assert [one.level for one in await tell(spool)] == [2]


async def test_the_end_is_told_once_and_then_it_is_forgotten(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await see(spool, FULL)
        await tell(spool)
        spool.clock.at += 11 * MINUTE
        await see(spool)
        assert await spool.spool.alerts() == []
        (row,) = await claim(spool)
        assert (row.alert, row.raised_at, row.ended_at) == (FULL, NOON, NOON + 11 * MINUTE)
        await spool.spool.alert_told(row, at=spool.clock.at)
        spool.clock.at += DAY
        await see(spool)
        assert await claim(spool) == []
        await see(spool, FULL)
        assert await tell(spool) == [FULL]


async def test_one_that_comes_back_before_its_end_was_told_is_told_anew(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await see(spool, replace(FULL, level=3))
        await tell(spool)
        spool.clock.at += 11 * MINUTE
        await see(spool)
        spool.clock.at += MINUTE
        await see(spool, FULL)
        (row,) = await claim(spool)
        assert (row.alert, row.raised_at, row.ended_at) == (FULL, spool.clock.at, None)


async def test_nothing_is_said_of_the_end_of_what_nobody_was_told_of_or_what_passes_by_itself(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await see(spool, FULL, LINE)
        for row in await claim(spool):
            if row.alert == LINE:
                await spool.spool.alert_told(row, at=spool.clock.at)
        spool.clock.at += HOUR
        await see(spool)
        assert await claim(spool) == []
        assert await spool.spool.alerts() == []
