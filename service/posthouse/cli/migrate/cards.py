"""The file of settings cards: one line a device with all that is typed into it; lines are added, never written over.

A key is shown once. So each line is on the disk before the next key is made, and a second run goes on behind it.
"""

import csv
import io
import os
import stat
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TextIO

from posthouse.cli.exits import Code, Stop

_MODE: Final = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One line of the file: whose it is, what is typed into the device, and the key's id for revoking it."""

    client: str
    sender: str
    from_address: str
    kind: str
    host: str
    port: str
    encryption: str
    user: str
    password: str
    key_id: str


_TITLES: Final = tuple(field.name for field in fields(Card))


class CardFile:
    """The file, with what is in it already; nobody but its owner may read it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO = io.StringIO()
        self.cards: list[Card] = []

    def __enter__(self) -> Self:
        """Open it; raises Stop where it is something else, or others may read it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            number = os.open(self._path, flags, _MODE)
        except OSError as error:
            raise Stop(Code.USAGE, f"{self._path} cannot be written: {error.strerror}") from error
        self._file = os.fdopen(number, "a+", encoding="utf-8", newline="")
        try:
            self._take(os.fstat(number))
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self._file.close()

    def add(self, card: Card) -> None:
        """One more line, on the disk when this returns."""
        self._write(astuple(card))
        self.cards.append(card)

    def find(self, *, sender: str, from_address: str) -> Card | None:
        """The card of this sender at this address."""
        return next((c for c in self.cards if (c.sender, c.from_address) == (sender, from_address)), None)

    def _take(self, about: os.stat_result) -> None:
        if stat.S_IMODE(about.st_mode) & ~_MODE:
            raise Stop(Code.USAGE, f"others may read {self._path}, which holds passwords: chmod 600 {self._path}")
        if about.st_size == 0:
            self._write(_TITLES)
            return
        self._file.seek(0)
        try:
            titles, *rows = list(csv.reader(self._file))
        except (UnicodeDecodeError, csv.Error):
            titles, rows = [], []
        if tuple(titles) != _TITLES or any(len(row) != len(_TITLES) for row in rows):
            raise Stop(Code.USAGE, f"{self._path} is there already and is no file of cards; name another one")
        self.cards = [Card(**dict(zip(_TITLES, row, strict=True))) for row in rows]

    def _write(self, cells: Sequence[str]) -> None:
        csv.writer(self._file, lineterminator="\n").writerow(cells)
        self._file.flush()
        os.fsync(self._file.fileno())
