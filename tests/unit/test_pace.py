"""What an account used up: no window of the server ever holds more than the limit (PROMISES §7, FACTS B1)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.pace import DAY_HOURS, HOUR, NEVER, UPLOAD_WINDOW, WINDOW, Day, Pace, Volume, kept

NOW = 1_800_000_000_000


def ask(pace: Pace, now: int = NOW, *, per_minute: int = 30, high: bool = False) -> int:
    return pace.next_at(now, per_minute=per_minute, high=high)


def send(pace: Pace, now: int = NOW, *, count: int = 1, high: bool = False) -> None:
    for _ in range(count):
        pace.start(now, high=high)
        pace.end(now, high=high)


@pytest.mark.parametrize(("limit", "room"), [(0, 0), (1, 0), (2, 1), (3, 1), (4, 1), (5, 1), (30, 6), (100, 20)])
def test_a_fifth_is_kept_for_high_at_least_one_of_more_than_one(limit, room):
    assert kept(limit) == room


@settings(max_examples=200, deadline=None)
@given(
    arrivals=st.lists(
        st.tuples(st.integers(0, 15_000), st.integers(0, 20_000), st.integers(0, 100), st.booleans()),
        min_size=1,
        max_size=150,
    ),
    per_minute=st.integers(1, 40),
)
def test_no_minute_of_the_server_ever_holds_more_than_the_limit(arrivals, per_minute):
    """A request reaches the server at any moment between its start and its end, however long that is."""
    pace, now, reached, under_way = Pace(), NOW, [], []
    for gap, lasts, share, high in arrivals:
        now += gap
        for end, was_high in sorted(one for one in under_way if one[0] <= now):
            pace.end(end, high=was_high)
        under_way = [one for one in under_way if one[0] > now]
        if ask(pace, now, per_minute=per_minute, high=high) <= now:
            pace.start(now, high=high)
            reached.append(now + lasts * share // 100)
            under_way.append((now + lasts, high))
    assert all(sum(at - WINDOW < other <= at for other in reached) <= per_minute for at in reached)


@settings(max_examples=200, deadline=None)
@given(
    arrivals=st.lists(st.tuples(st.integers(0, 12_000), st.booleans()), min_size=1, max_size=300),
    per_minute=st.integers(1, 40),
)
def test_high_never_waits_behind_others_that_used_the_room_kept_for_it(arrivals, per_minute):
    """But in a burst that began when all was quiet: then everybody had all of the limit."""
    pace, now, others, burst = Pace(), NOW, [], 0
    for gap, high in arrivals:
        now += gap
        others = [at for at in others if at > now - WINDOW]
        at = ask(pace, now, per_minute=per_minute, high=high)
        if high and at > now and not any(one < burst for one in others):
            assert len(others) <= per_minute - kept(per_minute)
        if at <= now:
            if not pace.used(now):
                burst = now + WINDOW
            send(pace, now, high=high)
            if not high:
                others.append(now)


@settings(deadline=None)
@given(gaps=st.lists(st.integers(0, 4_000), min_size=50, max_size=300), per_minute=st.integers(2, 40))
def test_behind_the_burst_others_have_the_limit_without_what_is_kept(gaps, per_minute):
    """Somebody always waits, asking again when told to: from the second minute on nobody uses the room of high."""
    pace, now, starts = Pace(), NOW, []
    for gap in gaps:
        at = ask(pace, now, per_minute=per_minute)
        now = max(at, now) + gap // per_minute
        if ask(pace, now, per_minute=per_minute) <= now:
            send(pace, now)
            starts.append(now)
    later = [at for at in starts if at >= starts[0] + WINDOW]
    assert all(sum(at - WINDOW < other <= at for other in starts) <= per_minute - kept(per_minute) for at in later)


def test_the_first_thirty_of_a_quiet_minute_leave_at_once_then_others_wait_and_high_too():
    pace = Pace()
    for _ in range(30):
        assert ask(pace) == NOW
        send(pace)
    assert ask(pace) == NOW + WINDOW
    assert ask(pace, high=True) == NOW + WINDOW


def test_after_a_quiet_minute_thirty_leave_at_once_again_but_not_where_somebody_waited():
    pace = Pace()
    send(pace, count=30)
    later = NOW + WINDOW + 1_000
    for _ in range(30):
        assert ask(pace, later) == later
        send(pace, later)
    assert ask(pace, later) > later
    again = later + WINDOW + 5
    for _ in range(24):
        assert ask(pace, again) == again
        send(pace, again)
    assert ask(pace, again) == again + WINDOW
    for _ in range(6):
        assert ask(pace, again, high=True) == again
        send(pace, again, high=True)
    assert ask(pace, again, high=True) == again + WINDOW


def test_what_is_under_way_counts_until_a_minute_after_its_answer():
    pace = Pace()
    for _ in range(30):
        pace.start(NOW, high=False)
    assert ask(pace, NOW + 5 * WINDOW) == NEVER
    pace.end(NOW + 5 * WINDOW, high=False)
    assert ask(pace, NOW + 5 * WINDOW) == NEVER
    for _ in range(29):
        pace.end(NOW + 5 * WINDOW, high=False)
    assert ask(pace, NOW + 5 * WINDOW) == NOW + 6 * WINDOW


def test_a_start_that_was_none_gives_its_place_back():
    pace = Pace()
    send(pace, count=29)
    pace.start(NOW, high=False)
    assert ask(pace) == NEVER or ask(pace) > NOW
    pace.cancel(high=False)
    assert ask(pace) == NOW


def test_a_new_owner_goes_on_with_the_minute_of_the_old_one():
    pace = Pace()
    pace.learn([(NOW - 10_000, False)] * 24, NOW)
    assert ask(pace) == NOW + 50_000
    assert ask(pace, high=True) == NOW


@pytest.mark.parametrize("back", [1_000, 60_000, 3_600_000])
def test_a_clock_that_was_set_back_does_not_open_the_pace_and_does_not_close_it_for_longer_than_a_minute(back):
    pace = Pace()
    send(pace, count=30)
    now = NOW - back
    assert ask(pace, now) == now + WINDOW
    assert ask(pace, now + WINDOW) == now + WINDOW
    learned = Pace()
    learned.learn([(NOW, False)] * 30, now)
    assert ask(learned, now) == now + WINDOW


def test_a_limit_of_none_is_none():
    pace = Pace()
    assert ask(pace, per_minute=0) == NOW


@settings(max_examples=100, deadline=None)
@given(
    uploads=st.lists(st.tuples(st.integers(0, 60_000), st.integers(1, 60)), min_size=1, max_size=150),
)
def test_five_minutes_never_hold_more_bytes_than_the_limit_but_of_a_single_upload(uploads):
    volume, now, done = Volume(), NOW, []
    for gap, size in uploads:
        now += gap
        if volume.next_at(now, limit=50, size=size) <= now:
            volume.start(size)
            volume.end(now, size)
            done.append((now, size))
    for at, _ in done:
        inside = [size for other, size in done if at - UPLOAD_WINDOW < other <= at]
        assert sum(inside) <= 50 or len(inside) == 1


def test_an_upload_waits_until_the_first_that_makes_room_is_five_minutes_old():
    volume = Volume()
    for at, size in ((NOW, 30), (NOW + 1_000, 15)):
        volume.start(size)
        volume.end(at, size)
    assert volume.next_at(NOW + 2_000, limit=50, size=5) == NOW + 2_000
    assert volume.next_at(NOW + 2_000, limit=50, size=6) == NOW + UPLOAD_WINDOW
    assert volume.next_at(NOW + 2_000, limit=50, size=40) == NOW + 1_000 + UPLOAD_WINDOW
    assert volume.next_at(NOW + 2_000, limit=50, size=90) == NOW + 1_000 + UPLOAD_WINDOW
    volume.start(5)
    assert volume.next_at(NOW + 2_000, limit=50, size=46) == NEVER


def test_uploads_of_a_former_owner_count_and_a_clock_set_back_does_not_drop_them():
    volume = Volume()
    volume.learn([(NOW, 40)], NOW - HOUR)
    assert volume.next_at(NOW - HOUR, limit=50, size=11) == NOW - HOUR + UPLOAD_WINDOW


@settings(max_examples=100, deadline=None)
@given(sends=st.lists(st.tuples(st.integers(0, 3 * HOUR), st.integers(1, 40)), min_size=1, max_size=120))
def test_twenty_four_hours_never_hold_more_recipients_than_the_limit(sends):
    day, now, done = Day(), NOW, []
    for gap, recipients in sends:
        now += gap
        if day.room_at(now, limit=100, recipients=recipients) <= now:
            day.take(now, recipients)
            done.append((now, recipients))
    for at, _ in done:
        assert sum(count for other, count in done if at - DAY_HOURS * HOUR < other <= at) <= 100


def test_a_used_day_waits_for_the_hour_in_which_enough_of_it_is_a_day_old():
    day, hour = Day(), NOW // HOUR
    day.take(NOW, 60)
    day.take(NOW + HOUR, 40)
    assert day.room_at(NOW + HOUR, limit=100, recipients=1) == (hour + 25) * HOUR
    assert day.room_at(NOW + HOUR, limit=100, recipients=61) == (hour + 26) * HOUR
    assert day.room_at((hour + 25) * HOUR, limit=100, recipients=60) == (hour + 25) * HOUR
    assert day.room_at(NOW + HOUR, limit=0, recipients=1_000) == NOW + HOUR


def test_what_was_certainly_not_sent_does_not_count():
    day = Day()
    day.take(NOW, 100)
    assert day.room_at(NOW, limit=100, recipients=1) > NOW
    day.give_back(NOW, 30)
    assert day.room_at(NOW, limit=100, recipients=30) == NOW
    assert day.used(NOW) == 70


def test_more_recipients_than_the_day_go_alone_rather_than_never():
    day = Day()
    assert day.room_at(NOW, limit=10, recipients=11) == NOW
    day.take(NOW, 11)
    until = day.room_at(NOW, limit=10, recipients=11)
    assert until > NOW
    assert day.room_at(until, limit=10, recipients=11) == until


def test_what_other_workers_sent_counts_and_what_is_not_written_yet_is_not_forgotten():
    day, hour = Day(), NOW // HOUR
    day.take(NOW, 5)
    day.merge([(hour, 3), (hour - 1, 7)], NOW)
    assert day.used(NOW) == 12
    day.merge([(hour, 9)], NOW)
    assert day.used(NOW) == 9


def test_hours_that_lie_in_the_future_count_as_this_hour():
    day = Day()
    day.take(NOW + 30 * HOUR, 100)
    assert day.room_at(NOW, limit=100, recipients=1) == (NOW // HOUR + 25) * HOUR
