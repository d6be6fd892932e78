"""Rows whose next attempt uses another account are put into its lane: each lane sends by its own account alone (PROMISES §7)."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from posthouse.dispatcher.attempt import Tools
from posthouse.limits import Discipline
from posthouse.message import Message, Millis
from posthouse.records import Lease, Move

SHUT: Final[Millis] = 5_000
"""How long a lane that is full of rows from elsewhere is not asked again."""
GUESTS: Final = 500
"""Rows that may wait in a lane for rows to be moved into it, where its transport has no pace."""
PEEK: Final = 16
"""Rows looked at in one reading of a lane."""
TRIAL: Final[Millis] = 1_000
"""How long a row waits where a circuit is on trial: its one trial is no reason to move whole lanes."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The transport of its next attempt uses another account, in whose lane it belongs."""

    transport: str
    account: str


class Moving:
    """Moves rows out of one leased lane, and remembers which lanes take no more for now."""

    def __init__(self, lease: Lease, *, tools: Tools, discipline: Discipline) -> None:
        self._lease = lease
        self._tools = tools
        self._discipline = discipline
        self._shut: dict[Elsewhere, Millis] = {}

    def shut_until(
        self, message: Message, other: Elsewhere, now: Millis, refused: Mapping[str, Millis]
    ) -> Millis | None:
        """Until when a message does not go there; None where it goes. ``refused``: transports it may not use now."""
        until = self._shut.get(other, 0)
        if until > now:
            return until
        others = any(name != other.transport and name not in refused for name in message.route)
        return now + TRIAL if others and not self._tools.gates.steady(other.transport) else None

    async def move(self, elsewhere: Mapping[int, Elsewhere]) -> frozenset[int]:
        """Put rows where they belong; the keys of those that lie there now."""
        groups: defaultdict[Elsewhere, list[int]] = defaultdict(list)
        for key, other in elsewhere.items():
            groups[other].append(key)
        gone: set[int] = set()
        for other, keys in groups.items():
            now = self._tools.clock.now()
            moved = await self._tools.spool.move(
                Move(
                    keys=tuple(keys),
                    lane=self._lease.lane,
                    fence=self._lease.fence,
                    account=other.account,
                    transport=other.transport,
                    most=self._discipline.uses[other.transport].limits.messages_per_minute or GUESTS,
                    at=now,
                )
            )
            gone.update(moved.keys)
            if len(moved.keys) < len(keys):
                self._shut[other] = moved.shut_until or now + SHUT
        return frozenset(gone)

    async def send_guests_home(self) -> None:
        """The lane stands still: what belongs elsewhere by the first transport of its route waits there."""
        while True:
            now = self._tools.clock.now()
            rows = await self._tools.spool.peek(lane=self._lease.lane, now=now, most=PEEK)
            homes = {message.key: self._home(message) for message in rows}
            guests = {
                key: home
                for key, home in homes.items()
                if home is not None and home.account != self._lease.account and self._shut.get(home, 0) <= now
            }
            if not guests:
                return
            await self.move(guests)

    def _home(self, message: Message) -> Elsewhere | None:
        name = next((one for one in message.route if one in self._discipline.uses), None)
        return None if name is None else Elsewhere(name, self._tools.accounts(name, message.mailbox))
