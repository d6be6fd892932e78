"""The drafts that final messages left are taken away in the mailbox's own time (FACTS A5)."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from posthouse.board import Board
from posthouse.message import Bytes, Content, Message, Status
from posthouse.ports import Broom
from posthouse.records import DraftNote, DraftState
from posthouse.sandbox.chaos import Rule, Target
from posthouse.sandbox.emulator import Emulator
from posthouse.strays import AGAIN, Strays, Tools
from posthouse.transports.graph.transport import MIME_LIMIT, GraphTransport
from tests.contract.spools import LATER, SENT, SHOP, House, house
from tests.contract.transport_kit import Notes, dispatch, graph_to, tokens_of

pytest_plugins = ["posthouse.sandbox.pytest_plugin"]

LARGE = Bytes(
    b"--b\r\nContent-Type: text/plain\r\n\r\nHello\r\n--b\r\nContent-Type: image/png\r\n\r\n"
    + b"x" * 998
    + b"\r\n" * MIME_LIMIT
    + b"--b--\r\n"
)


@dataclass
class Place:
    """A spool, a mailbox, and what sweeps between them."""

    house: House
    graph: GraphTransport
    emulator: Emulator
    board: Board

    def strays(self, **brooms: Broom) -> Strays:
        tools = Tools(
            spool=self.house.spool,
            brooms=brooms or {"graph": self.graph},
            board=self.board,
            clock=self.house.clock,
            after=0.0,
            concurrent=4,
        )
        return Strays(tools)

    async def message_with_draft(self) -> tuple[Message, str]:
        """A message whose first attempt left a complete draft that was not sent."""
        self.emulator.world.faults = [Rule(target=Target.SEND, fault="429", times=1)]
        row, lease = await self.house.start()
        self.board.take(lease.lane)
        notes = Notes()
        content = Content(dispatch(row, headers=b"Content-Type: multipart/mixed; boundary=b\r\n").content.header, LARGE)
        await self.graph.send(replace(dispatch(row, notes=notes), content=content))
        for note in notes.drafts:
            assert await self.house.spool.note_draft(key=row.key, number=1, note=note)
        await self.house.finish(row, LATER, Status.QUEUED, due_at=self.house.clock.now())
        (row,) = await self.house.due(lease.lane)
        assert await self.house.spool.mark(self.house.mark_of(row, fence=lease.fence, transport="smtp"))
        return row, notes.drafts[-1].id or ""

    @property
    def drafts(self) -> set[str]:
        return set(self.emulator.world.drawer.drafts)


@pytest.fixture
async def place(tmp_path: Path, microsoft365: Emulator) -> AsyncGenerator[Place]:
    settings = microsoft365.world.settings
    microsoft365.world.settings = replace(settings, grants=settings.grants | {"Mail.ReadWrite"})
    async with (
        house(tmp_path) as opened,
        tokens_of(microsoft365) as tokens,
        graph_to(microsoft365.graph_url, tokens, microsoft365.ca_file, drafts=True) as graph,
    ):
        yield Place(opened, graph, microsoft365, Board())


async def test_a_draft_is_taken_away_when_its_message_has_gone_another_way_and_not_before(place: Place) -> None:
    row, draft = await place.message_with_draft()
    await place.strays().once()
    assert place.drafts == {draft}
    await place.house.finish(row, SENT, Status.SENT)
    await place.strays().once()
    assert place.drafts == set()
    looks = place.emulator.world.counters.lookups
    await place.strays().once()
    assert place.emulator.world.counters.lookups == looks


async def test_a_message_that_left_nothing_but_its_mail_costs_no_request(place: Place) -> None:
    row, lease = await place.house.start()
    place.board.take(lease.lane)
    for state in (DraftState.BEGUN, DraftState.SUBMITTED):
        id_ = "d1" if state is DraftState.SUBMITTED else None
        assert await place.house.spool.note_draft(key=row.key, number=1, note=DraftNote(state, id_))
    await place.house.finish(row, SENT, Status.SENT)
    await place.strays().once()
    assert place.emulator.world.counters.lookups == 0
    assert await place.house.spool.strays(now=place.house.clock.now(), after=0.0, most=9, lanes={lease.lane}) == []


async def test_a_mailbox_whose_slots_are_taken_is_swept_in_the_next_round(place: Place) -> None:
    row, draft = await place.message_with_draft()
    await place.house.finish(row, SENT, Status.SENT)
    lane = place.board.lane(SHOP)
    for _ in range(3):  # one of four is kept for priority high
        lane.want_look()
        assert lane.start_look(4, place.house.clock.now())
    await place.strays().once()
    assert place.drafts == {draft}
    lane.end_look()
    await place.strays().once()
    assert place.drafts == set()
    assert lane.in_flight == 2


@pytest.mark.parametrize("why", ["transport", "Graph"])
async def test_what_cannot_be_swept_now_is_swept_later(place: Place, why: str) -> None:
    """Its transport is not in the settings for now, or Graph does not answer."""
    gone = why == "transport"
    row, draft = await place.message_with_draft()
    await place.house.finish(row, SENT, Status.SENT)
    place.emulator.world.faults = [] if gone else [Rule(target=Target.LOOKUP, fault="503")]
    await place.strays(**({"another": place.graph} if gone else {})).once()
    place.emulator.world.faults = []
    place.house.clock.at += AGAIN - 1
    await place.strays().once()
    assert place.drafts == {draft}
    place.house.clock.at += 1
    await place.strays().once()
    assert place.drafts == set()
