"""Many seeds on several processes."""

import gc
import multiprocessing
from collections.abc import Iterator, Sequence

from tests.simulation.plants import planted
from tests.simulation.run import Verdict, bench, run_seed

BATCH = 20
"""Seeds between two collections of garbage."""


def run_seeds(seeds: Sequence[int], *, jobs: int = 1, plant: str | None = None) -> Iterator[Verdict]:
    """The verdicts, as they come."""
    batches = [(seeds[i : i + BATCH], plant) for i in range(0, len(seeds), BATCH)]
    if jobs == 1:
        for batch in batches:
            yield from _run(batch)
        return
    # forked, so that the service is imported once
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=50) as pool:
        for verdicts in pool.imap_unordered(_run, batches):
            yield from verdicts


def _run(batch: tuple[Sequence[int], str | None]) -> list[Verdict]:
    seeds, plant = batch
    with bench() as place, planted(plant):
        verdicts = [run_seed(place, seed) for seed in seeds]
    gc.collect()
    return verdicts
