"""Who may submit, on which terms: rates, defaults, pauses, devices, networks, rotation, and the list of refusals."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from posthouse.clients.keys import Grant
from posthouse.identities import KeyRow, Refusal
from posthouse.message import MessageId, Priority
from posthouse.policy import Terms
from posthouse.ports import SpoolUnavailableError
from tests.contract.rest_door import Door, rest_door

SIMPLE = {"from": "noreply@contoso.com", "to": "jo@example.org", "subject": "Order 7", "text": "Hello"}
FROM = "noreply@contoso.com"


async def changed(door: Door, client: str = "shop", **terms: object) -> httpx.Response:
    admin = await door.http("admin", client="boss")
    answer = await admin.patch(f"/v1/clients/{client}", json=terms)
    assert answer.status_code == 200, answer.text
    return answer


async def audit(door: Door) -> list[tuple[str, str]]:
    """Action and target of each audit row."""
    asked = "select action, target from audit order by id"
    return await door.spool._readers.read(lambda db: list(db.connection.execute(asked)))


# --- terms


async def test_over_its_own_rate_a_caller_is_refused_with_the_time_to_wait_and_what_is_left(door: Door) -> None:
    http = await door.http()
    await changed(door, rate_per_minute=2, rate_per_day=100)
    first = await http.post("/v1/messages", json=SIMPLE)
    assert first.headers["ratelimit-policy"] == '"minute";q=2;w=60, "day";q=100;w=86400'
    assert first.headers["ratelimit"].startswith('"minute";r=1;t=0, "day";r=99;')
    await http.post("/v1/messages", json=SIMPLE)
    third = await http.post("/v1/messages", json=SIMPLE)
    assert (third.status_code, third.json()["code"]) == (429, "quota_exceeded")
    assert 0 < int(third.headers["retry-after"]) <= 60
    assert third.headers["ratelimit"].startswith('"minute";r=0;')
    door.clock.ahead += 60_000
    assert (await http.post("/v1/messages", json=SIMPLE)).status_code == 202


async def test_a_replay_and_a_refused_request_do_not_count(door: Door) -> None:
    http = await door.http()
    await changed(door, rate_per_minute=2)
    for _ in range(3):
        answer = await http.post("/v1/messages", json=SIMPLE, headers={"idempotency-key": "one"})
        assert answer.status_code == 202
        refused = await http.post("/v1/messages", json=SIMPLE | {"from": "x@other.example"})
        assert refused.status_code == 403
    assert (await http.post("/v1/messages", json=SIMPLE)).status_code == 202
    assert (await http.post("/v1/messages", json=SIMPLE)).status_code == 429


async def test_what_comes_too_fast_can_be_accepted_and_sent_later(door: Door) -> None:
    http = await door.http()
    await changed(door, rate_per_minute=1, over_rate="delay")
    answers = [await http.post("/v1/messages", json=SIMPLE) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202] * 3
    found = [await door.spool.get(MessageId(one.json()["id"]), now=door.clock.now()) for one in answers]
    waits = [one.due_at - one.created_at for one in found if one is not None]
    assert [round(wait / 60_000) for wait in waits] == [0, 1, 2]


async def test_a_rate_outlives_a_restart(tmp_path: Path) -> None:
    async with rest_door(tmp_path) as door:
        http = await door.http()
        await changed(door, rate_per_minute=2)
        for _ in range(2):
            await http.post("/v1/messages", json=SIMPLE)
        key = http.headers["authorization"]
    async with rest_door(tmp_path, owner="another") as door:
        assert door.keys.rated
        await door.keeper.learn()
        assert (await door.anonymous(authorization=key).post("/v1/messages", json=SIMPLE)).status_code == 429


async def test_terms_say_what_a_request_leaves_unsaid(door: Door) -> None:
    http = await door.http()
    await changed(door, priority="low", expire_after="1h", on_unconfirmed="hold", tags={"team": "shop", "kind": "any"})
    plain = (await http.post("/v1/messages", json=SIMPLE)).json()["id"]
    said = SIMPLE | {"priority": "high", "expires_in": "5m", "tags": {"kind": "invoice"}}
    own = (await http.post("/v1/messages", json=said)).json()["id"]
    one, two = [await door.spool.get(MessageId(found), now=door.clock.now()) for found in (plain, own)]
    assert one is not None
    assert two is not None
    assert (one.priority, one.tags) == (Priority.LOW, {"team": "shop", "kind": "any"})
    assert one.expires_at == one.created_at + 3_600_000
    assert (two.priority, two.tags) == (Priority.HIGH, {"team": "shop", "kind": "invoice"})
    assert two.expires_at == two.created_at + 300_000


async def test_a_client_may_want_its_content_deleted_once_it_was_sent(tmp_path: Path) -> None:
    async with rest_door(tmp_path) as door:
        await door.key()
        await changed(door, content="until_sent")
        assert door.keys.content_until_sent() == ["shop"]
    async with rest_door(tmp_path, owner="another") as door:
        assert door.keys.content_until_sent() == ["shop"]
        await changed(door, content="keep")
        assert door.keys.content_until_sent() == []


async def test_a_clients_own_limit_of_size_holds_whatever_the_form(door: Door) -> None:
    http = await door.http()
    await changed(door, max_message_bytes=2000)
    large = SIMPLE | {"text": "x" * 4000}
    answer = await http.post("/v1/messages", json=large)
    assert (answer.status_code, answer.json()["limit_bytes"]) == (413, 2000)
    assert "client 'shop'" in answer.json()["detail"]
    raw = b"From: noreply@contoso.com\r\nTo: jo@example.org\r\n\r\n" + b"x\r\n" * 2000
    answer = await http.post("/v1/messages", content=raw, headers={"content-type": "message/rfc822"})
    assert (answer.status_code, answer.json()["limit_bytes"]) == (413, 2000)


async def test_terms_are_shown_changed_piece_by_piece_taken_away_and_audited(door: Door) -> None:
    await door.key()
    admin = await door.http("admin", client="boss")
    await changed(door, rate_per_minute=5, priority="high")
    await changed(door, rate_per_minute=None)
    shown = (await admin.get("/v1/clients/shop")).json()
    assert (shown["rate_per_minute"], shown["priority"], shown["settings"]) == (None, "high", False)
    assert [one["name"] for one in (await admin.get("/v1/clients")).json()["data"]] == ["boss", "shop"]
    foreign = await admin.patch("/v1/clients/shop", json={"rewrite_from": "x@other.example"})
    assert (foreign.status_code, foreign.json()["errors"][0]["pointer"]) == (422, "/rewrite_from")
    wrong = await admin.patch("/v1/clients/shop", json={"rate_per_minut": 1})
    assert (wrong.status_code, "rate_per_minute" in wrong.text) == (422, True)
    assert (await admin.patch("/v1/clients/nobody", json={"priority": "low"})).status_code == 404
    assert (await (await door.http("submit")).get("/v1/clients")).status_code == 403
    audited = await audit(door)
    assert audited.count(("client.change", "shop")) == 2
    assert ("key.create", (await door.spool.identities()).keys[0].id) in audited


async def test_a_client_of_the_settings_has_its_terms_from_there(tmp_path: Path) -> None:
    row = KeyRow(
        id="settings:shop",
        client="shop",
        key_hash=b"x" * 32,
        senders=(FROM,),
    )
    async with rest_door(tmp_path, fixed=(row,), terms={"shop": Terms(rate_per_minute=7)}) as door:
        admin = await door.http("admin", client="boss")
        assert (await admin.get("/v1/clients/shop")).json()["rate_per_minute"] == 7
        answer = await admin.patch("/v1/clients/shop", json={"rate_per_minute": 1})
        assert (answer.status_code, "[[clients]]" in answer.json()["detail"]) == (422, True)


# --- pause


async def test_mail_of_a_paused_client_is_accepted_held_and_goes_on_when_it_is_resumed(door: Door) -> None:
    http, admin = await door.http(), await door.http("admin", "read", client="boss")
    assert (await admin.post("/v1/clients/shop/pause")).json()["paused_at"]
    answer = await http.post("/v1/messages", json=SIMPLE)
    assert (answer.status_code, answer.json()["status"]) == (202, "held")
    record = await door.spool.get(MessageId(answer.json()["id"]), now=door.clock.now())
    assert record is not None
    assert record.held_cause == "client_paused"
    held = {"now": door.clock.now(), "transports": ["graph"], "carrying": ["smtp"], "most": 9}
    assert await door.spool.free_held(**held) == 0
    assert (await admin.post("/v1/clients/shop/resume")).json()["paused_at"] is None
    assert await door.spool.free_held(**held) == 1
    assert (await admin.get(answer.json()["links"]["self"])).json()["status"] == "queued"


# --- keys


async def test_a_device_gets_a_user_and_a_short_password_that_opens_the_smtp_door_only(door: Door) -> None:
    admin = await door.http("admin", client="boss")
    made = (await admin.post("/v1/keys", json={"client": "scan", "kind": "device", "senders": [FROM]})).json()
    assert made["user"].startswith("d-")
    assert (len(made["user"]), len(made["password"]), made["password"].isalnum()) == (10, 24, True)
    assert "key" not in made
    assert door.keys.authenticate(made["password"], source="10.0.0.1", place="smtp").name == "scan"
    refused = await door.anonymous(authorization=f"Bearer {made['password']}").post("/v1/messages", json=SIMPLE)
    assert (refused.status_code, "SMTP door only" in refused.json()["detail"]) == (401, True)
    for wrong in ({"senders": [FROM, "b@contoso.com"]}, {"scopes": ["read"]}):
        answer = await admin.post("/v1/keys", json={"client": "scan", "kind": "device", "senders": [FROM]} | wrong)
        assert answer.status_code == 422, wrong


async def test_a_rotated_key_and_its_successor_both_work_until_the_grace_is_over(door: Door) -> None:
    admin = await door.http("admin", client="boss")
    made = (
        await admin.post("/v1/keys", json={"client": "shop", "senders": [FROM], "scopes": ["submit", "read"]})
    ).json()
    new = (await admin.post(f"/v1/keys/{made['id']}/rotate", json={"grace": "2h"})).json()
    assert (new["client"], new["senders"], new["scopes"]) == ("shop", [FROM], ["submit", "read"])
    for key in (made["key"], new["key"]):
        answer = await door.anonymous(authorization=f"Bearer {key}").post("/v1/messages", json=SIMPLE)
        assert answer.status_code == 202
    door.clock.ahead += 2 * 3_600_000 + 1
    old = await door.anonymous(authorization=f"Bearer {made['key']}").post("/v1/messages", json=SIMPLE)
    assert (old.status_code, "expired" in old.json()["detail"]) == (401, True)
    assert (await door.anonymous(authorization=f"Bearer {new['key']}").post("/v1/messages", json=SIMPLE)).is_success
    assert (await admin.post(f"/v1/keys/{made['id']}/rotate")).status_code == 404
    audited = await audit(door)
    assert [target for action, target in audited if action == "key.create"][-2:] == [made["id"], new["id"]]
    assert [target for action, target in audited if action == "key.rotate"] == [made["id"]]


async def test_a_key_for_one_network_is_worth_nothing_in_another_and_strangers_forward_nothing(tmp_path: Path) -> None:
    async with rest_door(tmp_path, proxies=("10.9.0.0/16",)) as door:
        grant = Grant(client="shop", senders=(FROM,), networks=("192.0.2.0/24", "2001:db8::/32"))
        key, _ = await door.keys.create(grant, by="test")

        async def code(peer: str, *forwarded: str) -> int:
            transport = httpx.ASGITransport(app=door.app, client=(peer, 1))
            headers = [("authorization", f"Bearer {key.text}"), *(("x-forwarded-for", one) for one in forwarded)]
            async with httpx.AsyncClient(transport=transport, base_url="http://door", headers=headers) as http:
                return (await http.post("/v1/messages", json=SIMPLE)).status_code

        assert await code("192.0.2.7") == 202
        assert await code("::ffff:192.0.2.7") == 202
        assert await code("2001:db8::1") == 202
        assert await code("198.51.100.1") == 401
        assert await code("198.51.100.1", "192.0.2.7") == 401, "a stranger's header counts for nothing"
        assert await code("10.9.0.1", "192.0.2.7") == 202
        assert await code("10.9.0.1", "192.0.2.7, 198.51.100.1") == 401, "only what the proxy itself saw counts"
        assert await code("10.9.0.1", "198.51.100.1", "192.0.2.7, 10.9.3.3") == 202
        assert await code("10.9.0.1", "nonsense") == 401
        assert await code("10.9.0.1", "192.0.2.7, nonsense") == 401
        assert await code("10.9.0.1") == 401


# --- refusals


async def test_refusals_are_grouped_with_the_fix_and_never_show_a_key(door: Door) -> None:
    reader = await door.http("read", client="boss")
    wrong = "ph_live_aaaaaaaaaa_" + "x" * 38
    for _ in range(3):
        await door.anonymous(authorization=f"Bearer {wrong}").post("/v1/messages", json=SIMPLE)
    await door.anonymous().post("/v1/messages", json=SIMPLE)
    http = await door.http(senders=("a@contoso.com",))
    await http.post("/v1/messages", json=SIMPLE)
    await http.post("/v1/messages", json={"nonsense": 1})
    listing = (await reader.get("/v1/refusals")).json()
    found = {one["code"]: one for one in listing["data"]}
    assert found.keys() == {"invalid_key", "missing_credentials", "sender_not_allowed"}
    assert (found["invalid_key"]["times"], found["invalid_key"]["source"]) == (3, "127.0.0.1")
    sender = found["sender_not_allowed"]
    assert (sender["client"], sender["sender"]) == ("shop", FROM)
    assert f"posthouse keys create shop --sender {FROM}" in sender["fix"]
    assert all(one["fix"] for one in found.values())
    assert wrong not in str(listing)
    assert (await http.get("/v1/refusals")).status_code == 403


async def test_refusals_outlive_a_restart(tmp_path: Path) -> None:
    async with rest_door(tmp_path) as door:
        await door.anonymous().post("/v1/messages", json=SIMPLE)
    async with rest_door(tmp_path) as door:
        await door.anonymous().post("/v1/messages", json=SIMPLE)
        (one,) = (await (await door.http("read")).get("/v1/refusals")).json()["data"]
        assert one["times"] == 2


async def test_who_asks_for_refusals_while_they_are_written_sees_them(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, going, go_on = door.spool.save_refusals, asyncio.Event(), asyncio.Event()

    async def slow(groups: Sequence[Refusal]) -> None:
        going.set()
        await go_on.wait()
        await save(groups)

    monkeypatch.setattr(door.spool, "save_refusals", slow)
    await door.anonymous().post("/v1/messages", json=SIMPLE)
    writing = asyncio.create_task(door.keeper.flush())
    await going.wait()
    asked = asyncio.create_task(door.keeper.refusals())
    early, _ = await asyncio.wait({asked}, timeout=0.3)
    go_on.set()
    assert not early, "answered without what was being written"
    assert len(await asked) == 1
    await writing


async def test_what_the_spool_could_not_take_is_told_later_and_nothing_counts_twice(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    http = await door.http()
    await changed(door, rate_per_minute=5)
    await http.post("/v1/messages", json=SIMPLE)
    await door.anonymous().post("/v1/messages", json=SIMPLE)

    async def away(*_arguments: object, **_more: object) -> None:
        raise SpoolUnavailableError("away")

    for verb in ("save_refusals", "share_use"):
        with monkeypatch.context() as broken:
            broken.setattr(door.spool, verb, away)
            with pytest.raises(SpoolUnavailableError):
                await door.keeper.flush()
    assert await door.spool.share_use([], owner="another", since=0) == []
    await door.anonymous().post("/v1/messages", json=SIMPLE)
    (one,) = await door.keeper.refusals()
    assert one.times == 2
    assert [use.messages for use in await door.spool.share_use([], owner="another", since=0)] == [1]
