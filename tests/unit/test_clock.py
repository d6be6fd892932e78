"""Time that does not jump, whatever is done to the wall clock."""

import logging
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.clock import SteadyClock
from posthouse.continuity import RATE, Anchor

NOON = 1_800_000_000_000_000_000
SECOND = 1_000_000_000
HOUR = 3_600 * SECOND


@dataclass
class Machine:
    """A machine whose wall clock can be set."""

    up: int = 5 * SECOND
    wrong: int = 0

    def wall(self) -> int:
        return NOON + self.up + self.wrong

    def steady(self) -> int:
        return self.up

    def clock(self) -> SteadyClock:
        return SteadyClock(wall=self.wall, steady=self.steady)


def millis(nanos: int) -> int:
    return nanos // 1_000_000


def seconds_of(machine: Machine, clock: SteadyClock, seconds: int) -> int:
    """The own time after so many seconds in which it is asked once a second."""
    for _ in range(seconds):
        machine.up += SECOND
        clock.now()
    return clock.now()


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_an_hour_of_wall_clock_moves_own_time_by_no_more_than_its_rate(jump):
    machine = Machine()
    clock = machine.clock()
    before = clock.now()
    machine.wrong = jump
    assert clock.now() == before
    passed = seconds_of(machine, clock, 600) - before
    assert abs(passed - 600_000) == 600_000 // RATE


def test_own_time_agrees_in_the_end_and_stays_there():
    machine = Machine()
    clock = machine.clock()
    machine.wrong = 10 * SECOND
    assert seconds_of(machine, clock, 10 * RATE + 2) == millis(machine.wall())
    assert seconds_of(machine, clock, 60) == millis(machine.wall())


def test_a_sleep_of_the_machine_counts():
    machine = Machine()
    clock = machine.clock()
    before, monotonic = clock.now(), clock.monotonic()
    machine.up += 8 * HOUR
    assert clock.now() - before == millis(8 * HOUR)
    assert clock.monotonic() - monotonic == 8 * 3600


@given(steps=st.lists(st.tuples(st.integers(0, 3 * SECOND), st.integers(-HOUR, HOUR)), max_size=60))
def test_own_time_never_goes_back(steps):
    machine = Machine()
    clock = machine.clock()
    latest = clock.now()
    for passed, wrong in steps:
        machine.up += passed
        machine.wrong = wrong
        now = clock.now()
        assert latest <= now <= latest + millis(passed) + millis(passed + 3 * SECOND) // RATE + 2
        latest = now


def test_a_clock_that_was_set_is_told_once_and_again_when_it_agrees(caplog):
    caplog.set_level(logging.INFO, logger="posthouse")
    machine = Machine()
    clock = machine.clock()
    machine.wrong = 4 * SECOND
    seconds_of(machine, clock, 30)
    assert caplog.messages == []
    machine.wrong = HOUR
    seconds_of(machine, clock, 90)
    assert caplog.messages == ["clock.differs"]
    assert caplog.records[0].fields["wall_ahead_seconds"] == pytest.approx(3600, abs=1)
    machine.wrong = 0
    seconds_of(machine, clock, 30)
    assert caplog.messages == ["clock.differs", "clock.agrees"]


def test_the_anchor_moves_with_own_time_and_not_with_the_wall_clock():
    machine = Machine()
    clock = SteadyClock(wall=machine.wall, steady=machine.steady, boot=lambda: "this run")
    before = clock.anchor()
    machine.wrong = HOUR
    assert clock.anchor() == before == Anchor("this run", millis(NOON))
    seconds_of(machine, clock, 600)
    assert clock.anchor() == Anchor("this run", millis(NOON) + 600_000 // RATE)


def test_a_machine_that_cannot_tell_its_runs_apart_has_no_anchor():
    assert SteadyClock(boot=lambda: None).anchor() is None


def test_two_processes_of_this_machine_have_the_same_time():
    one, other = SteadyClock().anchor(), SteadyClock().anchor()
    assert one is not None
    assert other is not None
    assert one.boot == other.boot
    assert abs(one.ahead - other.ahead) <= 1
