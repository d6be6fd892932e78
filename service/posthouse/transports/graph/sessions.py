"""A large file on its way into a draft: ranges to a URL that wants no token, resumed where the server says (FACTS A6)."""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Final

import httpx

from posthouse.outcome import Outcome, Scope, TransientFailure
from posthouse.transports.graph.calls import Calls, after
from posthouse.transports.graph.files import File
from posthouse.transports.graph.verdicts import Over, unsent_range

RANGE: Final = 3_932_160
"""Bytes of a range: below 4 MB, and a multiple of the 320 KiB that other upload sessions of Microsoft ask for (FACTS A6)."""
TRIES: Final = 6
"""Failures behind one another, with nothing taken in between, that end the attempt."""
FIRST_PAUSE: Final = 0.25
"""Seconds before a range is tried again the first time, then doubling."""
LONGEST_PAUSE: Final = 60.0
"""Seconds: who asks to wait longer ends the attempt, which then keeps no slot."""

_CREATED: Final = 201
_TAKEN: Final = frozenset({200, 202})
_PASSING: Final = frozenset({408, 416, 429})
_GONE: Final = frozenset({404, 410})
_CLIENT_ERRORS: Final = range(400, 500)
_NEXT: Final = re.compile(r"(\d{1,15})(?:-\d*)?")


@dataclass(frozen=True, slots=True)
class _Failure:
    """What went wrong with a range; ``passing``: trying again may help; ``unclear``: it may have been taken."""

    outcome: Outcome
    passing: bool
    unclear: bool


class Upload:
    """One file of ``size`` bytes into the session at ``url``."""

    def __init__(self, calls: Calls, *, url: str, file: File, size: int) -> None:
        self._calls = calls
        self._url = url
        self._file = file
        self._size = size

    async def run(self) -> bool:
        """Send all of it; False where the session is gone and perhaps took the end. Raises Over where it cannot be sent."""
        start = failures = 0
        end_unclear = False
        while True:
            answer = await self._put(start)
            if answer is True:
                return True
            if not isinstance(answer, _Failure):
                start, failures = answer, 0
                continue
            failures += 1
            end_unclear = end_unclear or (answer.unclear and start + RANGE >= self._size)
            await self._rest(answer, failures)
            state = await self._state()
            if state is False:
                if end_unclear:
                    return False
                raise Over(answer.outcome)
            if state is not None:
                start, failures = state, 0 if state > start else failures

    async def _put(self, start: int) -> int | bool | _Failure:
        """Where the next range begins, True at the end of the file, or what went wrong."""
        end = min(start + RANGE, self._size)
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(end - start),
            "Content-Range": f"bytes {start}-{end - 1}/{self._size}",
        }
        try:
            # the plain client: the URL is authentication enough, and a token would be refused (FACTS A6)
            response = await self._calls.plain.put(self._url, content=self._file.range(start, end), headers=headers)
        except httpx.HTTPError as error:
            lost = TransientFailure(scope=Scope.MESSAGE, answer=after(error))
            return _Failure(lost, passing=True, unclear=True)
        status = response.status_code
        if status == _CREATED:
            return True
        taken = _next(response) if status in _TAKEN else None
        if taken is not None and start < taken < self._size:
            return taken
        refused = status in _CLIENT_ERRORS
        outcome = unsent_range(self._calls.reply(response, waited=0.0))
        return _Failure(outcome, passing=not refused or status in _PASSING | _GONE, unclear=not refused)

    async def _rest(self, failure: _Failure, failures: int) -> None:
        """Wait before the next try, as long as the server asks; raises Over where there is none."""
        pause = max(FIRST_PAUSE * 2.0 ** (failures - 1), failure.outcome.answer.retry_after or 0.0)
        if not failure.passing or failures >= TRIES or pause > LONGEST_PAUSE:
            raise Over(failure.outcome)
        await asyncio.sleep(pause)

    async def _state(self) -> int | bool | None:
        """Where the session wants to go on; False where it is gone, None where that cannot be known."""
        try:
            response = await self._calls.plain.get(self._url)
        except httpx.HTTPError:
            return None
        if response.status_code in _GONE:
            return False
        taken = _next(response) if response.status_code in _TAKEN else None
        return taken if taken is not None and taken < self._size else None


def _next(response: httpx.Response) -> int | None:
    """The beginning of the first range that is expected; Outlook also writes it without its hyphen (SDK §6a)."""
    try:
        found = json.loads(response.content)["nextExpectedRanges"][0]
        place = _NEXT.fullmatch(found)
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None
    return int(place[1]) if place else None
