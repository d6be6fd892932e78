"""Does what a person asked, under the rules of PROMISES §5; each deed leaves an audit row and an event naming who."""

from typing import assert_never

from posthouse.message import Status
from posthouse.records import Action, Command, CommandResult, NoSuchMessage, NotPossible, Obeyed
from posthouse.spool.sqlite.database import Database, to_json
from posthouse.spool.sqlite.standing import Standing, end, requeue, standing, tell, was_not_sent, was_sent
from posthouse.spool.sqlite.threads import Job


def obey(command: Command) -> Job[CommandResult]:
    """Do it or say which rule forbids it."""

    def act(db: Database) -> CommandResult:
        stands = standing(db, command.id)
        if stands is None or command.client not in {None, stands.client}:
            return NoSuchMessage()
        done = _act(db, command, stands)
        if isinstance(done, NotPossible):
            return done
        data = {"from": stands.status, "to": done, "accept_duplicate": command.accept_duplicate or None}
        db.run(
            "audit",
            {
                "at": command.at,
                "by": command.by,
                "action": f"message.{command.action.value}",
                "target": command.id,
                "data": to_json(data),
            },
        )
        db.woken.add(stands.lane)
        return Obeyed(done)

    return act


def _act(db: Database, command: Command, stands: Standing) -> Status | NotPossible:
    match command.action:
        case Action.CANCEL:
            return _cancel(db, command, stands)
        case Action.RETRY:
            return _retry(db, command, stands)
        case Action.RELEASE:
            return _release(db, command, stands)
        case Action.SETTLE_SENT | Action.SETTLE_NOT_SENT:
            return _settle(db, command, stands)
        case _:
            assert_never(command.action)


def _cancel(db: Database, command: Command, stands: Standing) -> Status | NotPossible:
    if stands.unsettled is not None:
        db.run("forbid_resend", {"message": stands.key})
        data = {"by": command.by, "cause": "canceled"}
        tell(db, stands.key, command.at, event="message.resend_withdrawn", data=data)
        return stands.status
    if stands.status is Status.SENDING:
        return NotPossible("It is being sent right now; ask again when the attempt has ended.")
    if stands.status.final:
        return NotPossible(f"It is {stands.status.value} already.")
    return end(db, stands.key, command.at, status=Status.CANCELED, data={"by": command.by})


def _retry(db: Database, command: Command, stands: Standing) -> Status | NotPossible:
    refusal = _no_retry(command, stands)
    if refusal is not None:
        return NotPossible(refusal)
    data = {"by": command.by, "accept_duplicate": command.accept_duplicate or None}
    tell(db, stands.key, command.at, event="message.retried", data=data)
    return requeue(
        db,
        stands.key,
        due_at=command.at,
        accept_duplicate=stands.unsettled is not None,
        expires_at=command.expires_at,
        gives_up_at=command.gives_up_at,
    )


def _no_retry(command: Command, stands: Standing) -> str | None:
    """The rule that forbids a retry."""
    if stands.status in {Status.SENT, Status.CANCELED}:
        return f"It is {stands.status.value} already."
    if stands.status is Status.SENDING:
        return "It is being sent right now."
    if stands.purged:
        return "Its content was purged; submit it again."
    if stands.unsettled is not None and not command.accept_duplicate:
        return "Nobody knows yet whether it was sent: a retry may send it twice and needs accept_duplicate."
    if command.expires_at is not None and command.expires_at <= command.at:
        return "The new expires_at has passed."
    if command.expires_at is None and (stands.status is Status.EXPIRED or stands.over(command.at)):
        return "It has expired: a retry needs a new expires_at."
    return None


def _release(db: Database, command: Command, stands: Standing) -> Status | NotPossible:
    if stands.unsettled is not None:
        db.run("look_now", {"message": stands.key, "at": command.at})
        tell(db, stands.key, command.at, event="message.released", data={"by": command.by, "cause": "looked for again"})
        return stands.status
    if stands.status is not Status.HELD:
        return NotPossible(f"It is not held but {stands.status.value}.")
    data = {"by": command.by, "cause": stands.held_cause}
    tell(db, stands.key, command.at, event="message.released", data=data)
    return requeue(db, stands.key, due_at=stands.due_at)


def _settle(db: Database, command: Command, stands: Standing) -> Status | NotPossible:
    if stands.unsettled is None:
        return NotPossible(f"Nothing is in doubt: it is {stands.status.value}.")
    data = {"by": command.by}
    if command.action is Action.SETTLE_SENT:
        return was_sent(db, stands, command.at, data=data)
    return was_not_sent(db, stands, command.at, due_at=command.at, data=data)
