"""How fast a client may submit: windows that neither a burst nor a second process gets around."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.identities import Use
from posthouse.policy import Terms
from posthouse.rates import MINUTE, Rates
from posthouse.refusal import Condition, Refused

NOW = 1_000_000 * MINUTE
SLOW = Terms(rate_per_minute=3)


def test_a_client_without_a_rate_is_never_counted() -> None:
    rates = Rates()
    assert [rates.take("shop", Terms(), count=100, now=NOW) for _ in range(100)] == [NOW] * 100
    assert not rates.news()


def test_the_fourth_of_a_minute_is_refused_with_the_second_to_the_next() -> None:
    rates = Rates()
    for second in (0, 10, 20):
        rates.take("shop", SLOW, count=1, now=NOW + second * 1000)
    with pytest.raises(Refused) as refused:
        rates.take("shop", SLOW, count=1, now=NOW + 25_000)
    assert (refused.value.condition, refused.value.retry_after) == (Condition.QUOTA_EXCEEDED, 35)
    assert "3 a minute" in refused.value.detail
    assert rates.take("shop", SLOW, count=1, now=NOW + 60_000) == NOW + 60_000
    rates.take("other", SLOW, count=3, now=NOW + 25_000)


def test_what_comes_too_fast_may_wait_instead_each_at_its_place() -> None:
    rates, terms = Rates(), Terms(rate_per_minute=2, over_rate="delay")
    places = [rates.take("printer", terms, count=1, now=NOW + i) for i in range(6)]
    assert [place // MINUTE - NOW // MINUTE for place in places] == [0, 0, 1, 1, 2, 2]


def test_more_at_once_than_the_rate_is_refused_for_good() -> None:
    with pytest.raises(Refused) as refused:
        Rates().take("shop", Terms(rate_per_minute=3, over_rate="delay"), count=4, now=NOW)
    assert refused.value.retry_after is None


def test_a_day_counts_across_its_minutes() -> None:
    rates, terms = Rates(), Terms(rate_per_day=2)
    rates.take("shop", terms, count=1, now=NOW)
    rates.take("shop", terms, count=1, now=NOW + 600 * MINUTE)
    with pytest.raises(Refused) as refused:
        rates.take("shop", terms, count=1, now=NOW + 700 * MINUTE)
    assert refused.value.retry_after == 740 * 60
    assert rates.take("shop", terms, count=1, now=NOW + 1440 * MINUTE)


def test_what_was_not_kept_does_not_count() -> None:
    rates = Rates()
    at = rates.take("shop", SLOW, count=3, now=NOW)
    rates.give_back("shop", count=3, at=at)
    assert rates.take("shop", SLOW, count=3, now=NOW) == NOW


def test_what_other_processes_and_the_one_before_took_counts() -> None:
    rates = Rates()
    rates.learn([Use("shop", NOW // MINUTE, 2)])
    rates.take("shop", SLOW, count=1, now=NOW)
    with pytest.raises(Refused):
        rates.take("shop", SLOW, count=1, now=NOW + 1)
    uses = rates.news()
    assert uses == rates.news() == (Use("shop", NOW // MINUTE, 1),)
    rates.told(uses)
    assert rates.news() == ()


def test_what_is_left_is_told_of_each_rate() -> None:
    rates, terms = Rates(), Terms(rate_per_minute=3, rate_per_day=100)
    rates.take("shop", terms, count=3, now=NOW)
    minute, day = rates.left("shop", terms, now=NOW + 1000)
    assert (minute.name, minute.quota, minute.window, minute.remaining, minute.reset) == ("minute", 3, 60, 0, 59)
    assert (day.name, day.quota, day.window, day.remaining, day.reset) == ("day", 100, 86_400, 97, 0)


@given(
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 3)), max_size=60),
    st.integers(3, 6),
    st.integers(6, 20),
)
def test_no_window_ever_holds_more_than_its_rate(steps: list[tuple[int, int]], minute: int, day: int) -> None:
    rates, terms, now, places = Rates(), Terms(rate_per_minute=minute, rate_per_day=day, over_rate="delay"), NOW, []
    for ahead, count in steps:
        now += ahead
        at = rates.take("shop", terms, count=count, now=now)
        assert at >= now
        places += [at] * count
    for at in places:
        assert sum(1 for one in places if at - MINUTE < one <= at) <= minute
        assert sum(1 for one in places if at // MINUTE - 1440 < one // MINUTE <= at // MINUTE) <= day
