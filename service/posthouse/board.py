"""The lanes of this process together: who has which, the day that they share, the ceilings of the apps. Pure."""

from collections import defaultdict
from collections.abc import Callable

from posthouse.concurrency import Ceiling
from posthouse.lanes import Lane
from posthouse.limits import Discipline
from posthouse.message import Millis
from posthouse.pace import UPLOAD_WINDOW, WINDOW, Day
from posthouse.records import Lease, Past


class Board:
    """The lanes that are alive in this process, the tenant's day, the ceilings of the apps.

    Dispatcher and settling share the lanes' slots through it. ``leased`` are the keys of those that this process
    holds: nobody else may look for what they left in doubt.
    """

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._released: dict[str, tuple[int, Millis]] = {}
        self._ceilings: defaultdict[str, Ceiling] = defaultdict(Ceiling)
        self._leased: set[int] = set()
        self._watching: dict[Callable[[], None], None] = {}  # told in the order of asking
        self.tenant = Day()

    @property
    def leased(self) -> frozenset[int]:
        """The lanes whose look-ups are this process's."""
        return frozenset(self._leased)

    def watch(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` when a lane was leased."""
        self._watching[changed] = None

    def take(self, lane: int) -> None:
        """A lane is leased from now on."""
        self._leased.add(lane)
        for changed in tuple(self._watching):
            changed()

    def give_back(self, lane: int) -> None:
        """Begin no more look-up for it."""
        self._leased.discard(lane)

    def lane(self, account: str) -> Lane:
        """The lane of an account, made where there is none."""
        lane = self._lanes.get(account)
        if lane is None:
            lane = self._lanes[account] = Lane(self.tenant)
        return lane

    def ceiling(self, app: str) -> Ceiling:
        """How many requests an app has under way at once."""
        return self._ceilings[app]

    def remembers(self, lease: Lease) -> bool:
        """Whether this process had the lane last: between its fence and this one there was no other owner."""
        return self._released.get(lease.account, (-1, 0))[0] == lease.fence - 1

    def open(self, lease: Lease, past: Past | None, discipline: Discipline, now: Millis) -> Lane:
        """The lane of an account that was just leased."""
        self._released.pop(lease.account, None)
        lane = self.lane(lease.account)
        lane.open(lease, past, discipline, now)
        return lane

    def release(self, lease: Lease, now: Millis) -> None:
        """A lane was given back; it is remembered as long as its windows are, then let go."""
        if lease.lane in self._leased:
            return  # leased again before this was heard of
        self._released.pop(lease.account, None)
        self._released[lease.account] = (lease.fence, now)
        for account, (_, at) in tuple(self._released.items()):
            if at > now - UPLOAD_WINDOW:
                return
            del self._released[account]
            lane = self._lanes.get(account)
            if lane is not None and lane.idle and lane.block_ended_at < now - WINDOW:
                del self._lanes[account]
