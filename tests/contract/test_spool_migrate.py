"""Schemas: an older spool is brought up with its mail, a newer one is opened where that does no harm (service/README.md)."""

from importlib.resources import files
from pathlib import Path

import apsw
import pytest

from posthouse.message import Status, id_bytes, new_id
from posthouse.spool.sealing import Secrets
from posthouse.spool.sqlite import schema
from posthouse.spool.sqlite.check import check
from posthouse.spool.sqlite.opening import stands
from posthouse.spool.steps import Step, steps
from tests.contract.spools import NOON, SENT, SHOP, house

MIGRATIONS = files("posthouse.spool").joinpath("migrations", "sqlite")
APPLICATION_ID = 0x504F5354
MESSAGE = new_id(now=NOON, chance=bytes(range(10)))
ROWS = """
    insert into lanes (id, account, next_at) values (1, :account, :now);
    insert into messages (id, public_id, client, lane, status, priority, due_at, gives_up_at, attempts, mailbox, sender,
                          size, accepted_at)
    values (7, :id, 'shop', 1, 'queued', 1, :now, :now + 432000000, 0, :account, :account, 24, :now);
    insert into details (message, subject, message_id, own_message_id, route, tags, metadata, door, on_unconfirmed)
    values (7, 'Order', '<7@contoso.com>', 1, '["graph"]', '{}', '{}', 'rest', 'settle');
    insert into recipients (message, position, address, kind) values (7, 0, 'bob@fabrikam.com', 'to');
    insert into contents (id, header_size, body_size, location, body)
    values (7, 16, 8, 'inline', cast('Subject: Order' || char(13, 10) || 'hello!' || char(13, 10) as blob));
    insert into events (message, at, type, data) values (7, :now, 'message.accepted', '{"door": "rest"}');
"""


def first_version(path: Path) -> None:
    """A spool as the first version of posthouse made it, with one message that waits."""
    spool = apsw.Connection(str(path))
    spool.execute("pragma auto_vacuum = incremental; pragma journal_mode = wal").fetchall()
    spool.execute(MIGRATIONS.joinpath("0001_first.sql").read_text()).fetchall()
    spool.execute(f"pragma application_id = {APPLICATION_ID}; pragma user_version = 1").fetchall()
    spool.execute(ROWS, {"id": id_bytes(MESSAGE), "account": SHOP, "now": NOON}).fetchall()
    spool.close()


async def test_a_spool_of_the_first_version_keeps_its_mail_and_sends_it(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    first_version(path)
    assert stands(path) == 1
    async with house(tmp_path) as spool:
        record = await spool.record(MESSAGE)
        assert (record.status, record.subject, record.size) == (Status.QUEUED, "Order", 24)
        content = await spool.spool.content(7)
        assert content is not None
        assert (content.header, [b async for b in content.body.blocks()]) == (b"Subject: Order\r\n", [b"hello!\r\n"])
        lease = await spool.lease()
        (row,) = await spool.due(lease.lane)
        assert await spool.spool.mark(spool.mark_of(row, fence=lease.fence))
        assert await spool.finish(row, SENT, Status.SENT)
        await spool.put()
    assert stands(path) == schema.newest()
    assert check(path, Secrets()).ok


async def test_a_spool_that_never_knew_a_master_gets_one_when_it_is_brought_up(tmp_path: Path) -> None:
    first_version(tmp_path / "spool.sqlite")
    async with house(tmp_path) as spool:
        await spool.put()
    assert [use.master for use in check(tmp_path / "spool.sqlite", Secrets()).keys] == ["none", "current"]


def test_every_migration_says_which_is_the_oldest_code_that_may_work_with_its_file() -> None:
    for engine in ("sqlite", "postgres"):
        known = steps(engine)
        assert sorted(known) == list(range(1, len(known) + 1))
        assert all(1 <= step.oldest <= number for number, step in known.items())


def test_a_migration_takes_nothing_away_that_older_code_reads() -> None:
    """An index may go: without it older code is slower, never wrong."""
    for name in (entry.name for entry in MIGRATIONS.iterdir() if entry.name.endswith(".sql")):
        text = MIGRATIONS.joinpath(name).read_text().lower()
        assert "drop " not in text.replace("drop index ", ""), name
        assert "rename " not in text, name
        added = [line for line in text.splitlines() if "add column" in line]
        assert all("not null" not in line or "default" in line for line in added), name


async def test_a_step_that_fails_leaves_the_schema_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "spool.sqlite"
    first_version(path)
    whole = steps("sqlite")
    last = max(whole)
    broken = Step(whole[last].text + "create table half (x); select no_such_function();", whole[last].oldest)
    monkeypatch.setattr(schema, "steps", lambda _: {**whole, last: broken})
    with pytest.raises(Exception, match="no_such_function"):
        async with house(tmp_path):
            pass
    monkeypatch.undo()
    assert stands(path) == last - 1
    async with house(tmp_path) as spool:
        assert await spool.status(MESSAGE) is Status.QUEUED
