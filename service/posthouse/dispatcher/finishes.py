"""What is written down when an attempt has ended, for each step that can follow."""

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from posthouse.delivery import Done, GiveUp, Hold, RetryAt, Settle, Step, TryNext, Wait
from posthouse.message import Message, Millis, Status
from posthouse.outcome import Outcome
from posthouse.records import Finish, Mark
from posthouse.telemetry import (
    MESSAGE_DEFERRED,
    MESSAGE_EXPIRED,
    MESSAGE_FAILED,
    MESSAGE_FELL_BACK,
    MESSAGE_HELD,
    MESSAGE_SENT,
    MESSAGE_UNCONFIRMED,
)


def finish_of(
    step: Step, outcome: Outcome, *, message: Message, mark: Mark, now: Millis, accounts: Callable[[str, str], str]
) -> Finish:
    """The finish of this attempt, which ended ``now``; ``accounts`` as in the dispatcher's tools."""
    finish = Finish(
        key=message.key,
        id=message.id,
        lane=message.lane,
        number=mark.number,
        attempt_id=mark.attempt_id,
        ended_at=now,
        outcome=outcome,
        status=Status.QUEUED,
        event=MESSAGE_DEFERRED,
    )
    match step:
        case Done():
            return replace(finish, status=Status.SENT, event=MESSAGE_SENT)
        case TryNext(transport):
            account = accounts(transport, message.mailbox)
            return replace(
                finish,
                due_at=message.due_at,
                next_transport=transport,
                next_account=account if account != mark.account else None,
                event=MESSAGE_FELL_BACK,
            )
        case RetryAt(at):
            return replace(finish, due_at=at)
        case Wait():
            return replace(finish, due_at=message.due_at)
        case Settle(look_at):
            return replace(finish, status=Status.UNCONFIRMED, look_at=look_at, event=MESSAGE_UNCONFIRMED)
        case Hold(cause):
            return replace(finish, status=Status.HELD, held_cause=cause, event=MESSAGE_HELD)
        case GiveUp(status):
            event = MESSAGE_EXPIRED if status is Status.EXPIRED else MESSAGE_FAILED
            return replace(finish, status=status, event=event)
        case _:
            assert_never(step)
