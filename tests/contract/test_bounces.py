"""Reports are read in the mailbox page by page, and what Graph says against it is obeyed (FACTS E)."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from posthouse.board import Board
from posthouse.bounces import AGAIN, SOON, Bounces, Tools
from posthouse.fixes import Fixes
from posthouse.lanes import Lane
from posthouse.message import Message, Status
from posthouse.records import Bounce, Inbox, NoSight, Post
from posthouse.sandbox.chaos import Rule, Target
from posthouse.sandbox.emulator import Emulator
from posthouse.sandbox.world import Received
from posthouse.transports.graph.letterbox import PAGE, TRIES
from posthouse.transports.graph.transport import GraphTransport
from tests.contract.spools import SECOND, SENT, SHOP, House, house
from tests.contract.transport_kit import dispatch, graph_to, tokens_of

pytest_plugins = ["posthouse.sandbox.pytest_plugin"]

GONE = "bounced@simulator.test"


@dataclass
class Place:
    """A spool, a mailbox, and what reads between them."""

    house: House
    graph: GraphTransport
    emulator: Emulator
    board: Board

    def tools(self, *, slot_seconds: float = 20.0) -> Tools:
        return Tools(
            spool=self.house.spool,
            letterboxes={"graph": self.graph.letterbox},
            board=self.board,
            clock=self.house.clock,
            diagnosis=Fixes(),
            concurrent=4,
            slot_seconds=slot_seconds,
        )

    @property
    def bounces(self) -> Bounces:
        return Bounces(self.tools())

    def full_lane(self) -> Lane:
        """The mailbox's lane without a free slot: one of four is kept for priority high."""
        lane = self.board.lane(SHOP)
        for _ in range(3):
            lane.want_look()
            assert lane.start_look(4, self.house.clock.now())
        return lane

    @property
    def inbox(self) -> Inbox:
        return Inbox(lane=1, account=SHOP, transport="graph", since=self.house.clock.now(), cursor=None)

    @property
    def reads(self) -> int:
        return self.emulator.world.counters.inbox_reads

    async def sent(self, to: str = GONE) -> Message:
        """A message that really left, and is known as sent."""
        row = await self.house.go(SENT, Status.SENT, to=(to,))
        await self.graph.send(dispatch(row, to=to.encode()))
        return row

    def reported(self, count: int) -> Received:
        """So many reports about the latest mail more."""
        mail = self.emulator.world.received[-1]
        for number in range(count):
            self.emulator.world.report(mail, recipient=f"r{number}@example.net", code="5.1.1")
        return mail

    async def read(self, inbox: Inbox) -> Post:
        post = await self.graph.letterbox.read(inbox)
        assert isinstance(post, Post), post
        return post

    async def told(self, row: Message) -> int:
        return (await self.house.history(row.id)).count("bounced")


@pytest.fixture
async def place(tmp_path: Path, microsoft365: Emulator) -> AsyncGenerator[Place]:
    settings = microsoft365.world.settings
    microsoft365.world.settings = replace(settings, grants=settings.grants | {"Mail.Read"})
    async with (
        house(tmp_path) as opened,
        tokens_of(microsoft365) as tokens,
        graph_to(microsoft365.graph_url, tokens, microsoft365.ca_file) as graph,
    ):
        yield Place(opened, graph, microsoft365, Board())


async def test_what_came_is_read_page_by_page_and_then_only_what_is_new(place: Place) -> None:
    await place.sent("ann@example.org")
    place.reported(PAGE + 1)
    first = await place.read(place.inbox)
    assert (len(first.bounces), first.more) == (PAGE, True)
    second = await place.read(replace(place.inbox, cursor=first.cursor))
    assert ([one.addresses for one in second.bounces], second.more) == ([(f"r{PAGE}@example.net",)], False)
    reads = place.reads
    assert (await place.read(replace(place.inbox, cursor=second.cursor))).bounces == ()
    assert place.reads == reads + 1
    place.reported(1)
    (new,) = (await place.read(replace(place.inbox, cursor=second.cursor))).bounces
    assert isinstance(new, Bounce)


async def test_a_report_says_which_mail_did_not_reach_whom_and_why(place: Place) -> None:
    row = await place.sent("bounced+5.2.2@simulator.test")
    (found,) = (await place.read(place.inbox)).bounces
    assert (found.message_id, found.addresses) == (row.message_id, ("bounced+5.2.2@simulator.test",))
    assert (found.code, found.reply, found.fix) == ("5.2.2", 550, "bounce.recipient_full")


async def test_a_delay_is_no_bounce_and_its_report_is_not_even_opened(place: Place) -> None:
    await place.sent("delayed@simulator.test")
    assert (await place.read(place.inbox)).bounces == ()
    assert place.reads == 1


async def test_a_worn_out_cursor_begins_again(place: Place) -> None:
    await place.sent()
    known = await place.read(place.inbox)
    place.emulator.world.faults = [Rule(target=Target.INBOX, fault="410", times=1)]
    again = await place.read(replace(place.inbox, cursor=known.cursor))
    assert again.bounces == known.bounces != ()


async def test_a_cursor_that_leads_elsewhere_is_never_followed(place: Place) -> None:
    await place.sent()
    elsewhere = replace(place.inbox, cursor="https://elsewhere.example/v1.0/users/x/messages/delta?$deltatoken=1")
    assert len((await place.read(elsewhere)).bounces) == 1


async def test_a_report_that_somebody_deleted_meanwhile_holds_up_nothing(place: Place) -> None:
    await place.sent()
    place.reported(1)
    place.emulator.world.faults = [Rule(target=Target.INBOX, fault="404", match="$value", times=1)]
    assert len((await place.read(place.inbox)).bounces) == 1


async def test_a_round_tells_each_report_once_whatever_is_read_again(place: Place) -> None:
    row = await place.sent()
    await place.bounces.once()
    assert await place.told(row) == 1
    await place.house.plant("update inboxes set cursor = null, next_at = 0")
    await place.bounces.once()
    assert await place.told(row) == 1
    assert await place.house.status(row.id) is Status.SENT


async def test_one_report_that_is_not_answered_loses_none_of_its_page(place: Place) -> None:
    row = await place.sent()
    place.emulator.world.faults = [Rule(target=Target.INBOX, fault="503", match="$value", times=1)]
    await place.bounces.once()
    assert await place.told(row) == 0
    place.house.clock.at += SOON
    await place.bounces.once()
    assert await place.told(row) == 1


async def test_without_the_right_a_mailbox_is_asked_again_after_an_hour(place: Place) -> None:
    row = await place.sent()
    settings = place.emulator.world.settings
    place.emulator.world.settings = replace(settings, grants=settings.grants - {"Mail.Read"})
    seen = await place.graph.letterbox.read(place.inbox)
    assert isinstance(seen, NoSight)
    assert (seen.answer.reply, seen.answer.fix) == (403, "graph.report_permission")
    await place.bounces.once()
    reads = place.reads
    place.house.clock.at += AGAIN - 1
    await place.bounces.once()
    assert place.reads == reads
    place.emulator.world.settings = settings
    place.house.clock.at += 1
    await place.bounces.once()
    assert await place.told(row) == 1


async def test_a_mailbox_that_asks_to_wait_is_left_alone_as_long_and_its_sends_too(place: Place) -> None:
    row = await place.sent()
    place.emulator.world.faults = [Rule(target=Target.INBOX, fault="429", retry_after=90.0, times=1)]
    await place.bounces.once()
    reads, now = place.reads, place.house.clock.now()
    assert place.board.lane(SHOP).looks_at(now, "graph") == now + 90 * SECOND
    (lane,) = await place.house.spool.lanes(now=now, account=SHOP)
    assert [(one.transport, one.until) for one in lane.pauses] == [(None, now + 90 * SECOND)]
    place.house.clock.at += 90 * SECOND - 1
    await place.bounces.once()
    assert place.reads == reads
    place.house.clock.at += 1
    await place.bounces.once()
    assert await place.told(row) == 1


async def test_a_busy_lane_is_waited_for_and_never_gets_a_fifth_request(place: Place) -> None:
    row = await place.sent()
    lane = place.full_lane()
    round_ = asyncio.create_task(place.bounces.once())
    async with asyncio.timeout(5):
        while not lane._looks_wanted:
            await asyncio.sleep(0)
    assert place.reads == 0
    lane.end_look()
    await round_
    assert await place.told(row) == 1
    assert lane.in_flight == 2


async def test_a_mailbox_whose_slots_stay_taken_holds_up_nobody_and_is_read_in_another_round(place: Place) -> None:
    row = await place.sent()
    lane = place.full_lane()
    await Bounces(place.tools(slot_seconds=0.0)).once()
    assert place.reads == 0
    assert not lane._looks_wanted
    lane.end_look()
    await place.bounces.once()
    assert await place.told(row) == 1


async def test_a_retry_after_of_nothing_is_no_leave_to_hammer(place: Place) -> None:
    row = await place.sent()
    place.emulator.world.faults = [Rule(target=Target.INBOX, fault="429", retry_after=0.0, times=1)]
    await place.bounces.once()
    await place.bounces.once()
    assert await place.told(row) == 0
    place.house.clock.at += SECOND
    await place.bounces.once()
    assert await place.told(row) == 1


async def test_a_page_that_broke_off_goes_on_behind_what_was_read(place: Place) -> None:
    await place.sent()
    place.reported(2)
    place.emulator.world.faults = [Rule(target=Target.INBOX, fault="503", match="$value", every=2, times=1)]
    assert isinstance(await place.graph.letterbox.read(place.inbox), NoSight)
    reads = place.reads
    assert len((await place.read(place.inbox)).bounces) == 3
    assert place.reads == reads + 3  # the page, and the two reports that were missing


async def test_a_report_that_cannot_be_given_is_left_alone_after_some_tries_and_the_others_are_read(
    place: Place,
) -> None:
    await place.sent()
    place.reported(1)
    place.emulator.world.faults = [Rule(target=Target.INBOX, fault="500", match="$value", times=TRIES)]
    for _ in range(TRIES - 1):
        assert isinstance(await place.graph.letterbox.read(place.inbox), NoSight)
    assert [one.code for one in (await place.read(place.inbox)).bounces] == ["5.1.1"]


async def test_a_report_is_never_given_up_because_the_mailbox_is_throttled(place: Place) -> None:
    await place.sent()
    place.emulator.world.faults = [Rule(target=Target.INBOX, fault="429", match="$value", times=TRIES + 1)]
    for _ in range(TRIES + 1):
        assert isinstance(await place.graph.letterbox.read(place.inbox), NoSight)
    assert len((await place.read(place.inbox)).bounces) == 1
