"""Opening: one process, a local disk, a known schema, closed to other users."""

import asyncio
import os
import stat
import subprocess
import sys
import textwrap
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import asyncpg
import pytest

from posthouse.message import Status
from posthouse.ports import SpoolUnavailableError
from posthouse.spool.postgres.database import Address
from posthouse.spool.postgres.store import open_spool as open_postgres
from posthouse.spool.sqlite.database import load_verbs, open_reader
from posthouse.spool.sqlite.guard import SpoolRefusedError, network_file_system
from posthouse.spool.sqlite.store import open_spool
from tests.contract.spools import DATABASES, MASTER, Clock, house

HOLDER = textwrap.dedent("""
    import asyncio, sys, time
    from pathlib import Path
    from posthouse.spool.sqlite.store import open_spool

    class Clock:
        now = staticmethod(lambda: 0)
        monotonic = staticmethod(time.monotonic)

    async def hold():
        spool = await open_spool(Path(sys.argv[1]), owner="the other one", clock=Clock())
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await spool.close()

    asyncio.run(hold())
""")


@asynccontextmanager
async def holding(path: Path) -> AsyncGenerator[Process]:
    """Another process that has the spool open."""
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    assert await other.stdout.readline() == b"open\n"
    yield other
    await other.communicate()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


async def opened(path: Path, *, wait: float = 0.0, create: bool = True) -> None:
    spool = await open_spool(path, owner="me", clock=Clock(), wait=wait, create=create)
    await spool.close()


async def test_a_second_process_is_refused_and_told_who_holds_the_spool(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    async with holding(path) as other:
        with pytest.raises(SpoolRefusedError, match=f"pid {other.pid}, the other one"):
            await opened(path)
        waiting = asyncio.ensure_future(opened(path, wait=20.0))
        assert other.stdin is not None
        other.stdin.close()
        await waiting


async def test_a_killed_process_leaves_no_lock_behind(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    async with holding(path) as other:
        other.kill()
    await opened(path)


async def test_other_users_cannot_read_the_spool(tmp_path: Path) -> None:
    path = tmp_path / "state" / "spool.sqlite"
    async with house(path.parent) as spool:
        await spool.put()
        modes = {entry.name: mode_of(entry) for entry in path.parent.iterdir()}
        assert mode_of(path.parent) == 0o700
        names = {"spool.sqlite", "spool.sqlite-wal", "spool.sqlite-shm", "spool.sqlite.lock", "spool.sqlite.master"}
        assert set(modes) == names
        assert set(modes.values()) == {0o600}


async def test_a_spool_that_was_copied_with_open_rights_is_closed_again(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    await opened(path)
    path.chmod(0o644)
    await opened(path)
    assert mode_of(path) == 0o600


async def test_a_command_makes_no_spool(tmp_path: Path) -> None:
    with pytest.raises(SpoolRefusedError, match="there is no spool"):
        await opened(tmp_path / "spool.sqlite", create=False)
    assert names_in(tmp_path) == []


async def test_a_commit_is_on_the_disk_before_it_is_answered(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        kept = await spool.sqlite._writer.write(
            lambda db: [db.ask(f"pragma {name}", {})[0][0] for name in ("journal_mode", "synchronous")]
        )
    assert kept == ["wal", 2]  # FULL: the log is synced in every commit (sqlite.org/pragma.html#pragma_synchronous)


async def test_a_verb_is_prepared_once_whatever_it_is_asked_for(tmp_path: Path) -> None:
    """The hot verbs read partial indexes: with plans that depend on parameters most of their time went into planning."""
    async with house(tmp_path) as spool:
        await spool.put()
    db, again = open_reader(tmp_path / "spool.sqlite", load_verbs()), list[int]()
    db.connection.trace_v2(
        apsw.SQLITE_TRACE_PROFILE, lambda event: again.append(event["stmt_status"]["SQLITE_STMTSTATUS_REPREPARE"])
    )
    for lane in range(3):
        asked = {"lane": lane, "lanes": f"[{lane}]", "now": lane, "after": lane, "most": 9}
        for verb in ("strands", "next_in", "unsettled", "asks", "next_look"):
            db.rows(verb, asked)
    db.connection.close()
    assert again == [0] * 15


async def test_a_newer_schema_is_refused_where_this_version_could_harm_its_mail(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    await opened(path)
    plant(path, "pragma user_version = 999; update facts set value = 998 where name = 'oldest_schema'")
    before = path.read_bytes()
    with pytest.raises(SpoolRefusedError, match=r"schema 999.*998.*start the newer version"):
        await opened(path)
    assert path.read_bytes() == before


async def test_a_newer_schema_that_does_this_version_no_harm_is_opened_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    async with house(tmp_path) as spool:
        message = await spool.put()
    plant(path, "pragma user_version = 999; alter table messages add column later text; create table more (x)")
    async with house(tmp_path) as spool:
        assert await spool.status(message) is Status.QUEUED
        await spool.put()
        versions = await spool.sqlite._writer.write(lambda db: db.ask("pragma user_version", {}))
    assert versions == [(999,)]


async def test_another_programs_database_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    plant(path, "create table theirs (x)")
    before, names = path.read_bytes(), ["spool.sqlite", "spool.sqlite.lock"]
    with pytest.raises(SpoolRefusedError, match="not a spool of posthouse"):
        await opened(path)
    assert (path.read_bytes(), names_in(tmp_path)) == (before, names)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    path.write_bytes(os.urandom(8192))
    with pytest.raises(SpoolRefusedError, match="not a spool"):
        await opened(path)


async def test_a_folder_that_cannot_be_used_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolRefusedError, match="cannot be opened"):
        await opened(tmp_path / "file" / "spool.sqlite")


MOUNTS = """\
22 1 253:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:40 / /srv/mail rw - nfs4 nas:/mail rw,vers=4.2
31 22 0:41 / /srv/mail/local rw - xfs /dev/vdb rw
32 22 0:42 / /mnt/my\\040share rw shared:9 - cifs //nas/x rw
33 22 0:43 / /mnt/ssh rw - fuse.sshfs me@host: rw
34 22 0:44 / /mnt/ntfs rw - fuseblk /dev/sdb1 rw
35 22 0:45 / /mnt/over rw - ext4 /dev/vdc rw
36 22 0:46 / /mnt/over rw - nfs nas:/y rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/lib/posthouse", None),
        ("/srv/mail", "nfs4"),
        ("/srv/mail/deep/er", "nfs4"),
        ("/srv/mailbox", None),
        ("/srv/mail/local/x", None),
        ("/mnt/my share/spool", "cifs"),
        ("/mnt/ssh", "fuse.sshfs"),
        ("/mnt/ntfs", None),
        ("/mnt/over", "nfs"),
    ],
)
def test_network_file_systems_are_known(folder: str, kind: str | None) -> None:
    assert network_file_system(Path(folder), MOUNTS) == kind


async def test_a_closed_spool_takes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        new = spool.new()
    with pytest.raises(SpoolUnavailableError):
        await spool.add(new)
    with pytest.raises(SpoolUnavailableError):
        await spool.spool.counts()
    await spool.spool.close()


async def test_closing_writes_what_waits(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        ids = [spool.new() for _ in range(50)]
        adding = [asyncio.ensure_future(spool.add(new)) for new in ids]
        await asyncio.sleep(0)
    await asyncio.gather(*adding)
    async with house(tmp_path) as again:
        assert sum((await again.spool.counts()).values()) == 50


def plant(path: Path, statement: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(statement).fetchall()
    connection.close()


async def test_who_may_wait_for_the_lock_opens_the_spool_when_the_other_has_gone(tmp_path: Path) -> None:
    """A restart does not fail because the former process is still draining (PROMISES §9)."""
    path = tmp_path / "spool.sqlite"
    async with holding(path) as other:
        opening = asyncio.create_task(open_spool(path, owner="me", clock=Clock(), wait=20.0))
        done, _ = await asyncio.wait({opening}, timeout=0.5)
        assert not done
        assert other.stdin is not None
        other.stdin.close()
        spool = await asyncio.wait_for(opening, 30)
        await spool.close()


@pytest.mark.engine("postgres")
@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("user", "base", "words"),
    [("posthouse", "nowhere", "has no database"), ("nobody", "postgres", "refuses the login")],
)
async def test_an_address_that_is_wrong_is_told_apart_from_an_outage(
    tmp_path: Path, user: str, base: str, words: str
) -> None:
    server = DATABASES[tmp_path].partition("@")[2].partition("/")[0]
    address = Address(dsn=f"postgresql://{user}@{server}/{base}")
    with pytest.raises(SpoolUnavailableError, match=words):
        await open_postgres(address, owner="me", clock=Clock(), secrets=MASTER)


@pytest.mark.engine("postgres")
@pytest.mark.usefixtures("engine")
async def test_behind_a_pooler_a_database_that_answers_before_it_is_durable_is_refused(tmp_path: Path) -> None:
    dsn, clock = DATABASES[tmp_path], Clock()
    name = dsn.rpartition("/")[2]
    connection = await asyncpg.connect(dsn)
    await connection.execute(f'alter database "{name}" set synchronous_commit = off')
    try:
        # a pooler passes no setting of a session on
        pooled = Address(dsn=dsn, pooler=True, listen_dsn=f"{dsn}?application_name=listener")
        with pytest.raises(SpoolRefusedError, match="synchronous_commit"):
            await open_postgres(pooled, owner="me", clock=clock, secrets=MASTER)
        spool = await open_postgres(Address(dsn=dsn), owner="me", clock=clock, secrets=MASTER)
        await spool.close()
    finally:
        await connection.execute(f'alter database "{name}" reset synchronous_commit')
        await connection.close()
