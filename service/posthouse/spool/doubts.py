"""What a restored copy must find out before it sends: pure (PROMISES §5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from posthouse.message import OnUnconfirmed
from posthouse.records import TransportKind, Way
from posthouse.spool.rules import CAUSE_UNCONFIRMED


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A queued or held message of a restored copy; ``number`` is its last attempt's."""

    key: int
    number: int
    held_cause: str | None
    mailbox: str
    route: tuple[str, ...]
    wish: OnUnconfirmed


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtLeft:
    """A message of a restored copy that was looked for already; ``account`` is that of its attempt."""

    key: int
    mailbox: str
    route: tuple[str, ...]
    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """The attempt that may have been made after a copy was taken; one that is not looked for waits for a person."""

    key: int
    number: int
    transport: str
    kind: TransportKind
    account: str
    looked_for: bool
    cause: str | None
    held_before: str | None


def doubt_of(waiting: Waiting, ways: Mapping[str, Way]) -> Doubt | None:
    """What a restored copy must find out about a message; None where its client rather has it twice than late.

    A look-up asks one account: where the route leads through several, absence in one of them would prove nothing.
    """
    if waiting.wish is OnUnconfirmed.RETRY:
        return None
    name = next((name for name in waiting.route if name in ways), None)
    name, way = (waiting.route[0], Way("graph")) if name is None else (name, ways[name])
    accounts = _accounts(waiting.mailbox, waiting.route, ways)
    looked_for = len(accounts) == 1 and waiting.wish is OnUnconfirmed.SETTLE
    return Doubt(
        key=waiting.key,
        number=waiting.number + 1,
        transport=name,
        kind=way.kind,
        account=way.account or waiting.mailbox,
        looked_for=looked_for,
        cause=None if looked_for else CAUSE_UNCONFIRMED,
        held_before=waiting.held_cause,
    )


def beyond_looking(left: Sequence[DoubtLeft], ways: Mapping[str, Way]) -> list[int]:
    """Those in doubt already when a copy was taken that may have gone by another account since: for a person to settle."""
    return [one.key for one in left if _accounts(one.mailbox, one.route, ways) - {one.account.casefold()}]


def _accounts(mailbox: str, route: Sequence[str], ways: Mapping[str, Way]) -> set[str]:
    """The accounts in whose mailboxes a copy of the message may lie."""
    return {(ways[name].account or mailbox).casefold() for name in route if name in ways}
