"""Contents at rest: sealed from the first byte, opened by their master alone, wrapped again when it changes (SPOOL §7)."""

import asyncio
import stat
from pathlib import Path

import apsw
import pytest

from posthouse.message import MessageId, Status
from posthouse.ports import ContentUnreadableError
from posthouse.spool.refused import SpoolRefusedError
from posthouse.spool.sealing import Secrets, key_id, new_master
from tests.contract.spools import SENT, House, house

pytestmark = pytest.mark.usefixtures("engine")

SMALL = b"the secret of a small mail\r\n"
LARGE = b"the secret of a large mail\r\n" * 30_000
OLD, NEW = new_master(), new_master()
OPEN = Secrets(seal=False)


async def whole(spool: House, message_id: MessageId) -> tuple[bytes, bytes]:
    """Header and body."""
    key = await spool.spool.key_of(message_id)
    assert key is not None
    content = await spool.spool.content(key)
    assert content is not None
    return content.header, b"".join([block async for block in content.body.blocks()])


def disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def change(folder: Path, statement: str, values: dict | None = None) -> None:
    connection = apsw.Connection(str(folder / "spool.sqlite"))
    connection.execute(statement, values or {}).fetchall()
    connection.close()


@pytest.mark.parametrize("body", [SMALL, LARGE])
@pytest.mark.engine("sqlite")
async def test_neither_header_nor_body_lies_open_on_the_disk(tmp_path: Path, body: bytes) -> None:
    async with house(tmp_path) as spool:
        message = await spool.put(body=body)
        assert b"the secret of" not in disk(tmp_path)
        assert b"Subject: Order" not in disk(tmp_path)
        assert await whole(spool, message) == (b"Subject: Order\r\n", body)
    assert b"the secret of" not in disk(tmp_path)


@pytest.mark.parametrize("body", [SMALL, LARGE])
@pytest.mark.engine("sqlite")
async def test_where_settings_say_so_contents_lie_open_and_both_kinds_are_read(tmp_path: Path, body: bytes) -> None:
    async with house(tmp_path, secrets=OPEN) as spool:
        first = await spool.put(body=body)
        assert b"the secret of" in disk(tmp_path)
    async with house(tmp_path) as spool:
        second = await spool.put(body=body)
    async with house(tmp_path, secrets=OPEN) as spool:
        assert [(await whole(spool, one))[1] for one in (first, second)] == [body, body]


@pytest.mark.parametrize(
    "statement",
    [
        "update chunks set n = 1 - n - 9 where content = 1 and n < 2; update chunks set n = n + 9 where n < 0",
        "update chunks set body = (select body from chunks where content = 2 and n = 0) where content = 1 and n = 0",
        "update contents set (body, data_key) = (select body, data_key from contents where id = 2) where id = 1",
        "update contents set body_size = body_size - 262144 where id = 1",
        "update contents set location = 'inline' where id = 1",
        "update chunks set body = zeroblob(length(body)) where content = 1 and n = 2",
        "delete from chunks where content = 1 and n = 2",
    ],
    ids=["places", "messages", "whole", "size", "form", "zeros", "gone"],
)
@pytest.mark.engine("sqlite")
async def test_a_content_that_was_changed_where_it_lies_is_not_taken_for_whole(tmp_path: Path, statement: str) -> None:
    async with house(tmp_path) as spool:
        first, second = await spool.put(body=LARGE), await spool.put(body=LARGE)
    change(tmp_path, statement)
    async with house(tmp_path) as spool:
        with pytest.raises(ContentUnreadableError):
            await whole(spool, first)
        assert (await whole(spool, second))[1] == LARGE


@pytest.mark.engine("sqlite")
async def test_a_content_whose_key_was_changed_is_told_from_one_that_was_purged(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        message = await spool.put(body=SMALL)
    change(tmp_path, "update contents set data_key = null")
    async with house(tmp_path) as spool:
        with pytest.raises(ContentUnreadableError):
            await whole(spool, message)


# --- the master


@pytest.mark.engine("sqlite")
async def test_a_master_is_made_with_a_new_spool_for_its_owner_alone(tmp_path: Path) -> None:
    async with house(tmp_path):
        master = tmp_path / "spool.sqlite.master"
        assert stat.S_IMODE(master.stat().st_mode) == 0o600
        text = master.read_text().strip()
    assert text.encode() not in (tmp_path / "spool.sqlite").read_bytes()


@pytest.mark.engine("sqlite")
async def test_a_master_is_never_made_for_a_spool_that_had_one(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.put()
    master = tmp_path / "spool.sqlite.master"
    name = key_id(master.read_text().strip())
    master.rename(tmp_path / "elsewhere")
    with pytest.raises(SpoolRefusedError, match=f"{name}.*there is none"):
        async with house(tmp_path):
            pass
    assert not master.exists()
    (tmp_path / "elsewhere").rename(master)
    async with house(tmp_path):
        pass


@pytest.mark.engine("sqlite")
async def test_another_master_is_refused_and_the_one_that_is_missing_is_named(tmp_path: Path) -> None:
    async with house(tmp_path, secrets=Secrets(master=OLD)) as spool:
        message = await spool.put()
    before = (tmp_path / "spool.sqlite").read_bytes()
    with pytest.raises(SpoolRefusedError, match=f"{key_id(OLD)}.*{key_id(NEW)}.*previous"):
        async with house(tmp_path, secrets=Secrets(master=NEW)):
            pass
    assert (tmp_path / "spool.sqlite").read_bytes() == before
    assert not (tmp_path / "spool.sqlite.master").exists()
    async with house(tmp_path, secrets=Secrets(master=OLD)) as spool:
        await whole(spool, message)


@pytest.mark.engine("postgres")
async def test_a_process_with_another_master_than_the_databases_takes_no_part(tmp_path: Path) -> None:
    async with house(tmp_path, secrets=Secrets(master=OLD)) as spool:
        message = await spool.put()
    with pytest.raises(SpoolRefusedError, match=f"{key_id(OLD)}.*{key_id(NEW)}.*previous"):
        async with house(tmp_path, secrets=Secrets(master=NEW)):
            pass
    async with house(tmp_path, secrets=Secrets(master=OLD)) as spool:
        await whole(spool, message)


async def test_a_master_on_which_nothing_depends_any_more_may_be_lost(tmp_path: Path) -> None:
    async with house(tmp_path, secrets=Secrets(master=OLD)) as spool:
        row = await spool.go(SENT, Status.SENT)
        await spool.spool.purge(now=spool.clock.at + 10**10, retention=10**9, content_retention=1.0, most=99)
        assert await spool.spool.content(row.key) is None
    async with house(tmp_path, secrets=Secrets(master=NEW)) as spool:
        await spool.put()
    async with house(tmp_path, secrets=Secrets(master=NEW)):
        pass


@pytest.mark.engine("sqlite")
async def test_a_broken_master_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    master = tmp_path / "spool.sqlite.master"
    master.write_text("cut\n")
    with pytest.raises(SpoolRefusedError, match="cut short"):
        async with house(tmp_path):
            pass
    assert master.read_text() == "cut\n"


# --- rotation


async def rotated(spool: House, *, most: int = 100) -> int:
    """Until nothing is left to do; how many steps it took."""
    steps = 0
    while await spool.spool.reseal(most=most):
        steps += 1
    return steps


async def test_after_a_rotation_the_earlier_master_may_go(tmp_path: Path) -> None:
    both = Secrets(master=NEW, previous=(OLD,))
    async with house(tmp_path, secrets=Secrets(master=OLD)) as spool:
        before = [await spool.put(body=body) for body in (SMALL, LARGE) for _ in range(4)]
    async with house(tmp_path, secrets=both) as spool:
        meanwhile = await spool.put(body=SMALL)
        assert await rotated(spool, most=3) >= 3
        assert await spool.spool.reseal(most=3) == 0
    async with house(tmp_path, secrets=Secrets(master=NEW)) as spool:
        bodies = [(await whole(spool, one))[1] for one in (*before, meanwhile)]
        assert bodies == [SMALL] * 4 + [LARGE] * 4 + [SMALL]


async def test_a_rotation_that_did_not_end_goes_on_at_the_next_start(tmp_path: Path) -> None:
    both = Secrets(master=NEW, previous=(OLD,))
    async with house(tmp_path, secrets=Secrets(master=OLD)) as spool:
        before = [await spool.put(body=SMALL) for _ in range(5)]
    async with house(tmp_path, secrets=both) as spool:
        assert await spool.spool.reseal(most=2) == 2
    with pytest.raises(SpoolRefusedError, match=key_id(OLD)):
        async with house(tmp_path, secrets=Secrets(master=NEW)):
            pass
    async with house(tmp_path, secrets=both) as spool:
        await rotated(spool)
    async with house(tmp_path, secrets=Secrets(master=NEW)) as spool:
        assert [(await whole(spool, one))[1] for one in before] == [SMALL] * 5


@pytest.mark.engine("postgres")
async def test_what_a_process_sealed_under_the_earlier_master_after_the_rotation_is_not_dropped(tmp_path: Path) -> None:
    both = Secrets(master=NEW, previous=(OLD,))
    async with house(tmp_path, owner="slow", secrets=Secrets(master=OLD, previous=(NEW,))) as slow:
        async with house(tmp_path, owner="quick", secrets=both) as quick:
            await rotated(quick)
        late = await slow.put(body=SMALL)
    async with house(tmp_path, owner="slow", secrets=both):
        pass
    with pytest.raises(SpoolRefusedError, match=key_id(OLD)):
        async with house(tmp_path, secrets=Secrets(master=NEW)):
            pass
    async with house(tmp_path, secrets=both) as spool:
        assert await rotated(spool)
    async with house(tmp_path, secrets=Secrets(master=NEW)) as spool:
        assert (await whole(spool, late))[1] == SMALL


async def test_mail_is_accepted_and_read_while_a_rotation_runs(tmp_path: Path) -> None:
    async with house(tmp_path, secrets=Secrets(master=OLD)) as spool:
        before = [await spool.put(body=SMALL) for _ in range(60)]
    async with house(tmp_path, secrets=Secrets(master=NEW, previous=(OLD,))) as spool:
        read = asyncio.gather(*(whole(spool, one) for one in before))
        await asyncio.gather(rotated(spool, most=5), *(spool.put(body=SMALL) for _ in range(30)))
        assert [body for _, body in await read] == [SMALL] * 60


@pytest.mark.engine("sqlite")
async def test_the_earlier_master_stays_known_while_a_content_could_not_be_wrapped_again(tmp_path: Path) -> None:
    async with house(tmp_path, secrets=Secrets(master=OLD)) as spool:
        await spool.put(body=SMALL)
        await spool.put(body=SMALL)
    change(tmp_path, "update contents set body_size = body_size + 1 where id = 1")
    async with house(tmp_path, secrets=Secrets(master=NEW, previous=(OLD,))) as spool:
        await rotated(spool)
    with pytest.raises(SpoolRefusedError, match=key_id(OLD)):
        async with house(tmp_path, secrets=Secrets(master=NEW)):
            pass
