"""The Resend door, with the official SDK unchanged but for its base URL; what other SDKs write stands beside it."""

import base64
import itertools
import re
from datetime import datetime
from typing import cast
from uuid import UUID

import pytest
import resend

from posthouse.message import Status
from posthouse.outcome import Answer, Blocked, Outcome, PermanentFailure, Scope, Sent, TransientFailure, Unconfirmed
from tests.contract.resend_kit import EMAIL, EMAILS, Sdk, count, own, post
from tests.contract.rest_door import Door

LATER = "2099-01-01T09:00:00.000Z"
ANSWER = Answer(status="2.0.0", text="")
PNG = b"\x89PNG\r\n"


# --- sending --------------------------------------------------------------------------------------------------------


async def test_everything_that_an_email_can_say_is_kept(sdk: Sdk) -> None:
    uuid = await sdk.send(
        to=["jo@example.org", "Kim Ö <kim@example.org>"],
        cc="cc@example.org",
        bcc=["blind@example.org"],
        reply_to="help@contoso.com",
        subject="Grüße",
        text="Hallo Ö",
        html='<p><img src="cid:logo"></p>',
        headers={"X-Entity-Ref-ID": "7"},
        attachments=[
            {"filename": "plan ö.pdf", "content": base64.b64encode(b"%PDF").decode()},
            {"filename": "logo.bin", "content": list(PNG), "content_type": "image/png", "content_id": "logo"},
        ],
        tags=[{"name": "category", "value": "order"}, {"name": "bare"}],
    )
    mail, record = await sdk.mail(uuid), await sdk.record(uuid)
    assert str(UUID(uuid)) == uuid
    assert (mail["from"], mail["cc"], mail["reply-to"]) == (EMAIL["from"], "cc@example.org", "help@contoso.com")
    assert mail["to"] == "jo@example.org, Kim Ö <kim@example.org>"
    assert (mail["subject"], mail["x-entity-ref-id"], mail["bcc"]) == ("Grüße", "7", None)
    leaves = [part for part in mail.walk() if not part.is_multipart()]
    assert [(one.get_content_type(), one.get_filename(), one.get_content_disposition()) for one in leaves] == [
        ("text/plain", None, None),
        ("text/html", None, None),
        ("image/png", "logo.bin", "inline"),
        ("application/pdf", "plan ö.pdf", "attachment"),
    ]
    assert [one.get_payload(decode=True) for one in leaves[2:]] == [PNG, b"%PDF"]
    assert leaves[2]["content-id"] == "<logo>"
    assert (record.door, record.client, record.status) == ("resend", "shop", Status.QUEUED)
    assert dict(record.tags) == {"category": "order", "bare": ""}
    assert [(one.address, one.kind) for one in record.recipients] == [
        ("jo@example.org", "to"),
        ("kim@example.org", "to"),
        ("cc@example.org", "cc"),
        ("blind@example.org", "bcc"),
    ]


async def test_the_asynchronous_client_of_the_sdk_sends_too(sdk: Sdk) -> None:
    answer = await resend.Emails.send_async(cast("resend.Emails.SendParams", EMAIL))
    assert (await sdk.record(answer["id"])).subject == "Order 7"


async def test_an_empty_text_asks_for_no_plain_text_part(sdk: Sdk) -> None:
    assert (await sdk.mail(await sdk.send(text=""))).get_content_type() == "text/html"
    assert (await sdk.mail(await sdk.send(text="Hello", html=""))).get_content_type() == "text/plain"


@pytest.mark.parametrize(
    ("wrote", "attachment"),
    [
        ("base64", base64.b64encode(PNG).decode()),
        ("Go, Ruby, Rust", list(PNG)),
        ("older Node", {"type": "Buffer", "data": list(PNG)}),
    ],
)
async def test_contents_are_read_as_every_sdk_writes_them(door: Door, wrote: str, attachment: object) -> None:
    file = {"filename": "a.png", "content": attachment}
    answer = await post(door, EMAIL | {"attachments": [file]})
    assert answer.status_code == 200, wrote
    key = await door.spool.key_of(own(answer.json()["id"]))
    content = await door.spool.content(key or 0)
    assert content is not None
    assert base64.b64encode(PNG) in b"".join([block async for block in content.body.blocks()])


NOTHING = dict.fromkeys(("cc", "bcc", "reply_to", "text", "headers", "attachments", "tags", "scheduled_at"))


@pytest.mark.parametrize(
    ("wrote", "body"),
    [
        ("nulls for what is not there", {**EMAIL, **NOTHING, "template": None, "topic_id": None}),
        ("PHP's empty array for headers", EMAIL | {"headers": [], "tags": [], "attachments": [], "cc": []}),
        ("Rust's contentType", EMAIL | {"attachments": [{"content": [1], "contentType": "image/png"}]}),
        ("Python's inline_content_id", EMAIL | {"attachments": [{"content": "AA==", "inline_content_id": "a"}]}),
        ("Java's nulls in a file", EMAIL | {"attachments": [{"content": "AA==", "path": None, "content_id": None}]}),
        ("Node's false for a name", EMAIL | {"attachments": [{"content": "AA==", "filename": False}]}),
    ],
)
async def test_what_sdks_write_where_they_have_nothing_is_nothing(
    door: Door, wrote: str, body: dict[str, object]
) -> None:
    answer = await post(door, body, **{"content-type": "application/json; charset=utf-8"})
    assert (answer.status_code, list(answer.json())) == (200, ["id"]), wrote


async def test_sdks_that_put_their_path_in_the_place_of_ours_are_answered_too(door: Door) -> None:
    """.NET and Rust resolve /emails against the base URL (RFC 3986 §5.2), so that no prefix is left."""
    answer = await post(door, EMAIL, "/emails")
    assert (await (await door.http()).get(f"/emails/{answer.json()['id']}")).json()["subject"] == "Order 7"
    wrong = await post(door, {}, "/emails")
    assert wrong.json() == {"statusCode": 422, "name": "missing_required_field", "message": wrong.json()["message"]}


# --- batches --------------------------------------------------------------------------------------------------------


async def test_a_batch_answers_in_its_order(sdk: Sdk) -> None:
    answer = await sdk.call(resend.Batch.send, [EMAIL | {"subject": f"number {number}"} for number in range(100)])
    subjects = [(await sdk.record(one["id"])).subject for one in answer["data"]]
    assert subjects == [f"number {number}" for number in range(100)]
    assert "errors" not in answer


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"to": "nobody"}, "/1/to"),
        ({"from": "ceo@fabrikam.com"}, "/1/from: client 'shop' may send as *@contoso.com"),
        ({"headers": {"X-A": "a\nb"}}, "/1/headers/X-A"),
    ],
)
async def test_one_wrong_email_refuses_a_strict_batch_and_is_named(
    sdk: Sdk, second: dict[str, object], said: str
) -> None:
    refusal = await sdk.refusal(resend.Batch.send, [EMAIL, EMAIL | second])
    assert refusal.message.startswith(said)
    assert await count(sdk.door) == 0


async def test_a_permissive_batch_takes_what_is_sound_and_names_the_rest(sdk: Sdk) -> None:
    batch = [
        EMAIL | {"from": "ceo@fabrikam.com"},
        EMAIL | {"subject": "first"},
        {"to": "jo@example.org"},
        EMAIL | {"headers": {"X-A": "a\nb"}},
        7,
        EMAIL | {"subject": "second"},
        EMAIL | {"to": [f"a{number}@example.org" for number in range(501)]},
    ]
    options = {"batch_validation": "permissive", "idempotency_key": "k"}
    answer = await post(
        sdk.door, batch, f"{EMAILS}/batch", **{"x-batch-validation": "permissive", "idempotency-key": "k"}
    )
    shown = answer.json()
    assert [(await sdk.record(one["id"])).subject for one in shown["data"]] == ["first", "second"]
    assert [one["index"] for one in shown["errors"]] == [0, 2, 3, 4, 6]
    assert [re.split("[: ]", one["message"])[0] for one in shown["errors"]][:3] == ["/from", "/from", "/headers/X-A"]
    assert "recipients" in shown["errors"][4]["message"]
    del batch[4]  # the SDK sends objects only
    again = await sdk.call(resend.Batch.send, batch, options | {"idempotency_key": "other"})
    assert ([one["index"] for one in again["errors"]], len(again["data"])) == ([0, 2, 3, 5], 2)


async def test_a_permissive_batch_without_a_sound_email_is_an_answer(sdk: Sdk) -> None:
    answer = await sdk.call(resend.Batch.send, [EMAIL | {"to": "nobody"}], {"batch_validation": "permissive"})
    assert (answer["data"], [one["index"] for one in answer["errors"]]) == ([], [0])
    assert await count(sdk.door) == 0


@pytest.mark.parametrize("mode", ["strict", "permissive"])
@pytest.mark.parametrize("batch", [[], [EMAIL] * 101, {"emails": []}, "text"])
async def test_a_batch_is_a_list_of_1_to_100(door: Door, batch: object, mode: str) -> None:
    answer = await post(door, batch, f"{EMAILS}/batch", **{"x-batch-validation": mode})
    assert (answer.status_code, answer.json()["name"]) == (422, "validation_error")


async def test_another_mode_is_refused(door: Door) -> None:
    answer = await post(door, [EMAIL], f"{EMAILS}/batch", **{"x-batch-validation": "lenient"})
    assert (answer.status_code, "strict or permissive" in answer.json()["message"]) == (422, True)


# --- looking after them ---------------------------------------------------------------------------------------------


async def test_an_email_is_shown_in_resends_shape(sdk: Sdk) -> None:
    uuid = await sdk.send(cc="cc@example.org", bcc="b@example.org", tags=[{"name": "a", "value": "b"}])
    shown = await sdk.call(resend.Emails.get, uuid)
    headers, record = shown.pop("http_headers"), await sdk.record(uuid)
    assert headers["content-type"] == "application/json"
    assert datetime.fromisoformat(shown.pop("created_at")).timestamp() * 1000 == record.created_at
    assert shown == {
        "object": "email",
        "id": uuid,
        "message_id": record.message_id,
        "from": "noreply@contoso.com",
        "to": ["jo@example.org"],
        "cc": ["cc@example.org"],
        "bcc": ["b@example.org"],
        "reply_to": None,
        "subject": "Order 7",
        "html": None,
        "text": None,
        "tags": [{"name": "a", "value": "b"}],
        "scheduled_at": None,
        "last_event": "queued",
    }


async def test_both_forms_of_an_id_are_taken_at_both_doors(sdk: Sdk) -> None:
    uuid = await sdk.send()
    http = await sdk.door.http()
    for form, path in itertools.product((uuid, own(uuid)), (EMAILS, "/v1/messages")):
        answer = await http.get(f"{path}/{form}")
        assert answer.json()["id"] == (uuid if path == EMAILS else own(uuid))


@pytest.mark.parametrize(
    ("outcome", "status", "event"),
    [
        (Sent(answer=ANSWER), Status.SENT, "sent"),
        (PermanentFailure(scope=Scope.MESSAGE, answer=ANSWER), Status.FAILED, "failed"),
        (TransientFailure(scope=Scope.MAILBOX, answer=ANSWER), Status.QUEUED, "delivery_delayed"),
        (Unconfirmed(answer=ANSWER), Status.UNCONFIRMED, "delivery_delayed"),
        (Blocked(scope=Scope.SENDER, answer=ANSWER), Status.HELD, "delivery_delayed"),
    ],
)
async def test_the_last_event_says_what_is_known(sdk: Sdk, outcome: Outcome, status: Status, event: str) -> None:
    uuid = await sdk.send()
    held = "sender_blocked" if status is Status.HELD else None
    await sdk.door.attempt(own(uuid), outcome, status=status, held_cause=held)
    assert (await sdk.call(resend.Emails.get, uuid))["last_event"] == event


async def test_a_scheduled_email_waits_is_moved_and_is_taken_back(sdk: Sdk) -> None:
    uuid = await sdk.send(scheduled_at=LATER)
    shown = await sdk.call(resend.Emails.get, uuid)
    assert (shown["last_event"], shown["scheduled_at"]) == ("scheduled", LATER)
    moved = await sdk.call(resend.Emails.update, {"id": uuid, "scheduled_at": "2099-02-01T00:00:00+02:00"})
    assert (moved["object"], moved["id"]) == ("email", uuid)
    assert (await sdk.call(resend.Emails.get, uuid))["scheduled_at"] == "2099-01-31T22:00:00.000Z"
    await sdk.call(resend.Emails.update, {"id": own(uuid), "scheduled_at": "in 1 hour"})
    ahead = (await sdk.record(uuid)).due_at - sdk.door.clock.now()
    assert 3_500_000 < ahead <= 3_600_000
    gone = await sdk.call(resend.Emails.cancel, uuid)
    assert (gone["object"], gone["id"]) == ("email", uuid)
    assert (await sdk.call(resend.Emails.get, uuid))["last_event"] == "canceled"


async def test_what_has_left_is_neither_moved_nor_taken_back(sdk: Sdk) -> None:
    uuid = await sdk.send()
    await sdk.door.attempt(own(uuid), Sent(answer=ANSWER), status=Status.SENT)
    for refusal in (
        await sdk.refusal(resend.Emails.cancel, uuid),
        await sdk.refusal(resend.Emails.update, {"id": uuid, "scheduled_at": LATER}),
    ):
        assert (refusal.code, refusal.error_type) == (422, "validation_error")
        assert "sent" in refusal.message


@pytest.mark.parametrize(
    ("body", "name", "said"),
    [
        ({}, "missing_required_field", "/scheduled_at"),
        ({"scheduled_at": "soon"}, "validation_error", "/scheduled_at: write ISO 8601"),
        ({"scheduled_at": LATER, "email_id": "4ef9a417-02e9-4d39-ad75-9611e0fcc33c"}, "validation_error", "/id"),
        ({"scheduled_at": LATER, "subject": "Other"}, "validation_error", "/subject: unknown field"),
    ],
)
async def test_only_the_time_is_changed(sdk: Sdk, body: dict[str, object], name: str, said: str) -> None:
    uuid = await sdk.send(scheduled_at=LATER)
    answer = await (await sdk.door.http()).patch(f"{EMAILS}/{uuid}", json=body)
    assert (answer.status_code, answer.json()["name"]) == (422, name)
    assert answer.json()["message"].startswith(said)
    assert (await sdk.call(resend.Emails.get, uuid))["scheduled_at"] == LATER


async def test_the_list_is_read_in_pages_newest_first(sdk: Sdk) -> None:
    uuids = [await sdk.send(subject=f"number {number}") for number in range(5)][::-1]
    first = await sdk.call(resend.Emails.list, {"limit": 2})
    assert ([one["id"] for one in first["data"]], first["has_more"], first["object"]) == (uuids[:2], True, "list")
    assert first["data"][0]["subject"] == "number 4"
    assert not {"html", "text", "tags", "object"} & set(first["data"][0])
    rest = await sdk.call(resend.Emails.list, {"after": uuids[1], "limit": 100})
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (uuids[2:], False)
    newer = await sdk.call(resend.Emails.list, {"before": uuids[2]})
    assert [one["id"] for one in newer["data"]] == uuids[:2]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "after=x", "page=2", f"after={'0' * 32}&before={'0' * 32}"])
async def test_a_list_that_cannot_be_is_refused(door: Door, query: str) -> None:
    answer = await (await door.http()).get(f"{EMAILS}?{query}")
    assert (answer.status_code, answer.json()["name"]) == (422, "validation_error")
    assert answer.json()["message"].startswith("/query/") or "after is the id" in answer.json()["message"]


async def test_a_client_sees_moves_and_takes_back_its_own_only(sdk: Sdk) -> None:
    uuid = await sdk.send(scheduled_at=LATER)
    sdk.use(await sdk.door.key(client="crm"))
    assert (await sdk.call(resend.Emails.list))["data"] == []
    for refusal in (
        await sdk.refusal(resend.Emails.get, uuid),
        await sdk.refusal(resend.Emails.cancel, uuid),
        await sdk.refusal(resend.Emails.update, {"id": uuid, "scheduled_at": LATER}),
        await sdk.refusal(resend.Emails.get, "4ef9a417-02e9-4d39-ad75-9611e0fcc33c"),
        await sdk.refusal(resend.Emails.get, "no id"),
    ):
        assert (refusal.code, refusal.error_type, refusal.message) == (404, "not_found", "no such message")
    sdk.use(await sdk.door.key("read", client="watch"))
    assert (await sdk.call(resend.Emails.get, uuid))["id"] == uuid
    assert [one["id"] for one in (await sdk.call(resend.Emails.list))["data"]] == [uuid]
    refusal = await sdk.refusal(resend.Emails.cancel, uuid)
    assert (refusal.code, refusal.error_type) == (401, "restricted_api_key")
    sdk.use(await sdk.door.key("read", "manage", client="boss"))
    await sdk.call(resend.Emails.cancel, uuid)


# --- the same request twice -----------------------------------------------------------------------------------------


async def test_the_same_key_and_email_is_one_message(sdk: Sdk) -> None:
    options = {"idempotency_key": "order/7"}
    first, again = [(await sdk.call(resend.Emails.send, EMAIL, options)) for _ in range(2)]
    assert first["id"] == again["id"]
    assert again["http_headers"]["idempotency-replayed"] == "true"
    refusal = await sdk.refusal(resend.Emails.send, EMAIL | {"subject": "Other"}, options)
    assert (refusal.code, refusal.error_type) == (409, "invalid_idempotent_request")
    assert await count(sdk.door) == 1


async def test_a_time_in_words_is_the_same_time_when_it_comes_again(sdk: Sdk) -> None:
    options, later = {"idempotency_key": "k"}, EMAIL | {"scheduled_at": "in 5 minutes"}
    first = await sdk.call(resend.Emails.send, later, options)
    sdk.door.clock.ahead += 60_000
    assert (await sdk.call(resend.Emails.send, later, options))["id"] == first["id"]


@pytest.mark.parametrize("mode", ["strict", "permissive"])
async def test_a_batch_has_one_key_and_one_answer(sdk: Sdk, mode: str) -> None:
    options = {"idempotency_key": "quota/7", "batch_validation": mode}
    batch = [EMAIL, EMAIL | {"subject": "Other"}] + [EMAIL | {"to": "nobody"}] * (mode == "permissive")
    answers = [await sdk.call(resend.Batch.send, batch, options) for _ in range(2)]
    for answer in answers:
        del answer["http_headers"]
    assert answers[0] == answers[1]
    refusal = await sdk.refusal(resend.Batch.send, [*batch[:-1], batch[-1] | {"subject": "Changed"}], options)
    assert (refusal.code, refusal.error_type) == (409, "invalid_idempotent_request")
    assert await count(sdk.door) == 2


async def test_no_door_answers_for_the_key_of_another(sdk: Sdk) -> None:
    """Nor one address of this door for the other: their answers have other shapes."""
    await sdk.call(resend.Emails.send, EMAIL, {"idempotency_key": "k"})
    http = await sdk.door.http()
    native = await http.post("/v1/messages", json=EMAIL, headers={"idempotency-key": "k"})
    assert (native.status_code, native.json()["code"]) == (422, "idempotency_key_reused")
    await http.post("/v1/messages", json=EMAIL, headers={"idempotency-key": "j"})
    for function, payload in ((resend.Emails.send, EMAIL), (resend.Batch.send, [EMAIL])):
        for key in ("k", "j")[function == resend.Emails.send :]:
            refusal = await sdk.refusal(function, payload, {"idempotency_key": key})
            assert refusal.error_type == "invalid_idempotent_request"


async def test_a_key_that_is_none_is_refused(sdk: Sdk) -> None:
    refusal = await sdk.refusal(resend.Emails.send, EMAIL, {"idempotency_key": "k" * 257})
    assert (refusal.code, refusal.error_type) == (400, "invalid_idempotency_key")
