"""The feed: every event once, in the order of commits, from a cursor on (CONTRACT §2.1)."""

import asyncio
from pathlib import Path

import pytest

from posthouse.message import Status
from posthouse.ports import LATEST
from posthouse.records import FeedEvent, FeedPage
from posthouse.spool.postgres import feeding as feeding_postgres
from posthouse.spool.sqlite import feeding
from tests.contract.spools import DAY, NOON, SENT, House, house

pytestmark = pytest.mark.usefixtures("engine")


def place(cursor: str) -> list[int]:
    """A cursor as numbers: places in the feed come one after the other."""
    return [int(part) for part in cursor.split(".")]


async def page(
    spool: House, after: str | None = None, *, most: int = 100, client: str | None = None, **types
) -> FeedPage:
    return await spool.spool.feed(after=after, types=types.get("types", ()), client=client, most=most)


async def whole(spool: House, *, most: int = 3, **filters) -> list[FeedEvent]:
    """The feed from its beginning, page by page."""
    found: list[FeedEvent] = []
    cursor = None
    while True:
        one = await page(spool, cursor, most=most, **filters)
        found += one.events
        if not one.has_more:
            return found
        cursor = one.next


async def test_every_event_of_every_message_comes_once_and_in_order(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        rows = [await spool.go(SENT, Status.SENT, account=f"{n}@contoso.com") for n in range(5)]
        found = await whole(spool)
        places = [place(one.event.position) for one in found]
        assert places == sorted(places)
        assert len({one.event.position for one in found}) == 15
        for row in rows:
            told = [one.event for one in found if one.event.message_id == row.id]
            assert told == list(await spool.spool.events(row.id))
            assert [one.type for one in told] == ["message.accepted", "message.sending", "message.sent"]


async def test_an_event_carries_what_its_client_wants_to_be_told_by(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put(reference="order-7", metadata={"shop": {"id": 7}}, client="erp")
        (one,) = await whole(spool)
        assert (one.client, one.reference, one.metadata) == ("erp", "order-7", {"shop": {"id": 7}})


async def test_a_reader_sees_only_its_own_client_and_the_types_it_asks_for(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        own = await spool.go(SENT, Status.SENT, client="erp")
        await spool.go(SENT, Status.SENT, account="b@contoso.com")
        assert {one.event.message_id for one in await whole(spool, client="erp")} == {own.id}
        sent = await whole(spool, types=("message.sent", "message.failed"))
        assert [one.event.type for one in sent] == ["message.sent", "message.sent"]


async def test_a_reader_of_few_among_many_comes_on_without_looking_at_all_of_them_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for engine in (feeding, feeding_postgres):
        monkeypatch.setattr(engine, "SCANNED", 10)
    async with house(tmp_path) as spool:
        for n in range(30):
            await spool.put(account=f"{n}@contoso.com")
        own = await spool.put(client="erp", account="erp@contoso.com")
        first = await page(spool, client="erp")
        assert (first.events, first.has_more) == ((), True)
        assert first.next == (await page(spool, most=10)).next
        assert [one.event.message_id for one in await whole(spool, client="erp")] == [own]


async def test_at_the_end_a_reader_gets_a_cursor_that_goes_on(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        empty = await page(spool)
        assert (empty.events, empty.has_more, empty.gap) == ((), False, False)
        await spool.put()
        end = await page(spool, LATEST)
        assert (end.events, end.has_more) == ((), False)
        again = await page(spool, end.next)
        assert (again.events, again.has_more, again.gap) == ((), False, False)
        later = await spool.put()
        assert [one.event.message_id for one in (await page(spool, end.next)).events] == [later]


async def test_a_cursor_older_than_what_is_kept_goes_on_with_what_there_is_and_says_so(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.go(SENT, Status.SENT)
        seen = (await page(spool, most=1)).next
        spool.clock.at += 40 * DAY
        kept = await spool.put()
        end = (await page(spool, LATEST)).next
        await spool.spool.purge(now=spool.clock.at, retention=30 * 86_400.0, content_retention=0.0, most=100)
        found = await page(spool, seen)
        assert [one.event.message_id for one in found.events] == [kept]
        assert found.gap
        assert not (await page(spool, found.next)).gap
        assert not (await page(spool, end)).gap
        assert not (await page(spool)).gap


async def test_a_cursor_of_a_life_that_a_backup_ended_begins_anew_and_says_so(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        found = await page(spool, "4711" if hasattr(spool.spool, "_writer") else "999999999999.7")
        assert found.gap
        assert len(found.events) == 1


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5.2", "9" * 30, "１", "9" * 30 + ".1"])
async def test_what_is_no_cursor_is_refused(tmp_path: Path, cursor: str) -> None:
    async with house(tmp_path) as spool:
        with pytest.raises(ValueError, match="no such place"):
            await page(spool, cursor)


async def test_whoever_waits_for_the_feed_hears_of_every_commit(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        heard = asyncio.Event()
        spool.spool.on_commit(heard.set)
        await spool.put()
        await asyncio.wait_for(heard.wait(), 5)


async def test_what_a_mailbox_sent_is_known_after_its_messages_are_purged(tmp_path: Path) -> None:
    """Else an unknown mailbox would be taken for a typing error, and its mail would fail instead of waiting."""
    async with house(tmp_path) as spool:
        row = await spool.go(SENT, Status.SENT)
        spool.clock.at = NOON + 40 * DAY
        await spool.spool.purge(now=spool.clock.at, retention=30 * 86_400.0, content_retention=0.0, most=100)
        assert await spool.spool.get(row.id, now=spool.clock.at) is None
        assert await spool.spool.proven() == {row.account}
