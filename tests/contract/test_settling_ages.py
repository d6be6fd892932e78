"""Whose a copy is under a Message-ID that a client brought: its age says it (PROMISES §5)."""

from pathlib import Path

import pytest

from posthouse.message import Status
from tests.contract.settling_kit import LAST, Bench, bench
from tests.contract.spools import HOUR, SECOND

pytestmark = pytest.mark.usefixtures("engine")

MINUTE = 60 * SECOND
REUSED = "<reused@shop.example>"
CLIENTS: dict = {"message_id": REUSED, "own_message_id": False}
ANOTHER: dict = {"message_id": "<another@shop.example>", "own_message_id": False}
SENT = (Status.SENT, None)
AGAIN = (Status.DEFERRED, None)
NO_WITNESS = (Status.HELD, "unconfirmed_no_witness")
OLDER = (Status.HELD, "unconfirmed_older_copy")


async def hours(on: Bench) -> None:
    """Every look that may change something."""
    await on.look(after=LAST)
    for _ in range(3):
        await on.look(after=HOUR)


@pytest.mark.parametrize("later", [False, True])
async def test_the_copy_of_another_mail_is_no_witness_for_one_whose_own_is_not_kept(
    tmp_path: Path, *, later: bool
) -> None:
    """The way of one keeps Message-IDs, that of the other does not; of the one the spool knows nothing (a restore)."""
    async with bench(tmp_path) as on:
        if not later:
            await on.elsewhere(REUSED)
            on.clock.at += 2 * MINUTE
        on.setting(rewrite_message_ids=True)
        await on.send(**CLIENTS)
        on.clock.at += 2 * MINUTE
        arrived = await on.arrived(**ANOTHER)
        if later:
            on.setting(rewrite_message_ids=False)
            await on.elsewhere(REUSED)
        await hours(on)
        assert await on.stands(arrived) == NO_WITNESS
        assert on.emulator.world.counters.accepted == 3


async def test_the_copy_of_another_mail_is_no_fresh_proof_of_presence(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        await on.elsewhere(REUSED)
        on.clock.at += 2 * MINUTE
        on.setting(rewrite_message_ids=True)
        await on.send(**CLIENTS)
        await on.look(after=10 * MINUTE)
        (proof,) = await on.house.spool.presences()
        assert (proof.witness, proof.answer) == (None, "not_found")


async def test_another_mailboxs_witness_is_found_by_its_own_copy_too(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        await on.elsewhere(REUSED)
        on.clock.at += 2 * MINUTE
        on.setting(rewrite_message_ids=True)
        await on.send(**CLIENTS)
        arrived = await on.arrived(**ANOTHER, account="other@contoso.com")
        await on.look(after=LAST)
        assert await on.stands(arrived) == NO_WITNESS


async def test_a_copy_that_is_older_than_the_doubt_leaves_it_to_a_person(tmp_path: Path) -> None:
    """Neither sent, which would lose it, nor absent: were a clock wrong, that would double it."""
    async with bench(tmp_path) as on:
        await on.send(**ANOTHER)
        await on.elsewhere(REUSED)
        on.clock.at += 2 * MINUTE
        refused = await on.refused(**CLIENTS)
        await on.looks((5, 30))
        assert (await on.stands(refused))[0] is Status.UNCONFIRMED
        await hours(on)
        assert await on.stands(refused) == OLDER


@pytest.mark.parametrize("wrong", [-HOUR, HOUR])
async def test_a_clock_that_is_wrong_all_the_time_costs_nothing(tmp_path: Path, wrong: int) -> None:
    """The answer to a look-up says what time it is there."""
    async with bench(tmp_path) as on:
        on.emulator.world.clock = lambda: (on.clock.at + wrong) / 1000
        await on.send(**ANOTHER)
        on.clock.at += 2 * MINUTE
        arrived, refused = await on.arrived(**CLIENTS), await on.refused(own_message_id=False)
        await on.look(after=LAST)
        assert (await on.stands(arrived), await on.stands(refused)) == (SENT, AGAIN)


async def test_a_clock_that_is_drawn_towards_another_time_keeps_its_witnesses(tmp_path: Path) -> None:
    """By a two-hundredth of the time that passes."""
    async with bench(tmp_path) as on:
        began = on.clock.at
        on.emulator.world.clock = lambda: (on.clock.at + (on.clock.at - began) / 200) / 1000
        await on.send(**ANOTHER)
        on.clock.at += HOUR
        refused = await on.refused(own_message_id=False)
        await on.look(after=LAST)
        assert await on.stands(refused) == AGAIN


async def test_what_only_another_mails_copy_calls_sent_is_no_witness(tmp_path: Path) -> None:
    """A doubt of before the copy was made, and a mail of a moment later that the copy does not hold."""
    async with bench(tmp_path) as on:
        mistaken = await on.refused(**CLIENTS)
        await on.elsewhere(REUSED)
        on.setting(rewrite_message_ids=True)
        arrived = await on.arrived(**ANOTHER)
        await hours(on)
        assert (await on.stands(mistaken), await on.stands(arrived)) == (SENT, NO_WITNESS)


@pytest.mark.parametrize(("moved", "stands"), [(-HOUR, OLDER), (HOUR, SENT)])
async def test_a_clock_that_was_set_since_makes_no_witness_and_doubles_nothing(
    tmp_path: Path, moved: int, stands: tuple
) -> None:
    async with bench(tmp_path) as on:
        on.emulator.world.clock = lambda: (on.clock.at - on.clock.ahead) / 1000
        await on.send(**ANOTHER)
        on.clock.at += 2 * MINUTE
        arrived, refused = await on.arrived(**CLIENTS), await on.refused(own_message_id=False)
        on.clock.put(moved)
        await on.restart()
        await on.look(after=HOUR + LAST)
        assert (await on.stands(arrived), await on.stands(refused)) == (stands, NO_WITNESS)
        await on.send(message_id="<fresh@shop.example>", own_message_id=False)
        await on.look(after=6 * MINUTE)
        assert await on.stands(refused) == AGAIN
