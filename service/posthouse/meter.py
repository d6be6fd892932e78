"""What is counted at the seams for whoever watches the service: told in the house's words, never asked back; pure."""

from typing import Final

from posthouse.message import Millis, Status
from posthouse.outcome import Outcome


class Meter:
    """Hears what happened, and forgets it; never raises and never waits, and is told no address and no id."""

    def accepted(self, door: str, messages: int) -> None:
        """So many messages of one submission are kept durably."""

    def refused(self, door: str, code: str) -> None:
        """A door refused a request, a command or a connection, for a code of its table."""

    def attempted(self, transport: str, outcome: Outcome, *, seconds: float | None) -> None:
        """An attempt ended; ``seconds`` on the wire, None where nothing began there."""

    def finished(self, status: Status, *, transport: str | None = None, messages: int = 1) -> None:
        """Messages are final; ``transport`` where an attempt ended them."""

    def sent(self, transport: str, *, seconds: float) -> None:
        """A message left, so long after it was accepted or, if later, due."""

    def bounced(self, kind: str) -> None:
        """A message did not reach a recipient, as was reported later; ``kind`` is the class of its fix."""

    def turned(self, now: Millis) -> None:
        """The dispatcher has looked at what is due."""

    def answered(self, door: str, status: int) -> None:
        """An HTTP request was answered."""

    def connected(self, door: str) -> None:
        """Somebody connected."""

    def replied(self, door: str, code: str) -> None:
        """A command was answered, with this reply code of three digits."""


UNHEARD: Final = Meter()
"""For commands and tests that measure nothing."""
