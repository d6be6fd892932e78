"""Blocked senders, circuits and keys: what must survive a restart."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from posthouse.identities import MOST_REFUSALS, ClientRow, KeyRow, Refusal, Use
from posthouse.message import MessageId, OnUnconfirmed, Priority, Status
from posthouse.policy import Terms
from posthouse.records import AuditEntry, SenderBlock, TransportRow
from tests.contract.spools import DAY, HOUR, NOON, SECOND, SHOP, House, house

pytestmark = pytest.mark.usefixtures("engine")

BLOCK = SenderBlock(mailbox=SHOP, sender="info@contoso.com", since=NOON, probe_at=NOON + HOUR, reason="send_as_denied")


async def blocked(spool: House, **changes) -> MessageId:
    return await spool.put(sender="info@contoso.com", **changes)


async def unblock(spool: House) -> None:
    await spool.spool.unblock_sender(mailbox=BLOCK.mailbox, sender=BLOCK.sender, at=NOON + HOUR)


async def test_a_block_holds_what_is_queued_and_what_comes(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        before = await blocked(spool)
        other = await spool.put()
        await spool.spool.block_sender(BLOCK)
        after = await blocked(spool)
        for message_id in (before, after):
            record = await spool.record(message_id)
            assert (record.status, record.held_cause) == (Status.HELD, "sender_blocked")
            assert (await spool.history(message_id))[-1] == "held"
        assert await spool.status(other) is Status.QUEUED


@pytest.mark.engine("sqlite")
async def test_a_block_leaves_alone_what_is_being_sent(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row, _ = await spool.start(sender="info@contoso.com")
        await spool.spool.block_sender(BLOCK)
        found_just_before = {"messages": f"[{row.key}]", "at": NOON}
        await spool.sqlite._writer.write(lambda db: db.run("hold_blocked", found_just_before))
        assert await spool.status(row.id) is Status.SENDING


async def test_a_block_outlives_the_process(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.spool.block_sender(BLOCK)
    async with house(tmp_path) as again:
        assert await again.status(await blocked(again)) is Status.HELD


async def test_a_success_lets_all_go_in_order_of_age(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        old = await blocked(spool, due_at=NOON - 2)
        await spool.spool.block_sender(BLOCK)
        young = await blocked(spool, due_at=NOON - 1)
        paused = await blocked(spool, held_cause="client_paused")
        spool.woken.clear()
        await unblock(spool)
        lease = await spool.lease()
        assert spool.woken == {lease.lane}
        assert [row.id for row in await spool.due(lease.lane)] == [old, young]
        assert await spool.status(paused) is Status.HELD
        assert await spool.status(await blocked(spool)) is Status.QUEUED


async def test_a_block_of_many_rows_is_held_and_released_completely(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        for _ in range(12):
            await spool.add(*(spool.new(sender="info@contoso.com") for _ in range(100)))
        await spool.spool.block_sender(BLOCK)
        assert await spool.spool.counts() == {Status.HELD: 1200}
        await unblock(spool)
        assert await spool.spool.counts() == {Status.QUEUED: 1200}


async def test_at_the_probe_the_oldest_alone_tries(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.spool.block_sender(BLOCK)
        old, young = await blocked(spool), await blocked(spool)
        assert await spool.spool.probe_senders(now=NOON + HOUR - 1, next_probe=NOON + 2 * HOUR) == 0
        assert await spool.spool.probe_senders(now=NOON + HOUR, next_probe=NOON + 2 * HOUR) == 1
        assert [await spool.status(m) for m in (old, young)] == [Status.QUEUED, Status.HELD]
        assert await spool.spool.probe_senders(now=NOON + HOUR, next_probe=NOON + 2 * HOUR) == 0
        assert await spool.status(await blocked(spool)) is Status.HELD


async def test_unblocking_whom_nobody_blocked_writes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        message_id = await blocked(spool, held_cause="client_paused")
        await unblock(spool)
        assert await spool.status(message_id) is Status.HELD


async def test_circuits_are_remembered(tmp_path: Path) -> None:
    row = TransportRow(name="graph", state="open", until=NOON + HOUR, opened=2, reason="no_answer", since=NOON)
    later = TransportRow(name="graph", state="closed", until=0, opened=0, reason="", since=NOON + SECOND)
    async with house(tmp_path) as spool:
        await spool.spool.save_transport(row)
        assert await spool.spool.transports() == [row]
        await spool.spool.save_transport(later)
    async with house(tmp_path) as again:
        assert await again.spool.transports() == [later]


KEY = KeyRow(
    id="abcdefghij",
    client="shop",
    key_hash=b"\x00\xff" * 16,
    senders=("a@contoso.com", "*@shop.contoso.com"),
    created_at=NOON,
)
ENTRY = AuditEntry(at=NOON, by="ann", action="key.create", target=KEY.id)


async def test_keys_are_kept_and_revoked(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.spool.save_key(KEY, ENTRY)
        assert (await spool.spool.identities()).keys == [KEY]
        assert await spool.spool.revoke_key(KEY.id, at=NOON + 1, by="ann")
        assert await spool.spool.revoke_key(KEY.id, at=NOON + 2, by="ann")
        assert not await spool.spool.revoke_key("nobody", at=NOON, by="ann")
    async with house(tmp_path) as again:
        (key,) = (await again.spool.identities()).keys
        assert key.revoked_at == NOON + 1


async def test_a_keys_last_use_is_known_to_the_minute(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.spool.save_key(KEY, ENTRY)
        for at in (NOON, NOON + SECOND, NOON + 61 * SECOND):
            await spool.spool.used(key_id=KEY.id, at=at)
        (key,) = (await spool.spool.identities()).keys
        assert key.last_used_at == NOON + 61 * SECOND


async def test_the_time_held_for_a_block_does_not_count_towards_the_default_expiry(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await blocked(spool, gives_up_at=NOON + 5 * DAY)
        await spool.spool.block_sender(BLOCK)
        later = NOON + 6 * DAY
        await spool.spool.unblock_sender(mailbox=BLOCK.mailbox, sender=BLOCK.sender, at=later)
        (row,) = await spool.due((await spool.lease()).lane)
        assert row.gives_up_at == later + 5 * DAY


async def test_a_clients_terms_and_its_pause_are_kept(tmp_path: Path) -> None:
    terms = Terms(
        rate_per_minute=3, over_rate="delay", priority=Priority.LOW, on_unconfirmed=OnUnconfirmed.HOLD, tags={"a": "ü"}
    )
    row = ClientRow(name="shop", created_at=NOON, paused_at=NOON + 1, terms=terms)
    entry = AuditEntry(at=NOON, by="ann", action="client.change", target="shop")
    async with house(tmp_path) as spool:
        await spool.spool.save_key(KEY, ENTRY)
        await spool.spool.save_client(row, entry)
    async with house(tmp_path) as again:
        assert (await again.spool.identities()).clients == [row]


async def test_what_each_process_took_is_known_to_the_others_and_forgotten_after_a_day(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        share = spool.spool.share_use
        assert await share([Use("shop", 10, 2), Use("shop", 11, 1)], owner="a", since=0) == []
        assert await share([Use("shop", 10, 5)], owner="b", since=0) == [Use("shop", 10, 2), Use("shop", 11, 1)]
        assert await share([Use("shop", 10, 3)], owner="a", since=0) == [Use("shop", 10, 5)]
        assert set(await share([], owner="c", since=0)) == {Use("shop", 10, 8), Use("shop", 11, 1)}
        await share([Use("shop", 20, 1)], owner="a", since=11)
        assert set(await share([], owner="c", since=0)) == {Use("shop", 11, 1), Use("shop", 20, 1)}


async def test_refusals_add_up_in_their_groups_and_the_latest_are_kept(tmp_path: Path) -> None:
    one = Refusal(
        door="smtp", source="10.0.0.1", login="scan", client="", sender="a@b.c", code="invalid_key", detail="no",
        first_at=NOON, last_at=NOON, times=2,
    )  # fmt: skip
    later = replace(one, detail="still no", first_at=NOON + 5, last_at=NOON + 5, times=1)
    other = replace(one, source="10.0.0.2", last_at=NOON + 1)
    async with house(tmp_path) as spool:
        await spool.spool.save_refusals([one, other])
        await spool.spool.save_refusals([later])
        assert await spool.spool.refusals(most=9) == [
            replace(one, detail="still no", last_at=NOON + 5, times=3),
            other,
        ]
        assert len(await spool.spool.refusals(most=1)) == 1


async def test_the_oldest_groups_of_refusals_make_room_and_may_come_again(tmp_path: Path) -> None:
    def group(number: int, at: int) -> Refusal:
        return Refusal(
            door="smtp", source=str(number), login="", client="", sender="", code="invalid_key", detail="",
            first_at=at, last_at=at,
        )  # fmt: skip

    async with house(tmp_path) as spool:
        await spool.spool.save_refusals([group(number, NOON + number) for number in range(MOST_REFUSALS)])
        await spool.spool.save_refusals([group(-1, NOON + 2 * MOST_REFUSALS), group(0, NOON + 3 * MOST_REFUSALS)])
        found = await spool.spool.refusals(most=2 * MOST_REFUSALS)
        assert len(found) == MOST_REFUSALS
        assert [(one.source, one.times) for one in found[:2]] == [("0", 2), ("-1", 1)]
        assert "1" not in {one.source for one in found}


async def test_mail_of_a_paused_client_goes_on_when_it_is_resumed_and_no_other_does(tmp_path: Path) -> None:
    row = ClientRow(name=KEY.client, created_at=NOON, paused_at=NOON)
    async with house(tmp_path) as spool:
        await spool.spool.save_key(KEY, ENTRY)
        await spool.spool.save_client(row, ENTRY)
        held = await spool.put(client=KEY.client, held_cause="client_paused")
        free = partial(spool.spool.free_held, now=NOON, transports=["graph"], carrying=["smtp"], most=9)
        assert await free() == 0
        assert (await spool.record(held)).status is Status.HELD
        await spool.spool.save_client(replace(row, paused_at=None), ENTRY)
        assert await free() == 1
        assert (await spool.record(held)).status is Status.QUEUED
