"""A full disk and other misfortunes: who waited is told, nothing that was answered is lost, mail is kept again after."""

import asyncio
from pathlib import Path

import apsw
import pytest

from posthouse.message import Status
from posthouse.ports import SpoolUnavailableError
from posthouse.records import Added
from tests.contract.spools import SENT, House, house


async def fill(spool: House, *, full: bool) -> None:
    """Let the file not grow any more, as on a full disk; or let it grow again."""
    pages = 1 if full else 1 << 30
    await spool.sqlite._writer.write(lambda db: db.ask(f"pragma max_page_count = {pages}", {}))


async def test_a_full_disk_fails_exactly_who_waited_and_says_so(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        before = await spool.put()
        await fill(spool, full=True)
        big = b"x" * 100_000
        results = await asyncio.gather(*(spool.add(spool.new(body=big)) for _ in range(20)), return_exceptions=True)
        assert {type(result) for result in results} == {SpoolUnavailableError}
        assert all(isinstance(result, SpoolUnavailableError) and result.full for result in results)
        assert await spool.spool.counts() == {Status.QUEUED: 1}
        await fill(spool, full=False)
        after = await spool.put(body=big)
        assert [await spool.status(m) for m in (before, after)] == [Status.QUEUED, Status.QUEUED]


class SyncError(apsw.IOError):
    """What SQLite says of a sync that failed."""

    extendedresult = apsw.SQLITE_IOERR_FSYNC


async def test_after_a_failed_sync_nothing_more_is_taken_until_a_new_process_has_looked(tmp_path: Path) -> None:
    """The kernel may have dropped the pages: only a new process can know what is on disk (fsync(2))."""

    def fail(_connection: apsw.Connection, _name: str, _pages: int) -> int:
        raise SyncError("planted")

    def pass_on(_connection: apsw.Connection, _name: str, _pages: int) -> int:
        return apsw.SQLITE_OK

    async with house(tmp_path) as spool:
        kept = await spool.put()
        hook = spool.sqlite._writer._db.connection.set_wal_hook
        hook(fail)
        with pytest.raises(SpoolUnavailableError):
            await spool.put()
        hook(pass_on)
        with pytest.raises(SpoolUnavailableError):
            await spool.put()
        assert await spool.spool.writable() is not None
    async with house(tmp_path) as spool:
        assert await spool.status(kept) is Status.QUEUED
        await spool.put()


async def test_an_outcome_that_could_not_be_written_can_be_written_later(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, _ = await spool.start()
        await fill(spool, full=True)
        with pytest.raises(SpoolUnavailableError):
            await spool.finish(row, SENT, Status.SENT, data={"note": "x" * 100_000})
        assert await spool.status(row.id) is Status.SENDING
        await fill(spool, full=False)
        assert await spool.finish(row, SENT, Status.SENT)


async def test_a_large_upload_onto_a_full_disk_is_refused_and_leaves_no_chunk(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await fill(spool, full=True)
        with pytest.raises(SpoolUnavailableError):
            await spool.put(body=b"x" * 2_000_000)
        await fill(spool, full=False)
        await spool.put(body=b"x" * 2_000_000)
        rows = await spool.sqlite._readers.read(lambda db: db.ask("select count(distinct content) from chunks", {}))
        assert rows[0][0] == 1


async def test_a_spool_that_can_keep_mail_says_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        assert await spool.spool.writable() is None


async def test_a_closed_spool_gives_its_reason(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        pass
    reason = await spool.spool.writable()
    assert reason is not None
    assert "closed" in reason


async def test_a_job_that_fails_undoes_only_itself(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        results = await asyncio.gather(
            spool.add(spool.new()),
            spool.sqlite._writer.write(lambda db: db.text("no such verb")),
            spool.add(spool.new()),
            return_exceptions=True,
        )
        assert [results[0], results[2]] == [Added(), Added()]
        assert isinstance(results[1], KeyError)
        assert await spool.spool.counts() == {Status.QUEUED: 2}


async def test_a_lane_made_in_a_transaction_that_failed_is_not_remembered(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
        lease = await spool.lease()
        (row,) = await spool.due(lease.lane)
        mark = spool.mark_of(row, fence=lease.fence, account="relay@contoso.com")
        _, marked, spoiled = await asyncio.gather(
            spool.add(spool.new()),  # while it is written, the next two gather in one group
            spool.spool.mark(mark),
            spool.sqlite._writer.write(lambda db: db.ask("insert into lanes (account) values (null)", {})),
            return_exceptions=True,
        )
        assert marked is True
        assert isinstance(spoiled, Exception)
        (attempt,) = await spool.spool.attempts(row.id)
        assert attempt.account == "relay@contoso.com"
