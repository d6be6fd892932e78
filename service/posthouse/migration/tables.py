"""Exports as administrators save them, whatever encoding, separator, order and case, as rows by name.

Every fault has a line, a column and a rule, so that one look mends all of them.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_SEPARATORS: Final = ",;\t|"
_LOOK: Final = 10
"""Lines among which the titles are looked for: some tools write a line or two before them."""
_SEP_LINE: Final = re.compile(r"sep=(.)", re.IGNORECASE)  # what Excel writes and reads
_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a file: the line, the column (or nothing) and the rule."""

    line: int
    column: str
    rule: str

    def __str__(self) -> str:
        """One line for a person."""
        place = f"line {self.line}, {self.column}" if self.column else f"line {self.line}"
        return f"{place}: {self.rule}"


class ReportError(Exception):
    """A file is not the export that it should be; ``faults`` holds all that was found."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Column:
    """What is wanted: our name, and the titles that it is known by, the likeliest first; the earlier one wins."""

    name: str
    titles: tuple[str, ...]
    required: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a file; ``cells`` by our names."""

    line: int
    cells: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        """A cell without white space around it; empty where the file has no such column."""
        return self.cells.get(name, "")


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a file, and the titles under which our columns stand in it."""

    titles: Mapping[str, str]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class _Head:
    """A line of titles: where it stands, how it is separated, which of our columns is where."""

    line: int
    separator: str
    cells: Sequence[str]
    places: Mapping[str, int]


def table(raw: bytes, columns: Sequence[Column]) -> Table:
    """The file's rows; raises ReportError where columns are missing or lines cannot be taken apart."""
    lines = _text(raw).splitlines(keepends=True)
    head = _head(lines, columns)
    missing = [column for column in columns if column.required and column.name not in head.places]
    if missing:
        there = ", ".join(repr(cell.strip()) for cell in head.cells[:_SHOWN] if cell.strip()) or "none"
        more = ", …" if len(head.cells) > _SHOWN else ""
        rules = [f"there is no column {_known(column)}; the titles here are {there}{more}" for column in missing]
        raise ReportError([Fault(head.line, "", rule) for rule in rules])
    titles = {name: head.cells[place].strip() for name, place in head.places.items()}
    return Table(titles, tuple(_rows(lines[head.line :], head)))


def folded(title: str) -> str:
    """The one form of a title for comparing: letters and digits alone, without case."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", title).casefold()))


def _text(raw: bytes) -> str:
    """The file as text: UTF-8 or UTF-16, with or without a byte order mark, else Windows-1252, as Excel saves it."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", "replace")
    if raw[1:2] == b"\0":
        return raw.decode("utf-16-le", "replace")
    if raw[:1] == b"\0":
        return raw.decode("utf-16-be", "replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _head(lines: Sequence[str], columns: Sequence[Column]) -> _Head:
    """The line of titles: the first that has the most of our columns, with the separator that shows them."""
    told = _SEP_LINE.fullmatch(lines[0].strip()) if lines else None
    separators = told[1] if told else _SEPARATORS
    found = [
        _Head(number, separator, cells, _places(cells, columns))
        for number, line in enumerate(lines[:_LOOK], 1)
        for separator in separators
        if line.strip() and (cells := next(csv.reader([line], delimiter=separator), []))
    ]
    return max(found, key=lambda head: len(head.places), default=_Head(1, ",", (), {}))


def _places(cells: Sequence[str], columns: Sequence[Column]) -> dict[str, int]:
    there: dict[str, int] = {}
    for place, cell in enumerate(cells):
        there.setdefault(folded(cell), place)
    found: dict[str, int] = {}
    for column in columns:
        for title in column.titles:
            if folded(title) in there:
                found[column.name] = there[folded(title)]
                break
    return found


def _known(column: Column) -> str:
    first, *others = map(repr, column.titles)
    return f"{first} (or {', '.join(others[:3])})" if others else first


def _rows(lines: Sequence[str], head: _Head) -> Iterator[Row]:
    reader = csv.reader(io.StringIO("".join(lines), newline=""), delimiter=head.separator, strict=True)
    last, width = 0, len(head.cells)
    try:
        for cells in reader:
            line, last = head.line + last + 1, reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if any(cell.strip() for cell in cells[width:]):
                rule = f"it has {len(cells)} cells, the titles are {width}; a separator in a value needs quotes"
                raise ReportError([Fault(line, "", rule)])
            found = {name: cells[place].strip() for name, place in head.places.items() if place < len(cells)}
            yield Row(line, found)
    except csv.Error as error:
        raise ReportError([Fault(head.line + last + 1, "", f"it cannot be taken apart: {error}")]) from None
