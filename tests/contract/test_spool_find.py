"""Lists and records: every filter, pages without gaps, other people's spelling of addresses."""

from pathlib import Path

import pytest

from posthouse.message import Status
from posthouse.records import Filters
from tests.contract.spools import HOUR, LATER, NOON, SECOND, SENT, House, house

pytestmark = pytest.mark.usefixtures("engine")


async def found(spool: House, **filters) -> list[str]:
    page = await spool.spool.find(Filters(**filters), now=spool.clock.at)
    return [record.id for record in page.records]


async def test_a_list_is_newest_first_and_its_pages_have_no_gaps(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        ids = [await spool.put() for _ in range(7)][::-1]
        first = await spool.spool.find(Filters(limit=3), now=NOON)
        assert ([r.id for r in first.records], first.has_more) == (ids[:3], True)
        second = await spool.spool.find(Filters(limit=3, after=ids[2]), now=NOON)
        assert ([r.id for r in second.records], second.has_more) == (ids[3:6], True)
        last = await spool.spool.find(Filters(limit=3, after=ids[5]), now=NOON)
        assert ([r.id for r in last.records], last.has_more) == (ids[6:], False)
        back = await spool.spool.find(Filters(limit=3, before=ids[5]), now=NOON)
        assert ([r.id for r in back.records], back.has_more) == (ids[2:5], True)
        assert await found(spool, before=ids[0]) == []


async def test_a_page_goes_on_after_a_message_that_was_purged(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        old = await spool.put()
        spool.clock.at += SECOND
        gone = await spool.go(SENT, Status.SENT, account="other@contoso.com")
        spool.clock.at += SECOND
        young = await spool.put()
        await spool.spool.purge(now=NOON + HOUR, retention=1.0, content_retention=1.0, most=99)
        assert await spool.spool.get(gone.id, now=NOON) is None
        assert await found(spool, after=gone.id) == [old]
        assert await found(spool, before=gone.id) == [young]


async def test_the_shown_statuses_are_views_of_queued_rows(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        deferred = await spool.go(LATER, Status.QUEUED, finish={"due_at": NOON + HOUR})
        scheduled = await spool.put(due_at=NOON + HOUR)
        queued = await spool.put(account="b@contoso.com")
        sent = await spool.go(SENT, Status.SENT, account="c@contoso.com")
        assert await found(spool, status=Status.DEFERRED) == [deferred.id]
        shown = [await spool.status(m) for m in (deferred.id, scheduled, queued, sent.id)]
        assert shown == [Status.DEFERRED, Status.SCHEDULED, Status.QUEUED, Status.SENT]
        assert await found(spool, status=Status.SCHEDULED) == [scheduled]
        assert await found(spool, status=Status.QUEUED) == [queued]
        assert await found(spool, status=Status.SENT) == [sent.id]
        spool.clock.at += HOUR
        assert await found(spool, status=Status.SCHEDULED) == []
        assert await found(spool, status=Status.QUEUED) == [queued, scheduled]


CASES = [
    ({"sender": "Eva@Contoso.com"}, {"sender": "eva@contoso.com"}),
    ({"to": ("Bob@Fabrikam.com", "x@y.de")}, {"recipient": "bob@fabrikam.com"}),
    ({"subject": "100 % off_now"}, {"subject": "% OFF_"}),
    ({"reference": "order-1"}, {"reference": "order-1"}),
    ({"message_id": "<x@y>"}, {"message_id": "<x@y>"}),
    ({"tags": {"run": "7", "team": "a b"}}, {"tags": {"team": "a b", "run": "7"}}),
    ({"client": "crm"}, {"client": "crm"}),
    ({"door": "smtp"}, {"door": "smtp"}),
    ({"accepted_at": NOON + 5}, {"created_after": NOON + 4}),
    ({"accepted_at": NOON - 5}, {"created_before": NOON - 4}),
]


@pytest.mark.parametrize(("changes", "filters"), CASES, ids=[next(iter(filters)) for _, filters in CASES])
async def test_a_filter_finds_what_it_names_and_nothing_else(
    tmp_path: Path, changes: dict[str, object], filters: dict[str, object]
) -> None:
    async with house(tmp_path) as spool:
        plain = {"to": ("someone@else.de",), "subject": "100 times off now", "tags": {"run": "7", "team": "b"}}
        await spool.put(**plain)
        wanted = await spool.put(**changes)
        await spool.put(**plain)
        assert await found(spool, **filters) == [wanted]


async def test_filters_narrow_together(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put(client="crm", reference="r")
        wanted = await spool.put(reference="r")
        await spool.put()
        assert await found(spool, client="shop", reference="r", status=Status.QUEUED) == [wanted]


async def test_the_transport_filter_is_about_the_last_attempt(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(LATER, Status.QUEUED, finish={"due_at": NOON, "next_transport": "smtp"})
        assert await found(spool, transport="graph") == [row.id]
        lease = await spool.lease()
        (again,) = await spool.due(lease.lane)
        await spool.spool.mark(spool.mark_of(again, fence=lease.fence, transport="smtp"))
        assert await found(spool, transport="graph") == []
        assert await found(spool, transport="smtp") == [row.id]
        assert [a.transport for a in await spool.spool.attempts(row.id)] == ["graph", "smtp"]


async def test_what_does_not_exist_is_none(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        nobody = spool.new().id
        assert await spool.spool.get(nobody, now=NOON) is None
        assert await spool.spool.key_of(nobody) is None
        assert await spool.spool.content(99) is None
        assert (await spool.spool.attempts(nobody), await spool.spool.events(nobody)) == ([], [])


async def test_events_are_in_the_order_of_their_commits(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        rows = [await spool.go(SENT, Status.SENT) for _ in range(3)]
        positions = [event.position for row in rows for event in await spool.spool.events(row.id)]
        assert positions == sorted(positions)
        assert len(set(positions)) == 9
