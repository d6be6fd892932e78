"""What is kept, as the callers of the HTTP doors may see and change it (CONTRACT §3): unknown and foreign ids answer the same."""

from dataclasses import replace
from typing import Final

from fastapi import Request

from posthouse.doors.http.parts import Parts, known_id, may_look, no_message
from posthouse.message import MessageId, Millis, Status, parse_id
from posthouse.policy import Client, Right, must_have
from posthouse.records import Action, Change, Command, NoSuchMessage, NotPossible, Obeyed, Record
from posthouse.refusal import Condition, FieldError, Refused
from posthouse.telemetry import (
    MESSAGE_CANCELED,
    MESSAGE_CHANGED,
    MESSAGE_RELEASED,
    MESSAGE_RESEND_WITHDRAWN,
    MESSAGE_RETRIED,
    MESSAGE_SETTLED,
    log,
)


class Kept:
    """Finds messages for their callers and carries out what these say; everything raises Refused."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._spool = parts.spool

    async def visible(self, request: Request) -> tuple[Client, Record]:
        """Who calls, and the message in the address line if that caller may see it."""
        caller = self._parts.caller(request)
        may_look(caller)
        record = await self.found(known_id(request.path_params["message_id"]))
        if not caller.sees(record.client):
            raise no_message()
        return caller, record

    async def own(self, request: Request) -> tuple[Client, Record]:
        """The same for who may change it: its own client with ``submit``, others with ``manage``."""
        caller, record = await self.visible(request)
        if caller.name != record.client or Right.SUBMIT not in caller.rights:
            must_have(caller, Right.MANAGE)
        return caller, record

    async def found(self, message_id: MessageId) -> Record:
        """A message, whoever asks."""
        record = await self._spool.get(message_id, now=self._parts.clock.now())
        if record is None:
            raise no_message()
        return record

    async def changed(self, caller: Client, record: Record, change: Change, *, now: Millis) -> Record:
        """The message with other times or another priority, where it still waits."""
        _check_times(change, record, now)
        gives_up_at = None if change.due_at is None else change.due_at + self.expire_after
        command = replace(
            self.command(caller, record, Action.CHANGE, now),
            owner=caller.name,
            change=change,
            gives_up_at=gives_up_at,
        )
        return await self.obeyed(command, Condition.NOT_CHANGEABLE)

    @property
    def expire_after(self) -> Millis:
        """How long after it is due a message is given up."""
        return int(self._parts.step.rules.expire_after * 1000)

    def command(self, caller: Client, record: Record, action: Action, now: Millis) -> Command:
        """An action of this caller on the message."""
        client = None if Right.READ in caller.rights else caller.name
        return Command(action=action, id=record.id, at=now, by=caller.by, client=client)

    def _tell(self, command: Command, status: Status) -> None:
        """A line for who reads the log; a cancel that only takes a right away leaves the message where it is."""
        canceled = MESSAGE_CANCELED if status is Status.CANCELED else MESSAGE_RESEND_WITHDRAWN
        log(_DONE.get(command.action, canceled), message=command.id, by=command.by, status=status.value)
        if status.final:
            self._parts.meter.finished(status)

    async def obeyed(self, command: Command, refusal: Condition) -> Record:
        """The message after the action; ``refusal`` says that it is not possible as the message stands."""
        result = await self._spool.obey(command)
        match result:
            case Obeyed():
                self._tell(command, result.status)
                return await self.found(command.id)
            case NotPossible():
                raise Refused(refusal, result.detail)
            case NoSuchMessage():
                raise no_message()


_DONE: Final = {
    Action.RETRY: MESSAGE_RETRIED,
    Action.RELEASE: MESSAGE_RELEASED,
    Action.CHANGE: MESSAGE_CHANGED,
    Action.SETTLE_SENT: MESSAGE_SETTLED,
    Action.SETTLE_NOT_SENT: MESSAGE_SETTLED,
}


def cursor(name: str, text: str | None) -> MessageId | None:
    """The id that a list is continued from; raises Refused."""
    if text is None:
        return None
    message_id = parse_id(text)
    if message_id is None:
        detail = f"{name} is the id of a message"
        raise Refused(Condition.VALIDATION_ERROR, detail, errors=(FieldError(f"/query/{name}", detail),))
    return message_id


def _check_times(change: Change, record: Record, now: Millis) -> None:
    """Raises Refused where it would expire before it is due."""
    due_at = record.due_at if change.due_at is None else change.due_at
    expires_at = record.expires_at if change.expires_at is None else change.expires_at
    if change.never_expires or expires_at is None or expires_at > max(due_at, now):
        return
    detail = "it would expire before it is due (scheduled_at, send_in)"
    raise Refused(Condition.VALIDATION_ERROR, detail, errors=(FieldError("/expires_at", detail),))
