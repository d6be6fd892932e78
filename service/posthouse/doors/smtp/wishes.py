"""What a legacy program says in header fields of its own, because SMTP has no place for it; they are taken out."""

from dataclasses import dataclass, field
from typing import Final

from posthouse import headers as edit
from posthouse.doors.idempotency import checked_key
from posthouse.refusal import Condition, Refused

KEY: Final = "Idempotency-Key"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The header without these fields, and what they say."""

    header: bytes = field(repr=False)
    key: str | None = None


def wanted(header: bytes) -> Wanted:
    """What the header asks of us; raises Refused where it cannot be read."""
    keys = edit.values(header, KEY)
    if not keys:
        return Wanted(header)
    if len(keys) > 1:
        raise Refused(Condition.INVALID_IDEMPOTENCY_KEY, "an Idempotency-Key stands in the header once")
    return Wanted(edit.without(header, KEY), checked_key(keys[0].encode()))
