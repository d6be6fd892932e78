"""Follows the feed of events from a cursor on, over restarts of the service, and misses none."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from posthouse.cli.client import Desk
from posthouse.cli.exits import Code, Stop
from posthouse.cli.shapes import Event, Feed

WAIT: Final = "wait=30"
"""How long one question waits for something to happen (RFC 7240 §4.3)."""
PATIENCE: Final = 1.0
"""Seconds between tries while the service is away."""


async def follow(
    desk: Desk,
    *,
    types: Sequence[str],
    after: str | None,
    show: Callable[[Event], None],
    note: Callable[[str], None],
) -> None:
    """Show every event once, until cancelled; raises Stop where the service was never reached or refuses."""
    cursor, away = after or "latest", False
    reached = False
    while True:
        try:
            answer = await desk.call(
                "GET",
                "/v1/events",
                params={"after": cursor, "type": list(types)},
                headers={"prefer": WAIT},
            )
        except Stop as stop:
            if not reached or stop.code is not Code.NETWORK:
                raise
            if not away:
                note(f"{stop}; waiting for it")
            away = True
            await asyncio.sleep(PATIENCE)
            continue
        reached, away = True, False
        page: Feed = answer.json()
        if page["gap"]:
            note("history before this is gone")
        for event in page["data"]:
            show(event)
        cursor = page["next"]
