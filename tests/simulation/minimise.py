"""The smallest plan that still breaks the same promise: what can be left out is left out."""

from collections.abc import Collection, Sequence

from tests.simulation.drawing import draw
from tests.simulation.run import Bench

WORST = ("doubled", "lost", "untrue", "stranded", "spool", "fault")


def minimised(place: Bench, seed: int, *, kind: str = "", without: Collection[str] = ()) -> list[str]:
    """The names of all that the seed does not need to break a promise of this kind (empty: its worst).

    Those in ``without`` are left out from the start.
    """
    left_out = list(without)
    broken = _kinds(place, seed, left_out)
    if not broken:
        return left_out
    wanted = kind or min(broken, key=lambda one: WORST.index(one) if one in WORST else len(WORST))
    while (more := _one_pass(place, seed, left_out, wanted)) != left_out:
        left_out = more
    return [name for name in left_out if ":" not in name or name.partition(":")[0] not in left_out]


def _one_pass(place: Bench, seed: int, left_out: Sequence[str], wanted: str) -> list[str]:
    """Try to leave out ever smaller shares of what is there."""
    now = list(left_out)
    there = list(draw(seed).without(now).names)
    size = max(len(there) // 2, 1)
    while size:
        for start in range(0, len(there), size):
            tried = [*now, *(one for one in there[start : start + size] if one not in now)]
            if len(tried) > len(now) and wanted in _kinds(place, seed, tried):
                now = tried
        there = list(draw(seed).without(now).names)
        size //= 2
    return now


def _kinds(place: Bench, seed: int, without: Collection[str]) -> set[str]:
    """The kinds of promises that are broken."""
    verdict = place.run(draw(seed).without(without))
    return {line.partition(":")[0] for line in verdict.broken}
