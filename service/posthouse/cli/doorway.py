"""Where mail programs reach this machine's SMTP door, as its settings say: what is typed into them."""

import os
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_PREFERRED: Final = ("starttls", "implicit", "optional")
_EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Doorway:
    """A listener of the SMTP door; ``tls`` as the settings write it, ``host`` as others would."""

    host: str
    port: int
    tls: str


def own_doorway() -> Doorway | None:
    """The listener that suits most programs; None where the door is closed. Raises SettingsError."""
    from posthouse.settings.loading import load

    settings = load(None, os.environ)
    best = min(settings.smtp_door.listeners, key=lambda one: _PREFERRED.index(one.tls), default=None)
    if best is None:
        return None
    host, _, port = best.listen.rpartition(":")
    if host.strip("[]") in _EVERYWHERE:  # what is told to others is a name
        host = urlsplit(settings.http.public_url).hostname or socket.getfqdn()
    return Doorway(host=host, port=int(port), tls=best.tls)
