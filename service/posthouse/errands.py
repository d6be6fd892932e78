"""What is done in the mailboxes beside sending, as duties by name: drafts taken away, reports read where that is declared."""

from collections.abc import Callable, Coroutine

from posthouse.assembly import Ways
from posthouse.board import Board
from posthouse.bounces import EVERY, Bounces
from posthouse.bounces import Tools as BounceTools
from posthouse.fixes import Fixes
from posthouse.meter import Meter
from posthouse.ports import Clock, Spool
from posthouse.settings.model import Settings
from posthouse.strays import Strays
from posthouse.strays import Tools as StrayTools

Duties = dict[str, Callable[[], Coroutine[None, None, None]]]


def errands(settings: Settings, ways: Ways, *, spool: Spool, board: Board, clock: Clock, meter: Meter) -> Duties:
    """The duties; each runs until cancelled."""
    last_check, concurrent = settings.delivery.settle_checks[-1], settings.limits.concurrent_requests
    strays = StrayTools(
        spool=spool, brooms=ways.brooms, board=board, clock=clock, after=last_check, concurrent=concurrent
    )
    duties: Duties = {"strays": Strays(strays).run}
    if ways.letterboxes:
        tools = BounceTools(
            spool=spool,
            letterboxes=ways.letterboxes,
            board=board,
            clock=clock,
            diagnosis=Fixes(),
            concurrent=concurrent,
            every=min(EVERY, last_check),
            meter=meter,
        )
        duties["bounces"] = Bounces(tools).run
    return duties
