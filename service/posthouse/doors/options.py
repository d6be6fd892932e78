"""How a message goes, whatever it says: what the doors know as fields, parameters or header fields (CONTRACT §2)."""

import json
import math
from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)

from posthouse.doors.rules import RuleError
from posthouse.doors.values import Seconds
from posthouse.message import Millis, OnUnconfirmed, Priority
from posthouse.submission import Wishes

METADATA_LIMIT: Final = 4096
"""Bytes of metadata as JSON (CONTRACT §2.1)."""
PRIORITIES: Final = {"high": Priority.HIGH, "normal": Priority.NORMAL, "low": Priority.LOW}

TAGS: Final = 32
"""Tags that a message has at most."""


def _metadata(value: object) -> object:
    if isinstance(value, dict):
        try:
            size = len(json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode())
        except ValueError:
            raise RuleError("metadata is JSON, without NaN or infinite numbers (RFC 8259 §6)") from None
        if size > METADATA_LIMIT:
            raise RuleError(f"metadata has at most {METADATA_LIMIT} bytes as JSON, this has {size}")
    return value


_Reference = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
TagName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
TagValue = Annotated[str, StringConstraints(max_length=256)]
Tags = Annotated[dict[TagName, TagValue], Field(max_length=TAGS)]


class Options(BaseModel):
    """How a message goes, whatever it says."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reference: _Reference | None = None
    tags: Tags = Field(default_factory=dict)
    metadata: Annotated[dict[str, JsonValue], BeforeValidator(_metadata)] = Field(default_factory=dict)
    scheduled_at: AwareDatetime | None = None
    send_in: Seconds | None = None
    expires_at: AwareDatetime | None = None
    expires_in: Seconds | None = None
    priority: Literal["high", "normal", "low"] | None = None
    transport: str | None = None
    on_unconfirmed: Literal["settle", "retry", "hold"] | None = None

    @model_validator(mode="after")
    def _one_time_each(self) -> Self:
        if self.scheduled_at is not None and self.send_in is not None:
            raise RuleError("scheduled_at or send_in, not both", at="/send_in")
        if self.expires_at is not None and self.expires_in is not None:
            raise RuleError("expires_at or expires_in, not both", at="/expires_in")
        return self

    def wishes(self, now: Millis) -> Wishes:
        """The same, resolved at the time of acceptance."""
        return Wishes(
            reference=self.reference,
            tags=self.tags,
            metadata=self.metadata,
            priority=None if self.priority is None else PRIORITIES[self.priority],
            due_at=moment(self.scheduled_at, self.send_in, now=now),
            expires_at=moment(self.expires_at, self.expires_in, now=now),
            transport=self.transport,
            on_unconfirmed=None if self.on_unconfirmed is None else OnUnconfirmed(self.on_unconfirmed),
        )


def moment(at: datetime | None, within: float | None, *, now: Millis) -> Millis | None:
    """A point in time, given as such or as seconds from now."""
    if at is not None:
        return int(at.timestamp() * 1000)
    return None if within is None else now + math.ceil(within * 1000)
