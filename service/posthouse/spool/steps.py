"""The numbered migrations of an engine, and which code may still work with a spool after each (service/README.md).

The first line of a migration names the oldest schema whose code does a spool of this schema no harm (``-- oldest: N``);
that mark lies in the spool, so that an older version of posthouse goes on beside a newer one that has migrated.
"""

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, Literal

_OLDEST: Final = re.compile(r"-- oldest: (\d+)\n")


@dataclass(frozen=True, slots=True)
class Step:
    """One migration: its text, and the oldest schema whose code may work with the spool after it."""

    text: str
    oldest: int


def steps(engine: Literal["sqlite", "postgres"]) -> dict[int, Step]:
    """The migrations by their numbers; raises ValueError where a number stands twice or a mark is missing."""
    found: dict[int, Step] = {}
    for entry in files("posthouse.spool").joinpath("migrations", engine).iterdir():
        if entry.name.endswith(".sql"):
            number, text = int(entry.name.partition("_")[0]), entry.read_text("utf-8")
            says = _OLDEST.match(text)
            if number in found or (number > 1 and says is None):
                raise ValueError(f"{entry.name}: its number stands twice, or its first line is not '-- oldest: N'")
            found[number] = Step(text, int(says[1]) if says else 1)
    return {number: Step(step.text, _highest(found, number)) for number, step in found.items()}


def _highest(found: dict[int, Step], number: int) -> int:
    """What one migration forbids older code, a later one does not allow again."""
    return max(step.oldest for other, step in found.items() if other <= number)
