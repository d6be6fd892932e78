"""Where one message stands, and the deeds that ``rules`` decided on, written down in one transaction."""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import assert_never, cast

from posthouse.message import MessageId, Millis, id_bytes
from posthouse.records import Command, CommandResult, NoSuchMessage, NotPossible, Obeyed, Settlement
from posthouse.spool import rows, rules
from posthouse.spool.postgres.database import Session


async def obey(session: Session, command: Command) -> tuple[CommandResult, int | None]:
    """Do what a person asked or say which rule forbids it; the second value is the message whose lane must wake."""
    async with session.transaction():
        stands = await standing(session, command.id)
        if stands is None or command.client not in {None, stands.client}:
            return NoSuchMessage(), None
        decision = rules.decide(command, stands)
        if isinstance(decision, NotPossible):
            return decision, None
        await write(session, stands.key, command.at, decision.deeds)
        data = rules.audit_data(command, before=stands.status, after=decision.status)
        action = f"message.{command.action.value}"
        await audit(session, command.at, by=command.by, action=action, target=command.id, data=data)
        return Obeyed(decision.status), stands.key


async def settle(session: Session, settlement: Settlement) -> int | None:
    """Write a conclusion; the message, or None where the row is settled already or another attempt is doubtful."""
    async with session.transaction():
        stands = await standing(session, settlement.id)
        decision = rules.conclude(settlement, stands)
        if stands is None or decision is None:
            return None
        await write(session, stands.key, settlement.at, decision.deeds)
        return stands.key


async def standing(session: Session, message_id: MessageId) -> rules.Standing | None:
    """Where a message stands, locked until the transaction's end; None where there is none."""
    row = await session.row("standing", public_id=uuid.UUID(bytes=id_bytes(message_id)))
    return None if row is None else rows.standing(cast("rows.StandingTuple", row))


async def audit(session: Session, at: Millis, *, by: str, action: str, target: str, data: Mapping[str, object]) -> None:
    """Who did what."""
    await session.run("audit", at=at, by=by, action=action, target=target, data=json.dumps(data))


async def write(session: Session, key: int, at: Millis, deeds: Sequence[rules.Deed]) -> None:
    """Write the deeds down, in their order."""
    for deed in deeds:
        await _write(session, key, at, deed)


async def _write(session: Session, key: int, at: Millis, deed: rules.Deed) -> None:
    match deed:
        case rules.Tell():
            told = {name: value for name, value in deed.data.items() if value is not None}
            await session.run("event", message=key, at=at, type=deed.event, data=json.dumps(told))
        case rules.End():
            await session.run("end_message", message=key, status=deed.status.value, at=at)
        case rules.Requeue():
            await session.run(
                "requeue",
                message=key,
                due_at=deed.due_at,
                accept_duplicate=deed.accept_duplicate,
                expires_at=deed.expires_at,
                gives_up_at=deed.gives_up_at,
            )
        case rules.ForbidResend():
            await session.run("forbid_resend", message=key)
        case rules.LookNow():
            await session.run("look_now", message=key, at=at)
        case rules.NoteVerdict():
            await session.run("attempt_settled", message=key, number=deed.number, verdict=deed.verdict.value)
        case rules.LookAgain():
            again = {"looks": deed.looks, "absent_at": deed.absent_at, "look_at": deed.look_at}
            await session.run("look_again", message=key, **again)
        case rules.HoldAgain():
            await session.run("hold_again", message=key, cause=deed.cause)
        case rules.HoldUnsettled():
            await session.run("hold_unsettled", message=key, cause=deed.cause)
        case _:
            assert_never(deed)
