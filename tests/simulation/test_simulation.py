"""Deterministic simulation, a bounded number of seeds: ``python -m tests.simulation`` runs as many as you have time for."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain

import pytest

from tests.simulation.drawing import draw
from tests.simulation.minimise import minimised
from tests.simulation.plants import PLANTS, planted
from tests.simulation.run import Verdict, bench, run_seed
from tests.simulation.seeds import run_seeds

SEEDS = 20
"""Seeds of one test: well within its minute, on a busy machine too."""
TESTS = 20
FEW = 60
"""Seeds within which a planted bug is found whose own seed does not find it any more."""


@pytest.mark.parametrize("first", range(1, SEEDS * TESTS, SEEDS))
def test_no_promise_is_broken_whatever_the_seed(first):
    broken = [verdict for verdict in run_seeds(range(first, first + SEEDS)) if verdict.broken]

    assert broken == []


@pytest.mark.parametrize("seed", [3, 17, 29])
def test_a_seed_replays_exactly_in_another_process(seed):
    told = {_told(seed, hash_seed) for hash_seed in ("0", "1", "4711")}

    assert len(told) == 1


def _told(seed: int, hash_seed: str) -> str:
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True, timeout=50
    )
    (digest,) = re.findall(r"trace ([0-9a-f]{16})", done.stdout)
    return digest


def seeds_for(plant: str) -> Iterator[Verdict]:
    """What became of the seed that is known to find a planted bug, then of others, one by one."""
    return chain(run_seeds([PLANTS[plant].seed], plant=plant), run_seeds(range(1, FEW), plant=plant))


def breaks(verdict: Verdict, promise: str) -> bool:
    """Whether the seed broke this promise."""
    return any(line.startswith(f"{promise}:") for line in verdict.broken)


@pytest.mark.parametrize("name", sorted(PLANTS))
def test_a_planted_bug_is_found(name):
    assert any(breaks(verdict, PLANTS[name].promise) for verdict in seeds_for(name))


def test_the_smallest_plan_that_fails_is_found():
    promise = PLANTS["mark"].promise
    seed = next(one.seed for one in seeds_for("mark") if breaks(one, promise))
    with bench() as place, planted("mark"):
        left_out = minimised(place, seed, kind=promise)
        verdict = run_seed(place, seed, without=left_out)

    parts = {part.name for part in draw(seed).without(left_out).parts}
    assert breaks(verdict, promise)
    assert len(parts) <= 4
