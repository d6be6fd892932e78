"""Does what a person asked, as ``rules`` decides; each deed leaves an event naming who, and an audit row."""

from posthouse.records import Command, CommandResult, NoSuchMessage, NotPossible, Obeyed
from posthouse.spool.rules import audit_data, decide, is_audited
from posthouse.spool.sqlite.committing import Job
from posthouse.spool.sqlite.database import Database, to_json
from posthouse.spool.sqlite.standing import standing, write


def obey(command: Command) -> Job[CommandResult]:
    """Do it or say which rule forbids it."""

    def act(db: Database) -> CommandResult:
        stands = standing(db, command.id)
        if stands is None or command.client not in {None, stands.client}:
            return NoSuchMessage()
        decision = decide(command, stands)
        if isinstance(decision, NotPossible):
            return decision
        write(db, stands.key, command.at, decision.deeds)
        if is_audited(command, stands):
            data = audit_data(command, before=stands.status, after=decision.status)
            action = f"message.{command.action.value}"
            audit = {"at": command.at, "by": command.by, "action": action, "target": command.id, "data": to_json(data)}
            db.run("audit", audit)
        db.woken.add(stands.lane)
        return Obeyed(decision.status)

    return act
