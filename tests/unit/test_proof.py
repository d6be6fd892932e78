"""What a look-up proves about an unconfirmed message (PROMISES §5)."""

from dataclasses import replace

import pytest

from posthouse.message import MessageId, Status
from posthouse.proof import conclude, found_again, may_testify, presence, unanswered
from posthouse.records import Copy, Sharer, Sightings, Unsettled, Verdict, Witness
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
CLIENTS = replace(ITEM, message=replace(MESSAGE, own_message_id=False))
"""The same with a Message-ID that its client brought."""
OTHER = MessageId("msg_1")
SHARED = (Sharer(MESSAGE.id, Status.UNCONFIRMED, NOW - 1000), Sharer(OTHER, Status.SENT, NOW - 1000))


def copy_of(made: int | None, *, draft: bool = False) -> Copy:
    return Copy(draft, None if made is None else (made - 1000, made + 1000))


def judge(
    *drafts: bool, item: Unsettled = ITEM, now: int = LAST, sharing=(), proved=True, slowest=0, made: int | None = NOW
):
    """What copies mean that came to be within a second of ``made``; ``drafts`` says which of them are drafts."""
    copies = tuple(copy_of(made, draft=draft) for draft in drafts)
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
        ((), (SHARED[0], replace(SHARED[1], status=Status.UNCONFIRMED)), Verdict.NOT_SENT),
    ],
)
def test_one_copy_is_no_proof_where_two_messages_carry_its_message_id(copies, sharing, expected):
    assert judge(*copies, sharing=sharing).verdict is expected


@pytest.mark.parametrize(
    ("made", "verdict", "cause"),
    [
        (NOW - 1000, Verdict.SENT, None),
        (NOW - 2000, Verdict.SENT, None),
        (NOW - 2001, Verdict.HELD, "unconfirmed_older_copy"),
        (NOW + HOUR, Verdict.SENT, None),
        (None, Verdict.HELD, "unconfirmed_older_copy"),
    ],
)
def test_a_copy_that_is_older_than_the_message_of_a_client_proves_neither_a_send_nor_its_absence(made, verdict, cause):
    judged = judge(False, item=CLIENTS, made=made)

    assert (judged.verdict, judged.cause) == (verdict, cause)
    assert judge(False, item=CLIENTS, made=made, now=NOW + 5000).verdict is (
        verdict if cause is None else Verdict.LATER
    )


def test_an_id_of_ours_was_on_no_mail_before_whatever_the_clocks_say():
    assert judge(False, made=NOW - HOUR).verdict is Verdict.SENT
    assert judge(False, made=None).verdict is Verdict.SENT


def test_a_copy_may_be_of_an_earlier_attempt():
    """What one attempt left in Drafts, another may have sent."""
    earlier = (Sharer(MESSAGE.id, Status.UNCONFIRMED, NOW - HOUR),)

    assert judge(False, item=CLIENTS, made=NOW - HOUR, sharing=earlier).verdict is Verdict.SENT
    assert judge(False, item=CLIENTS, made=NOW - HOUR).verdict is Verdict.HELD


def test_of_several_messages_each_needs_a_copy_that_is_not_older():
    old, young = copy_of(NOW - HOUR), copy_of(NOW)
    before = replace(SHARED[1], began=NOW - HOUR)

    def judged(*copies: Copy, sharing=(SHARED[0], before)):
        return conclude(
            CLIENTS, now=LAST, copies=copies, sharing=sharing, presence_proved=True, slowest=0, checks=CHECKS
        )

    assert judged(old, young).verdict is Verdict.SENT
    assert judged(young, young).verdict is Verdict.SENT
    assert judged(old, old).cause == "unconfirmed_shared_message_id"
    assert judged(old, young, sharing=SHARED).cause == "unconfirmed_shared_message_id"
    nobodys = judged(old, sharing=(SHARED[0], replace(SHARED[1], status=Status.UNCONFIRMED)))
    assert nobodys.cause == "unconfirmed_shared_message_id"


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


def witness(sent_at: int, *, account: str = "a@b.example", id_: str = "msg_9") -> Witness:
    return Witness(MessageId(id_), account, "<w@b.example>", sent_at, "graph")


@pytest.mark.parametrize(
    ("copies", "own", "expected"),
    [
        ((copy_of(NOW),), False, True),
        ((copy_of(NOW - 1000),), False, True),
        ((copy_of(NOW + 61_000),), False, True),
        ((copy_of(NOW - 1001),), False, False),
        ((copy_of(NOW + 61_001),), False, False),
        ((copy_of(None),), False, False),
        ((copy_of(NOW, draft=True),), False, False),
        ((copy_of(NOW - HOUR), copy_of(NOW)), False, True),
        ((copy_of(NOW - HOUR),), True, True),
        ((copy_of(None),), True, True),
        ((copy_of(NOW, draft=True),), True, False),
        ((), True, False),
    ],
)
def test_a_witness_with_the_message_id_of_a_client_is_found_by_a_copy_of_its_own_time(copies, own, expected):
    """Its client may have given the id to another mail, of which this spool knows nothing."""
    one = witness(NOW)

    assert found_again([one], Sightings({one.message_id: copies}), own=own) == ({one.id} if expected else set())


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
    own, other = witness(NOW - HOUR), witness(NOW - HOUR, account="o@b.example", id_="msg_8")

    assert not presence(ITEM, (own, other), found={other.id}, now=LAST)
    assert presence(ITEM, (other,), found={other.id}, now=LAST)
    assert presence(ITEM, (own, other), found={own.id}, now=LAST)


def test_looking_again_early_and_often_does_not_make_absence_count_sooner():
    early = replace(ITEM, held="unconfirmed_no_witness", looks=40)

    assert judge(item=early, now=NOW + 2000).verdict is Verdict.LATER
    assert judge(item=early, now=LAST).verdict is Verdict.NOT_SENT
