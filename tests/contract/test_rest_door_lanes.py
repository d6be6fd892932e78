"""Who waits for what, until when, and how a person stops and starts it (CONTRACT §2.1)."""

from collections.abc import AsyncGenerator
from datetime import datetime
from pathlib import Path

import pytest

from posthouse.concurrency import Ceiling
from posthouse.message import Status
from posthouse.outcome import Answer, Sent
from posthouse.records import Pause, Told, TransportRow
from tests.contract.rest_door import Door, rest_door

SIMPLE = {"from": "noreply@contoso.com", "to": "jo@example.org", "subject": "Hi", "text": "Hello"}
LANE = "/v1/lanes/noreply@contoso.com"
MAILBOX = "noreply@contoso.com"
SENT = Sent(answer=Answer(status="2.0.0", text=""))


@pytest.fixture
async def door(tmp_path: Path) -> AsyncGenerator[Door]:
    async with rest_door(tmp_path) as opened:
        opened.state.transports = [closed("graph"), closed("smtp")]
        yield opened


def closed(name: str, **told) -> TransportRow:
    return TransportRow(name=name, state="closed", until=0, opened=0, reason="", since=0, told=Told(**told))


def millis(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


async def lane_key(door: Door) -> int:
    (row,) = await door.spool.lanes(now=door.clock.now(), account=MAILBOX)
    return row.lane


async def test_a_lane_shows_how_its_limits_stand_who_waits_and_for_what(door: Door) -> None:
    http = await door.http("submit", "read")
    ids = [(await http.post("/v1/messages", json=SIMPLE)).json()["id"] for _ in range(31)]
    for message in ids[:30]:
        await door.attempt(message, SENT, status=Status.SENT)
    await http.post("/v1/messages", json=SIMPLE | {"priority": "low", "send_in": "1h"})
    lane = (await http.get(LANE)).json()
    assert (lane["account"], lane["waiting"]) == (MAILBOX, 2)
    assert (lane["pace"]["used"], lane["pace"]["limit"], lane["pace"]["kept_for_high"]) == (30, 30, 6)
    assert lane["slots"] == {"used": 0, "limit": 4, "kept_for_high": 1}
    assert lane["day"] == {"used": 0, "limit": 10_000, "room_at": None}
    assert lane["upload"]["limit"] == 150_000_000
    assert [(one["priority"], one["client"], one["waiting"], one["due"]) for one in lane["backlog"]] == [
        ("normal", "shop", 1, 1),
        ("low", "shop", 1, 0),
    ]
    why = lane["waits_for"]
    assert why["reason"] == "pace"
    assert "30" in why["advice"]
    assert 0 < millis(why["until"]) - door.clock.now() <= 60_000
    assert why["until"] == lane["pace"]["next_start_at"]
    assert (await http.get("/v1/lanes")).json()["data"][0]["waits_for"]["reason"] == "pace"


@pytest.mark.parametrize(
    ("pause", "reason"),
    [
        (Pause(None, 1 << 41, "graph.throttled", blocked=False, since=0), "graph.throttled"),
        (Pause(None, 1 << 41, "recipients_per_day", blocked=False, since=0), "recipients_per_day"),
        (Pause("graph", 1 << 41, "graph.busy", blocked=False, since=0), None),
    ],
)
async def test_a_pause_is_what_a_lane_waits_for_unless_another_way_is_free(
    door: Door, pause: Pause, reason: str | None
) -> None:
    http = await door.http("submit", "read")
    await http.post("/v1/messages", json=SIMPLE)
    await door.spool.pause(lane=await lane_key(door), pause=pause)
    lane = (await http.get(LANE)).json()
    assert lane["pauses"][0]["advice"]
    assert (lane["waits_for"] and lane["waits_for"]["reason"]) == reason
    if reason is not None:
        assert millis(lane["waits_for"]["until"]) == 1 << 41


async def test_with_no_usable_transport_a_lane_waits_for_one(door: Door) -> None:
    http = await door.http("submit", "read")
    await http.post("/v1/messages", json=SIMPLE)
    opened = TransportRow(name="graph", state="open", until=door.clock.now() + 30_000, opened=1, reason="dns", since=1)
    door.state.transports = [opened, closed("smtp")]
    assert (await http.get(LANE)).json()["waits_for"] is None
    door.state.transports = [opened, closed("smtp", at=1, paused=True, by="ann")]
    why = (await http.get(LANE)).json()["waits_for"]
    assert (why["reason"], millis(why["until"])) == ("transport", opened.until)


async def test_what_is_only_scheduled_waits_for_its_time(door: Door) -> None:
    http = await door.http("submit", "read")
    answer = await http.post("/v1/messages", json=SIMPLE | {"send_in": "1h"})
    lane = (await http.get(LANE)).json()
    shown = (await http.get(answer.headers["location"])).json()
    assert lane["waits_for"]["reason"] == "scheduled"
    assert lane["waits_for"]["until"] == shown["scheduled_at"]


async def test_a_person_pauses_a_lane_until_a_person_resumes_it_and_the_audit_names_both(door: Door) -> None:
    ops = await door.http("submit", "read", "manage", client="ops")
    await ops.post("/v1/messages", json=SIMPLE)
    paused = await ops.post(f"{LANE}/pause")
    assert paused.status_code == 200, paused.text
    pause = paused.json()["pauses"][0]
    assert (pause["reason"], pause["until"], pause["transport"]) == ("paused_by_person", None, None)
    assert pause["by"].startswith("key ")
    known = {"reason": "paused_by_person", "until": None, "advice": pause["advice"], "diagnosis": pause["diagnosis"]}
    assert paused.json()["waits_for"] == known
    assert "posthouse lanes resume noreply@contoso.com" in pause["diagnosis"]["fix"]
    assert await door.spool.lease(owner="me", now=door.clock.now() + 10**10, most=9) == ()
    resumed = await ops.post(f"{LANE}/resume")
    assert (resumed.json()["pauses"], resumed.json()["waits_for"]) == ([], None)
    assert len(await door.spool.lease(owner="me", now=door.clock.now(), most=9)) == 1
    rows = await door.spool._readers.read(lambda db: db.ask("select action, target from audit order by id", {}))
    assert rows[-2:] == [("lane.pause", MAILBOX), ("lane.resume", MAILBOX)]


async def test_a_mailbox_that_has_sent_nothing_yet_may_be_paused_but_nothing_that_is_no_mailbox(door: Door) -> None:
    ops = await door.http("read", "manage")
    assert (await ops.post("/v1/lanes/new@contoso.com/pause")).status_code == 200
    assert [lane["account"] for lane in (await ops.get("/v1/lanes")).json()["data"]] == ["new@contoso.com"]
    assert (await ops.post("/v1/lanes/nonsense/pause")).status_code == 404
    assert (await ops.post("/v1/lanes/other@contoso.com/resume")).status_code == 404
    assert (await ops.get("/v1/lanes/other@contoso.com")).status_code == 404


async def test_a_person_pauses_and_resumes_a_transport_and_its_concurrency_is_shown(door: Door) -> None:
    ops = await door.http("read", "manage")
    door.state.ceilings["graph"] = Ceiling()
    assert (await ops.post("/v1/transports/graph/pause")).status_code == 200
    assert door.state.spoken.is_set()
    (row,) = await door.spool.transports()
    assert row.told.paused
    door.state.transports = [closed("graph", at=5, paused=True, by="ann"), closed("smtp")]
    graph, smtp = (await ops.get("/v1/transports")).json()["data"]
    assert (graph["state"], graph["until"], graph["by"]) == ("paused", None, "ann")
    assert graph["reason"]["cause"] == "paused_by_person"
    assert graph["concurrency"] == {"limit": 16, "under_way": 0}
    assert (smtp["state"], smtp["concurrency"]) == ("closed", None)
    assert (await ops.post("/v1/transports/graph/resume")).status_code == 200
    (row,) = await door.spool.transports()
    assert not row.told.paused
    assert (await ops.post("/v1/transports/other/pause")).status_code == 404


@pytest.mark.parametrize("path", ["/v1/lanes/noreply@contoso.com", "/v1/transports/graph"])
async def test_only_who_may_manage_pauses_and_only_who_may_read_looks(door: Door, path: str) -> None:
    submits, reads = await door.http("submit"), await door.http("submit", "read")
    await submits.post("/v1/messages", json=SIMPLE)
    assert (await submits.get(path)).status_code == 403
    assert (await submits.get(path.rsplit("/", 1)[0])).status_code == 403
    assert (await reads.get(path)).status_code == 200
    for word in ("pause", "resume"):
        answer = await reads.post(f"{path}/{word}")
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
        assert (await door.anonymous().post(f"{path}/{word}")).status_code == 401
        assert (await reads.get(f"{path}/{word}")).status_code == 405
    rows = await door.spool._readers.read(
        lambda db: db.ask("select count(*) from audit where action like '%.pause'", {})
    )
    assert rows == [(0,)]


async def test_the_name_of_a_lane_may_be_written_in_any_case(door: Door) -> None:
    ops = await door.http("submit", "read", "manage")
    await ops.post("/v1/messages", json=SIMPLE)
    assert (await ops.get("/v1/lanes/NoReply%40Contoso.com")).json()["account"] == MAILBOX
    assert (await ops.post("/v1/lanes/NOREPLY@contoso.com/pause")).json()["account"] == MAILBOX
    assert len((await ops.get("/v1/lanes")).json()["data"]) == 1


async def test_resume_ends_a_block_but_no_retry_after(door: Door) -> None:
    ops = await door.http("submit", "read", "manage")
    await ops.post("/v1/messages", json=SIMPLE)
    now, key = door.clock.now(), await lane_key(door)
    block = Pause(None, now + 900_000, "graph.mailbox_permission", blocked=True, since=now)
    await door.spool.pause(lane=key, pause=block)
    assert (await ops.get(LANE)).json()["waits_for"]["reason"] == "graph.mailbox_permission"
    assert (await ops.post(f"{LANE}/resume")).json()["pauses"] == []
    rest = Pause(None, now + 900_000, "graph.throttled", blocked=False, since=now)
    await door.spool.pause(lane=key, pause=rest)
    resumed = (await ops.post(f"{LANE}/resume")).json()
    assert [one["reason"] for one in resumed["pauses"]] == ["graph.throttled"]
    assert millis(resumed["waits_for"]["until"]) == rest.until


async def test_a_pause_told_twice_stays_one_and_names_who_said_it_last(door: Door) -> None:
    first, second = [await door.http("read", "manage", client=name) for name in ("ann", "bob")]
    by = [(await http.post(f"{LANE}/pause")).json()["pauses"][0]["by"] for http in (first, second)]
    assert by[0] != by[1]
    assert len((await first.post(f"{LANE}/pause")).json()["pauses"]) == 1
    assert (await first.post(f"{LANE}/resume")).json()["pauses"] == []


async def test_where_all_ways_are_paused_by_people_a_lane_waits_for_one_without_an_end(door: Door) -> None:
    http = await door.http("submit", "read")
    await http.post("/v1/messages", json=SIMPLE)
    door.state.transports = [closed(name, at=1, paused=True, by="ann") for name in ("graph", "smtp")]
    why = (await http.get(LANE)).json()["waits_for"]
    assert (why["reason"], why["until"]) == ("transport", None)
    assert why["advice"]


async def test_a_transport_that_does_not_exist_is_told_with_those_that_do(door: Door) -> None:
    ops = await door.http("read", "manage")
    for call in (ops.get, lambda path: ops.post(f"{path}/pause"), lambda path: ops.post(f"{path}/resume")):
        answer = await call("/v1/transports/pigeon")
        assert answer.status_code == 404
        assert "graph, smtp" in answer.json()["detail"]
    assert (await ops.get("/v1/transports/smtp")).json()["name"] == "smtp"
    rows = await door.spool._readers.read(lambda db: db.ask("select count(*) from audit where target = 'pigeon'", {}))
    assert rows == [(0,)]


async def test_who_paused_a_transport_is_audited(door: Door) -> None:
    ops = await door.http("read", "manage")
    await ops.post("/v1/transports/graph/pause")
    await ops.post("/v1/transports/graph/resume")
    rows = await door.spool._readers.read(
        lambda db: db.ask("select action, target, by from audit where target = 'graph' order by id", {})
    )
    assert [row[:2] for row in rows] == [("transport.pause", "graph"), ("transport.resume", "graph")]
    assert all(str(row[2]).startswith("key ") for row in rows)
