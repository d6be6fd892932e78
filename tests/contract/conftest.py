"""Every contract of the spool is kept by every engine: tests that use ``engine`` run once with each."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract import spools
from tests.contract.doctor_kit import Clinic, clinic_in
from tests.contract.resend_kit import Sdk, sdk_at
from tests.contract.rest_door import Door, rest_door

ENGINES = ("sqlite", "postgres")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Both engines, or those that the mark ``engine`` names."""
    if "engine" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("engine")
        metafunc.parametrize("engine", mark.args if mark else ENGINES, indirect=True)


@pytest.fixture
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The engine on which ``house(tmp_path)`` opens its spool."""
    if request.param == "sqlite":
        yield request.param
        return
    server = request.getfixturevalue("postgres_server")
    dsn = await server.take()
    spools.DATABASES[tmp_path] = dsn
    yield request.param
    del spools.DATABASES[tmp_path]
    await server.give_back(dsn)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    """The HTTP doors over a new spool; a file whose doors differ has a fixture of its own by this name."""
    async with rest_door(tmp_path) as opened:
        yield opened


@pytest.fixture
async def sdk(door: Door, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sdk]:
    """Resend's SDK, as a client of that door."""
    async with sdk_at(door, monkeypatch) as client:
        yield client


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the certificates of a file's emulators."""
    return tmp_path_factory.mktemp("authority")


@pytest.fixture
async def clinic(authority: Path, tmp_path: Path) -> AsyncIterator[Clinic]:
    """An emulator, and settings for it that a test makes wrong."""
    async with clinic_in(authority, tmp_path) as opened:
        yield opened
