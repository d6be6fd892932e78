"""``python -m tests.simulation``: one seed with its story, or many of them."""

import argparse
import os
import sys
import time
from collections import Counter

from tests.simulation.minimise import minimised
from tests.simulation.plants import PLANTS, planted
from tests.simulation.run import bench, run_seed
from tests.simulation.seeds import run_seeds

SHOWN = 20
"""Seeds that are named of each kind of broken promise."""

PROGRESS = 500
"""Seeds after which it says how far it is."""


def main() -> int:
    """Exit code 1 where a promise was broken."""
    arguments = _parser().parse_args()
    if arguments.seed is not None:
        return _one(arguments)
    return _many(arguments)


def _one(arguments: argparse.Namespace) -> int:
    without = [one for one in arguments.without.split(",") if one]
    with bench() as place, planted(arguments.plant):
        if arguments.minimise is not None:
            without = minimised(place, arguments.seed, kind=arguments.minimise, without=without)
            print(f"--seed {arguments.seed} --without {','.join(without)}")
        verdict = run_seed(place, arguments.seed, without=without, show=print if arguments.trace else None)
    for line in verdict.broken:
        print("BROKEN", line)
    print(
        f"seed {verdict.seed}: trace {verdict.digest}, {verdict.turns} turns, {verdict.seconds:.0f} s, "
        f"{verdict.messages} messages kept, {verdict.taken} taken, {verdict.held} held for a person"
    )
    return 1 if verdict.broken else 0


def _many(arguments: argparse.Namespace) -> int:
    first, _, last = arguments.seeds.partition("..")
    seeds = range(int(first), int(last or first) + 1)
    start, found = time.perf_counter(), Counter[str]()
    messages = held = bad = done = 0
    spent = 0.0
    for verdict in run_seeds(seeds, jobs=arguments.jobs, plant=arguments.plant):
        done += 1
        messages, held = messages + verdict.messages, held + verdict.held
        bad += bool(verdict.broken)
        for kind in {line.partition(":")[0] for line in verdict.broken}:
            found[kind] += 1
            if found[kind] <= SHOWN:
                print(f"seed {verdict.seed}: {next(one for one in verdict.broken if one.startswith(kind))}", flush=True)
        if arguments.plant and PLANTS[arguments.plant].promise in found:
            print(f"{arguments.plant}: found by seed {verdict.seed}, after {done} seeds")
            return 0
        spent += verdict.spent
        if done % PROGRESS == 0:
            print(f"{done} seeds, {bad} of them with a broken promise", flush=True)
    took = time.perf_counter() - start
    print(
        f"{done} seeds, {messages} messages, {held} held for a person, {bad} seeds with a broken promise "
        f"{dict(found)}; {took:.1f} s, {done / took:.1f} seeds/s, {spent / done * 1000:.0f} ms of a core each"
    )
    return 1 if bad else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one")
    parser.add_argument("--trace", action="store_true", help="and tell its story")
    parser.add_argument(
        "--minimise", nargs="?", const="", metavar="KIND", help="and leave out what it needs not to fail"
    )
    parser.add_argument("--without", default="", metavar="NAMES", help="parts of the plan to leave out")
    parser.add_argument("--seeds", default="1..1000", metavar="A..B", help="run these")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--plant", choices=sorted(PLANTS), help="with this bug in the service")
    return parser


if __name__ == "__main__":
    sys.exit(main())
