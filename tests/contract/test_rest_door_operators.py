"""Keys, lanes, transports, probes and the API's own document, on the listener for operators."""

from pathlib import Path

import pytest

from posthouse.message import Status
from posthouse.outcome import Answer, Sent
from posthouse.records import TransportRow
from tests.contract.rest_door import Door, rest_door

SIMPLE = {"from": "noreply@contoso.com", "to": "jo@example.org", "subject": "Hi", "text": "Hello"}


async def test_a_key_is_made_shown_once_used_and_revoked(door: Door) -> None:
    admin = await door.http("admin", client="ops")
    made = await admin.post("/v1/keys", json={"client": "shop", "senders": ["noreply@contoso.com"]})
    assert made.status_code == 201
    key = made.json()["key"]
    assert made.json()["scopes"] == ["submit"]
    shop = door.anonymous(authorization=f"Bearer {key}")
    assert (await shop.post("/v1/messages", json=SIMPLE)).status_code == 202
    assert (await shop.post("/v1/messages", json=SIMPLE | {"from": "ceo@contoso.com"})).status_code == 403
    listed = await admin.get("/v1/keys")
    assert key not in listed.text
    assert {one["client"] for one in listed.json()["data"]} == {"ops", "shop"}
    revoked = await admin.post(f"/v1/keys/{made.json()['id']}/revoke")
    assert revoked.json()["revoked_at"]
    assert (await shop.post("/v1/messages", json=SIMPLE)).status_code == 401
    assert (await admin.post("/v1/keys/0123456789/revoke")).status_code == 404


async def test_a_caller_is_told_who_it_is(door: Door) -> None:
    http = await door.http("submit", "read", client="erp", senders=("*@contoso.com",), domains=("contoso.com",))
    myself = (await http.get("/v1/keys/self")).json()
    assert (myself["client"], myself["senders"]) == ("erp", ["*@contoso.com"])
    assert (myself["scopes"], myself["recipient_domains"]) == (["submit", "read"], ["contoso.com"])
    assert "key" not in myself


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"senders": []}, "/senders"),
        ({"senders": ["*"]}, "/senders/0"),
        ({"senders": ["a@contoso.com", "*@"]}, "/senders/1"),
        ({"scopes": ["everything"]}, "/scopes/0"),
        ({"client": ""}, "/client"),
        ({"sender": "a@contoso.com"}, "/sender"),
        ({"expires_in": "soon"}, "/expires_in"),
    ],
)
async def test_no_key_is_made_of_a_malformed_wish(door: Door, wrong: dict[str, object], pointer: str) -> None:
    admin = await door.http("admin")
    answer = await admin.post("/v1/keys", json={"client": "shop", "senders": ["a@contoso.com"]} | wrong)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert len((await admin.get("/v1/keys")).json()["data"]) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/keys"),
        ("GET", "/v1/keys"),
        ("POST", "/v1/keys/x/revoke"),
        ("GET", "/v1/lanes"),
        ("GET", "/v1/lanes/noreply@contoso.com"),
        ("GET", "/v1/transports"),
        ("GET", "/v1/transports/graph"),
        ("POST", "/v1/lanes/noreply@contoso.com/pause"),
        ("POST", "/v1/lanes/noreply@contoso.com/resume"),
        ("POST", "/v1/transports/graph/pause"),
        ("POST", "/v1/transports/graph/resume"),
    ],
)
async def test_operators_routes_need_their_scope(door: Door, method: str, path: str) -> None:
    scopes = ("submit", "content", "read") if path.endswith(("pause", "resume")) else ("submit", "content", "manage")
    answer = await (await door.http(*scopes)).request(method, path, json={})
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")


async def test_lanes_show_what_waits(door: Door) -> None:
    http = await door.http("submit", "read")
    for _ in range(3):
        await http.post("/v1/messages", json=SIMPLE)
    lanes = (await http.get("/v1/lanes")).json()["data"]
    assert [(lane["account"], lane["waiting"], lane["pauses"]) for lane in lanes] == [("noreply@contoso.com", 3, [])]
    assert lanes[0]["oldest_due_at"]


async def test_transports_show_their_circuits_and_what_mends_them(door: Door) -> None:
    door.state.transports = [
        TransportRow(name="graph", state="open", until=4_000_000_000_000, opened=1, reason="dns", since=1_000),
        TransportRow(name="smtp", state="closed", until=0, opened=0, reason="", since=0),
    ]
    graph, smtp = (await (await door.http("read")).get("/v1/transports")).json()["data"]
    assert (graph["name"], graph["kind"], graph["state"], graph["reason"]["cause"]) == ("graph", "graph", "open", "dns")
    assert graph["reason"]["advice"]
    assert (smtp["state"], smtp["until"], smtp["reason"]) == ("closed", None, None)


async def test_the_submission_listener_has_no_operators_routes(tmp_path: Path) -> None:
    async with rest_door(tmp_path, admin=False) as door:
        http = await door.http("submit", "read", "admin")
        for path in ("/v1/lanes", "/v1/transports", "/openapi.json", "/docs"):
            assert (await http.get(path)).status_code == 404
        assert (await http.post("/v1/keys", json={})).status_code in (404, 405)
        assert (await http.get("/v1/keys/self")).status_code == 200
        assert (await http.post("/v1/messages", json=SIMPLE)).status_code == 202


async def test_probes_need_no_credentials_and_tell_whether_mail_can_be_kept(door: Door) -> None:
    http = door.anonymous()
    assert (await http.get("/livez")).status_code == 200
    assert (await http.get("/readyz")).status_code == 200
    door.state.not_ready = "the disk has 10 MB left"
    answer = await http.get("/readyz")
    assert (answer.status_code, answer.json()["reason"]) == (503, "the disk has 10 MB left")
    assert (await http.get("/livez")).status_code == 200


async def test_the_api_document_describes_the_hot_route_with_its_model(door: Door) -> None:
    document = (await door.anonymous().get("/openapi.json")).json()
    content = document["paths"]["/v1/messages"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data", "message/rfc822"}
    form = content["multipart/form-data"]["schema"]
    assert form["properties"] == {"message": content["application/json"]["schema"]}
    schemas = document["components"]["schemas"]
    model = schemas[content["application/json"]["schema"]["$ref"].rpartition("/")[2]]
    assert {"from", "to", "cc", "bcc", "attachments", "expires_in", "on_unconfirmed"} <= set(model["properties"])
    assert model["additionalProperties"] is False
    text = str(document)
    for reference in {part.partition("'")[0] for part in text.split("#/components/schemas/")[1:]}:
        assert reference in schemas


async def test_erasing_a_recipients_mail_needs_the_administrator_and_one_address(door: Door) -> None:
    submitter, admin = await door.http(), await door.http("admin", client="ops")
    amys = SIMPLE | {"to": "amy@fabrikam.com"}
    sent = (await submitter.post("/v1/messages", json=amys)).json()["id"]
    await door.attempt(sent, Sent(answer=Answer(status="2.0.0", text="taken", reply=202)), status=Status.SENT)
    waiting = (await submitter.post("/v1/messages", json=amys)).json()["id"]

    refused = await submitter.post("/v1/messages/erase", json={"recipient": "amy@fabrikam.com"})
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    wrong = await admin.post("/v1/messages/erase", json={"recipient": "amy"})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/recipient")
    expected = {"erased": 1, "unfinished": 1, "unfinished_ids": [waiting]}
    for dry_run in (True, False):
        answer = await admin.post("/v1/messages/erase", json={"recipient": "Amy@fabrikam.com", "dry_run": dry_run})
        assert answer.json() == expected | {"dry_run": dry_run}
    shown = (await submitter.get(f"/v1/messages/{sent}")).json()
    assert (shown["subject"], shown["erased_at"] is not None) == ("", True)
