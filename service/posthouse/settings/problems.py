"""What is wrong with settings: all of it at once, each with its place, its rule and what to do (CONTRACT §4)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where (``entra.tenant_id``), the rule that it breaks, and a hint or nothing."""

    path: str
    rule: str
    hint: str = ""

    def __str__(self) -> str:
        """One line for a person."""
        return f"{self.path}: {self.rule}" + (f" ({self.hint})" if self.hint else "")


class SettingsError(Exception):
    """The settings cannot be used; ``problems`` holds every mistake, so that one look mends all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class RuleError(ValueError):
    """A value breaks a rule; the text names the rule and never the value of a secret."""

    def __init__(self, rule: str, *, hint: str = "") -> None:
        super().__init__(rule)
        self.hint = hint


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint for an unknown name: the known one that is nearest, else all of them."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there is {', '.join(names)}" if names else "there is none"
