"""A person's request: nothing of the final mail to him is kept but what accounting needs, in the file too."""

import json
from pathlib import Path

import pytest

from posthouse.message import MessageId, Status
from posthouse.outcome import Answer, RefusedRecipient, Sent
from posthouse.records import Action, Erased, Erasure, Filters
from posthouse.spool.sealing import Secrets
from posthouse.spool.sqlite.check import check
from tests.contract.spools import HOUR, LATER, NOON, SENT, SHOP, House, house

pytestmark = pytest.mark.usefixtures("engine")

AMY = "amy.pond@fabrikam.com"
TELLING: dict = {
    "to": (AMY, "rory@fabrikam.com"),
    "subject": "Your wedding",
    "reference": "ref-amy",
    "tags": {"who": "amy"},
}
TRACES = (AMY.encode(), b"rory@", b"Your wedding", b"ref-amy", b"pond", b"<amy@shop>")


def traces(folder: Path) -> set[bytes]:
    """What of the person stands in any file."""
    return {trace for trace in TRACES for file in folder.iterdir() if trace in file.read_bytes()}


async def erase(spool: House, recipient: str = AMY, *, dry_run: bool = False) -> Erased:
    erasure = Erasure(recipient=recipient, at=spool.clock.now(), by="ann", dry_run=dry_run)
    return await spool.spool.erase(erasure)


async def told(spool: House, **changes) -> MessageId:
    row = await spool.go(SENT, Status.SENT, message_id="<amy@shop>", **{**TELLING, **changes})
    return row.id


async def audit(spool: House) -> list[tuple]:
    asked = "select by, action, target, data from audit order by id"
    return await spool.ask(asked)


async def test_what_was_sent_to_a_person_is_erased_and_still_counted(tmp_path: Path, engine: str) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(SENT, Status.SENT, metadata={"name": "amy pond"}, message_id="<amy@shop>", **TELLING)
        other = await spool.go(SENT, Status.SENT)
        spool.clock.at += HOUR
        assert await erase(spool, AMY.upper()) == Erased(1, 0, ())
        record = await spool.record(row.id)
        assert (record.status, record.erased_at, record.client, record.size) == (
            Status.SENT,
            NOON + HOUR,
            "shop",
            row.size,
        )
        assert (record.subject, record.reference, record.message_id) == ("", None, "erased")
        assert (record.tags, record.metadata) == ({}, {})
        assert [one.address for one in record.recipients] == ["erased", "erased"]
        assert await spool.spool.content(row.key) is None
        assert (await spool.history(row.id))[-1] == "erased"
        assert (await spool.record(other.id)).erased_at is None
        for filters in (Filters(recipient=AMY), Filters(reference="ref-amy"), Filters(tags={"who": "amy"})):
            assert (await spool.spool.find(filters, now=NOON)).records == ()
    if engine == "sqlite":
        assert check(tmp_path / "spool.sqlite", Secrets()).ok


@pytest.mark.parametrize("seal", [True, False])
@pytest.mark.engine("sqlite")
async def test_nothing_of_it_can_be_read_from_the_file(tmp_path: Path, *, seal: bool) -> None:
    body = b"Dear amy pond, " * 30_000
    async with house(tmp_path, secrets=Secrets(seal=seal)) as spool:
        await told(spool, body=body, metadata={"name": "amy pond"})
        await told(spool, body=b"Dear amy pond", metadata={"name": "amy pond"})
        refused = (RefusedRecipient(AMY, 550, f"5.1.1 {AMY} unknown"),)
        answer = Answer(status="2.0.0", text=f"{AMY} was refused", reply=250)
        await spool.go(
            Sent(answer=answer, refused=refused, receipt=f"queued for {AMY}"),
            Status.SENT,
            finish={"data": {"to": AMY}},
            **TELLING,
        )
    assert traces(tmp_path)
    async with house(tmp_path, secrets=Secrets(seal=seal)) as spool:
        assert (await erase(spool)).erased == 3
    assert traces(tmp_path) == set()


async def test_what_is_not_final_is_left_and_named(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        doubtful = await spool.doubt(**TELLING)
        queued = await spool.put(**TELLING)
        sent = await told(spool, account="other@contoso.com")
        done = await erase(spool)
        assert (done.erased, done.unfinished, set(done.unfinished_ids)) == (1, 2, {doubtful.id, queued})
        for message in (doubtful.id, queued):
            record = await spool.record(message)
            assert (record.subject, record.erased_at) == ("Your wedding", None)
        await spool.obey(Action.CANCEL, queued)
        assert await erase(spool) == Erased(1, 1, (doubtful.id,))
        assert (await spool.record(sent)).erased_at is not None


async def test_a_dry_run_counts_and_changes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        message = await told(spool)
        assert await erase(spool, dry_run=True) == Erased(1, 0, ())
        assert (await spool.record(message)).subject == "Your wedding"
        assert await audit(spool) == []


async def test_the_audit_knows_the_person_by_a_keyed_hash_alone(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        await told(spool)
        await erase(spool)
        await erase(spool, "Amy.Pond@fabrikam.com")
        await erase(spool, "somebody@fabrikam.com")
        first, again, other = await audit(spool)
    assert first[:3] == ("ann", "recipient.erase", first[2])
    assert json.loads(first[3]) == {"erased": 1, "unfinished": 0}
    assert first[2] == again[2] != other[2]
    assert AMY not in str(first)


async def test_many_are_erased_in_small_steps(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        ids = [await spool.put(**TELLING) for _ in range(250)]
        for message in ids:
            await spool.obey(Action.CANCEL, message)
        assert (await erase(spool)).erased == 250


async def test_an_erased_message_is_no_witness_and_is_purged_as_any_other(tmp_path: Path) -> None:
    async with house(tmp_path) as spool:
        row = await spool.go(SENT, Status.SENT, **TELLING)
        await spool.go(LATER, Status.QUEUED)
        await erase(spool)
        asked = {"kind": "graph", "own": True, "before": NOON + HOUR, "after": 0, "most": 9}
        assert await spool.spool.witnesses(account=SHOP, **asked) == []
        assert await spool.spool.witnesses(account=None, **asked) == []
        await spool.spool.purge(now=NOON + 40 * 24 * HOUR, retention=86_400.0, content_retention=1.0, most=99)
        assert await spool.spool.get(row.id, now=NOON) is None
