"""Writes for whoever reads: tables on a terminal, plain text in a pipe, JSON on request; notes go to standard error."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Output:
    """Where data (``out``) and everything else (``err``) go, and whether the data are JSON, an object a line."""

    as_json: bool
    out: TextIO
    err: TextIO

    @property
    def terminal(self) -> bool:
        """Whether a person reads the data."""
        return self.out.isatty()

    def item(self, value: object) -> None:
        """One JSON object on one line."""
        text = json.dumps(value, ensure_ascii=False)
        self.out.write("".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text) + "\n")

    def line(self, text: str = "") -> None:
        """One line of data."""
        self.out.write(text + "\n")

    def note(self, text: str) -> None:
        """One line that is no data."""
        self.err.write(clean(text) + "\n")

    def rows(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table; in a pipe columns of plain text under their names, never cut."""
        cells = [[clean(cell) for cell in row] for row in rows]
        if self.terminal:
            self._table(columns, cells)
            return
        widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
        for row in (columns, *cells):
            padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.out.write("  ".join(padded).rstrip() + "\n")

    def _table(self, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for number, column in enumerate(columns):
            table.add_column(column, overflow="fold", no_wrap=number == 0)  # the first is copied: never broken
        for row in cells:
            table.add_row(*(Text(cell) for cell in row))  # as Text: [brackets] in a subject are no markup
        Console(file=self.out).print(table)


def output(*, as_json: bool) -> Output:
    """To the process's own streams."""
    return Output(as_json, sys.stdout, sys.stderr)


def clean(text: str) -> str:
    """Text that cannot steer a terminal: what is not printable (escapes, bidirectional marks) shows as U+FFFD."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " if char.isspace() else "\ufffd" for char in text)


def moment(iso: str | None) -> str:
    """A time for people: date and time in UTC, to the second."""
    return "" if iso is None else datetime.fromisoformat(iso).strftime("%Y-%m-%d %H:%M:%SZ")


def count(number: int, noun: str) -> str:
    """``1 message``, ``2 messages``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
