"""One house for each process of the run, and the table of programs that each test file has."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.interop.house import House
from tests.interop.house import house as opened

pytest.register_assert_rewrite("tests.interop.behaviours")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each program of the class."""
    if "program" in metafunc.fixturenames and metafunc.cls is not None:
        programs = metafunc.cls.programs
        marks = {True: (pytest.mark.apt,), False: ()}
        metafunc.parametrize("program", [pytest.param(one, id=one.name, marks=marks[one.apt]) for one in programs])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with opened(tmp_path_factory.mktemp("house")) as open_house:
        yield open_house
