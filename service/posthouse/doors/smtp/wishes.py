"""What a legacy program says in header fields of its own, because SMTP has no place for it; they are taken out."""

import re
from dataclasses import dataclass, field
from typing import Final

from posthouse import headers as edit
from posthouse.refusal import Condition, Refused

KEY: Final = "Idempotency-Key"
_VISIBLE: Final = re.compile(r"[!-~]{1,256}")


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
    if len(keys) > 1 or not _VISIBLE.fullmatch(keys[0]):
        detail = "an Idempotency-Key stands once and has 1 to 256 visible ASCII characters"
        raise Refused(Condition.INVALID_IDEMPOTENCY_KEY, detail)
    return Wanted(edit.without(header, KEY), keys[0])
