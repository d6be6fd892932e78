"""Drafts of Graph in the spool: how far an attempt came, what a dead process leaves of it, what is swept (PROMISES §4, §5)."""

from pathlib import Path

import pytest

from posthouse.message import EarlierDraft, Message, OnUnconfirmed, Status
from posthouse.outcome import Answer, Blocked, Outcome, Scope, TransientFailure
from posthouse.records import Action, DraftNote, DraftState, Lease, Stray, Verdict
from tests.contract.spools import DAY, HOUR, LATER, LOST, NOON, SECOND, SENT, SHOP, House, house

BEGUN, SUBMITTED, MISSING = DraftState.BEGUN, DraftState.SUBMITTED, DraftState.MISSING
THROTTLED = TransientFailure(scope=Scope.MAILBOX, answer=Answer(status="4.4.5", text="slow down", reply=429))
FORBIDDEN = Blocked(scope=Scope.MESSAGE, answer=Answer(status="4.3.5", text="no", code="draft_permission"))
NEW, MADE, DUE, GONE = DraftNote(BEGUN), DraftNote(BEGUN, "d1"), DraftNote(SUBMITTED, "d1"), DraftNote(MISSING, "d1")


async def noted(spool: House, row: Message, *notes: DraftNote, number: int = 1) -> None:
    for note in notes:
        assert await spool.spool.note_draft(key=row.key, number=number, note=note)


async def again(spool: House, lease: Lease, *, transport: str = "graph") -> Message:
    """The next attempt of the message of this lane begins."""
    (row,) = await spool.due(lease.lane)
    assert await spool.spool.mark(spool.mark_of(row, fence=lease.fence, transport=transport))
    return row


async def draft_of(spool: House, row: Message) -> EarlierDraft | None:
    """What the next attempt would know of earlier drafts."""
    (found,) = await spool.due(row.lane)
    return found.draft


async def unsettled(spool: House):
    (item,) = await spool.looks(at=spool.clock.now() + HOUR)
    return item


async def strays(spool: House, *, in_: int = HOUR) -> list[Stray]:
    """What whoever holds all lanes would look for."""
    now = spool.clock.now() + in_
    await spool.spool.strays(now=now, after=60.0, most=9, lanes=())
    taken = await spool.spool.lease(owner="me", now=now, most=99, running=spool.running)
    spool.running |= {lease.lane for lease in taken}
    return list(await spool.spool.strays(now=now, after=60.0, most=9, lanes=spool.running))


async def test_a_message_without_drafts_knows_of_none(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, _ = await spool.start()
        await spool.finish(row, LATER, Status.QUEUED, due_at=NOON)
        assert await draft_of(spool, row) is None
        assert await strays(spool) == []


@pytest.mark.parametrize(
    ("notes", "id_"), [((NEW,), None), ((NEW, MADE), None), ((NEW, MADE, DUE), "d1"), ((NEW, MADE, DUE, GONE), None)]
)
async def test_the_next_attempt_sends_the_draft_that_was_about_to_be_sent_and_no_other(
    tmp_path: Path, notes: tuple[DraftNote, ...], id_: str | None
) -> None:
    async with house(tmp_path) as spool:
        row, _ = await spool.start()
        await noted(spool, row, *notes)
        await spool.finish(row, THROTTLED, Status.QUEUED, due_at=NOON)
        assert await draft_of(spool, row) == EarlierDraft(transport="graph", account=SHOP, id=id_)


async def test_only_the_attempt_under_way_may_note_its_draft(tmp_path: Path) -> None:
    """Who was taken over ends here, before it sends anything."""
    async with house(tmp_path) as spool:
        row, lease = await spool.start()
        await noted(spool, row, NEW, MADE)
        assert not await spool.spool.note_draft(key=row.key, number=2, note=DUE)
        await spool.finish(row, THROTTLED, Status.QUEUED, due_at=NOON)
        assert not await spool.spool.note_draft(key=row.key, number=1, note=DUE)
        await again(spool, lease)
        assert not await spool.spool.note_draft(key=row.key, number=1, note=DUE)
        assert await spool.spool.note_draft(key=row.key, number=2, note=NEW)


@pytest.mark.parametrize("wish", list(OnUnconfirmed))
@pytest.mark.parametrize("notes", [(NEW,), (NEW, MADE)], ids=["before it was made", "before it was sent"])
async def test_what_dies_before_its_draft_is_sent_goes_again_at_once(
    tmp_path: Path, notes: tuple[DraftNote, ...], wish: OnUnconfirmed
) -> None:
    async with house(tmp_path, owner="first") as spool:
        row, lease = await spool.start(on_unconfirmed=wish)
        await noted(spool, row, *notes)
        await spool.die()
    async with house(tmp_path, owner="second") as spool:
        assert await spool.spool.recover(now=NOON, grace=10.0) == 1
        assert spool.woken == {lease.lane}
        assert await spool.next_look() is None
        (due,) = await spool.due(lease.lane)
        assert (due.id, due.attempts, due.due_at) == (row.id, 1, NOON)
        (attempt,) = await spool.spool.attempts(row.id)
        assert (attempt.outcome, attempt.code) == ("transient_failure", "process_died")
        assert (await spool.history(row.id))[-1] == "deferred"


@pytest.mark.parametrize("notes", [(), (NEW, MADE, DUE), (NEW, MADE, DUE, GONE)], ids=str)
async def test_what_dies_later_or_went_another_way_is_in_doubt(tmp_path: Path, notes: tuple[DraftNote, ...]) -> None:
    async with house(tmp_path, owner="first") as spool:
        row, _ = await spool.start()
        await noted(spool, row, *notes)
        await spool.die()
    async with house(tmp_path, owner="second") as spool:
        assert await spool.spool.recover(now=NOON, grace=10.0) == 1
        assert await spool.status(row.id) is Status.UNCONFIRMED
        item = await unsettled(spool)
        assert (item.draft, item.strays) == (("d1", True) if notes else (None, False))


async def test_an_attempt_that_dies_before_it_sends_the_draft_again_is_not_in_doubt_either(tmp_path: Path) -> None:
    async with house(tmp_path, owner="first") as spool:
        row, lease = await spool.start()
        await noted(spool, row, NEW, MADE, DUE)
        await spool.finish(row, THROTTLED, Status.QUEUED, due_at=NOON)
        await again(spool, lease)
        await spool.die()
    async with house(tmp_path, owner="second") as spool:
        await spool.spool.recover(now=NOON, grace=10.0)
        assert await draft_of(spool, row) == EarlierDraft(transport="graph", account=SHOP, id="d1")


async def test_an_attempt_that_dies_on_its_way_by_smtp_is_in_doubt_whatever_drafts_there_are(tmp_path: Path) -> None:
    async with house(tmp_path, owner="first") as spool:
        row, lease = await spool.start()
        await noted(spool, row, NEW, MADE, DUE)
        await spool.finish(row, THROTTLED, Status.QUEUED, due_at=NOON)
        await again(spool, lease, transport="smtp")
        await spool.die()
    async with house(tmp_path, owner="second") as spool:
        await spool.spool.recover(now=NOON, grace=10.0)
        assert await spool.status(row.id) is Status.UNCONFIRMED
        item = await unsettled(spool)
        assert (item.draft, item.strays) == (None, True)


async def doubtful(spool: House) -> tuple[Message, Lease]:
    row, lease = await spool.start()
    await noted(spool, row, NEW, MADE, DUE)
    await spool.finish(row, LOST, Status.UNCONFIRMED, look_at=NOON)
    return row, lease


async def test_a_draft_that_stays_is_what_goes_again_and_by_no_other_transport(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, lease = await doubtful(spool)
        assert await spool.settle(row, Verdict.NOT_SENT, draft_stays=True)
        (due,) = await spool.due(lease.lane)
        assert due.draft == EarlierDraft(transport="graph", account=SHOP, id="d1", pinned=True)
        assert due.route == ("graph",)
        row = await again(spool, lease)
        await noted(spool, row, DUE, number=2)
        await spool.finish(row, THROTTLED, Status.QUEUED, due_at=NOON)
        (due,) = await spool.due(lease.lane)
        assert (due.route, due.draft and due.draft.id) == (("graph",), "d1")


async def test_a_draft_that_was_not_seen_is_made_anew_and_any_transport_may_carry_the_message(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, lease = await doubtful(spool)
        assert await spool.settle(row, Verdict.NOT_SENT)
        (due,) = await spool.due(lease.lane)
        assert due.draft == EarlierDraft(transport="graph", account=SHOP)
        assert due.route == ("graph", "smtp")


@pytest.mark.parametrize(("notes", "id_"), [((NEW, MADE, DUE), "d1"), ((NEW, MADE, DUE, GONE), None)])
async def test_a_persons_word_keeps_the_draft_unless_it_was_gone(
    tmp_path: Path, notes: tuple[DraftNote, ...], id_: str | None
) -> None:
    """The same draft cannot be sent twice, so it is what goes if the person is wrong."""
    async with house(tmp_path) as spool:
        row, _ = await spool.start()
        await noted(spool, row, *notes)
        await spool.finish(row, LOST, Status.UNCONFIRMED, look_at=NOON)
        await spool.obey(Action.SETTLE_NOT_SENT, row.id)
        draft = await draft_of(spool, row)
        assert draft is not None
        assert draft.id == id_


async def test_the_only_draft_that_became_the_mail_is_not_looked_for(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, lease = await spool.start()
        await noted(spool, row, NEW, MADE, DUE)
        assert await strays(spool) == []
        await spool.finish(row, SENT, Status.SENT)
        assert await strays(spool) == []
        assert await spool.spool.next_stray(lane=lease.lane) is None


async def test_drafts_are_looked_for_by_who_holds_the_lane_of_their_mailbox(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, lease = await spool.start()
        await noted(spool, row, NEW)
        await spool.finish(row, LATER, Status.FAILED)
        await spool.release(lease)
        assert await strays(spool, in_=59 * SECOND) == []
        assert await spool.spool.next_due() == NOON + 60 * SECOND
        (stray,) = await strays(spool, in_=60 * SECOND)
        assert (stray.id, stray.account, stray.transport, stray.message_id) == (row.id, SHOP, "graph", row.message_id)
        await spool.spool.swept(key=stray.key, again_at=None)
        assert await strays(spool) == []
        (lane,) = spool.running
        assert await spool.spool.next_stray(lane=lane) is None


async def test_a_message_that_goes_again_has_no_strays_until_it_is_final(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, lease = await spool.start()
        await noted(spool, row, NEW, MADE, DUE)
        await spool.finish(row, LATER, Status.FAILED)
        assert len(await strays(spool)) == 1
        await spool.obey(Action.RETRY, row.id)
        assert await strays(spool) == []
        assert await spool.spool.next_stray(lane=lease.lane) is None


async def test_drafts_of_earlier_attempts_are_looked_for_beside_the_one_that_was_sent(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, lease = await spool.start()
        await noted(spool, row, NEW)
        await spool.finish(row, LATER, Status.QUEUED, due_at=NOON)
        row = await again(spool, lease)
        await noted(spool, row, NEW, DraftNote(BEGUN, "d2"), DraftNote(SUBMITTED, "d2"), number=2)
        await spool.finish(row, SENT, Status.SENT)
        (stray,) = await strays(spool)
        assert stray.sent == "d2"


@pytest.mark.parametrize(
    ("outcome", "status", "transport"), [(SENT, Status.SENT, "smtp"), (LATER, Status.EXPIRED, "graph")]
)
async def test_a_draft_that_was_not_sent_is_a_stray_when_its_message_is_final(
    tmp_path: Path, outcome: Outcome, status: Status, transport: str
) -> None:
    async with house(tmp_path) as spool:
        row, lease = await spool.start()
        await noted(spool, row, NEW, MADE, DUE)
        await spool.finish(row, THROTTLED, Status.QUEUED, due_at=NOON)
        row = await again(spool, lease, transport=transport)
        await spool.finish(row, outcome, status)
        (stray,) = await strays(spool)
        assert stray.sent is None


async def test_a_mailbox_that_could_not_be_swept_is_swept_later(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, _ = await spool.start()
        await noted(spool, row, NEW)
        await spool.finish(row, LATER, Status.FAILED)
        (stray,) = await strays(spool)
        await spool.spool.swept(key=stray.key, again_at=NOON + 2 * HOUR)
        assert await strays(spool, in_=2 * HOUR - 1) == []
        (again,) = await strays(spool, in_=2 * HOUR)
        assert (stray.again, again.again) == (False, True)


async def test_what_waits_for_the_right_to_drafts_is_tried_again_after_a_while(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, lease = await spool.start()
        other = await spool.put()
        await noted(spool, row, NEW)
        await spool.finish(row, FORBIDDEN, Status.HELD, held_cause="draft_permission")
        await spool.spool.hold(key=(await spool.due(lease.lane))[0].key, id=other, at=NOON, cause="no_transport")
        assert await spool.spool.free_drafts(now=NOON, before=NOON - 1, most=9) == 0
        spool.woken.clear()
        spool.clock.at += HOUR
        assert await spool.spool.free_drafts(now=NOON + HOUR, before=NOON, most=9) == 1
        assert spool.woken == {lease.lane}
        assert [one.id for one in await spool.due(lease.lane)] == [row.id]
        assert (await spool.history(row.id))[-1] == "released"


async def test_a_message_is_deleted_with_what_was_noted_of_its_drafts(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, _ = await spool.start()
        await noted(spool, row, NEW)
        await spool.finish(row, LATER, Status.FAILED)
        await spool.spool.purge(now=NOON + 40 * DAY, retention=30 * DAY / SECOND, content_retention=1.0, most=99)
        assert await spool.spool.get(row.id, now=NOON) is None
        assert await spool.ask("select count(*) from drafts") == [(0,)]
