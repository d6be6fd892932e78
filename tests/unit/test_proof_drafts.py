"""What a look at Drafts proves of a message whose draft was about to be sent (PROMISES §5, FACTS A5)."""

from dataclasses import replace

from posthouse.message import MessageId
from posthouse.proof import Conclusion, conclude_draft, copies_of
from posthouse.records import Copy, Sightings, Verdict
from tests.unit.test_proof import CHECKS, HOUR, ITEM, LAST, NOW

BY_DRAFT = replace(ITEM, draft="d1", strays=True)
ID = ITEM.message.message_id


def seen(*drafts: bool, **by_id: bool) -> Sightings:
    return Sightings({ID: tuple(Copy(draft) for draft in drafts)}, by_id)


def judge(sight: Sightings, *, item=BY_DRAFT, now: int = LAST, slowest: int = 0) -> Conclusion | None:
    return conclude_draft(item, sight, now=now, slowest=slowest, checks=CHECKS)


def test_the_draft_under_its_own_id_in_sent_items_proves_the_send_at_any_look():
    assert judge(seen(False, d1=False), now=NOW) == Conclusion(verdict=Verdict.SENT)


def test_a_draft_may_be_on_its_way_until_the_last_look():
    assert judge(seen(True, d1=True), now=NOW) == Conclusion(verdict=Verdict.LATER, look_at=NOW + 5_000)
    assert judge(seen(True, d1=True), now=NOW + 30_000) == Conclusion(verdict=Verdict.LATER, look_at=LAST)


def test_a_draft_that_is_one_still_at_the_last_look_goes_again():
    assert judge(seen(True, d1=True)) == Conclusion(verdict=Verdict.NOT_SENT, draft_stays=True)


def test_it_waits_for_three_times_the_slowest_appearance():
    slow = judge(seen(True, d1=True), slowest=100_000)
    assert slow == Conclusion(verdict=Verdict.LATER, look_at=NOW + 300_000)
    assert judge(seen(True, d1=True), slowest=100_000, now=NOW + 300_000) == Conclusion(
        verdict=Verdict.NOT_SENT, draft_stays=True
    )
    assert judge(seen(True, d1=True), slowest=9 * HOUR, now=NOW + 3 * HOUR) == Conclusion(
        verdict=Verdict.NOT_SENT, draft_stays=True
    )


def test_what_is_not_there_under_its_id_is_judged_as_every_mail():
    assert judge(seen()) is None
    assert judge(seen(True, d2=True)) is None
    assert judge(seen(False, d1=False), item=ITEM) is None


def test_drafts_that_nobody_sends_are_no_copies_of_what_went_another_way():
    by_smtp = replace(ITEM, strays=True)
    assert copies_of(by_smtp, seen(True, False, True)) == (Copy(draft=False),)
    assert copies_of(by_smtp, seen(True)) == ()


def test_drafts_of_a_message_without_any_of_ours_are_copies_on_their_way():
    assert copies_of(ITEM, seen(True)) == (Copy(draft=True),)
    assert copies_of(BY_DRAFT, seen(True)) == (Copy(draft=True),)
    assert copies_of(replace(ITEM, message=replace(ITEM.message, id=MessageId("msg_2"))), Sightings({})) == ()
