"""Where a message goes after an outcome (PROMISES §4 to §6)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.delivery import (
    Done,
    GiveUp,
    Hold,
    Policy,
    RetryAt,
    Settle,
    Situation,
    TryNext,
    Wait,
    back_off,
    choose,
    next_step,
)
from posthouse.message import Envelope, Kind, Message, MessageId, OnUnconfirmed, Priority, Recipient, Status
from posthouse.outcome import Answer, Blocked, PermanentFailure, Scope, Sent, TransientFailure, Unconfirmed

NOW = 1_800_000_000_000
DAY = 86_400_000
POLICY = Policy()
ANSWER = Answer(status="4.0.0", text="x")
MESSAGE = Message(
    key=1,
    id=MessageId("msg_0"),
    client="shop",
    lane=1,
    account="a@b.example",
    mailbox="a@b.example",
    sender="a@b.example",
    envelope=Envelope("a@b.example", (Recipient("c@d.example", Kind.TO),)),
    message_id="<1@b.example>",
    own_message_id=True,
    route=("graph", "smtp"),
    next_transport=None,
    priority=Priority.NORMAL,
    size=1000,
    accepted_at=NOW - 1000,
    due_at=NOW,
    expires_at=None,
    gives_up_at=NOW + 5 * DAY,
    attempts=0,
    on_unconfirmed=OnUnconfirmed.SETTLE,
)
SITUATION = Situation(now=NOW, number=1, fallback="smtp", gives_up_at=NOW + 5 * DAY, chance=0.0)


def transient(scope: Scope, *, retry_after: float | None = None, at_once: bool = False) -> TransientFailure:
    return TransientFailure(scope=scope, answer=replace(ANSWER, retry_after=retry_after), at_once=at_once)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Sent(answer=ANSWER), Done()),
        (PermanentFailure(scope=Scope.MESSAGE, answer=ANSWER), GiveUp(Status.FAILED)),
        (Unconfirmed(answer=ANSWER), Settle(NOW + 5000)),
        (Blocked(scope=Scope.SENDER, answer=ANSWER), Hold("sender_blocked")),
        (Blocked(scope=Scope.MAILBOX, answer=ANSWER), Wait()),
        (Blocked(scope=Scope.TRANSPORT, answer=ANSWER), TryNext("smtp")),
        (transient(Scope.TRANSPORT), TryNext("smtp")),
        (transient(Scope.MAILBOX, retry_after=7.0), RetryAt(NOW + 7000)),
        (transient(Scope.MESSAGE), RetryAt(NOW + 2500)),
        (transient(Scope.MESSAGE, at_once=True), RetryAt(NOW)),
    ],
)
def test_each_outcome_has_its_step(outcome, expected):
    assert next_step(MESSAGE, outcome, SITUATION, POLICY) == expected


@pytest.mark.parametrize(
    "outcome",
    [
        PermanentFailure(scope=Scope.MESSAGE, answer=ANSWER),
        Blocked(scope=Scope.MAILBOX, answer=ANSWER),
        Blocked(scope=Scope.SENDER, answer=ANSWER),
        Unconfirmed(answer=ANSWER),
        transient(Scope.MAILBOX),
        transient(Scope.MESSAGE),
    ],
)
def test_only_a_certain_failure_of_the_transport_falls_back(outcome):
    assert not isinstance(next_step(MESSAGE, outcome, SITUATION, POLICY), TryNext)


def test_without_another_transport_a_failure_waits_and_a_block_stays_due():
    alone = replace(SITUATION, fallback=None)

    assert next_step(MESSAGE, transient(Scope.TRANSPORT), alone, POLICY) == RetryAt(NOW + 2500)
    assert next_step(MESSAGE, Blocked(scope=Scope.TRANSPORT, answer=ANSWER), alone, POLICY) == Wait()


@pytest.mark.parametrize(
    ("wish", "expected"),
    [(OnUnconfirmed.RETRY, RetryAt(NOW + 2500)), (OnUnconfirmed.HOLD, Hold("unconfirmed"))],
)
def test_the_client_may_choose_what_happens_to_a_doubtful_send(wish, expected):
    assert next_step(replace(MESSAGE, on_unconfirmed=wish), Unconfirmed(answer=ANSWER), SITUATION, POLICY) == expected


def test_a_message_is_not_tried_after_the_clients_own_expiry():
    short = replace(MESSAGE, expires_at=NOW + 2000)

    assert next_step(short, transient(Scope.MESSAGE), SITUATION, POLICY) == GiveUp(Status.EXPIRED)
    assert next_step(short, transient(Scope.MESSAGE, at_once=True), SITUATION, POLICY) == RetryAt(NOW)


def test_the_default_expiry_is_judged_only_after_a_transient_failure():
    late = replace(SITUATION, gives_up_at=NOW - 1, number=2)

    assert next_step(MESSAGE, transient(Scope.MESSAGE), late, POLICY) == GiveUp(Status.EXPIRED)
    assert next_step(MESSAGE, Blocked(scope=Scope.MAILBOX, answer=ANSWER), late, POLICY) == Wait()
    assert next_step(MESSAGE, Unconfirmed(answer=ANSWER), late, POLICY) == Settle(NOW + 5000)


@given(number=st.integers(1, 10_000), chance=st.floats(0, 1, exclude_max=True))
def test_back_off_doubles_between_half_and_whole_and_stops_at_the_longest(number, chance):
    whole = min(5.0 * 2 ** (min(number, 40) - 1), 900.0)

    assert whole / 2 <= back_off(number, policy=POLICY, chance=chance) <= whole


def test_mail_goes_by_the_first_transport_of_the_route_that_is_usable():
    assert choose(MESSAGE, {}) == "graph"
    assert choose(MESSAGE, {"graph": NOW + 5}) == "smtp"
    assert choose(MESSAGE, {"graph": NOW + 5, "smtp": NOW + 3}) == NOW + 3
    assert choose(replace(MESSAGE, next_transport="smtp"), {}) == "smtp"
    assert choose(replace(MESSAGE, next_transport="smtp"), {"smtp": NOW}) == "graph"


def test_nothing_expires_by_default_at_its_first_attempt():
    """Whatever kept it waiting for so long (a block, a pause, a full minute) was no failure of its own."""
    late = replace(SITUATION, gives_up_at=NOW - 1, number=1)

    assert next_step(MESSAGE, transient(Scope.MESSAGE), late, POLICY) == RetryAt(NOW + 2500)


def test_an_attempt_may_take_a_minute_and_its_size_at_a_hundred_kilobytes_a_second():
    assert POLICY.attempt_seconds(0) == 60.0
    assert POLICY.attempt_seconds(25_000_000) == 310.0


def test_a_one_time_code_in_doubt_that_would_go_again_too_late_is_looked_for_and_not_ended():
    code = replace(MESSAGE, on_unconfirmed=OnUnconfirmed.RETRY, expires_at=NOW + 1_000)
    assert next_step(code, Unconfirmed(answer=ANSWER), SITUATION, POLICY) == Settle(NOW + 5_000)
