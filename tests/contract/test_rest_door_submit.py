"""POST /v1/messages as JSON: what is accepted, kept and answered."""

import asyncio
import base64
import re
from email import message_from_string, policy
from email.message import EmailMessage
from email.utils import formataddr
from pathlib import Path

import httpx
import pytest

from posthouse.message import MessageId, Status, parse_id
from posthouse.outcome import Answer, Sent
from posthouse.records import Filters, Record
from tests.contract.rest_door import Door, rest_door

SENT = Sent(answer=Answer(status="2.0.0", text="accepted", reply=202))
SIMPLE = {"from": "noreply@contoso.com", "to": "jo@example.org", "subject": "Hi", "text": "Hello"}


async def kept(door: Door, answer: httpx.Response) -> EmailMessage:
    """The stored content, read by the standard library."""
    assert answer.status_code == 202, answer.text
    key = await door.spool.key_of(MessageId(answer.json()["id"]))
    content = await door.spool.content(key or 0)
    assert content is not None
    raw = content.header + b"\r\n" + b"".join([block async for block in content.body.blocks()])
    return message_from_string(raw.decode(), policy=policy.SMTPUTF8)


async def recipients(door: Door, answer: httpx.Response) -> dict[str, str]:
    record = await door.spool.get(MessageId(answer.json()["id"]), now=door.clock.now())
    assert record is not None
    return {recipient.address: recipient.kind for recipient in record.recipients}


async def total(door: Door) -> int:
    return len((await door.spool.find(Filters(limit=100), now=door.clock.now())).records)


async def test_the_smallest_message_is_kept_before_it_is_answered(door: Door) -> None:
    http = await door.http()
    answer = await http.post("/v1/messages", json=SIMPLE)
    body = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/messages/{body['id']}" == body["links"]["self"]
    assert parse_id(body["id"]) == body["id"]
    assert body["status"] == "queued"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["created_at"])
    assert body["lane"]["mailbox"] == "noreply@contoso.com"
    assert body["warnings"] == []
    content = await kept(door, answer)
    assert content["Subject"] == "Hi"
    assert content["From"] == "noreply@contoso.com"
    assert content.get_content().splitlines() == ["Hello"]


async def test_every_field_arrives_where_it_belongs(door: Door) -> None:
    http = await door.http("submit", "read")
    answer = await http.post(
        "/v1/messages",
        json={
            "from": {"name": "Doe, John", "address": "john@contoso.com"},
            "to": ["Jürgen Müller <j@bücher.example>", {"address": "b@example.org"}],
            "cc": "c@example.org",
            "bcc": ["secret@example.org"],
            "reply_to": "answers@example.org",
            "subject": "Grüße, 日本 🚀",
            "text": "text",
            "html": "<p>html <img src='cid:logo'></p>",
            "headers": {"X-Campaign": "autumn", "Message-ID": "<own@contoso.com>"},
            "attachments": [
                {"filename": "übersicht.pdf", "content": base64.b64encode(b"%PDF").decode()},
                {"filename": "l.png", "content": base64.b64encode(b"png").decode(), "content_id": "logo"},
            ],
            "reference": "order-1",
            "tags": {"kind": "invoice"},
            "metadata": {"a": [1, {"b": None}]},
            "priority": "high",
            "importance": "high",
            "send_in": "1h",
            "expires_in": 7200,
            "on_unconfirmed": "hold",
            "save_to_sent_items": False,
            "transport": "smtp",
        },
    )
    content = await kept(door, answer)
    assert content["From"].addresses[0].display_name == "Doe, John"
    assert [one.addr_spec for one in content["To"].addresses] == ["j@bücher.example", "b@example.org"]
    assert content["Bcc"] is None
    assert "secret" not in content.as_string()
    assert content["Reply-To"] == "answers@example.org"
    assert content["Subject"] == "Grüße, 日本 🚀"
    assert content["Message-ID"] == "<own@contoso.com>"
    assert content["X-Campaign"] == "autumn"
    assert content["Importance"] == "high"
    parts = {part.get_filename(): part.get_payload(decode=True) for part in content.walk() if part.get_filename()}
    assert parts == {"übersicht.pdf": b"%PDF", "l.png": b"png"}
    assert await recipients(door, answer) == {
        "j@bücher.example": "to",
        "b@example.org": "to",
        "c@example.org": "cc",
        "secret@example.org": "bcc",
    }
    shown = (await http.get(answer.headers["location"])).json()
    assert shown["status"] == answer.json()["status"] == "scheduled"
    assert (shown["reference"], shown["tags"], shown["priority"]) == ("order-1", {"kind": "invoice"}, "high")
    assert shown["metadata"] == {"a": [1, {"b": None}]}
    assert shown["route"] == ["smtp"]
    assert shown["message_id"] == "<own@contoso.com>"
    assert shown["scheduled_at"] < shown["expires_at"]
    assert {warning["code"] for warning in answer.json()["warnings"]} == {"display_name_replaced", "sent_items_copy"}


async def test_what_exchange_will_change_is_said_in_advance(door: Door) -> None:
    http = await door.http()
    headers = {"X-Own": "1", "Auto-Submitted": "auto-generated", "List-Id": "<a.b>"}
    answer = await http.post("/v1/messages", json=SIMPLE | {"headers": headers})
    assert [warning["code"] for warning in answer.json()["warnings"]] == ["x_header_dropped", "auto_submitted_dropped"]
    assert "X-Own" in answer.json()["warnings"][0]["detail"]


async def test_an_address_that_stands_twice_is_one_recipient(door: Door) -> None:
    http = await door.http()
    answer = await http.post("/v1/messages", json=SIMPLE | {"cc": "JO@example.org", "bcc": ["jo@example.org"]})
    assert await recipients(door, answer) == {"jo@example.org": "to"}


async def test_a_name_that_a_library_encoded_for_mail_is_read_as_such(door: Door) -> None:
    http = await door.http()
    mail = SIMPLE | {"from": formataddr(("Zoë Ångström", "noreply@contoso.com"))}
    answer = await http.post("/v1/messages", json=mail | {"to": '"=?utf-8?q?as_it_is?=" <jo@example.org>'})
    content = await kept(door, answer)
    assert str(content["From"]) == "Zoë Ångström <noreply@contoso.com>"
    assert content["To"].addresses[0].display_name == "=?utf-8?q?as_it_is?="
    smuggled = await http.post("/v1/messages", json=SIMPLE | {"to": "=?utf-8?q?a=0D=0ABcc:_b?= <jo@example.org>"})
    assert smuggled.status_code == 422


async def test_mail_to_blind_copies_alone_is_accepted(door: Door) -> None:
    http = await door.http()
    answer = await http.post("/v1/messages", json={"from": "a@contoso.com", "bcc": "x@example.org"})
    assert await recipients(door, answer) == {"x@example.org": "bcc"}
    assert (await kept(door, answer))["To"] is None


async def test_a_dry_run_resolves_and_keeps_nothing(door: Door) -> None:
    http = await door.http()
    answer = await http.post("/v1/messages?dry_run=true", json=SIMPLE)
    assert answer.status_code == 200
    body = answer.json()
    assert body["route"] == ["graph", "smtp"]
    assert body["lane"]["mailbox"] == "noreply@contoso.com"
    assert body["size"] > 100
    assert "id" not in body
    assert "location" not in answer.headers
    assert await total(door) == 0
    refused = await http.post("/v1/messages?dry_run=true", json=SIMPLE | {"from": "a@fabrikam.com"})
    assert refused.status_code == 403


async def test_the_same_key_and_request_get_the_same_answer_and_one_message(door: Door) -> None:
    http = await door.http()
    key = {"idempotency-key": "order-1"}
    first = await http.post("/v1/messages", json=SIMPLE, headers=key)
    again = await http.post("/v1/messages", json=dict(reversed(SIMPLE.items())), headers=key)
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert await total(door) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "Other"},
        {"to": "other@example.org"},
        {"bcc": "other@example.org"},
        {"attachments": [{"filename": "a", "content": ""}]},
        {"metadata": {"a": 1}},
        {"headers": {"List-Id": "<a.b>"}},
        {"expires_in": "1h"},
    ],
)
async def test_the_same_key_with_another_request_is_refused(door: Door, change: dict[str, object]) -> None:
    http = await door.http()
    key = {"idempotency-key": "order-1"}
    await http.post("/v1/messages", json=SIMPLE, headers=key)
    answer = await http.post("/v1/messages", json=SIMPLE | change, headers=key)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert await total(door) == 1


async def test_the_order_of_named_things_and_written_defaults_do_not_make_another_request(door: Door) -> None:
    http = await door.http()
    key = {"idempotency-key": "order-1"}
    one = {"tags": {"a": "1", "b": "2"}, "metadata": {"x": 1, "y": 2}}
    two = {"metadata": {"y": 2, "x": 1}, "tags": {"b": "2", "a": "1"}, "priority": "normal", "to": ["jo@example.org"]}
    first = await http.post("/v1/messages", json=SIMPLE | one, headers=key)
    again = await http.post("/v1/messages", json=SIMPLE | two, headers=key)
    assert again.json() == first.json()


async def test_a_file_of_any_bytes_is_part_of_the_request(door: Door) -> None:
    http = await door.http()
    key = {"idempotency-key": "order-1"}

    async def post(content: bytes) -> httpx.Response:
        file = {"filename": "a.bin", "content": base64.b64encode(content).decode()}
        return await http.post("/v1/messages", json=SIMPLE | {"attachments": [file]}, headers=key)

    first = await post(b"\xff\xfe\x00")
    assert (await post(b"\xff\xfe\x00")).json() == first.json()
    assert (await post(b"\xff\xfe\x01")).json()["code"] == "idempotency_key_reused"


async def test_keys_of_different_clients_do_not_meet(door: Door) -> None:
    key = {"idempotency-key": "order-1"}
    first = await (await door.http(client="shop")).post("/v1/messages", json=SIMPLE, headers=key)
    other = await (await door.http(client="crm")).post("/v1/messages", json=SIMPLE, headers=key)
    assert first.json()["id"] != other.json()["id"]


async def test_many_at_once_with_one_key_are_one_message(door: Door) -> None:
    http = await door.http()
    requests = [http.post("/v1/messages", json=SIMPLE, headers={"idempotency-key": "k"}) for _ in range(20)]
    answers = await asyncio.gather(*requests)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await total(door) == 1


async def test_prefer_wait_answers_as_soon_as_the_message_is_final(door: Door) -> None:
    http = await door.http()
    waiting = asyncio.create_task(http.post("/v1/messages", json=SIMPLE, headers={"prefer": "wait=30"}))
    found: tuple[Record, ...] = ()
    while not found:
        found = (await door.spool.find(Filters(), now=door.clock.now())).records
    await door.attempt(found[0].id, SENT, status=Status.SENT)
    door.watch.tell(found[0].id, Status.SENT)
    answer = await asyncio.wait_for(waiting, 10)
    assert (answer.status_code, answer.json()["status"]) == (202, "sent")
    assert answer.headers["preference-applied"] == "wait=30"


async def test_prefer_wait_answers_with_the_status_reached_when_the_time_is_over(door: Door) -> None:
    http = await door.http()
    answer = await http.post("/v1/messages", json=SIMPLE, headers={"prefer": "respond-async, wait=1"})
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")


async def test_a_replay_that_waits_tells_the_status_of_now(door: Door) -> None:
    http = await door.http()
    key = {"idempotency-key": "k"}
    first = await http.post("/v1/messages", json=SIMPLE, headers=key)
    await door.attempt(first.json()["id"], SENT, status=Status.SENT)
    again = await http.post("/v1/messages", json=SIMPLE, headers=key | {"prefer": "wait=30"})
    assert (again.json()["id"], again.json()["status"]) == (first.json()["id"], "sent")


async def test_a_replay_waits_for_a_message_that_is_not_final_yet(door: Door) -> None:
    http = await door.http()
    key = {"idempotency-key": "k"}
    message = MessageId((await http.post("/v1/messages", json=SIMPLE, headers=key)).json()["id"])
    again = asyncio.create_task(http.post("/v1/messages", json=SIMPLE, headers=key | {"prefer": "wait=30"}))
    await door.watch.awaited(message)
    await door.attempt(message, SENT, status=Status.SENT)
    door.watch.tell(message, Status.SENT)
    assert (await asyncio.wait_for(again, 10)).json()["status"] == "sent"


async def test_a_batch_is_kept_whole_in_its_order(door: Door) -> None:
    http = await door.http()
    batch = [SIMPLE | {"reference": str(number)} for number in range(100)]
    answer = await http.post("/v1/messages/batch", json=batch, headers={"idempotency-key": "b"})
    assert answer.status_code == 202
    assert [one["reference"] for one in answer.json()["data"]] == [str(number) for number in range(100)]
    assert await total(door) == 100
    again = await http.post("/v1/messages/batch", json=batch, headers={"idempotency-key": "b"})
    assert again.json() == answer.json()
    assert again.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize(
    ("bad", "pointer"),
    [
        ({"to": ["x@example.org", "x"]}, "/1/to/1"),
        ({"from": "a@fabrikam.com"}, "/1/from"),
        ({"headers": {"X-A": "a\r\nBcc: x@example.org"}}, "/1/headers/X-A"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/1/expires_at"),
        ({"transport": "pigeon"}, "/1/transport"),
    ],
)
async def test_one_bad_message_refuses_the_whole_batch_and_is_pointed_at(
    door: Door, bad: dict[str, object], pointer: str
) -> None:
    http = await door.http()
    answer = await http.post("/v1/messages/batch", json=[SIMPLE, SIMPLE | bad, SIMPLE])
    assert answer.status_code in (403, 422)
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert await total(door) == 0


@pytest.mark.parametrize("batch", [[], [SIMPLE] * 101, SIMPLE])
async def test_a_batch_has_1_to_100_messages(door: Door, batch: object) -> None:
    answer = await (await door.http()).post("/v1/messages/batch", json=batch)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")


async def test_a_large_attachment_arrives_byte_for_byte(door: Door) -> None:
    """Beyond 256 KB the work is done beside the event loop."""
    data = bytes(range(256)) * 8192
    http = await door.http()
    file = {"filename": "a.bin", "content": base64.encodebytes(data).decode()}
    answer = await http.post("/v1/messages", json=SIMPLE | {"attachments": [file]})
    content = await kept(door, answer)
    assert [part.get_payload(decode=True) for part in content.iter_attachments()] == [data]


async def test_a_message_beyond_graphs_limit_leaves_graph_out_of_its_route(door: Door) -> None:
    http = await door.http("submit", "read")
    file = {"filename": "a.bin", "content": base64.b64encode(bytes(3_000_000)).decode()}
    answer = await http.post("/v1/messages?dry_run=true", json=SIMPLE | {"attachments": [file]})
    assert answer.json()["route"] == ["smtp"]


async def test_the_administrators_socket_needs_no_credentials(tmp_path: Path) -> None:
    async with rest_door(tmp_path, trusted=True) as door:
        http = door.anonymous()
        answer = await http.post("/v1/messages", json=SIMPLE | {"from": "anybody@anywhere.example"})
        assert answer.status_code == 202
        shown = (await http.get(answer.headers["location"])).json()
        assert shown["client"] == "administrator"
        assert (await http.get("/v1/keys/self")).json()["client"] == "administrator"
