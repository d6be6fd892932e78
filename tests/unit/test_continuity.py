"""Which processes' times can be measured by one another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.continuity import AGREES, APART, NOTED, RATE, Anchor, Chain, OtherClock, carried_on, joined

BOOT = "this run of the machine"
NOW = 1_800_000_000_000
HOUR = 3_600_000


def test_the_first_process_begins_a_chain():
    assert joined(None, Anchor(BOOT, 7), now=NOW) == Chain(7, NOW)


@pytest.mark.parametrize("apart", [-AGREES, 0, AGREES])
def test_a_process_with_the_time_of_the_one_before_inherits_its_chain(apart):
    assert joined(Chain(7, NOW - HOUR), Anchor(BOOT, 7 + apart), now=NOW) == Chain(7 + apart, NOW - HOUR)


@pytest.mark.parametrize("apart", [-AGREES - 1, AGREES + 1])
def test_a_process_with_another_time_begins_a_chain_of_its_own(apart):
    assert joined(Chain(7, NOW - HOUR), Anchor(BOOT, 7 + apart), now=NOW) == Chain(7 + apart, NOW)


def test_the_chain_follows_a_time_that_is_drawn_and_is_not_written_for_a_trifle():
    chain, before = Chain(0, NOW - HOUR), Anchor(BOOT, 0)
    assert carried_on(chain, Anchor(BOOT, NOTED), before=before, now=NOW) == chain
    assert carried_on(chain, Anchor(BOOT, NOTED + 1), before=before, now=NOW) == Chain(NOTED + 1, NOW - HOUR)


def test_a_process_that_hung_for_an_hour_still_knows_its_chain():
    drawn = HOUR // 200
    assert carried_on(Chain(0, NOW), Anchor(BOOT, drawn), before=Anchor(BOOT, 0), now=NOW) == Chain(drawn, NOW)


@given(st.integers(-HOUR, HOUR).filter(lambda apart: abs(apart) > AGREES))
def test_while_a_process_with_another_time_writes_a_later_chain_begins_only_now(apart):
    """Told in the later process's time, and each tells it in its own."""
    own = Anchor(BOOT, 0)
    made = carried_on(Chain(apart, NOW - 10 * HOUR), own, before=own, now=NOW)
    assert made == Chain(apart, NOW + apart)
    assert made.begun(own) == NOW
    assert made.begun(Anchor(BOOT, apart)) == NOW + apart


def test_a_chain_that_was_lost_begins_anew():
    assert carried_on(None, Anchor(BOOT, 7), before=Anchor(BOOT, 7), now=NOW) == Chain(7, NOW)


# --- another clock


@pytest.mark.parametrize("apart", [-1000, 0, 1000])
def test_times_of_a_clock_that_agrees_are_ours_but_for_what_neither_tells(apart):
    after, before = OtherClock(NOW + apart, NOW).between(NOW - HOUR)

    assert after <= NOW - HOUR - APART + 1000
    assert before >= NOW - HOUR + APART - 1000
    assert before - after <= 2 * (APART + abs(apart))


@pytest.mark.parametrize("apart", [-HOUR, HOUR])
def test_times_of_a_clock_that_was_always_an_hour_off_are_ours_of_then(apart):
    assert OtherClock(NOW + apart, NOW).between(NOW + apart - 60_000) == (
        NOW - 60_000 - APART - 60_000 // RATE,
        NOW - 60_000 + APART + 60_000 // RATE,
    )


@given(st.integers(0, 30 * 24 * HOUR), st.floats(-1, 1))
def test_what_ours_showed_before_it_was_drawn_lies_between(age, share):
    drawn = int(min(age // RATE, HOUR) * share)
    after, before = OtherClock(NOW, NOW + drawn).between(NOW - age)

    assert after <= NOW - age <= before


def test_a_clock_that_says_nothing_is_taken_for_ours():
    assert OtherClock(None, NOW).between(NOW - HOUR) == (NOW - HOUR - APART, NOW - HOUR + APART)
