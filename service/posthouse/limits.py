"""What an account may do, how a transport draws on it, and what one message asks for: the words of the discipline."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from posthouse.message import Message, Millis, Priority

ONE_REQUEST: Final = 3_145_728
"""Bytes of a message on the wire that one request of Graph carries as MIME; larger ones go as drafts (FACTS 0.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an account may do (FACTS B1); 0 means no limit."""

    messages_per_minute: int = 30
    concurrent_requests: int = 4
    recipients_per_day: int = 10_000
    upload_bytes_per_5_minutes: int = 150_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """How a transport draws on a lane: the name of its pace ("" is the lane's own), its limits, its own slots.

    ``app`` names the Entra app whose ceiling it shares ("" none); ``uploads``: its bytes count, as base64 (FACTS 0.4).
    """

    pace: str
    limits: Limits
    slots: int
    app: str = ""
    uploads: bool = False

    def wire_bytes(self, size: int) -> int:
        """What a message of so many bytes takes of the account's uploads; a draft gets its files decoded."""
        if not self.uploads:
            return 0
        return size // 4 * 3 if size > ONE_REQUEST else (size + 2) // 3 * 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Discipline:
    """The limits of all lanes: the use of each transport, the pace a minute of single senders, the tenant's day."""

    uses: Mapping[str, Use]
    senders: Mapping[str, int] = field(default_factory=dict)
    tenant_recipients_per_day: int = 0

    @property
    def usual(self) -> Use:
        """The use that lanes are shown with: the first of those that share the lane's own pace."""
        uses = list(self.uses.values())
        return next((use for use in uses if not use.pace), uses[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one message asks of its lane by one transport."""

    high: bool = False
    recipients: int = 1
    wire_bytes: int = 0
    sender: str = ""
    sender_per_minute: int = 0


PLAIN: Final = Load()


def load_of(message: Message, use: Use, senders: Mapping[str, int]) -> Load:
    """What this message asks for."""
    return Load(
        high=message.priority is Priority.HIGH,
        recipients=len(message.envelope.recipients),
        wire_bytes=use.wire_bytes(message.size),
        sender=message.sender,
        sender_per_minute=senders.get(message.sender, 0),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Started:
    """A send under way, and what it took."""

    transport: str
    use: Use
    load: Load
    at: Millis
