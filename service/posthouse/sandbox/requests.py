"""One HTTP request as the emulator's parts see it."""

from collections.abc import Mapping
from dataclasses import dataclass

from posthouse.sandbox.answers import Ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request with its whole body (None where it was above the limit and thrown away).

    ``mailbox`` is the user of the path in lower case, ``query`` the raw query string.
    """

    headers: Mapping[bytes, bytes]
    body: bytes | None
    query: str
    mailbox: str
    ids: Ids

    def header(self, name: bytes) -> str | None:
        """The header of this lower-case name, or None."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")
