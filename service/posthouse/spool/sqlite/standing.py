"""Where one message stands, and the few changes of it that settling, commands and sweeps share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from posthouse.message import MessageId, Millis, Status, id_bytes
from posthouse.spool.sqlite.database import Database, to_json
from posthouse.spool.sqlite.sending import wake


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What decides about an action; ``unsettled`` is the number of the attempt that left it in doubt."""

    key: int
    status: Status
    client: str
    lane: int
    expires_at: Millis | None
    purged: bool
    unsettled: int | None
    may_resend: bool
    held_cause: str | None
    due_at: Millis

    def over(self, at: Millis) -> bool:
        """Whether the client's own expiry has passed."""
        return self.expires_at is not None and self.expires_at <= at


def standing(db: Database, message_id: MessageId) -> Standing | None:
    """Where a message stands; None where there is none."""
    row = db.row("standing", {"public_id": id_bytes(message_id)})
    if row is None:
        return None
    key, status, client, lane, expires_at, purged_at, unsettled, may_resend, held_cause, due_at = cast(
        "tuple[int, str, str, int, int | None, int | None, int | None, int | None, str | None, int]", row
    )
    return Standing(
        key=key,
        status=Status(status),
        client=client,
        lane=lane,
        expires_at=expires_at,
        purged=purged_at is not None,
        unsettled=unsettled,
        may_resend=bool(may_resend),
        held_cause=held_cause,
        due_at=due_at,
    )


def tell(db: Database, key: int, at: Millis, *, event: str, data: Mapping[str, object]) -> None:
    """One line of a message's history."""
    told = {name: value for name, value in data.items() if value is not None}
    db.run("event", {"message": key, "at": at, "type": event, "data": to_json(told)})


def end(db: Database, key: int, at: Millis, *, status: Status, data: Mapping[str, object]) -> Status:
    """A final status, with its event."""
    db.run("end_message", {"message": key, "status": status.value, "at": at})
    tell(db, key, at, event=f"message.{status.value}", data=data)
    return status


def requeue(
    db: Database,
    key: int,
    *,
    due_at: Millis,
    accept_duplicate: bool = False,
    expires_at: Millis | None = None,
    gives_up_at: Millis | None = None,
) -> Status:
    """Queued again, its lane awake."""
    db.run(
        "requeue",
        {
            "message": key,
            "due_at": due_at,
            "accept_duplicate": int(accept_duplicate),
            "expires_at": expires_at,
            "gives_up_at": gives_up_at,
        },
    )
    wake(db, [key])
    return Status.QUEUED


def was_sent(db: Database, stands: Standing, at: Millis, *, data: Mapping[str, object]) -> Status:
    """The doubt ends: it was sent."""
    db.run("attempt_settled", {"message": stands.key, "number": stands.unsettled, "verdict": "sent"})
    tell(db, stands.key, at, event="message.settled", data={"verdict": "sent", **data})
    return end(db, stands.key, at, status=Status.SENT, data={"attempt": stands.unsettled, "settled": True})


def was_not_sent(db: Database, stands: Standing, at: Millis, *, due_at: Millis, data: Mapping[str, object]) -> Status:
    """The doubt ends: it was not sent, and goes again unless expiry or a cancel took that right away (PROMISES §5)."""
    db.run("attempt_settled", {"message": stands.key, "number": stands.unsettled, "verdict": "not_sent"})
    tell(db, stands.key, at, event="message.settled", data={"verdict": "not_sent", **data})
    if stands.over(at):
        return end(db, stands.key, at, status=Status.EXPIRED, data={"cause": "expires_at"})
    if not stands.may_resend:
        return end(db, stands.key, at, status=Status.CANCELED, data={"cause": "canceled while unconfirmed"})
    return requeue(db, stands.key, due_at=due_at)
