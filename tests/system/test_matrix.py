"""Every illness of the other side, before, during and after a SIGKILL, on both engines: lost 0, doubled 0."""

from pathlib import Path

import pytest

from tests.system.matrix import ILLNESSES, run

PARTS = 4
AT_ONCE = 6


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_no_illness_of_the_other_side_loses_or_doubles_a_message(
    engine: str, part: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("postgres_server") if engine == "postgres" else None
    cells = await run(ILLNESSES[part::PARTS], tmp_path, server, at_once=AT_ONCE)
    for cell in cells:
        for phase, count in cell.counts.items():
            told = (cell.illness.name, phase, count)
            assert (count.lost, count.doubled) == (0, 0), told
            assert count.held == 0 or cell.illness.rewrites, told
