"""What may be done to a message that stands somewhere, as deeds that every engine writes down: pure (PROMISES §5, §6).

An engine reads where a message stands, asks here, and writes the deeds in the same transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, assert_never

from posthouse.message import Millis, OnUnconfirmed, Status
from posthouse.records import Action, Change, Command, NotPossible, Settlement, Verdict

CAUSE_UNCONFIRMED: Final = "unconfirmed"
"""Why a message is held whose client asked for ``on_unconfirmed: hold``."""


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
    held_before: str | None = None
    """The cause for which an unsettled one was held before it came into doubt."""

    def over(self, at: Millis) -> bool:
        """Whether the client's own expiry has passed."""
        return self.expires_at is not None and self.expires_at <= at


@dataclass(frozen=True, slots=True)
class Tell:
    """One line of the message's history; values that are None are left out."""

    event: str
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class End:
    """A final status; nothing is in doubt any more."""

    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Requeue:
    """Queued again, all recipients asked again, its lane awake; None keeps what stands."""

    due_at: Millis
    accept_duplicate: bool = False
    expires_at: Millis | None = None
    gives_up_at: Millis | None = None


@dataclass(frozen=True, slots=True)
class ForbidResend:
    """An unsettled message loses the right to be sent again."""


@dataclass(frozen=True, slots=True)
class LookNow:
    """An unsettled message is looked for at once."""


@dataclass(frozen=True, slots=True)
class NoteVerdict:
    """The doubtful attempt is no more in doubt: ``sent`` or ``not_sent``."""

    number: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class NoteDraft:
    """Whether the draft that was about to be sent lies there still, to be sent again; a message without one has none."""

    stays: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAgain:
    """The next look-up of an unsettled message, or none."""

    looks: int
    absent_at: Millis | None
    look_at: Millis | None


@dataclass(frozen=True, slots=True)
class NoteAppearance:
    """How long the copy took to be found that an earlier look-up had not found."""

    took: Millis


@dataclass(frozen=True, slots=True)
class HoldUnsettled:
    """An unsettled message waits for a person or a right."""

    cause: str | None


@dataclass(frozen=True, slots=True)
class HoldAgain:
    """Not in doubt any more, and held for the cause for which it was before."""

    cause: str


@dataclass(frozen=True, slots=True)
class Alter:
    """Other times or another priority for a message that is not being sent; its lane awake."""

    change: Change
    gives_up_at: Millis | None


Deed = (
    Tell
    | End
    | Requeue
    | ForbidResend
    | LookNow
    | NoteVerdict
    | NoteAppearance
    | LookAgain
    | HoldUnsettled
    | HoldAgain
    | Alter
    | NoteDraft
)


@dataclass(frozen=True, slots=True)
class Decision:
    """Where the message stands after the deeds, which are written in this order."""

    status: Status
    deeds: tuple[Deed, ...]


def decide(command: Command, stands: Standing) -> Decision | NotPossible:
    """What a person's command does, or the rule that forbids it."""
    match command.action:
        case Action.CANCEL:
            return _cancel(command, stands)
        case Action.RETRY:
            return _retry(command, stands)
        case Action.RELEASE:
            return _release(command, stands)
        case Action.CHANGE:
            return _change(command, stands)
        case Action.SETTLE_SENT | Action.SETTLE_NOT_SENT:
            return _settle(command, stands)
        case _:
            assert_never(command.action)


def is_audited(command: Command, stands: Standing) -> bool:
    """Whether the audit keeps it: all but what a client changes of its own messages."""
    return command.action is not Action.CHANGE or command.owner != stands.client


def audit_data(command: Command, *, before: Status, after: Status) -> dict[str, object]:
    """What the audit says of a command that was obeyed."""
    data = {"from": before, "to": after, "accept_duplicate": command.accept_duplicate or None}
    return data if command.change is None else data | _changed(command.change)


def conclude(settlement: Settlement, stands: Standing | None) -> Decision | None:
    """What a conclusion of settling does; None where the row is settled already or another attempt is the doubtful one."""
    if stands is None or stands.unsettled != settlement.number:
        return None
    at, data = settlement.at, settlement.data
    match settlement.verdict:
        case Verdict.SENT:
            found = _was_sent(stands, data=data)
            noted = () if settlement.took is None else (NoteAppearance(settlement.took),)
            return Decision(found.status, (*noted, *found.deeds))
        case Verdict.NOT_SENT:
            again = Requeue(due_at=settlement.due_at or at, gives_up_at=settlement.gives_up_at)
            done = _was_not_sent(stands, at, again=again, data=data)
            return Decision(done.status, (NoteDraft(settlement.draft_stays), *done.deeds))
        case Verdict.HELD | Verdict.LATER:
            return _still_unsettled(stands, settlement)
        case _:
            assert_never(settlement.verdict)


@dataclass(frozen=True, slots=True)
class Left:
    """A message in ``sending`` whose attempt nobody carries any more."""

    key: int
    number: int
    started_at: Millis
    deadline_at: Millis
    wish: OnUnconfirmed
    expires_at: Millis | None

    def ended(self, now: Millis, *, grace: Millis) -> Millis:
        """The latest time at which its request can have ended, also where the clock was set back since (PROMISES §5)."""
        return min(self.deadline_at, now + self.deadline_at - self.started_at) + grace


def recovered(left: Left, *, now: Millis) -> tuple[Status, str | None, bool, str]:
    """Where such a message goes: status, held cause, whether it is looked for, event.

    One that would be sent again whatever happened, but has expired, is looked for instead: nothing in doubt expires.
    """
    match left.wish:
        case OnUnconfirmed.SETTLE:
            return Status.UNCONFIRMED, None, True, "message.unconfirmed"
        case OnUnconfirmed.RETRY if left.expires_at is not None and left.expires_at <= now:
            return Status.UNCONFIRMED, None, True, "message.unconfirmed"
        case OnUnconfirmed.RETRY:
            return Status.QUEUED, None, False, "message.deferred"
        case OnUnconfirmed.HOLD:
            return Status.HELD, CAUSE_UNCONFIRMED, False, "message.held"
        case _:
            assert_never(left.wish)


def _cancel(command: Command, stands: Standing) -> Decision | NotPossible:
    if stands.unsettled is not None:
        told = Tell("message.resend_withdrawn", {"by": command.by, "cause": "canceled"})
        return Decision(stands.status, (ForbidResend(), told))
    if stands.status is Status.SENDING:
        return NotPossible("It is being sent right now; ask again when the attempt has ended.")
    if stands.status.final:
        return NotPossible(f"It is {stands.status.value} already.")
    return _ended(Status.CANCELED, data={"by": command.by})


def _retry(command: Command, stands: Standing) -> Decision | NotPossible:
    refusal = _no_retry(command, stands)
    if refusal is not None:
        return NotPossible(refusal)
    told = Tell("message.retried", {"by": command.by, "accept_duplicate": command.accept_duplicate or None})
    again = Requeue(
        due_at=command.at,
        accept_duplicate=stands.unsettled is not None,
        expires_at=command.expires_at,
        gives_up_at=command.gives_up_at,
    )
    return Decision(Status.QUEUED, (told, again))


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


def _release(command: Command, stands: Standing) -> Decision | NotPossible:
    if stands.unsettled is not None:
        told = Tell("message.released", {"by": command.by, "cause": "looked for again"})
        return Decision(stands.status, (LookNow(), told))
    if stands.status is not Status.HELD:
        return NotPossible(f"It is not held but {stands.status.value}.")
    told = Tell("message.released", {"by": command.by, "cause": stands.held_cause})
    return Decision(Status.QUEUED, (told, Requeue(due_at=stands.due_at, gives_up_at=command.gives_up_at)))


def _change(command: Command, stands: Standing) -> Decision | NotPossible:
    change = command.change or Change()
    if stands.unsettled is not None:
        return NotPossible("Nobody knows yet whether it was sent, so nothing of it can be changed.")
    if stands.status not in {Status.QUEUED, Status.HELD}:
        now = "is being sent right now" if stands.status is Status.SENDING else f"is {stands.status.value} already"
        return NotPossible(f"It {now}.")
    due_at = stands.due_at if change.due_at is None else change.due_at
    expires_at = None if change.never_expires else stands.expires_at if change.expires_at is None else change.expires_at
    if expires_at is not None and expires_at <= max(due_at, command.at):
        return NotPossible("It would expire before it is due.")
    told = Tell("message.changed", {"by": command.by, **_changed(change)})
    return Decision(stands.status, (Alter(change, command.gives_up_at), told))


def _changed(change: Change) -> dict[str, object]:
    priority = None if change.priority is None else change.priority.name.lower()
    told = {"scheduled_at": change.due_at, "expires_at": change.expires_at, "priority": priority}
    return told | {"never_expires": change.never_expires or None}


def _settle(command: Command, stands: Standing) -> Decision | NotPossible:
    if stands.unsettled is None:
        return NotPossible(f"Nothing is in doubt: it is {stands.status.value}.")
    data = {"by": command.by}
    if command.action is Action.SETTLE_SENT:
        return _was_sent(stands, data=data)
    # what a restored copy put in doubt may be scheduled for later
    again = Requeue(due_at=max(command.at, stands.due_at), gives_up_at=command.gives_up_at)
    return _was_not_sent(stands, command.at, again=again, data=data)


def _ended(status: Status, *, data: Mapping[str, object]) -> Decision:
    return Decision(status, (End(status), Tell(f"message.{status.value}", data)))


def _was_sent(stands: Standing, *, data: Mapping[str, object]) -> Decision:
    """The doubt ends: it was sent."""
    ended = _ended(Status.SENT, data={"attempt": stands.unsettled, "settled": True})
    return Decision(Status.SENT, (*_verdict(stands, Verdict.SENT, data), *ended.deeds))


def _was_not_sent(stands: Standing, at: Millis, *, again: Requeue, data: Mapping[str, object]) -> Decision:
    """The doubt ends: it was not sent, and goes again unless expiry or a cancel took that right away (PROMISES §5)."""
    noted = _verdict(stands, Verdict.NOT_SENT, data)
    if stands.over(at):
        ended = _ended(Status.EXPIRED, data={"cause": "expires_at"})
        return Decision(ended.status, (*noted, *ended.deeds))
    if not stands.may_resend:
        ended = _ended(Status.CANCELED, data={"cause": "canceled while unconfirmed"})
        return Decision(ended.status, (*noted, *ended.deeds))
    if stands.held_before is not None:
        told = Tell("message.held", {"cause": stands.held_before})
        return Decision(Status.HELD, (*noted, HoldAgain(stands.held_before), told))
    return Decision(Status.QUEUED, (*noted, again))


def _verdict(stands: Standing, verdict: Verdict, data: Mapping[str, object]) -> tuple[Deed, ...]:
    number = stands.unsettled or 0
    return NoteVerdict(number, verdict), Tell("message.settled", {"verdict": verdict.value, **data})


def _still_unsettled(stands: Standing, settlement: Settlement) -> Decision:
    deeds: list[Deed] = [LookAgain(looks=settlement.looks, absent_at=settlement.absent_at, look_at=settlement.look_at)]
    news = settlement.verdict is Verdict.HELD and (stands.status, stands.held_cause) != (Status.HELD, settlement.cause)
    if news:
        deeds.append(HoldUnsettled(settlement.cause))
    # a held message is looked for again for days: only news is history
    if news or stands.status is not Status.HELD:
        data = {**settlement.data, "cause": settlement.cause, "next_look_at": settlement.look_at}
        deeds.append(Tell("message.held" if news else "message.looked_up", data))
    return Decision(Status.HELD if news else stands.status, tuple(deeds))
