"""What a look-up proves about an unconfirmed message (PROMISES §5)."""

from dataclasses import replace

import pytest

from posthouse.message import MessageId, Status
from posthouse.proof import conclude, may_testify, presence, unanswered
from posthouse.records import Unsettled, Verdict, Witness
from tests.unit.test_delivery import MESSAGE, NOW

CHECKS = (5.0, 30.0, 120.0)
LAST = NOW + 120_000
HOUR = 3_600_000
ITEM = Unsettled(
    message=MESSAGE,
    number=1,
    transport="graph",
    kind="graph",
    account="a@b.example",
    started_at=NOW - 1000,
    since=NOW,
    looks=0,
    last_absent_at=None,
    may_resend=True,
    held=None,
    lane=1,
)
SHARED = ((MESSAGE.id, Status.UNCONFIRMED), (MessageId("msg_1"), Status.SENT))


def judge(*copies: bool, item: Unsettled = ITEM, now: int = LAST, sharing=(), proved=True, slowest=0):
    return conclude(
        item, now=now, copies=copies, sharing=sharing, presence_proved=proved, slowest=slowest, checks=CHECKS
    )


def test_a_copy_that_left_drafts_proves_the_send_at_any_look():
    assert judge(False, now=NOW + 5000).verdict is Verdict.SENT
    assert judge(True, False).verdict is Verdict.SENT


def test_absence_before_the_last_look_proves_nothing():
    early = judge(now=NOW + 5000)

    assert (early.verdict, early.look_at) == (Verdict.LATER, NOW + 30_000)


def test_absence_at_the_last_look_proves_only_with_a_witness():
    assert judge().verdict is Verdict.NOT_SENT
    held = judge(proved=False)
    assert (held.verdict, held.cause) == (Verdict.HELD, "unconfirmed_no_witness")


def test_absence_waits_for_three_times_the_slowest_appearance():
    patient = judge(slowest=100_000)

    assert (patient.verdict, patient.look_at) == (Verdict.LATER, NOW + 300_000)
    assert judge(now=NOW + 300_000, slowest=100_000).verdict is Verdict.NOT_SENT


def test_an_appearance_that_took_longer_than_an_hour_makes_nobody_wait_for_more_than_three():
    """It tells of a look that came late, not of Exchange."""
    three_hours = 3 * 3_600_000

    assert judge(slowest=30 * three_hours).look_at == NOW + three_hours
    assert judge(now=NOW + three_hours, slowest=30 * three_hours).verdict is Verdict.NOT_SENT


def test_a_draft_is_on_its_way_and_held_when_it_still_is_at_the_last_look():
    assert judge(True, now=NOW + 5000).verdict is Verdict.LATER
    assert judge(True).cause == "unconfirmed_draft"


@pytest.mark.parametrize(
    ("copies", "sharing", "expected"),
    [
        ((False, False), SHARED, Verdict.SENT),
        ((False,), SHARED, Verdict.HELD),
        ((False, False), (*SHARED, SHARED[-1]), Verdict.HELD),
        ((False,), (SHARED[0], SHARED[0]), Verdict.SENT),
        ((), SHARED, Verdict.HELD),
        ((), ((MESSAGE.id, Status.UNCONFIRMED), (MessageId("msg_1"), Status.UNCONFIRMED)), Verdict.NOT_SENT),
    ],
)
def test_one_copy_is_no_proof_where_two_messages_carry_its_message_id(copies, sharing, expected):
    assert judge(*copies, sharing=sharing).verdict is expected


def test_without_an_answer_that_counts_it_is_held_at_the_last_look_with_the_cause():
    early = unanswered(ITEM, now=NOW + 5000, denied=True, checks=CHECKS)
    denied = unanswered(ITEM, now=LAST, denied=True, checks=CHECKS)
    outage = unanswered(ITEM, now=LAST, denied=False, checks=CHECKS)

    throttled = unanswered(ITEM, now=LAST, denied=False, checks=CHECKS, not_before=LAST + 7000)
    always = unanswered(ITEM, now=NOW + HOUR, denied=False, checks=CHECKS, not_before=NOW + HOUR + 7000)

    assert early.verdict is Verdict.LATER
    assert (throttled.verdict, throttled.look_at) == (Verdict.LATER, LAST + 7000)
    assert (always.verdict, always.cause) == (Verdict.HELD, "unconfirmed_no_look_up")
    assert (denied.verdict, denied.cause, denied.look_at) == (Verdict.HELD, "unconfirmed_no_right", LAST + HOUR)
    assert (outage.cause, outage.look_at) == ("unconfirmed_no_look_up", LAST + 120_000)


def witness(sent_at: int, *, account: str = "a@b.example", name: str = "<w@b.example>") -> Witness:
    return Witness(MessageId("msg_9"), account, name, sent_at, "graph")


@pytest.mark.parametrize(
    ("seen", "now", "expected"),
    [
        (witness(NOW - 10 * HOUR), LAST, True),
        (witness(NOW - 10 * HOUR), NOW + 40 * HOUR, True),
        (witness(NOW + HOUR), NOW + 2 * HOUR, True),
        (witness(NOW + HOUR), NOW + 25 * HOUR, False),
        (witness(NOW - HOUR, account="o@b.example"), NOW + HOUR // 2, True),
        (witness(NOW - HOUR, account="o@b.example"), NOW + 2 * HOUR, False),
        (replace(witness(NOW - HOUR), id=MESSAGE.id), LAST, False),
    ],
)
def test_who_may_testify(seen, now, expected):
    assert may_testify(seen, ITEM, now=now) is expected


def test_a_strangers_copy_does_not_count_where_the_account_has_a_witness_that_was_not_found():
    own, other = witness(NOW - HOUR), witness(NOW - HOUR, account="o@b.example", name="<o@b.example>")

    assert not presence(ITEM, (own, other), found={"<o@b.example>"}, now=LAST)
    assert presence(ITEM, (other,), found={"<o@b.example>"}, now=LAST)
    assert presence(ITEM, (own, other), found={"<w@b.example>"}, now=LAST)


def test_looking_again_early_and_often_does_not_make_absence_count_sooner():
    early = replace(ITEM, held="unconfirmed_no_witness", looks=40)

    assert judge(item=early, now=NOW + 2000).verdict is Verdict.LATER
    assert judge(item=early, now=LAST).verdict is Verdict.NOT_SENT
