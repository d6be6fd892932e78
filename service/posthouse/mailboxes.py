"""Which mailbox sends a message: its sender's own, or of several the one that can send first. Pure but for turns taken."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from posthouse.message import Millis
from posthouse.pace import NEVER
from posthouse.policy import folded
from posthouse.reckoning import Joiner, Standing


@dataclass(frozen=True, slots=True)
class SenderRule:
    """The mailboxes that send as an address (its own where there is none), and whether it has a pace of its own."""

    address: str
    mailboxes: tuple[str, ...] = ()
    paced: bool = False


class Queues(Protocol):
    """How the lanes stand; answers from memory."""

    def standing(self, account: str, joiner: Joiner) -> Standing:
        """What somebody who joins this lane now has before them."""
        ...

    def join(self, account: str, joiner: Joiner) -> None:
        """Somebody joined it."""
        ...


@dataclass(frozen=True, slots=True)
class Seat:
    """The mailbox of a message, the account whose lane it joins, and how that stands."""

    mailbox: str
    account: str
    standing: Standing


class Mailboxes:
    """The mailboxes of all senders that the settings name."""

    def __init__(self, rules: Iterable[SenderRule], queues: Queues) -> None:
        self._rules = {folded(rule.address): rule for rule in rules}
        self._queues = queues
        self._rounds: Counter[str] = Counter()

    def paced(self, sender: str) -> bool:
        """Whether a sender has a pace of its own."""
        rule = self._rules.get(folded(sender))
        return rule is not None and rule.paced

    def seat(self, sender: str, joiner: Joiner, *, login: str | None, joins: bool) -> Seat:
        """Of several mailboxes the one that sends first, in turn where they are equal; ``login`` is their account.

        One of which nobody knows when it sends (blocked, paused by a person) is taken only where there is no other.
        """
        address = folded(sender)  # one lane for one account, however its name is written
        rule = self._rules.get(address)
        mailboxes = rule.mailboxes if rule is not None and rule.mailboxes else (address,)
        first = self._rounds[address] % len(mailboxes) if len(mailboxes) > 1 else 0
        seats = [self._look(mailbox, joiner, login) for mailbox in mailboxes[first:] + mailboxes[:first]]
        seat = seats[0] if len(seats) == 1 else min(seats, key=_sends_at)
        if joins:
            self._queues.join(seat.account, joiner)
            if len(mailboxes) > 1:
                self._rounds[address] += 1
        return seat

    def _look(self, name: str, joiner: Joiner, login: str | None) -> Seat:
        mailbox = folded(name)
        account = login or mailbox
        return Seat(mailbox, account, self._queues.standing(account, joiner))


def _sends_at(seat: Seat) -> Millis:
    at = seat.standing.estimated_send_at
    return NEVER if at is None else at
