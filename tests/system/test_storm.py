"""A small storm on both engines: an ill Graph, workers that die, a reader of the feed; ``storm`` blows the great ones."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.system.storm import on_postgres, on_sqlite
from tests.system.tally import Tally, Weather

pytestmark = pytest.mark.timeout(300)
Blow = Callable[[Weather], Awaitable[Tally]]


@pytest.fixture(params=["sqlite", "postgres"])
def blow(tmp_path: Path, request: pytest.FixtureRequest) -> Blow:
    """A storm over one process on SQLite, or over a doors and three workers on PostgreSQL."""
    if request.param == "sqlite":
        return lambda weather: on_sqlite(tmp_path, weather)
    database: str = request.getfixturevalue("database")
    return lambda weather: on_postgres(tmp_path, weather, database)


async def test_an_ill_graph_and_dying_workers_lose_double_hold_and_disorder_nothing(blow: Blow) -> None:
    weather = Weather(
        messages=240,
        mailboxes=10,
        appear_after=1.5,
        kill_every=2,
        kills=3,
        attempt_timeout="1s",
        settle_checks=("2s", "3s"),
    )
    tally = await blow(weather)

    assert len(tally.kills) > 0
    assert (tally.lost, tally.doubled, tally.held) == (0, 0, 0), tally.told
    assert set(tally.statuses) == {"sent"}, tally.told
    assert tally.in_order, tally.told
    assert tally.too_many == 0, tally.told
    assert tally.kept


async def test_where_nobody_dies_an_ill_graph_that_enforces_its_limits_sees_none_of_them_broken(blow: Blow) -> None:
    weather = Weather(
        messages=150, mailboxes=10, appear_after=1.5, kill_every=0, per_minute=30, settle_checks=("2s", "4s")
    )
    tally = await blow(weather)

    assert tally.kept, tally.told
    assert tally.violations == dict.fromkeys(("at_once", "starts", "early", "uploads", "recipients", "connections"), 0)
