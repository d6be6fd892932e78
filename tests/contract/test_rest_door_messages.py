"""Reading messages and acting on them: who sees what, what is shown, what is possible."""

import base64
import datetime as dt
import logging
from email import message_from_bytes, policy
from urllib.parse import unquote

import httpx
import pytest

from posthouse.message import Status
from posthouse.outcome import (
    Answer,
    Blocked,
    PermanentFailure,
    RefusedRecipient,
    Scope,
    Sent,
    TransientFailure,
    Unconfirmed,
)
from tests.contract.rest_door import Door

SIMPLE = {"from": "noreply@contoso.com", "to": "jo@example.org", "subject": "Hi", "text": "Hello"}
ALL = ("submit", "read", "content", "manage", "admin")
SENT = Sent(answer=Answer(status="2.0.0", text="accepted", reply=202, request_id="r-1"), receipt="x")
FAILED = PermanentFailure(
    scope=Scope.MESSAGE,
    answer=Answer(status="5.6.0", text="bad", code="ErrorInvalidRecipients", reply=400, fix="unknown"),
)
LOST = Unconfirmed(answer=Answer(status="4.4.2", text="lost"))
LATER = TransientFailure(scope=Scope.TRANSPORT, answer=Answer(status="4.4.1", text="later", retry_after=7.0))


async def submitted(http: httpx.AsyncClient, **changes: object) -> str:
    answer = await http.post("/v1/messages", json=SIMPLE | changes)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


async def ids(http: httpx.AsyncClient, query: str = "") -> list[str]:
    answer = await http.get(f"/v1/messages{query}")
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["data"]]


async def test_a_sent_message_reads_like_a_story(door: Door) -> None:
    http = await door.http()
    message = await submitted(http, to=["jo@example.org", "kim@example.org"])
    refused = (RefusedRecipient("kim@example.org", 550, "5.1.1 unknown"),)
    outcome = Sent(answer=SENT.answer, receipt="x", refused=refused)
    await door.attempt(message, outcome, status=Status.SENT)
    shown = (await http.get(f"/v1/messages/{message}")).json()
    assert (shown["status"], shown["transport"], shown["held"]) == ("sent", "graph", None)
    assert shown["finished_at"] >= shown["created_at"]
    assert {one["address"]: bool(one["refused"]) for one in shown["recipients"]} == {
        "jo@example.org": False,
        "kim@example.org": True,
    }
    attempt = shown["attempts"][0]
    assert (attempt["number"], attempt["transport"], attempt["outcome"]) == (1, "graph", "sent")
    assert (attempt["reply"], attempt["request_id"], attempt["account"]) == (202, "r-1", "noreply@contoso.com")
    events = (await http.get(f"/v1/messages/{message}/events")).json()["data"]
    assert [one["type"] for one in events] == ["message.accepted", "message.sending", "message.sent"]
    assert [one["position"] for one in events] == sorted(one["position"] for one in events)


async def test_a_failure_names_its_fix(door: Door) -> None:
    http = await door.http()
    message = await submitted(http)
    await door.attempt(message, FAILED, status=Status.FAILED)
    attempt = (await http.get(f"/v1/messages/{message}")).json()["attempts"][0]
    assert (attempt["code"], attempt["scope"], attempt["status"]) == ("ErrorInvalidRecipients", "message", "5.6.0")
    assert attempt["fix"]["key"] == "unknown"
    assert attempt["fix"]["advice"]


async def test_what_waits_says_until_when_and_why(door: Door) -> None:
    http = await door.http()
    deferred = await submitted(http)
    await door.attempt(deferred, LATER, status=Status.QUEUED)
    shown = (await http.get(f"/v1/messages/{deferred}")).json()
    assert (shown["status"], bool(shown["next_attempt_at"])) == ("deferred", True)
    held = await submitted(http)
    blocked = Blocked(scope=Scope.SENDER, answer=Answer(status="5.7.1", text="no"))
    await door.attempt(held, blocked, status=Status.HELD, held_cause="sender_blocked")
    shown = (await http.get(f"/v1/messages/{held}")).json()
    assert (shown["status"], shown["held"]["cause"]) == ("held", "sender_blocked")
    assert shown["held"]["advice"]


async def test_a_client_sees_its_own_messages_and_no_others(door: Door) -> None:
    shop, crm = await door.http(client="shop"), await door.http("submit", "content", "manage", client="crm")
    message = await submitted(shop)
    assert await ids(shop) == [message]
    assert await ids(crm) == []
    assert await ids(crm, "?client=shop") == []
    unknown = await crm.get("/v1/messages/msg_01M85T7QWRFY3V563HV4SF02E4")
    for path in ("", "/events", "/content"):
        answer = await crm.get(f"/v1/messages/{message}{path}")
        assert (answer.status_code, answer.json()["detail"]) == (404, unknown.json()["detail"])
    for action in ("cancel", "retry", "release"):
        assert (await crm.post(f"/v1/messages/{message}/{action}")).status_code == 404
    assert (await shop.get(f"/v1/messages/{message}")).json()["status"] == "queued"


async def test_read_sees_all_but_no_content(door: Door) -> None:
    message = await submitted(await door.http(client="shop"))
    reader = await door.http("read", client="watch")
    assert await ids(reader) == [message]
    assert (await reader.get(f"/v1/messages/{message}")).status_code == 200
    assert (await reader.get(f"/v1/messages/{message}/content")).json()["code"] == "insufficient_scope"
    assert (await reader.post("/v1/messages", json=SIMPLE)).json()["code"] == "insufficient_scope"


@pytest.mark.parametrize("scope", ["content", "manage", "admin"])
async def test_other_scopes_alone_see_no_message(door: Door, scope: str) -> None:
    message = await submitted(await door.http())
    http = await door.http(scope)
    assert (await http.get("/v1/messages")).json()["code"] == "insufficient_scope"
    assert (await http.get(f"/v1/messages/{message}")).json()["code"] == "insufficient_scope"


@pytest.mark.parametrize("size", [0, 5, 1_000_000])
async def test_a_file_of_a_message_comes_back_as_it_was_handed_in(
    door: Door, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    http, content = await door.http("submit", "content"), bytes(range(256)) * (size // 256 + 1)
    files = [
        {"filename": "prüfung „x“.pdf", "content": base64.b64encode(content[:size]).decode()},
        {"filename": "logo.png", "content": base64.b64encode(b"\x89PNG").decode(), "content_id": "logo"},
        {"content": "", "content_type": "text/html"},
    ]
    message = (await http.post("/v1/messages", json=SIMPLE | {"html": "<p>", "attachments": files})).json()["id"]
    with caplog.at_level(logging.INFO, "posthouse"):
        found = [await http.get(f"/v1/messages/{message}/attachments/{number}") for number in range(4)]
    assert [answer.status_code for answer in found] == [200, 200, 200, 404]
    assert [answer.content for answer in found[:3]] == [b"\x89PNG", content[:size], b""]
    assert [answer.headers["content-type"].partition(";")[0] for answer in found[:3]] == [
        "image/png",
        "application/pdf",
        "text/html",
    ]
    assert unquote(found[1].headers["content-disposition"]) == "attachment; filename*=UTF-8''prüfung „x“.pdf"
    assert {answer.headers["x-content-type-options"] for answer in found[:3]} == {"nosniff"}
    assert "3 attachments" in found[3].json()["detail"]
    viewed = [vars(record)["fields"] for record in caplog.records if record.msg == "message.content_viewed"]
    assert [fields["attachment"] for fields in viewed] == [0, 1, 2]
    assert {fields["message"] for fields in viewed} == {message}


async def test_a_file_needs_the_scope_of_the_content_and_a_number(door: Door) -> None:
    http = await door.http("submit", "read")
    message = (await http.post("/v1/messages", json=SIMPLE)).json()["id"]
    assert (await http.get(f"/v1/messages/{message}/attachments/0")).json()["code"] == "insufficient_scope"
    allowed = await door.http("submit", "content")
    for number in ("0", "-1", "x", "1e3", "9" * 9_999):
        assert (await allowed.get(f"/v1/messages/{message}/attachments/{number}")).json()["code"] == "not_found"
    stranger = await door.http("submit", "content", client="crm")
    assert (await stranger.get(f"/v1/messages/{message}/attachments/0")).json()["detail"] == "no such message"


async def test_content_is_the_stored_message(door: Door) -> None:
    http = await door.http("submit", "content")
    message = await submitted(http, bcc="secret@example.org")
    answer = await http.get(f"/v1/messages/{message}/content")
    assert answer.headers["content-type"].startswith("message/rfc822")
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert message_from_bytes(answer.content, policy=policy.default)["Subject"] == "Hi"
    assert b"secret" not in answer.content


async def test_the_uuid_behind_an_id_is_accepted_too(door: Door) -> None:
    http = await door.http()
    message = await submitted(http)
    number = 0
    for letter in message.removeprefix("msg_"):
        number = number * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(letter)
    for written in (f"{number:032x}", message.lower()):
        assert (await http.get(f"/v1/messages/{written}")).json()["id"] == message


async def test_lists_are_narrowed_by_every_filter(door: Door) -> None:
    http = await door.http(*ALL)
    one = await submitted(http, **{"from": "a@contoso.com"}, reference="r1", tags={"kind": "invoice"}, subject="Bill 7")
    two = await submitted(http, to="kim@example.org", cc="jo@example.org", headers={"Message-ID": "<two@contoso.com>"})
    await door.attempt(two, SENT, status=Status.SENT)
    now = dt.datetime.now(dt.UTC)
    past, future = (now - dt.timedelta(hours=1)), (now + dt.timedelta(hours=1))
    expected = {
        "?from=a@contoso.com": [one],
        "?to=kim@example.org": [two],
        "?to=jo@example.org": [two, one],
        "?reference=r1": [one],
        "?tag.kind=invoice": [one],
        "?tag.kind=other": [],
        "?status=queued": [one],
        "?status=sent": [two],
        "?status=scheduled": [],
        "?message_id=%3Ctwo@contoso.com%3E": [two],
        "?client=shop": [two, one],
        "?client=crm": [],
        "?door=rest": [two, one],
        "?transport=graph": [two],
        f"?created_after={past:%Y-%m-%dT%H:%M:%SZ}": [two, one],
        f"?created_before={past:%Y-%m-%dT%H:%M:%SZ}": [],
        f"?created_after={future:%Y-%m-%dT%H:%M:%SZ}": [],
    }
    assert {query: await ids(http, query) for query in expected} == expected
    assert one in await ids(http, "?subject=Bill 7")


async def test_lists_are_read_page_by_page_newest_first(door: Door) -> None:
    http = await door.http()
    made = [await submitted(http) for _ in range(5)][::-1]
    first = (await http.get("/v1/messages?limit=2")).json()
    assert [one["id"] for one in first["data"]] == made[:2]
    assert (first["has_more"], first["next"]) == (True, made[1])
    second = (await http.get(f"/v1/messages?limit=2&after={first['next']}")).json()
    assert [one["id"] for one in second["data"]] == made[2:4]
    last = (await http.get(f"/v1/messages?limit=2&after={second['next']}")).json()
    assert ([one["id"] for one in last["data"]], last["has_more"], last["next"]) == (made[4:], False, None)
    assert "attempts" not in last["data"][0]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("?statsu=sent", "/query/statsu"),
        ("?status=done", "/query/status"),
        ("?limit=101", "/query/limit"),
        ("?limit=0", "/query/limit"),
        ("?after=x", "/query/after"),
        ("?created_after=yesterday", "/query/created_after"),
    ],
)
async def test_a_mistyped_filter_is_refused(door: Door, query: str, pointer: str) -> None:
    answer = await (await door.http()).get(f"/v1/messages{query}")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_cancel_takes_back_what_has_not_left(door: Door) -> None:
    http = await door.http("submit", "manage")
    message = await submitted(http, send_in="1h")
    answer = await http.post(f"/v1/messages/{message}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    again = await http.post(f"/v1/messages/{message}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "not_cancelable")


async def test_retry_sends_a_failed_message_again(door: Door) -> None:
    http = await door.http("submit", "manage")
    message = await submitted(http)
    await door.attempt(message, FAILED, status=Status.FAILED)
    answer = await http.post(f"/v1/messages/{message}/retry")
    assert answer.status_code == 200
    assert answer.json()["status"] in ("queued", "deferred")
    await door.attempt(message, SENT, status=Status.SENT)
    refused = await http.post(f"/v1/messages/{message}/retry")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_retryable")


async def test_retry_of_an_expired_message_needs_a_new_expiry(door: Door) -> None:
    http = await door.http("submit", "manage")
    message = await submitted(http, expires_in=60)
    await door.spool.expire(now=door.clock.now() + 61_000, most=9)
    assert (await http.post(f"/v1/messages/{message}/retry")).status_code == 409
    answer = await http.post(f"/v1/messages/{message}/retry", json={"expires_in": "1h"})
    assert answer.status_code == 200, answer.text


async def test_an_unsettled_message_goes_again_only_with_a_word_about_a_second_copy(door: Door) -> None:
    http = await door.http("submit", "manage")
    message = await submitted(http)
    await door.attempt(message, LOST, status=Status.UNCONFIRMED)
    shown = (await http.get(f"/v1/messages/{message}")).json()
    assert (shown["status"], shown["unsettled"]) == ("unconfirmed", True)
    assert (await http.post(f"/v1/messages/{message}/retry")).json()["code"] == "not_retryable"
    answer = await http.post(f"/v1/messages/{message}/retry", json={"accept_duplicate": True})
    assert answer.status_code == 200


@pytest.mark.parametrize(("word", "status"), [("sent", "sent"), ("not_sent", "deferred")])
async def test_settle_is_the_operators_word(door: Door, word: str, status: str) -> None:
    http = await door.http("submit", "manage")
    message = await submitted(http)
    await door.attempt(message, LOST, status=Status.UNCONFIRMED)
    answer = await http.post(f"/v1/messages/{message}/settle", json={"as": word})
    assert (answer.status_code, answer.json()["status"]) == (200, status)
    assert (await http.post(f"/v1/messages/{message}/settle", json={"as": word})).status_code == 409


async def test_release_lets_a_held_message_go(door: Door) -> None:
    http = await door.http("submit", "manage")
    message = await submitted(http)
    blocked = Blocked(scope=Scope.SENDER, answer=Answer(status="5.7.1", text="no"))
    await door.attempt(message, blocked, status=Status.HELD, held_cause="sender_blocked")
    answer = await http.post(f"/v1/messages/{message}/release")
    assert answer.status_code == 200
    assert answer.json()["status"] != "held"


@pytest.mark.parametrize("action", ["cancel", "retry", "release", "settle"])
async def test_actions_need_the_scope_manage(door: Door, action: str) -> None:
    http = await door.http("submit", "read")
    message = await submitted(http)
    answer = await http.post(f"/v1/messages/{message}/{action}", json={"as": "sent"})
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("retry", {"accept_duplicates": True}),
        ("retry", {"accept_duplicate": "yes"}),
        ("settle", {"as": "lost"}),
        ("settle", {}),
    ],
)
async def test_a_mistyped_word_of_an_action_is_refused(door: Door, action: str, body: dict[str, object]) -> None:
    http = await door.http("submit", "manage")
    message = await submitted(http)
    answer = await http.post(f"/v1/messages/{message}/{action}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
