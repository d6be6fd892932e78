"""When a lane may send: pace, slots, pauses (PROMISES §7)."""

from hypothesis import given
from hypothesis import strategies as st

from posthouse.lanes import NEVER, Board, Lane, Limits, Use
from posthouse.records import Pause

NOW = 1_800_000_000_000
MINUTE = 60_000
USE = Use(pace="", limits=Limits(messages_per_minute=30, concurrent_requests=4), slots=0)


def ask(lane: Lane, now: int = NOW, *, transport: str = "graph", use: Use = USE) -> int:
    return lane.start_at(now, transport=transport, use=use)


@given(gaps=st.lists(st.integers(0, 20_000), min_size=1, max_size=200))
def test_no_minute_ever_holds_more_than_thirty_starts(gaps):
    lane, now, starts = Lane(), NOW, []
    for gap in gaps:
        now += gap
        at = ask(lane, now)
        if at <= now:
            lane.start(now, transport="graph", use=USE)
            lane.end("graph")
            starts.append(now)
    assert all(sum(start - MINUTE < other <= start for other in starts) <= 30 for start in starts)


def test_the_first_thirty_of_a_quiet_minute_leave_at_once_and_the_next_when_the_first_is_a_minute_old():
    lane = Lane()
    for _ in range(30):
        assert ask(lane) == NOW
        lane.start(NOW, transport="graph", use=USE)
        lane.end("graph")
    assert ask(lane) == NOW + MINUTE


def test_a_new_owner_goes_on_with_the_minute_of_the_old_one():
    lane = Lane(starts=[NOW - 10_000] * 30)

    assert ask(lane) == NOW + 50_000


def test_four_are_under_way_at_most_and_look_ups_come_first():
    lane = Lane()
    for _ in range(4):
        lane.start(NOW, transport="graph", use=USE)
    assert ask(lane) == NEVER
    lane.want_look()
    assert not lane.start_look(4)
    lane.end("graph")
    assert ask(lane) == NEVER
    assert lane.start_look(4)
    lane.end_look()
    assert ask(lane) == NOW


def test_a_transport_with_its_own_limits_does_not_use_up_the_lanes_minute():
    lane = Lane(starts=[NOW] * 30)
    own = Use(pace="hve", limits=Limits(messages_per_minute=0, concurrent_requests=4), slots=3)

    assert ask(lane) > NOW
    assert ask(lane, transport="hve", use=own) == NOW


def test_smtp_takes_no_more_than_its_connections():
    lane, smtp = Lane(), Use(pace="", limits=USE.limits, slots=3)
    for _ in range(3):
        lane.start(NOW, transport="smtp", use=smtp)

    assert ask(lane, transport="smtp", use=smtp) == NEVER
    assert ask(lane) == NOW


def test_a_pause_lasts_to_its_end_and_a_block_then_lets_one_message_try_alone():
    lane = Lane()
    lane.pause(Pause(None, NOW + 5000, "throttled", blocked=False, since=NOW))
    assert ask(lane) == NOW + 5000
    assert ask(lane, NOW + 5000) == NOW + 5000
    lane.pause(Pause(None, NOW + 9000, "no_right", blocked=True, since=NOW))
    assert ask(lane, NOW + 8999) == NOW + 9000
    assert ask(lane, NOW + 9000) == NOW + 9000
    lane.start(NOW + 9000, transport="graph", use=USE)
    assert ask(lane, NOW + 9000) == NEVER
    lane.end("graph")
    lane.resume(NOW + 9000)
    lane.start(NOW + 9000, transport="graph", use=USE)
    assert ask(lane, NOW + 9000) == NOW + 9000


def test_who_watches_is_told_when_a_slot_falls_free():
    lane, told = Lane(), []
    lane.watch(lambda: told.append(1))
    lane.start(NOW, transport="graph", use=USE)
    lane.end("graph")

    assert told == [1]


def test_a_released_lane_with_a_look_under_way_is_not_forgotten():
    board = Board()
    lane = board.lane("a@b.example")
    lane.want_look()
    board.forget_idle("a@b.example", NOW)
    assert board.lane("a@b.example") is lane
    lane.drop_look()
    board.forget_idle("a@b.example", NOW)
    assert board.lane("a@b.example") is not lane


def test_a_lane_that_a_look_up_made_first_still_goes_on_from_what_was_written_down():
    board = Board()
    board.lane("a@b.example")
    pause = Pause(None, NOW + 5000, "no_right", blocked=True, since=NOW)
    lane = board.open("a@b.example", starts=[NOW] * 30, pauses=[pause])
    assert ask(lane) == NOW + 5000
    assert ask(lane, NOW + 5000) == NOW + MINUTE
    assert board.open("a@b.example", starts=[NOW] * 30, pauses=[]) is lane
    lane.resume(NOW + 5000)
    assert ask(lane, NOW + MINUTE) == NOW + MINUTE


def test_a_start_that_was_none_gives_its_minute_and_its_slot_back():
    lane = Lane(starts=[NOW] * 29)
    lane.start(NOW, transport="graph", use=USE)
    assert ask(lane) > NOW
    lane.unstart("graph", USE)
    assert (ask(lane), lane.in_flight) == (NOW, 0)


def test_a_clock_that_is_set_back_neither_opens_a_lanes_minute_nor_silences_it():
    lane, earlier = Lane(starts=[NOW - 10_000] * 30), NOW - 3_600_000

    assert ask(lane, earlier) == earlier + MINUTE
    assert ask(lane, earlier + MINUTE) == earlier + MINUTE


def test_a_pause_of_one_transport_leaves_the_others_usable():
    lane = Lane()
    lane.pause(Pause("smtp", NOW + 5000, "smtp.password", blocked=True, since=NOW))
    assert lane.unusable(NOW) == {"smtp": NOW + 5000}
    assert ask(lane) == NOW
    assert lane.unusable(NOW + 5000) == {}
    lane.start(NOW + 5000, transport="smtp", use=USE)
    assert "smtp" in lane.unusable(NOW + 5000)
    assert lane.blocks("smtp") == ("smtp",)
    assert lane.blocks("graph") == ()
