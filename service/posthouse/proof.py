"""What a look-up proves about an unconfirmed message: pure (PROMISES §5).

Presence of a copy is proof of a send. Absence is proof only late enough and only if presence was proved in the same
round by a witness: nowhere is it documented that Graph keeps our Message-ID, and a user or a retention rule may have
removed the copy.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from posthouse.message import MessageId, Millis, Status
from posthouse.records import Copy, Sharer, Sightings, Unsettled, Verdict, Witness

HOUR: Final[Millis] = 3_600_000
DAY: Final[Millis] = 24 * HOUR
HELD_LOOK: Final[Millis] = HOUR
"""Held ones are looked at again at least hourly."""
WITNESS_LOOK: Final[Millis] = 5 * 60_000
"""A missing witness may come with the next ordinary send, so these are looked at sooner."""
OUTAGE_LOOK: Final[Millis] = 2 * 60_000
SLOWEST: Final[Millis] = HOUR
"""An appearance that took longer tells of a look-up that came late, not of Exchange."""
NEWER: Final[Millis] = 60_000
"""An ordinary send is over within this; a copy that came to be later may be of another mail with the same Message-ID."""

CAUSE_DRAFT: Final = "unconfirmed_draft"
CAUSE_SHARED: Final = "unconfirmed_shared_message_id"
CAUSE_OLDER: Final = "unconfirmed_older_copy"
CAUSE_NO_WITNESS: Final = "unconfirmed_no_witness"
CAUSE_NO_SIGHT: Final = "unconfirmed_no_look_up"
CAUSE_NO_RIGHT: Final = "unconfirmed_no_right"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """A verdict for now, when to look again (None: never), and why it is held.

    ``draft_stays``: the draft that was about to be sent lies there still, and it is what goes again.
    """

    verdict: Verdict
    look_at: Millis | None = None
    cause: str | None = None
    draft_stays: bool = False


def next_check(item: Unsettled, now: Millis, checks: Sequence[float]) -> Millis | None:
    """When the next look is due; None where the last one's time has come, however often somebody looked before."""
    for seconds in checks:
        at = item.since + int(seconds * 1000)
        if at > now:
            return at
    return None


def conclude(
    item: Unsettled,
    *,
    now: Millis,
    copies: tuple[Copy, ...],
    sharing: Sequence[Sharer],
    presence_proved: bool,
    slowest: Millis,
    checks: Sequence[float],
) -> Conclusion:
    """What an answered look-up means; ``copies`` are what was found.

    ``sharing`` are all attempts that may have left such a copy.
    """
    later = next_check(item, now, checks)
    last = later is None
    out = [copy for copy in copies if not copy.draft]
    if len({one.id for one in sharing}) > 1 and (out or last):
        shared = _shared(out, sharing, now=now, later=later)
        if shared is not None:
            return shared
    if _any_own(item, out, sharing):
        return Conclusion(verdict=Verdict.SENT)
    if not last:
        return Conclusion(verdict=Verdict.LATER, look_at=later)
    if copies:
        cause = CAUSE_OLDER if out else CAUSE_DRAFT
        return Conclusion(verdict=Verdict.HELD, cause=cause, look_at=now + HELD_LOOK)
    return _absent(item, now=now, presence_proved=presence_proved, slowest=slowest)


def _any_own(item: Unsettled, out: Sequence[Copy], sharing: Sequence[Sharer]) -> bool:
    """Whether a copy is the item's: one that is older than its first attempt is another mail's, or a clock was wrong.

    An id of ours was on no mail before.
    """
    if item.message.own_message_id:
        return bool(out)
    began = min((one.began for one in sharing if one.id == item.message.id), default=item.started_at)
    return any(_not_older(copy, began) for copy in out)


def _not_older(copy: Copy, began: Millis) -> bool:
    return copy.between is not None and copy.between[1] >= began


def _newer(copy: Copy, ended: Millis) -> bool:
    return copy.between is None or copy.between[0] > ended


def _absent(item: Unsettled, *, now: Millis, presence_proved: bool, slowest: Millis) -> Conclusion:
    patient_until = item.since + 3 * min(slowest, SLOWEST)
    if now < patient_until:
        return Conclusion(verdict=Verdict.LATER, look_at=patient_until)
    if presence_proved:
        return Conclusion(verdict=Verdict.NOT_SENT)
    return Conclusion(verdict=Verdict.HELD, cause=CAUSE_NO_WITNESS, look_at=now + WITNESS_LOOK)


def unanswered(
    item: Unsettled, *, now: Millis, denied: bool, checks: Sequence[float], not_before: Millis = 0
) -> Conclusion:
    """What a look-up without an answer that counts means: ``denied`` where an administrator must grant the right.

    ``not_before`` is when Graph may be asked again (Retry-After): that Graph said when is no outage, and no reason to
    hold a message, for an hour of it.
    """
    later = next_check(item, now, checks)
    if later is not None:
        return Conclusion(verdict=Verdict.LATER, look_at=max(later, not_before))
    if not_before > now and not denied and now - item.since < HELD_LOOK:
        return Conclusion(verdict=Verdict.LATER, look_at=not_before)
    if denied:
        return Conclusion(verdict=Verdict.HELD, cause=CAUSE_NO_RIGHT, look_at=max(now + HELD_LOOK, not_before))
    return Conclusion(verdict=Verdict.HELD, cause=CAUSE_NO_SIGHT, look_at=max(now + OUTAGE_LOOK, not_before))


def needs_stranger(item: Unsettled, witnesses: Collection[Witness], *, now: Millis) -> bool:
    """Whether only a witness of another account could testify for this item."""
    own = any(one.account == item.account and may_testify(one, item, now=now) for one in witnesses)
    return not own and now - item.started_at < HOUR


def may_testify(witness: Witness, item: Unsettled, *, now: Millis) -> bool:
    """Whether this witness, found in the same round, proves presence for this item."""
    age = now - item.started_at
    if witness.id == item.message.id:
        return False
    if witness.account != item.account:
        return age < HOUR
    before = witness.sent_at < item.started_at
    return before or (witness.sent_at <= item.started_at + DAY and age < DAY)


def found_again(witnesses: Collection[Witness], seen: Sightings, *, own: bool) -> frozenset[MessageId]:
    """The witnesses of which a copy was seen that is certainly theirs; ``own``: their Message-IDs are ours.

    A client may have given its Message-ID to another mail too, of which this spool knows nothing, and whose copy lies
    there where the witness's own does not: so such a copy must have come to be while the witness was sent.
    """
    if own:
        return frozenset(one.id for one in witnesses if one.message_id in seen.sent)
    return frozenset(
        one.id
        for one in witnesses
        if any(
            not copy.draft and _not_older(copy, one.sent_at) and not _newer(copy, one.sent_at + NEWER)
            for copy in seen.found.get(one.message_id, ())
        )
    )


def presence(item: Unsettled, witnesses: Collection[Witness], *, found: Collection[MessageId], now: Millis) -> bool:
    """Whether any of the witnesses that were found may_testify.

    Another account's witness counts only where the account itself has none.
    """
    own = [witness for witness in witnesses if witness.account == item.account and may_testify(witness, item, now=now)]
    candidates = own or [witness for witness in witnesses if may_testify(witness, item, now=now)]
    return any(witness.id in found for witness in candidates)


def _shared(out: Sequence[Copy], sharing: Sequence[Sharer], *, now: Millis, later: Millis | None) -> Conclusion | None:
    """Several messages carry the Message-ID: a copy for each attempt, none at all (None: absent), or nobody can tell.

    Not one for each message: one that was sent again on purpose may have left two.
    """
    # from the latest on: the nth of them needs n copies that are not older
    begun = sorted((one.began for one in sharing), reverse=True)
    if all(sum(_not_older(copy, began) for copy in out) > n for n, began in enumerate(begun)):
        return Conclusion(verdict=Verdict.SENT)
    if not out and all(one.status is not Status.SENT for one in sharing):
        return None
    if later is not None:
        return Conclusion(verdict=Verdict.LATER, look_at=later)
    return Conclusion(verdict=Verdict.HELD, cause=CAUSE_SHARED, look_at=now + HELD_LOOK)


def copies_of(item: Unsettled, seen: Sightings) -> tuple[Copy, ...]:
    """An item's copies; its own strays in Drafts, which nobody sends, are none."""
    copies = seen.found.get(item.message.message_id, ())
    return tuple(copy for copy in copies if not copy.draft) if item.strays and item.draft is None else copies


def conclude_draft(
    item: Unsettled, seen: Sightings, *, now: Millis, slowest: Millis, checks: Sequence[float]
) -> Conclusion | None:
    """What the very draft that was about to be sent shows; None where it is not there under its id, or there was none.

    One draft can be sent only once, so that one which is a draft still after the whole time goes again, whoever shares
    its Message-ID (FACTS A5).
    """
    is_draft = None if item.draft is None else seen.by_id.get(item.draft)
    if is_draft is None:
        return None
    if not is_draft:
        return Conclusion(verdict=Verdict.SENT)
    later = next_check(item, now, checks)
    patient_until = item.since + 3 * min(slowest, SLOWEST)
    if later is None and now < patient_until:
        later = patient_until
    if later is not None:
        return Conclusion(verdict=Verdict.LATER, look_at=later)
    return Conclusion(verdict=Verdict.NOT_SENT, draft_stays=True)
