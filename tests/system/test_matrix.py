"""Every illness of the other side around a SIGKILL: lost 0, doubled 0.

Each meets the service once here; ``python -m tests.system.matrix`` runs all of them before, during and after a SIGKILL, on
both engines.
"""

from itertools import islice
from pathlib import Path

import pytest

from tests.system.matrix import run, suite

PARTS = 3
AT_ONCE = 4


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_no_illness_of_the_other_side_loses_or_doubles_a_message(
    engine: str, part: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("postgres_server") if engine == "postgres" else None
    illnesses = dict(islice(suite(postgres=engine == "postgres").items(), part, None, PARTS))
    cells = await run({name: [phase] for name, phase in illnesses.items()}, tmp_path, server, at_once=AT_ONCE)
    for cell in cells:
        for phase, count in cell.counts.items():
            told = (cell.illness.name, phase, count)
            assert (count.lost, count.doubled) == (0, 0), told
            assert count.held == 0 or cell.illness.rewrites, told
