"""What happened, in lines; their hash tells whether a replay was exact."""

import hashlib
import logging
from collections.abc import Callable

from posthouse.ports import SpoolUnavailableError
from posthouse.telemetry import SERVICE_FAULT
from tests.simulation.loop import VirtualLoop


class Trace:
    """Notes lines; ``show`` sees each of them, where somebody wants to read."""

    def __init__(self, loop: VirtualLoop, *, show: Callable[[str], None] | None = None) -> None:
        self._loop = loop
        self._hash = hashlib.blake2b(digest_size=8)
        self._show = show

    def note(self, who: str, what: str) -> None:
        line = f"{self._loop.us / 1e6:12.6f} {self._loop.turns:6} {who:9} {what}"
        self._hash.update(line.encode())
        if self._show is not None:
            self._show(line)

    @property
    def over(self) -> bool:
        """Whether nothing counts any more."""
        return self._loop.over

    @property
    def digest(self) -> str:
        """The same for the same run."""
        return self._hash.hexdigest()


class Log(logging.Handler):
    """The service's own log, in the trace; ``fault`` hears of what the service calls a fault of its own."""

    def __init__(self, trace: Trace, *, fault: Callable[[str], None], level: int) -> None:
        super().__init__(level)
        self._trace = trace
        self._fault = fault

    def emit(self, record: logging.LogRecord) -> None:
        if self._trace.over:
            return
        fields = getattr(record, "fields", {})
        text = " ".join(f"{name}={value}" for name, value in fields.items() if value is not None)
        self._trace.note("log", f"{record.getMessage()} {text}")
        sick = fields.get("error") == SpoolUnavailableError.__name__
        if record.getMessage() == SERVICE_FAULT and record.levelno >= logging.ERROR and not sick:
            self._fault(text)
