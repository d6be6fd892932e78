"""The concurrency of an app finds its limit: rises slowly, halves when several lanes are throttled (PROMISES §7)."""

from posthouse.concurrency import FIRST, LEAST, MOST, Ceiling

NOW = 1_800_000_000_000


def busy(ceiling: Ceiling) -> None:
    while ceiling.free:
        ceiling.start()


def test_it_rises_by_one_after_as_many_successes_as_it_is_high_and_only_where_it_is_used():
    ceiling = Ceiling()
    for _ in range(100):
        ceiling.succeeded()
    assert ceiling.limit == FIRST
    busy(ceiling)
    for _ in range(FIRST):
        ceiling.succeeded()
    assert ceiling.limit == FIRST + 1
    for _ in range(100_000):
        ceiling.succeeded()
        busy(ceiling)
    assert ceiling.limit == MOST


def test_two_lanes_throttled_within_ten_seconds_halve_it_and_one_alone_never_does():
    ceiling = Ceiling()
    assert not any(ceiling.throttled(NOW + at, "a@contoso.com") for at in range(0, 60_000, 100))
    assert ceiling.limit == FIRST
    assert not ceiling.throttled(NOW + 200_000, "b@contoso.com")
    assert ceiling.throttled(NOW + 209_999, "c@contoso.com")
    assert ceiling.limit == FIRST // 2


def test_what_left_before_a_halving_does_not_halve_again_and_it_never_falls_below_the_stricter_reading():
    ceiling = Ceiling()
    lanes = [f"{number}@contoso.com" for number in range(10)]
    for lane in lanes:
        ceiling.throttled(NOW, lane)
    assert ceiling.limit == FIRST // 2
    for round_ in range(1, 10):
        for lane in lanes:
            ceiling.throttled(NOW + round_ * 10_000, lane)
    assert ceiling.limit == LEAST


def test_a_clock_set_back_does_not_keep_it_from_halving():
    ceiling = Ceiling()
    for lane in ("a", "b"):
        ceiling.throttled(NOW, lane)
    for lane in ("a", "b"):
        ceiling.throttled(NOW - 3_600_000, lane)
    assert ceiling.limit == FIRST // 4


def test_who_waits_longest_is_called_first_one_for_each_that_ends():
    ceiling, called = Ceiling(), []
    busy(ceiling)

    def first() -> None:
        called.append("first")

    def second() -> None:
        called.append("second")

    for who in (first, second, first):
        ceiling.wait(who)
    assert not called
    ceiling.end()
    assert called == ["first"]
    ceiling.offer()
    assert called == ["first", "second"]
    ceiling.offer()
    ceiling.leave(first)
    assert called == ["first", "second"]


def test_half_of_it_must_be_used_for_a_success_to_count():
    ceiling = Ceiling()
    for _ in range(FIRST // 2):
        ceiling.start()
    for _ in range(10 * FIRST):
        ceiling.succeeded()
    assert ceiling.limit == FIRST
    ceiling.start()
    for _ in range(FIRST):
        ceiling.succeeded()
    assert ceiling.limit == FIRST + 1


def test_after_a_halving_the_slow_rise_begins_again():
    ceiling = Ceiling()
    busy(ceiling)
    for _ in range(FIRST - 1):
        ceiling.succeeded()
    for lane in ("a", "b"):
        ceiling.throttled(NOW, lane)
    ceiling.succeeded()
    assert ceiling.limit == FIRST // 2


def test_after_a_halving_nothing_starts_before_what_is_under_way_is_below_it():
    ceiling, called = Ceiling(), []
    busy(ceiling)
    for lane in ("a", "b"):
        ceiling.throttled(NOW, lane)
    ceiling.wait(lambda: called.append(1))
    for _ in range(FIRST // 2):
        ceiling.end()
    assert not called
    ceiling.end()
    assert called == [1]
