"""The Graph door: apps that speak Microsoft Graph change host, client id and secret (CONTRACT §2.2)."""

from functools import partial
from typing import Final

from posthouse.doors.graph import errors, submit
from posthouse.doors.graph.drafts import DOOR
from posthouse.doors.http.application import Door
from posthouse.ports import Clock

_VERSIONS: Final = ("/v1.0", "/beta")


def door(clock: Clock) -> Door:
    """Everything below /v1.0 and /beta; what is not sendMail is refused there as Graph refuses it."""
    return Door(
        name=DOOR,
        install=submit.install,
        speaks=_speaks,
        refused=partial(errors.refusal, clock=clock),
        fault=partial(errors.fault, clock=clock),
    )


def _speaks(path: str) -> bool:
    lower = path.lower()
    return any(lower == version or lower.startswith(f"{version}/") for version in _VERSIONS)
