"""Where one message stands, and the deeds that ``rules`` decided on, written down in one transaction."""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import cast

from posthouse.message import MessageId, Millis, id_bytes
from posthouse.records import Command, CommandResult, NoSuchMessage, NotPossible, Obeyed, Presence, Settlement, Verdict
from posthouse.spool import loads, rows, rules
from posthouse.spool.deeds import verb_of
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
        if rules.is_audited(command, stands):
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
        verb, values = verb_of(deed, key=key, at=at)
        await session.run(verb, **values)
        if isinstance(deed, rules.NoteVerdict) and deed.verdict is Verdict.NOT_SENT:
            await session.run("give_back", messages=[key], numbers=[deed.number])


async def look_held(session: Session, *, account: str, cause: str, at: Millis) -> Sequence[int]:
    """Look at ``at`` for what is held for this cause and went out through this account; the messages."""
    found = await session.rows("held_looks", account=account, cause=cause, at=at)
    return [cast("int", row[0]) for row in found]


async def save_presence(session: Session, presence: Presence, *, lane: int) -> None:
    """Write down whether an account's copies are found."""
    values = loads.presence(presence) | {"own": presence.own}
    await session.run("save_presence", account=lane, **values)
