"""What the Resend door refuses: in the shape and with the names that its SDKs know, never in silence."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import resend
from resend import exceptions

from posthouse.clients.failures import PER_MINUTE as FAILURES_PER_MINUTE
from posthouse.doors.problems import TABLE
from posthouse.doors.resend.sifting import Sieve
from posthouse.doors.resend.views import last_event
from posthouse.message import Status
from posthouse.outcome import Answer, Sent
from posthouse.policy import Terms
from posthouse.refusal import Condition, Refused
from tests.contract.resend_kit import EMAIL, EMAILS, Sdk, count, post, sdk_at
from tests.contract.rest_door import Door, rest_door

NAMES = {
    "application_error",
    "concurrent_idempotent_requests",
    "daily_quota_exceeded",
    "internal_server_error",
    "invalid_access",
    "invalid_api_key",
    "invalid_attachment",
    "invalid_from_address",
    "invalid_idempotency_key",
    "invalid_idempotent_request",
    "invalid_parameter",
    "invalid_region",
    "method_not_allowed",
    "missing_api_key",
    "missing_required_field",
    "monthly_quota_exceeded",
    "not_found",
    "rate_limit_exceeded",
    "restricted_api_key",
    "security_error",
    "validation_error",
}
"""The names of resend-php and of resend-dotnet, which read no error with another one."""


async def raw(door: Door, content: bytes, media: str = "application/json") -> httpx.Response:
    return await (await door.http()).post(EMAILS, content=content, headers={"content-type": media})


async def wrong_key(door: Door) -> httpx.Response:
    return await door.anonymous(authorization="Bearer re_123").post(EMAILS, json=EMAIL)


async def many_wrong_keys(door: Door) -> httpx.Response:
    for _ in range(FAILURES_PER_MINUTE):
        await wrong_key(door)
    return await wrong_key(door)


async def foreign_recipient(door: Door) -> httpx.Response:
    return await (await door.http(domains=("contoso.com",))).post(EMAILS, json=EMAIL)


async def sent_and(door: Door, method: str, action: str = "") -> httpx.Response:
    http = await door.http()
    uuid = (await http.post(EMAILS, json=EMAIL)).json()["id"]
    shown = (await http.get(f"/v1/messages/{uuid}")).json()
    await door.attempt(shown["id"], Sent(answer=Answer(status="2.0.0", text="")), status=Status.SENT)
    return await http.request(method, f"{EMAILS}/{uuid}{action}", json={"scheduled_at": "in 1 min"})


async def reused_key(door: Door) -> httpx.Response:
    await post(door, EMAIL, **{"idempotency-key": "k"})
    return await post(door, EMAIL | {"subject": "Other"}, **{"idempotency-key": "k"})


async def while_closed(door: Door, condition: Condition) -> httpx.Response:
    door.state.closed = condition
    return await post(door, EMAIL)


async def on_a_full_disk(door: Door) -> httpx.Response:
    http = await door.http()
    await door.fill_disk()
    return await http.post(EMAILS, json=EMAIL | {"text": "x" * 1_000_000})


async def request(door: Door, method: str, path: str, *scopes: str) -> httpx.Response:
    return await (await door.http(*scopes)).request(method, path)


FILE = {"filename": "a", "content": "not base64!"}
REACHED: dict[Condition, tuple[Callable[[Door], Awaitable[httpx.Response]], int, str]] = {
    Condition.INVALID_JSON: (lambda door: raw(door, b'{"from": '), 400, "validation_error"),
    Condition.INVALID_IDEMPOTENCY_KEY: (
        lambda door: post(door, EMAIL, **{"idempotency-key": "with space"}),
        400,
        "invalid_idempotency_key",
    ),
    Condition.MISSING_CREDENTIALS: (lambda door: door.anonymous().post(EMAILS, json=EMAIL), 401, "missing_api_key"),
    Condition.INVALID_KEY: (wrong_key, 403, "invalid_api_key"),
    Condition.INSUFFICIENT_SCOPE: (lambda door: request(door, "POST", EMAILS, "read"), 401, "restricted_api_key"),
    Condition.SENDER_NOT_ALLOWED: (
        lambda door: post(door, EMAIL | {"from": "a@fabrikam.com"}),
        403,
        "validation_error",
    ),
    Condition.RECIPIENT_NOT_ALLOWED: (foreign_recipient, 403, "validation_error"),
    Condition.NOT_FOUND: (lambda door: request(door, "GET", "/resend/domains"), 404, "not_found"),
    Condition.METHOD_NOT_ALLOWED: (lambda door: request(door, "DELETE", EMAILS), 405, "method_not_allowed"),
    Condition.NOT_CANCELABLE: (lambda door: sent_and(door, "POST", "/cancel"), 422, "validation_error"),
    Condition.NOT_CHANGEABLE: (lambda door: sent_and(door, "PATCH"), 422, "validation_error"),
    Condition.MESSAGE_TOO_LARGE: (lambda door: raw(door, b" " * (10 * 1024 * 1024 + 1)), 413, "validation_error"),
    Condition.UNSUPPORTED_MEDIA_TYPE: (lambda door: raw(door, b"", "message/rfc822"), 415, "validation_error"),
    Condition.VALIDATION_ERROR: (lambda door: post(door, EMAIL | {"to": "nobody"}), 422, "validation_error"),
    Condition.TOO_MANY_RECIPIENTS: (
        lambda door: post(door, EMAIL | {"to": [f"a{number}@example.org" for number in range(501)]}),
        422,
        "validation_error",
    ),
    Condition.INVALID_ATTACHMENT: (
        lambda door: post(door, EMAIL | {"attachments": [FILE]}),
        422,
        "invalid_attachment",
    ),
    Condition.IDEMPOTENCY_KEY_REUSED: (reused_key, 409, "invalid_idempotent_request"),
    Condition.QUOTA_EXCEEDED: (many_wrong_keys, 429, "rate_limit_exceeded"),
    Condition.SPOOL_FULL: (on_a_full_disk, 503, "application_error"),
    Condition.STORAGE_LOW: (lambda door: while_closed(door, Condition.STORAGE_LOW), 503, "application_error"),
    Condition.DRAINING: (lambda door: while_closed(door, Condition.DRAINING), 503, "application_error"),
}


@pytest.mark.parametrize("condition", REACHED)
async def test_every_refusal_has_resends_shape_and_name(door: Door, condition: Condition) -> None:
    ask, status, name = REACHED[condition]
    answer = await ask(door)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    message = answer.json()["message"]
    assert answer.json() == {"statusCode": status, "name": name, "message": message}
    assert message
    assert answer.headers["x-request-id"]
    assert ("retry-after" in answer.headers) == (status in (429, 503))


def test_every_name_is_one_that_the_sdks_know() -> None:
    assert {row.resend.split(" ")[1] for row in TABLE.values()} <= NAMES


async def test_a_fault_of_ours_says_nothing_but_its_request_id(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret-name")

    monkeypatch.setattr(door.spool, "find", broken)
    answer = await request(door, "GET", EMAILS)
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/json")
    assert answer.json() == {
        "statusCode": 500,
        "name": "internal_server_error",
        "message": f"a fault of posthouse; its log has more under {answer.headers['x-request-id']}",
    }


async def test_the_sdk_raises_its_own_exceptions(sdk: Sdk) -> None:
    good = resend.api_key
    missing = await sdk.refusal(resend.Emails.send, {"from": "a@contoso.com", "subject": "Hi", "text": "Hello"})
    assert (type(missing), missing.message) == (
        exceptions.MissingRequiredFieldsError,
        "/to: this field is required",
    )
    assert type(await sdk.refusal(resend.Emails.send, EMAIL | {"to": "nobody"})) is exceptions.ValidationError
    sdk.use("")
    assert type(await sdk.refusal(resend.Emails.send, EMAIL)) is exceptions.MissingApiKeyError
    sdk.use("re_123")
    wrong = [await sdk.refusal(resend.Emails.send, EMAIL) for _ in range(FAILURES_PER_MINUTE + 1)]
    assert type(wrong[0]) is exceptions.InvalidApiKeyError
    assert type(wrong[-1]) is exceptions.RateLimitError
    assert int(wrong[-1].headers["retry-after"]) > 0
    sdk.use(good or "")
    assert await sdk.send()


@pytest.mark.parametrize(
    ("terms", "name"),
    [
        (Terms(rate_per_minute=2, rate_per_day=100), "rate_limit_exceeded"),
        (Terms(rate_per_minute=100, rate_per_day=2), "daily_quota_exceeded"),
    ],
)
async def test_a_rate_is_told_in_the_fields_that_the_sdks_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terms: Terms, name: str
) -> None:
    async with rest_door(tmp_path, terms={"shop": terms}) as door, sdk_at(door, monkeypatch) as sdk:
        answer = await sdk.call(resend.Emails.send, EMAIL)
        await sdk.call(resend.Emails.send, EMAIL)
        refusal = await sdk.refusal(resend.Emails.send, EMAIL)
    shown = [headers["ratelimit-remaining"] for headers in (answer["http_headers"], refusal.headers)]
    assert (shown, refusal.headers["ratelimit-limit"]) == (["1", "0"], "2")
    assert int(refusal.headers["ratelimit-reset"]) > 0
    assert (type(refusal), refusal.error_type) == (exceptions.RateLimitError, name)


@pytest.mark.parametrize(
    ("change", "name", "said"),
    [
        ({"template": {"id": "welcome"}}, "validation_error", "/template: posthouse keeps no templates"),
        ({"topic_id": "4ef9a417"}, "validation_error", "/topic_id: posthouse keeps no topics"),
        ({"region": "eu-west-1"}, "validation_error", "/region: posthouse sends from where it runs"),
        ({"audience_id": "4ef9a417"}, "validation_error", "/audience_id: unknown field"),
        ({"bc": "x@example.org"}, "validation_error", "/bc: unknown field; did you mean 'bcc'?"),
        ({"replyTo": "x@example.org"}, "validation_error", "/replyTo: unknown field; did you mean 'reply_to'?"),
        ({"scheduledAt": "in 1 min"}, "validation_error", "/scheduledAt: unknown field; did you mean 'scheduled_at'?"),
        ({"scheduled_at": "tomorrow at 9am"}, "validation_error", "/scheduled_at: write ISO 8601 with its offset"),
        ({"scheduled_at": "2099-01-01T09:00:00"}, "validation_error", "/scheduled_at: a time says its offset"),
        ({"from": "nobody"}, "invalid_from_address", "/from: an address is local-part@domain"),
        ({"from": None}, "invalid_from_address", "/from"),
        ({"to": []}, "missing_required_field", "/to: an email has at least one recipient"),
        ({"to": "a@example.org, b@example.org"}, "validation_error", "/to: one string holds one address"),
        ({"html": None}, "missing_required_field", "/html: an email has html or text"),
        ({"html": ""}, "missing_required_field", "/html: an email has html or text"),
        ({"subject": "a\r\nBcc: x@example.org"}, "validation_error", "/subject"),
        ({"headers": {"Bcc": "x@example.org"}}, "validation_error", "/headers/Bcc"),
        ({"headers": ["X-A"]}, "validation_error", "/headers"),
        ({"tags": [{"name": "a b", "value": "c"}]}, "validation_error", "/tags/0/name"),
        ({"tags": [{"name": "a"}, {"name": "a"}]}, "validation_error", "/tags/1/name: every tag has a name"),
        ({"tags": [{"name": f"a{number}"} for number in range(33)]}, "validation_error", "/tags"),
        ({"attachments": [{"filename": "a"}]}, "invalid_attachment", "/attachments/0/content: a file has its content"),
        (
            {"attachments": [{"path": "https://example.org/a.pdf"}]},
            "invalid_attachment",
            "/attachments/0/path: posthouse fetches no files from elsewhere",
        ),
        ({"attachments": [{"content": [256]}]}, "invalid_attachment", "/attachments/0/content: content as a list"),
        ({"attachments": [{"content": "", "contents": ""}]}, "invalid_attachment", "/attachments/0/contents"),
        ({"attachments": [{"content": "", "content_type": "png"}]}, "invalid_attachment", "/attachments/0"),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_name(
    door: Door, change: dict[str, object], name: str, said: str
) -> None:
    answer = await post(door, EMAIL | change)
    assert (answer.status_code, answer.json()["name"]) == (422, name)
    assert answer.json()["message"].startswith(said), answer.json()["message"]
    assert await count(door) == 0


async def test_parameters_that_nobody_knows_are_refused_too(door: Door) -> None:
    """At the native door this one means that nothing is sent."""
    answer = await post(door, EMAIL, f"{EMAILS}?dry_run=true")
    assert answer.json()["message"] == "/query/dry_run: unknown parameter; there are none"
    assert await count(door) == 0


@pytest.mark.parametrize("name", ["metrics", "receiving"])
async def test_what_nobody_here_can_know_is_no_unknown_email(door: Door, name: str) -> None:
    answer = await request(door, "GET", f"{EMAILS}/{name}")
    assert (answer.status_code, "no part of this API" in answer.json()["message"]) == (404, True)


def test_a_refusal_that_passes_by_itself_refuses_the_whole_batch() -> None:
    with pytest.raises(Refused):
        Sieve().refuse(0, Refused(Condition.QUOTA_EXCEEDED, "too many", retry_after=5))


def test_no_status_is_said_to_be_more_than_sent() -> None:
    known = {"queued", "scheduled", "delivery_delayed", "sent", "failed", "canceled"}
    assert {last_event(status) for status in Status} == known
    assert {status for status in Status if last_event(status) == "sent"} == {Status.SENT}


async def test_the_openapi_document_is_the_native_doors_alone(door: Door) -> None:
    assert [path for path in door.app.openapi()["paths"] if "emails" in path] == []
