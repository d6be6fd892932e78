"""Failed authentications, counted by source: whoever fails often is slowed, good keys never are (CONTRACT §3)."""

import logging
from collections import OrderedDict, deque
from typing import Final

from posthouse.message import Millis
from posthouse.refusal import Condition, Refused
from posthouse.telemetry import AUTHENTICATION_REFUSED, log

PER_MINUTE: Final = 20
"""Failed authentications of one source after which further ones are answered 429."""

_SOURCES: Final = 4096
_MINUTE: Final[Millis] = 60_000


class Failures:
    """The latest failures of each source; the sources heard of longest ago are forgotten first."""

    def __init__(self) -> None:
        self._sources: OrderedDict[str, deque[Millis]] = OrderedDict()

    def refusal(
        self,
        why: str,
        *,
        key_id: str | None,
        source: str,
        now: Millis,
        condition: Condition = Condition.INVALID_KEY,
        hint: str = "",
    ) -> Refused:
        """Count one; what to answer, with a hint how to do it right, and a log line without the key."""
        failures = self._sources.setdefault(source, deque(maxlen=PER_MINUTE))
        self._sources.move_to_end(source)
        if len(self._sources) > _SOURCES:
            self._sources.popitem(last=False)
        if len(failures) == PER_MINUTE and failures[0] > now - _MINUTE:
            wait = -(-(failures[0] + _MINUTE - now) // 1000)
            detail = f"{why}; more than {PER_MINUTE} failed authentications within a minute"
            return Refused(Condition.QUOTA_EXCEEDED, detail, retry_after=wait)
        log(AUTHENTICATION_REFUSED, level=logging.WARNING, source=source, key=key_id, reason=why)
        failures.append(now)
        return Refused(condition, f"{why}; {hint}" if hint else why)
