"""One examination at a time: who comes later waits, and a reader who stalls holds up nobody."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from posthouse.findings import Doctor, Finding, Wish


def one_by_one(doctor: Doctor) -> Doctor:
    """The same doctor, whose requests to Microsoft never run beside those of another examination of this process."""
    turn = asyncio.Lock()

    async def examine(wish: Wish, told: asyncio.Queue[Finding | None]) -> None:
        try:
            async with turn, aclosing(doctor(wish)) as findings:
                async for finding in findings:
                    told.put_nowait(finding)
        finally:
            told.put_nowait(None)

    async def patient(wish: Wish) -> AsyncGenerator[Finding]:
        told: asyncio.Queue[Finding | None] = asyncio.Queue()
        examining = asyncio.create_task(examine(wish, told))
        try:
            while (finding := await told.get()) is not None:
                yield finding
            await examining
        finally:
            examining.cancel()
            await asyncio.gather(examining, return_exceptions=True)

    return patient
