"""The room that is left under the spool: nothing is taken below the floor, and what is in flight still finishes."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

FLOOR: Final = 64 * 1024 * 1024
"""Free bytes below which nothing is accepted, so that what was accepted can still be marked and finished."""
FRESH: Final = 0.1
"""Seconds that a look at the disk counts."""
MARGIN: Final = 1024 * 1024
"""Free bytes above the floor below which the spool calls itself full: who is ready must have room for an ordinary message."""
TWICE: Final = 2
"""What is accepted lies in the log, and in the file as well when the log is written back."""


def taken(path: Path) -> int:
    """The bytes of a spool's files: what is written back, and what is only in the log yet."""
    files = (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm"))
    return sum(file.stat().st_size for file in files if file.exists())


class Room:
    """Looks at the disk a few times a second at most, and reckons what was taken in between.

    ``owed`` are the bytes of the log that are not written back yet: the file may still grow by so much.
    """

    def __init__(
        self, folder: Path, *, floor: int, monotonic: Callable[[], float], owed: Callable[[], int] = lambda: 0
    ) -> None:
        self._folder = folder
        self._owed = owed
        self._floor = floor
        self._monotonic = monotonic
        self._spare = 0
        self._until = 0.0

    def lacks(self, size: int) -> str | None:
        """Why ``size`` more bytes cannot be taken now; None where they can, and then they count as taken."""
        now = self._monotonic()
        if now >= self._until or self._spare < TWICE * size:
            self._spare = self.free() - self._floor
            self._until = now + FRESH
        if self._spare < TWICE * size:
            return self.words(self._spare + self._floor)
        self._spare -= TWICE * size
        return None

    def free(self) -> int:
        """Bytes that this user may still write, when the log is written back."""
        disk = os.statvfs(self._folder)
        return max(disk.f_bavail * disk.f_frsize - self._owed(), 0)

    def below(self) -> str | None:
        """Why nothing is taken now; None where there is room."""
        free = self.free()
        return self.words(free) if free < self._floor + MARGIN else None

    def words(self, free: int) -> str:
        """The reason for a person."""
        return f"only {free >> 20} MB are free on the disk under the spool; {self._floor >> 20} MB are needed."
