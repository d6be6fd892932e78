"""What every door takes for an Idempotency-Key (CONTRACT §2.1)."""

import re
from typing import Final

from posthouse.refusal import Condition, Refused

_KEY: Final = re.compile(rb"[!-~]{1,256}")


def checked_key(key: bytes) -> str:
    """The client's own key; raises Refused(INVALID_IDEMPOTENCY_KEY)."""
    if not _KEY.fullmatch(key):
        raise Refused(Condition.INVALID_IDEMPOTENCY_KEY, "an Idempotency-Key has 1 to 256 visible ASCII characters")
    return key.decode()
