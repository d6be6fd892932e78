"""What a look at the whole spool found, for every engine and whoever shows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from posthouse.spool.sealing import Keyring

EXAMPLES: Final = 5
UNREADABLE: Final = "a content cannot be opened"


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that the spool breaks: how often, and a few of the rows (keys of messages, contents, lanes)."""

    rule: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeyUse:
    """How many contents are sealed under a master, and whether that is at hand; ``key_id`` None: they lie open."""

    key_id: str | None
    contents: int
    master: Literal["current", "previous", "missing", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole look; ``faults`` are the engine's own words about a damaged file."""

    place: str
    schema: int
    faults: tuple[str, ...]
    findings: tuple[Finding, ...]
    keys: tuple[KeyUse, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults and not self.findings

    @property
    def previous_needed(self) -> bool:
        """Whether a content still depends on a master of ``[secrets] previous``."""
        return any(use.master == "previous" and use.contents for use in self.keys)


def finding(rule: str, culprits: Sequence[object]) -> Finding:
    """The rule with a few of those that break it."""
    return Finding(rule, len(culprits), tuple(str(one) for one in culprits[:EXAMPLES]))


def key_use(name: str | None, number: int, keyring: Keyring | None) -> KeyUse:
    """So many contents lie under this key id; whether its master is at hand."""
    if name is None:
        return KeyUse(name, number, "none")
    if keyring is None or name not in keyring.key_ids:
        return KeyUse(name, number, "missing")
    return KeyUse(name, number, "current" if name == keyring.key_id else "previous")
