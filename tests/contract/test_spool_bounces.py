"""What Exchange says later, in the spool: which mailboxes are read, what a report belongs to, and that it is told once."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from posthouse.message import Message, Status
from posthouse.outcome import RefusedRecipient
from posthouse.records import Bounce, Bounced, Erasure, Inbox, InboxAsk, TenantBounce
from tests.contract.spools import DAY, LATER, LOST, NOON, SECOND, SENT, SHOP, House, house

pytestmark = pytest.mark.usefixtures("engine")

READERS = {"graph": "graph", "smtp": "graph"}
ANN, BOB = "ann@fabrikam.com", "bob@fabrikam.com"
MINE = "<order@contoso.com>"


def ask(spool: House, *, most: int = 9) -> InboxAsk:
    now = spool.clock.now()
    return InboxAsk(now=now, since=now - 3 * DAY, until=now + 120 * SECOND, readers=READERS, most=most)


async def due(spool: House) -> list[Inbox]:
    return list(await spool.spool.inboxes(ask(spool)))


async def sent(spool: House, **changes) -> Message:
    return await spool.go(SENT, Status.SENT, **changes)


def inbox(row: Message) -> Inbox:
    return Inbox(lane=row.lane, account=row.account, transport="graph", since=NOON, cursor=None)


def bounce(message_id: str, *addresses: str, report: str = "r1", code: str = "5.1.1") -> Bounce:
    fix = "bounce.recipient_unknown"
    return Bounce(
        report=report,
        message_id=message_id,
        addresses=addresses or (BOB,),
        code=code,
        reply=550,
        text="550 no",
        fix=fix,
    )


async def save(spool: House, row: Message, *found: Bounce, cursor: str = "c1", in_: int = 60 * SECOND) -> list[Bounced]:
    now = spool.clock.now()
    return list(await spool.spool.save_bounces(inbox(row), found=found, cursor=cursor, now=now, next_at=now + in_))


async def test_a_mailbox_is_read_that_sent_something_in_the_last_days_from_its_first_mail_on(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.go(LATER, Status.QUEUED, finish={"due_at": NOON + DAY}, account="quiet@contoso.com")
        first = await sent(spool)
        spool.clock.at += SECOND
        await sent(spool, by="smtp")
        await sent(spool, by="other", account="other@contoso.com")
        found = await due(spool)
        assert found == [Inbox(lane=first.lane, account=SHOP, transport="graph", since=NOON, cursor=None)]
        spool.clock.at += 3 * DAY
        assert await due(spool) == []


async def test_a_mailbox_is_read_again_at_its_time_from_where_reading_ended(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await sent(spool)
        await save(spool, row, cursor="https://graph.example/delta?$deltatoken=1")
        assert await due(spool) == []
        spool.clock.at += 60 * SECOND
        (found,) = await due(spool)
        assert found.cursor == "https://graph.example/delta?$deltatoken=1"
        assert "deltatoken" not in repr(found)
        await spool.spool.save_bounces(found, found=(), cursor=None, now=spool.clock.now(), next_at=spool.clock.now())
        (found,) = await due(spool)
        assert found.cursor == "https://graph.example/delta?$deltatoken=1"


async def test_a_bounce_is_an_event_of_its_message_which_stays_sent(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await sent(spool, message_id=MINE, to=(ANN, BOB))
        assert await save(spool, row, bounce(MINE, "Bob@Fabrikam.com")) == [
            Bounced(id=row.id, recipient=BOB, code="5.1.1", fix="bounce.recipient_unknown")
        ]
        event = (await spool.spool.events(row.id))[-1]
        assert (event.type, event.data) == (
            "message.bounced",
            {"recipient": BOB, "transport": "graph", "code": "5.1.1", "reply": 550, "text": "550 no"}
            | {"fix": "bounce.recipient_unknown"},
        )
        record = await spool.record(row.id)
        assert record.status is Status.SENT
        assert [(one.recipient, one.code, one.text, one.at) for one in record.bounces] == [
            (BOB, "5.1.1", "550 no", NOON)
        ]
        page = await spool.spool.feed(after=None, types={"message.bounced"}, client=None, most=9)
        assert [one.event.message_id for one in page.events] == [row.id]


async def test_the_same_report_read_twice_or_by_two_at_once_is_told_once(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await sent(spool, message_id=MINE, to=(ANN, BOB))
        found = (bounce(MINE, ANN), bounce(MINE, BOB))
        both = await asyncio.gather(save(spool, row, *found), save(spool, row, *found))
        assert sorted(len(one) for one in both) == [0, 2]
        assert await save(spool, row, *found) == []
        assert (await spool.history(row.id)).count("bounced") == 2
        assert len(await save(spool, row, bounce(MINE, BOB, report="r2"))) == 1


async def test_of_messages_that_share_a_message_id_the_latest_to_the_recipient_bounced(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await sent(spool, message_id=MINE, to=(BOB,))
        second = await sent(spool, message_id=MINE, to=(BOB,))
        await sent(spool, message_id=MINE, to=(ANN,))
        (found,) = await save(spool, second, bounce(MINE, BOB))
        assert found.id == second.id
        assert await save(spool, second, bounce(MINE, "member@fabrikam.com")) == []


async def test_where_only_one_has_the_message_id_a_list_s_member_bounces_it_too(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await sent(spool, message_id=MINE, to=("everybody@fabrikam.com",))
        (found,) = await save(spool, row, bounce(MINE, "alias@fabrikam.com", "member@fabrikam.com"))
        assert (found.id, found.recipient) == (row.id, "member@fabrikam.com")


async def test_a_report_about_another_s_mail_is_nobody_s(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await sent(spool)
        other = await sent(spool, account="other@contoso.com", message_id=MINE)
        failed = await spool.go(LATER, Status.QUEUED, finish={"due_at": NOON + DAY}, message_id="<failed@contoso.com>")
        assert await save(spool, row, bounce(MINE), bounce("<x@y.example>"), bounce("<failed@contoso.com>")) == []
        assert "bounced" not in await spool.history(other.id)
        assert "bounced" not in await spool.history(failed.id)


async def test_a_doubtful_message_that_bounced_is_told_and_still_settled(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(LOST, Status.UNCONFIRMED, finish={"look_at": NOON + SECOND}, message_id=MINE)
        assert len(await save(spool, row, bounce(MINE))) == 1
        assert await spool.status(row.id) is Status.UNCONFIRMED


async def test_reports_that_refuse_the_tenant_are_told_latest_first(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await sent(spool, message_id=MINE)
        await save(spool, row, bounce(MINE, report="r0"), bounce(MINE, report="r1", code="5.7.232"))
        spool.clock.at += SECOND
        await save(spool, row, bounce(MINE, report="r2", code="5.7.233"))
        assert list(await spool.spool.tenant_bounces(since=NOON)) == [
            TenantBounce(SHOP, "5.7.233", NOON + SECOND),
            TenantBounce(SHOP, "5.7.232", NOON),
        ]
        assert len(await spool.spool.tenant_bounces(since=NOON + 1)) == 1


async def test_nothing_of_a_bounce_is_left_of_an_erased_or_a_purged_message(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        erased = await sent(spool, message_id=MINE, to=(ANN,))
        purged = await sent(spool, message_id="<old@contoso.com>", to=(BOB,))
        await save(spool, erased, bounce(MINE, ANN), bounce("<old@contoso.com>", BOB))
        await spool.spool.erase(Erasure(recipient=ANN, at=NOON, by="dpo"))
        assert await spool.ask("select recipient from bounces") == [(BOB,)]
        assert not any(ANN in str(event.data) for event in await spool.spool.events(erased.id))
        assert await save(spool, erased, bounce(MINE, ANN)) == []
        spool.clock.at += 40 * DAY
        for _ in range(3):
            await spool.spool.purge(now=spool.clock.now(), retention=30 * 86_400.0, content_retention=86_400.0, most=99)
        assert await spool.spool.get(purged.id, now=spool.clock.now()) is None
        assert await spool.ask("select recipient from bounces") == []


@pytest.mark.engine("postgres")
async def test_of_two_workers_one_reads_a_mailbox_and_the_other_when_that_gave_up(tmp_path: Path) -> None:
    async with house(tmp_path) as one, house(tmp_path, clock=one.clock, owner="other") as other:
        row = await sent(one)
        looks = await asyncio.gather(due(one), due(other))
        assert sorted(len(look) for look in looks) == [0, 1]
        one.clock.at += 120 * SECOND
        assert len(await due(other)) == 1
        one.clock.at += 120 * SECOND
        held, _ = await one.start()
        assert held.lane == row.lane
        assert await due(other) == []
        assert len(await due(one)) == 1


async def test_a_bounce_moves_no_cursor_of_another_transport(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await sent(spool)
        await save(spool, row, cursor="c1")
        elsewhere = replace(inbox(row), transport="graph2")
        now = spool.clock.now()
        await spool.spool.save_bounces(elsewhere, found=(), cursor="c2", now=now, next_at=now)
        spool.clock.at += 60 * SECOND
        assert [one.cursor for one in await due(spool)] == ["c1"]


async def test_whom_the_server_refused_at_once_does_not_bounce_by_our_own_report(tmp_path: Path) -> None:
    refused = (RefusedRecipient(BOB, 550, "5.1.1 no"),)
    async with house(tmp_path) as spool:
        row = await spool.go(replace(SENT, refused=refused), Status.SENT, message_id=MINE, to=(ANN, BOB))
        assert await save(spool, row, bounce(MINE, BOB)) == []
        assert len(await save(spool, row, bounce(MINE, ANN))) == 1


async def test_after_the_clock_was_set_back_a_mailbox_waits_no_longer_than_it_was_made_to(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await sent(spool)
        await save(spool, row)
        back = NOON - DAY
        await spool.spool.turn_back(now=back)
        (found,) = await spool.ask("select next_at from inboxes")
        assert found[0] <= back + 60 * SECOND
