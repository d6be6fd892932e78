"""Looking at the whole spool, and never opening a damaged one for writing."""

import shutil
from importlib.resources import files
from pathlib import Path

import apsw
import pytest

from posthouse.message import Status
from posthouse.spool.refused import SpoolRefusedError
from posthouse.spool.reports import UNREADABLE, KeyUse, Report
from posthouse.spool.sealing import Secrets, key_id, new_master
from posthouse.spool.sqlite import health
from posthouse.spool.sqlite.check import check
from tests.contract.spools import SENT, house

OLD, NEW = new_master(), new_master()
LARGE = b"x" * 600_000
SPOOL = "spool.sqlite"


def change(folder: Path, *statements: str) -> None:
    connection = apsw.Connection(str(folder / SPOOL))
    for statement in statements:
        connection.execute(statement).fetchall()
    connection.close()


async def lived(folder: Path, *, secrets: Secrets | None = None) -> None:
    """A spool with a bit of everything."""
    async with house(folder, secrets=secrets or Secrets()) as spool:
        await spool.go(SENT, Status.SENT)
        await spool.doubt()
        await spool.put(body=LARGE, tags={"run": "7"})
        await spool.add(spool.new(), key="k")


def look(folder: Path, secrets: Secrets | None = None) -> Report:
    return check(folder / SPOOL, secrets or Secrets())


async def test_a_spool_in_use_is_sound_and_all_its_contents_open(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.go(SENT, Status.SENT)
        await spool.doubt()
        message = await spool.put(body=LARGE)
        report = look(tmp_path)
        assert (report.ok, report.faults, report.findings) == (True, (), ())
        name = key_id((tmp_path / f"{SPOOL}.master").read_text().strip())
        assert report.keys == (KeyUse(name, 3, "current"),)
        assert await spool.status(message) is Status.QUEUED  # nobody was held up, nothing was changed
        await spool.put()
    assert look(tmp_path).ok


BREAKS = {
    "a message that was not purged has no content": "delete from contents where id = 1",
    "a message that is not final has lost its content": "update messages set content_purged_at = 1 where id = 2",
    "a content belongs to no message": "insert into contents (id, header_size, body_size, location, body) values (99, 0, 0, 'inline', x'')",
    "a content was purged and is still there": "update messages set content_purged_at = 1 where id = 1",
    "a content has not all its chunks": "delete from chunks where n = 1",
    "a message has no details": "delete from details where message = 1",
    "a message has no recipient": "delete from recipients where message = 1",
    "details belong to no message": "update details set message = 99 where message = 1",
    "a recipient belongs to no message": "update recipients set message = 99 where message = 1",
    "a tag belongs to no message": "update tags set message = 99",
    "an attempt belongs to no message": "update attempts set message = 99 where message = 1",
    "a bounce belongs to no message": "insert into bounces (message, report, recipient, lane, at, fix) "
    "values (99, 'r1', 'bob@fabrikam.com', 1, 0, 'bounce.other')",
    "an event belongs to no message": "update events set message = 99 where message = 1",
    "a message has not as many attempts as it counts": "delete from attempts where message = 1",
    "a final message has no end, or one that is not final has one": "update messages set finished_at = null where id = 1",
    "a sent message has no outcome": "update attempts set outcome = 'transient_failure' where message = 1",
    "an unsettled message has no attempt, or is final": "update unsettled set number = 9",
    "an unconfirmed message is not settled by anybody": "delete from unsettled",
    "a lane with queued messages does not know when it has something to do": "update lanes set next_at = null",
}


@pytest.mark.parametrize("rule", BREAKS)
async def test_every_rule_names_what_breaks_it(tmp_path: Path, rule: str) -> None:
    await lived(tmp_path)
    change(tmp_path, BREAKS[rule])
    report = look(tmp_path)
    assert not report.ok
    (finding,) = [one for one in report.findings if one.rule == rule]
    assert (finding.count, len(finding.examples)) == (1, 1)


def test_every_rule_is_broken_by_a_case_of_these_tests() -> None:
    text = files("posthouse.spool").joinpath("sql", "sqlite", "check.sql").read_text()
    rules = [line.removeprefix("--: ") for line in text.splitlines() if line.startswith("--: ")]
    assert set(rules) == set(BREAKS)


@pytest.mark.parametrize(
    "statement",
    [
        "update contents set body = zeroblob(length(body)) where id = 1",
        "update contents set data_key = null where id = 1",
        "update chunks set body = zeroblob(length(body)) where n = 2",
    ],
)
async def test_a_content_that_was_changed_is_found(tmp_path: Path, statement: str) -> None:
    await lived(tmp_path)
    change(tmp_path, statement)
    (finding,) = look(tmp_path).findings
    assert (finding.rule, finding.count) == (UNREADABLE, 1)


async def test_a_content_that_lies_open_and_is_cut_is_found(tmp_path: Path) -> None:
    await lived(tmp_path, secrets=Secrets(seal=False))
    assert look(tmp_path).keys == (KeyUse(None, 4, "none"),)
    change(tmp_path, "update contents set body = substr(body, 2) where id = 1")
    assert [one.rule for one in look(tmp_path).findings] == [UNREADABLE]


async def test_it_is_said_how_much_depends_on_which_master(tmp_path: Path) -> None:
    both = Secrets(master=NEW, previous=(OLD,))
    async with house(tmp_path, secrets=Secrets(master=OLD)) as spool:
        await spool.put()
        await spool.put()
    report = look(tmp_path, Secrets(master=NEW))
    assert report.keys == (KeyUse(key_id(OLD), 2, "missing"),)
    assert [one.rule for one in report.findings] == [UNREADABLE]
    async with house(tmp_path, secrets=both) as spool:
        await spool.put()
        report = look(tmp_path, both)
        assert set(report.keys) == {KeyUse(key_id(OLD), 2, "previous"), KeyUse(key_id(NEW), 1, "current")}
        assert (report.ok, report.previous_needed) == (True, True)
        while await spool.spool.reseal(most=10):
            continue
        report = look(tmp_path, both)
        assert report.keys == (KeyUse(key_id(NEW), 3, "current"),)
        assert not report.previous_needed


# --- damage


def spoil(folder: Path, at: int = 8) -> None:
    """Garbage over pages in the middle of the file, as a bad disk leaves."""
    path = folder / SPOOL
    data = bytearray(path.read_bytes())
    data[4096 * at : 4096 * at + 20_000] = b"\x99" * 20_000
    path.write_bytes(data)


async def test_a_damaged_spool_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    await lived(tmp_path)
    spoil(tmp_path)
    before = (tmp_path / SPOOL).read_bytes()
    with pytest.raises(SpoolRefusedError, match=r"damaged.*Nothing was written.*backup"):
        async with house(tmp_path):
            pass
    assert (tmp_path / SPOOL).read_bytes() == before
    report = look(tmp_path)
    assert (report.ok, bool(report.faults)) == (False, True)


async def test_a_spool_cut_short_is_refused(tmp_path: Path) -> None:
    await lived(tmp_path)
    data = (tmp_path / SPOOL).read_bytes()
    (tmp_path / SPOOL).write_bytes(data[: len(data) // 2])
    with pytest.raises(SpoolRefusedError, match="damaged"):
        async with house(tmp_path):
            pass
    assert look(tmp_path).faults


def forget_in_an_index(path: Path) -> None:
    """One letter in an index alone: only a full check compares it with its table."""
    data = path.read_bytes()
    places = [at for at in range(len(data)) if data.startswith(b"bob@fabrikam.com", at)]
    changed = bytearray(data)
    changed[places[0] + 2] += 1
    path.write_bytes(changed)


async def test_after_an_unclean_end_a_small_file_is_looked_through_in_full(tmp_path: Path) -> None:
    home, crashed = tmp_path / "home", tmp_path / "crashed"
    async with house(home, secrets=Secrets(master=OLD)) as spool:
        await spool.put()
    async with house(home, secrets=Secrets(master=OLD)) as spool:
        await spool.spool.writable()
        shutil.copytree(home, crashed)  # with its log, as a killed process leaves it
    for folder in (home, crashed):
        forget_in_an_index(folder / SPOOL)
    async with house(home, secrets=Secrets(master=OLD)):
        pass
    with pytest.raises(SpoolRefusedError, match="damaged"):
        async with house(crashed, secrets=Secrets(master=OLD)):
            pass


async def test_a_file_too_large_to_be_looked_through_at_start_is_looked_through_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lived(tmp_path)
    monkeypatch.setattr(health, "START_SECONDS", 0.0)
    monkeypatch.setattr(health, "_STEPS", 1)
    async with house(tmp_path) as spool:
        behind = spool.sqlite._behind
        assert behind is not None
        behind._thread.join()
        assert behind.fault is None
        assert await spool.spool.writable() is None


async def test_damage_found_behind_the_start_is_told_and_nothing_more_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await lived(tmp_path)
    many = "with n(i) as (select 1 union all select i + 1 from n where i < 500) insert into ballast select zeroblob(3000) from n"
    change(tmp_path, "create table ballast (x)", many)
    spoil(tmp_path, at=(tmp_path / SPOOL).stat().st_size // 4096 - 50)
    monkeypatch.setattr(health, "START_SECONDS", 0.0)
    monkeypatch.setattr(health, "_STEPS", 1)
    async with house(tmp_path) as spool:
        assert spool.sqlite._behind is not None
        spool.sqlite._behind._thread.join()
        reason = await spool.spool.writable()
        assert reason is not None
        assert "damaged" in reason
        assert "spool.damaged" in caplog.text
