"""The floor under the spool: nothing is taken below it, what is there still finishes, and it goes back by itself."""

import asyncio
import os
from pathlib import Path

import pytest

from posthouse.message import Status
from posthouse.ports import SpoolUnavailableError
from tests.contract.spools import SENT, house

GB = 1 << 30


def free(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def ballast(file: Path, size: int) -> None:
    """A foreign file that takes room at once."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(descriptor, 0, size)
    os.close(descriptor)


async def test_below_the_floor_nothing_is_taken_and_what_was_taken_finishes(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
    async with house(tmp_path, floor=1 << 60) as spool:
        with pytest.raises(SpoolUnavailableError, match="MB are free") as refused:
            await spool.add(spool.new())
        assert not refused.value.full
        with pytest.raises(SpoolUnavailableError, match="MB are free"):
            await spool.put(body=b"x" * 900_000)
        assert "MB are free" in (await spool.spool.writable() or "")
        lease = await spool.lease()
        (row,) = await spool.due(lease.lane)
        assert await spool.spool.mark(spool.mark_of(row, fence=lease.fence))
        assert await spool.finish(row, SENT, Status.SENT)
        assert await spool.spool.counts() == {Status.SENT: 1}


async def test_room_that_appears_is_seen_at_once(tmp_path: Path) -> None:
    if free(tmp_path) < 8 * GB:
        pytest.fail("this test needs 8 GB of free disk, of which it uses 4 for a moment")
    async with house(tmp_path, floor=free(tmp_path) - 2 * GB) as spool:
        await spool.put()
        assert await spool.spool.writable() is None
        file = tmp_path / "foreign"
        ballast(file, 4 * GB)
        assert await spool.spool.writable() is not None
        await asyncio.sleep(0.11)  # the last look at the disk counts so long
        with pytest.raises(SpoolUnavailableError):
            await spool.put()
        file.unlink()
        await asyncio.sleep(0.11)
        await spool.put()
        assert await spool.spool.writable() is None
