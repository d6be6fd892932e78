"""Duties of the service: one goes on whatever happens to it; one looks for what others did."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Final

from posthouse.ports import Spool, SpoolUnavailableError
from posthouse.telemetry import LOGGER, SERVICE_FAULT, log
from posthouse.watch import Watch

PAUSE: Final = 1.0
"""Seconds before a duty that failed begins again."""


WATCH_EVERY: Final = 0.25
"""Seconds between looks at messages that callers wait for and that another process sends."""


async def forever(name: str, duty: Callable[[], Coroutine[None, None, None]]) -> None:
    """A duty that fails is logged and begins again; only its own end or the end of the service ends it."""
    while True:
        try:
            await duty()
        except SpoolUnavailableError as fault:
            log(SERVICE_FAULT, level=logging.WARNING, duty=name, error=str(fault)[:200])
        except Exception as fault:  # noqa: BLE001 - one duty's fault must not end it, nor the others
            log(SERVICE_FAULT, level=logging.ERROR, duty=name, error=type(fault).__name__)
            LOGGER.debug("fault", exc_info=fault)
        else:
            return
        await asyncio.sleep(PAUSE)


async def look_for_ends(watch: Watch, spool: Spool) -> None:
    """Where other processes send, tell those who wait for a message's end; runs until cancelled."""
    while True:
        waiting = watch.waiting
        for message_id, status in (await spool.ended(waiting)).items() if waiting else ():
            watch.tell(message_id, status)
        await asyncio.sleep(WATCH_EVERY)
