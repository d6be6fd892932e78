"""A duty of the service goes on whatever happens to it."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Final

from posthouse.ports import SpoolUnavailableError
from posthouse.telemetry import LOGGER, SERVICE_FAULT, log

PAUSE: Final = 1.0
"""Seconds before a duty that failed begins again."""


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
