"""Proofs of presence, appearances, looks of a lane, and the audit: what settling keeps (PROMISES §5)."""

import json
from pathlib import Path

import pytest

from posthouse.message import MessageId, Status
from posthouse.records import AuditEntry, Presence, ProofLevel, Verdict, Witness
from tests.contract.spools import DAY, HOUR, NOON, SECOND, SENT, SHOP, house

pytestmark = pytest.mark.usefixtures("engine")

ARMED = Presence(account=SHOP, kind="graph", own=True, ask_at=NOON + HOUR)


async def test_a_proof_is_kept_for_each_mailbox_kind_and_origin(tmp_path: Path) -> None:
    witness = Witness(MessageId("msg_01M894P376F0TVPFZNPGM32P8T"), SHOP, "<w@contoso.com>", NOON, "graph")
    proved = Presence(
        account=SHOP,
        kind="graph",
        own=True,
        level=ProofLevel.LOOK_UP,
        witness=witness,
        proved_at=NOON,
        asked_at=NOON,
    )
    async with house(tmp_path) as spool:
        await spool.spool.save_presence(proved)
        denied = Presence(account=SHOP, kind="smtp", own=False, asked_at=NOON, answer="ErrorAccessDenied")
        await spool.spool.save_presence(denied)
    async with house(tmp_path, owner="later") as spool:
        assert await spool.spool.presences() == [proved, denied]
        assert await spool.spool.presence(account=SHOP, kind="graph", own=True) == proved
        assert await spool.spool.presence(account=SHOP, kind="graph", own=False) is None


async def test_a_lane_is_due_when_its_fresh_witness_is(tmp_path: Path) -> None:
    """The look runs under the lane's lease as any other does, so nobody else asks this mailbox at that moment."""
    async with house(tmp_path) as spool:
        await spool.spool.save_presence(ARMED)
        assert await spool.spool.next_due() == NOON + HOUR
        spool.clock.at += HOUR
        lease = await spool.lease()
        assert await spool.spool.next_look(lanes=(lease.lane,)) == NOON + HOUR
        assert await spool.spool.asks(now=spool.clock.at, most=9, lanes=(lease.lane,)) == [(lease.lane, ARMED)]
        assert await spool.spool.asks(now=spool.clock.at - 1, most=9, lanes=(lease.lane,)) == []
        await spool.release(lease)
        assert await spool.spool.next_due() == NOON + HOUR


async def test_the_slowest_appearance_of_the_last_day_survives_a_restart(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        for took in (3 * SECOND, 40 * SECOND, 7 * SECOND):
            row = await spool.doubt()
            assert await spool.settle(row, Verdict.SENT, took=took)
            spool.clock.at += HOUR
    async with house(tmp_path, owner="later") as spool:
        assert await spool.spool.slowest(after=NOON - DAY) == 40 * SECOND
        assert await spool.spool.slowest(after=NOON + HOUR) == 7 * SECOND
        assert await spool.spool.slowest(after=NOON + DAY) == 0


async def test_what_is_held_for_want_of_the_right_is_looked_at_when_it_is_back(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        held: dict = {"cause": "unconfirmed_no_right", "look_at": NOON + HOUR}
        mine, others, lost = [await spool.doubt(account=f"{n}@contoso.com") for n in "abc"]
        for row in (mine, others):
            await spool.settle(row, Verdict.HELD, **held)
        await spool.settle(lost, Verdict.HELD, cause="unconfirmed_draft", look_at=NOON + HOUR)
        assert await spool.spool.look_held(account="a@contoso.com", cause="unconfirmed_no_right", at=NOON) == 1
        assert await spool.spool.next_due() == NOON
        assert [item.message.id for item in await spool.looks(at=NOON)] == [mine.id]


async def test_a_witness_says_by_which_transport_it_went(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await spool.go(SENT, Status.SENT)
        (found,) = await spool.spool.witnesses(
            account=SHOP, kind="graph", own=True, before=NOON + 1, after=NOON - 1, most=3
        )
        assert (found.transport, found.sent_at) == ("graph", NOON)


async def test_what_goes_again_after_a_long_doubt_has_its_whole_time_before_it(tmp_path: Path) -> None:
    """Time held or in doubt does not count towards the default expiry (PROMISES §6)."""
    async with house(tmp_path) as spool:
        row = await spool.doubt()
        spool.clock.at += 9 * DAY
        assert await spool.settle(row, Verdict.NOT_SENT, gives_up_at=NOON + 14 * DAY)
        (again,) = await spool.due(row.lane)
        assert again.gives_up_at == NOON + 14 * DAY


async def test_who_did_what_is_kept(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        entry = AuditEntry(at=NOON, by="ann", action="message.content_viewed", target="msg_1", data={"why": "asked"})
        await spool.spool.audit(entry)
        ((at, by, action, target, data),) = await spool.ask("select at, by, action, target, data from audit")
        assert (at, by, action, target) == (NOON, "ann", "message.content_viewed", "msg_1")
        assert json.loads(data) == {"why": "asked"}
