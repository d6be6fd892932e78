"""What may be followed from one system into the next: submissions and attempts, in the house's words; pure."""

from collections.abc import Sequence
from typing import Final, TypeVar

from posthouse.message import MessageId
from posthouse.outcome import Outcome

_App = TypeVar("_App")


class Passage:
    """One submission on its way over the door step."""

    @property
    def traceparent(self) -> str | None:
        """How other systems and later attempts name it (W3C Trace Context); kept with its messages."""
        return None

    def ended(self, result: str, ids: Sequence[MessageId] = ()) -> None:
        """It was ``accepted`` or ``replayed``, with these messages, or refused for the condition of this name."""


class Tracer:
    """Hears of what happened; never raises and never waits, and is told no address, no subject and no content."""

    def around(self, app: _App) -> _App:
        """The application whose requests may say in which trace they stand."""
        return app

    def submitting(self, door: str) -> Passage:  # noqa: ARG002 - here nobody follows
        """A submission has come by this door."""
        return UNFOLLOWED

    def attempted(
        self, message_id: MessageId, *, transport: str, number: int, outcome: Outcome, seconds: float
    ) -> None:
        """An attempt has just ended, after so long on the wire."""

    async def close(self) -> None:
        """Tell the rest, within some seconds; idempotent."""


UNFOLLOWED: Final = Passage()
"""Where nobody follows."""
UNTRACED: Final = Tracer()
"""For services that nobody asks for traces, commands and tests."""
