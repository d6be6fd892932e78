"""Bad input: every code of the door is documented, reachable, and says where and what."""

import asyncio
import base64
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from posthouse.clients.entra import CallerRules, EntraCallers
from posthouse.clients.failures import PER_MINUTE as FAILURES_PER_MINUTE
from posthouse.clients.keys import Keys
from posthouse.message import Status
from posthouse.outcome import Answer, Sent
from posthouse.records import Filters, TransportRow
from posthouse.refusal import Condition
from tests.contract.entra_kit import AUDIENCE, TENANT, Microsoft, signed
from tests.contract.rest_door import Clock, Door, rest_door

SIMPLE = {"from": "noreply@contoso.com", "to": "jo@example.org", "subject": "Hi", "text": "Hello"}
URL = "/v1/messages"


KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
MICROSOFT = Microsoft({"k1": KEY})


def callers(keys: Keys, clock: Clock) -> EntraCallers:
    return EntraCallers(
        CallerRules(tenant_id=TENANT, audiences=(AUDIENCE,)), fetch=MICROSOFT.fetch, keys=keys, clock=clock
    )


@pytest.fixture
async def door(tmp_path: Path) -> AsyncGenerator[Door]:
    async with rest_door(tmp_path, callers=callers) as opened:
        yield opened


async def submit(door: Door, body: object = SIMPLE, **headers: str) -> httpx.Response:
    return await (await door.http()).post(URL, json=body, headers=headers)


async def raw(door: Door, content: bytes, media: str) -> httpx.Response:
    return await (await door.http()).post(URL, content=content, headers={"content-type": media})


async def no_key(door: Door) -> httpx.Response:
    return await door.anonymous().post(URL, json=SIMPLE)


async def wrong_key(door: Door) -> httpx.Response:
    return await door.anonymous(authorization="Bearer ph_live_x").post(URL, json=SIMPLE)


async def no_scope(door: Door) -> httpx.Response:
    return await (await door.http("read")).post(URL, json=SIMPLE)


async def foreign_recipient(door: Door) -> httpx.Response:
    return await (await door.http(domains=("contoso.com",))).post(URL, json=SIMPLE)


async def unknown_id(door: Door) -> httpx.Response:
    return await (await door.http()).get(f"{URL}/msg_01M85T7QWRFY3V563HV4SF02E4")


async def wrong_method(door: Door) -> httpx.Response:
    return await (await door.http()).delete(URL)


async def sent_twice(door: Door, action: str) -> httpx.Response:
    http = await door.http("submit", "manage")
    message = (await http.post(URL, json=SIMPLE)).json()["id"]
    await door.attempt(message, Sent(answer=Answer(status="2.0.0", text="")), status=Status.SENT)
    return await http.post(f"{URL}/{message}/{action}")


async def sent_and_changed(door: Door) -> httpx.Response:
    http = await door.http("submit")
    message = (await http.post(URL, json=SIMPLE)).json()["id"]
    await door.attempt(message, Sent(answer=Answer(status="2.0.0", text="")), status=Status.SENT)
    return await http.patch(f"{URL}/{message}", json={"priority": "high"})


async def reused_key(door: Door) -> httpx.Response:
    await submit(door, **{"idempotency-key": "k"})
    return await submit(door, SIMPLE | {"subject": "Other"}, **{"idempotency-key": "k"})


async def many_wrong_keys(door: Door) -> httpx.Response:
    for _ in range(FAILURES_PER_MINUTE):
        await wrong_key(door)
    return await wrong_key(door)


async def while_closed(door: Door, condition: Condition) -> httpx.Response:
    door.state.closed = condition
    return await submit(door)


async def on_a_full_disk(door: Door) -> httpx.Response:
    """SQLite answers FULL where its file may not grow, as it does on a disk without space."""
    http = await door.http()
    await door.fill_disk()
    return await http.post(URL, json=SIMPLE | {"text": "x" * 1_000_000})


async def slow_client(door: Door) -> httpx.Response:
    """The clock says that 100 s passed after the first bytes; the rest never comes."""

    async def body() -> AsyncGenerator[bytes]:
        yield b"From: "
        door.clock.ahead += 100_000
        await asyncio.Event().wait()

    return await (await door.http()).post(URL, content=body(), headers={"content-type": "message/rfc822"})


async def with_token(door: Door, **changes: object) -> httpx.Response:
    token = signed(KEY, now=door.clock.now() // 1000, **changes)  # ty: ignore[invalid-argument-type]
    return await door.anonymous(authorization=f"Bearer {token}").post(URL, json=SIMPLE)


async def without_microsoft(door: Door) -> httpx.Response:
    MICROSOFT.reachable = False
    try:
        return await with_token(door)
    finally:
        MICROSOFT.reachable = True


ATTACHMENT = {"attachments": [{"filename": "a", "content": "not base64!"}]}
REACHED: dict[Condition, Callable[[Door], Awaitable[httpx.Response]]] = {
    Condition.INVALID_JSON: lambda door: raw(door, b'{"from": ', "application/json"),
    Condition.INVALID_IDEMPOTENCY_KEY: lambda door: submit(door, **{"idempotency-key": "with space"}),
    Condition.MISSING_CREDENTIALS: no_key,
    Condition.INVALID_KEY: wrong_key,
    Condition.TOKEN_EXPIRED: lambda door: with_token(door, exp=1),
    Condition.TOKEN_WRONG_AUDIENCE: lambda door: with_token(door, aud="api://other"),
    Condition.TOKEN_WRONG_TENANT: lambda door: with_token(door, tid="another"),
    Condition.MISSING_ROLE: lambda door: with_token(door, roles=[]),
    Condition.CALLERS_UNAVAILABLE: without_microsoft,
    Condition.INSUFFICIENT_SCOPE: no_scope,
    Condition.SENDER_NOT_ALLOWED: lambda door: submit(door, SIMPLE | {"from": "a@fabrikam.com"}),
    Condition.RECIPIENT_NOT_ALLOWED: foreign_recipient,
    Condition.NOT_FOUND: unknown_id,
    Condition.METHOD_NOT_ALLOWED: wrong_method,
    Condition.NOT_CANCELABLE: lambda door: sent_twice(door, "cancel"),
    Condition.NOT_RETRYABLE: lambda door: sent_twice(door, "retry"),
    Condition.REQUEST_TIMEOUT: slow_client,
    Condition.NOT_CHANGEABLE: sent_and_changed,
    Condition.MESSAGE_TOO_LARGE: lambda door: raw(door, b" " * (10 * 1024 * 1024 + 1), "application/json"),
    Condition.UNSUPPORTED_MEDIA_TYPE: lambda door: raw(door, b"a=b", "application/x-www-form-urlencoded"),
    Condition.VALIDATION_ERROR: lambda door: submit(door, SIMPLE | {"to": "nobody"}),
    Condition.TOO_MANY_RECIPIENTS: lambda door: submit(door, SIMPLE | {"to": [f"a{n}@x.org" for n in range(501)]}),
    Condition.INVALID_ATTACHMENT: lambda door: submit(door, SIMPLE | ATTACHMENT),
    Condition.INVALID_MIME: lambda door: raw(door, b"no header", "message/rfc822"),
    Condition.IDEMPOTENCY_KEY_REUSED: reused_key,
    Condition.QUOTA_EXCEEDED: many_wrong_keys,
    Condition.SPOOL_FULL: on_a_full_disk,
    Condition.STORAGE_LOW: lambda door: while_closed(door, Condition.STORAGE_LOW),
    Condition.DRAINING: lambda door: while_closed(door, Condition.DRAINING),
}
STATUS = {
    400: {"invalid_json", "invalid_idempotency_key"},
    401: {
        "missing_credentials",
        "invalid_key",
        "token_expired",
        "token_wrong_audience",
        "token_wrong_tenant",
        "missing_role",
    },
    403: {"insufficient_scope", "sender_not_allowed", "recipient_not_allowed"},
    404: {"not_found"},
    405: {"method_not_allowed"},
    408: {"request_timeout"},
    409: {"not_cancelable", "not_retryable", "not_changeable"},
    413: {"message_too_large"},
    415: {"unsupported_media_type"},
    422: {
        "validation_error",
        "too_many_recipients",
        "invalid_attachment",
        "invalid_mime",
        "idempotency_key_reused",
    },
    429: {"quota_exceeded"},
    503: {"spool_full", "storage_low", "draining", "callers_unavailable"},
}


@pytest.mark.parametrize("condition", Condition)
async def test_every_code_is_reached_by_a_request_and_documented_behind_its_type(
    door: Door, condition: Condition
) -> None:
    answer = await REACHED[condition](door)
    problem = answer.json()
    assert problem["code"] == condition.value, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code == problem["status"]
    assert condition.value in STATUS[answer.status_code]
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert ("retry-after" in answer.headers) == (answer.status_code in (429, 503))
    assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)
    assert ("limit_bytes" in problem) == (answer.status_code == 413)
    page = await door.anonymous().get(problem["type"])
    assert page.status_code == 200
    assert condition.value in page.text


async def test_every_answer_carries_a_request_id_of_its_own(door: Door) -> None:
    http = await door.http()
    answers = [await http.get(path) for path in ("/livez", "/readyz", "/nowhere", URL, "/v1/keys/self", "/docs")]
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)


async def test_a_fault_of_ours_says_nothing_but_its_request_id(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    http = await door.http("read")
    broken = TransportRow(name="graph", state="open", until=-(1 << 62), opened=0, reason="secret-name", since=0)
    door.state.transports = [broken]
    answer = await http.get("/v1/transports")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret-name" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["x-request-id"] in str([vars(record).get("fields") for record in caplog.records])


async def test_a_spool_that_cannot_be_read_is_a_503_that_may_be_tried_again(door: Door) -> None:
    http = await door.http()
    await door.spool.close()
    answer = await http.get(URL)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_low")
    assert answer.headers["retry-after"]


async def test_a_client_that_goes_away_in_the_middle_of_its_body_leaves_nothing_behind(door: Door) -> None:
    key, sent = await door.key(), []
    events: Iterator[MutableMapping[str, object]] = iter(
        [
            {"type": "http.request", "body": b'{"from": "a@contoso.com", "to":', "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> MutableMapping[str, object]:
        return next(events)

    async def send(message: MutableMapping[str, object]) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {key}".encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": URL, "headers": headers, "query_string": b"", "client": None}
    await door.app(scope, receive, send)
    assert sent == []
    assert (await door.spool.find(Filters(), now=door.clock.now())).records == ()


@pytest.mark.parametrize(
    ("change", "pointer", "said"),
    [
        ({"bc": "x@example.org"}, "/bc", "did you mean 'bcc'?"),
        ({"sender": "x@example.org"}, "/sender", "unknown field"),
        ({"attachments": [{"filename": "a", "contents": "", "content": ""}]}, "/attachments/0/contents", "'content'"),
        ({"from": None}, "/from", "address"),
        ({"from": ["a@contoso.com", "b@contoso.com"]}, "/from", "address"),
        ({"to": []}, "/to", "at least one recipient"),
        ({"to": ["a@example.org", {"adress": "b@example.org"}]}, "/to/1/adress", "name and address"),
        ({"to": "a@example.org, b@example.org"}, "/to", "write several as a list"),
        ({"cc": "a@example.org, B <b@example.org>"}, "/cc", "double quotes"),
        ({"to": "a@-example.org"}, "/to", "RFC 5321"),
        ({"to": "a" * 65 + "@example.org"}, "/to", "RFC 5321"),
        ({"to": "a@example.org\r\nBcc: x"}, "/to", "RFC 5321"),
        ({"from": "A\nB <a@contoso.com>"}, "/from", "line break"),
        ({"subject": "a\r\nBcc: x@example.org"}, "/subject", "line break"),
        ({"subject": 7}, "/subject", "string"),
        ({"headers": {"Bcc": "x@example.org"}}, "/headers/Bcc", "'bcc'"),
        ({"headers": {"X-A": "a\nb"}}, "/headers/X-A", "line break"),
        ({"headers": {"X/~A": "a\nb"}}, "/headers/X~1~0A", "line break"),
        ({"attachments": [{"filename": "a\n", "content": ""}]}, "/attachments/0/filename", "line break"),
        ({"attachments": [{"filename": "a"}]}, "/attachments/0/content", "names its part"),
        ({"attachments": [{"content": "", "part": "a"}]}, "/attachments/0/content", "names its part"),
        ({"attachments": [{"part": "a"}]}, "/attachments/0/part", "multipart/form-data"),
        ({"metadata": {"a": "x" * 4096}}, "/metadata", "4096"),
        ({"tags": {"a b": "c"}}, "/tags/a b", "pattern"),
        ({"tags": {str(n): "" for n in range(33)}}, "/tags", "32"),
        ({"reference": ""}, "/reference", "1 character"),
        ({"scheduled_at": "tomorrow"}, "/scheduled_at", "datetime"),
        ({"scheduled_at": "2030-01-01T00:00:00"}, "/scheduled_at", "timezone"),
        ({"send_in": "soon"}, "/send_in", "15m"),
        ({"send_in": -1}, "/send_in", "15m"),
        ({"send_in": 1, "scheduled_at": "2030-01-01T00:00:00Z"}, "/send_in", "not both"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at", "passed"),
        ({"send_in": "2h", "expires_in": "1h"}, "/expires_at", "before it is due"),
        ({"priority": "urgent"}, "/priority", "'high'"),
        ({"on_unconfirmed": "ignore"}, "/on_unconfirmed", "'settle'"),
        ({"save_to_sent_items": "no"}, "/save_to_sent_items", "boolean"),
        ({"transport": "pigeon"}, "/transport", "graph, smtp"),
    ],
)
async def test_every_malformed_field_is_pointed_at_with_its_rule(
    door: Door, change: dict[str, object], pointer: str, said: str
) -> None:
    answer = await submit(door, SIMPLE | change)
    assert answer.status_code == 422, answer.text
    error = answer.json()["errors"][0]
    assert error["pointer"] == pointer
    assert said in error["detail"]


async def test_all_malformed_fields_are_named_at_once(door: Door) -> None:
    answer = await submit(door, {"to": ["a@example.org", "b"], "priority": "urgent", "sbject": "x"})
    assert {error["pointer"] for error in answer.json()["errors"]} == {"/from", "/to/1", "/priority", "/sbject"}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'"x"', b"{", b'{"from": NaN}', b"\xff\xfe{", b'{"a": "\xff"}', b"[" * 10_000]
)
async def test_what_is_no_json_object_is_refused(door: Door, body: bytes) -> None:
    answer = await raw(door, body, "application/json")
    assert answer.status_code in (400, 422)
    assert answer.json()["code"] in ("invalid_json", "validation_error")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_numbers_that_json_does_not_have_never_reach_the_spool(door: Door, number: str) -> None:
    body = b'{"from":"a@contoso.com","to":"x@example.org","metadata":{"n":%s}}' % number.encode()
    answer = await raw(door, body, "application/json")
    assert answer.status_code in (400, 422), answer.text


@pytest.mark.parametrize("key", ["", "x" * 257, "a b", "ä"])
async def test_an_idempotency_key_is_1_to_256_visible_ascii(door: Door, key: str) -> None:
    headers = [(b"idempotency-key", key.encode())]
    answer = await (await door.http()).post(URL, json=SIMPLE, headers=headers)
    assert answer.json()["code"] == "invalid_idempotency_key"
    assert (await submit(door, **{"idempotency-key": "!" + "~" * 255})).status_code == 202


@pytest.mark.parametrize(
    ("media", "encoding"),
    [("text/plain", ""), ("", ""), ("application/json; charset=latin-1", ""), ("application/json", "gzip")],
)
async def test_other_media_are_refused_before_they_are_read(door: Door, media: str, encoding: str) -> None:
    headers = {"content-type": media} | ({"content-encoding": encoding} if encoding else {})
    answer = await (await door.http()).post(URL, content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_a_body_without_length_is_bounded_while_it_is_read(door: Door) -> None:
    read = 0

    async def endless() -> AsyncGenerator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b" " * 1024 * 1024

    http = await door.http()
    answer = await http.post(URL, content=endless(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["limit_bytes"]) == (413, 10 * 1024 * 1024)
    assert read <= 12


async def test_a_body_that_says_it_is_too_long_is_not_read_at_all(door: Door) -> None:
    async def never() -> AsyncGenerator[bytes]:
        raise AssertionError
        yield b""

    headers = {"content-type": "application/json", "content-length": str(10 * 1024 * 1024 + 1)}
    answer = await (await door.http()).post(URL, content=never(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "message_too_large")


async def test_a_fault_in_the_middle_of_an_answer_begins_no_second_one(door: Door) -> None:
    """The server closes the connection then, and the client sees that the answer is not whole."""
    sent: list[object] = []

    async def broken(_request: Request) -> Response:
        async def half() -> AsyncGenerator[bytes]:
            yield b"half"
            raise ZeroDivisionError

        return StreamingResponse(half())

    async def receive() -> MutableMapping[str, object]:
        return {"type": "http.request", "body": b""}

    async def send(message: MutableMapping[str, object]) -> None:
        sent.append(message["type"])

    assert isinstance(door.app, FastAPI)
    door.app.get("/broken")(broken)
    scope = {"type": "http", "method": "GET", "path": "/broken", "headers": [], "query_string": b"", "client": None}
    with pytest.raises(ZeroDivisionError):
        await door.app(scope | {"asgi": {"spec_version": "2.4"}}, receive, send)
    assert sent == ["http.response.start", "http.response.body"]


async def test_nothing_is_read_from_a_caller_without_credentials(door: Door) -> None:
    async def never() -> AsyncGenerator[bytes]:
        raise AssertionError
        yield b""

    answer = await door.anonymous().post(URL, content=never(), headers={"content-type": "application/json"})
    assert answer.status_code == 401


async def test_a_raw_message_beyond_the_limit_of_the_settings_names_it(door: Door) -> None:
    answer = await raw(door, b"x" * 36_700_161, "message/rfc822")
    assert (answer.status_code, answer.json()["limit_bytes"]) == (413, 36_700_160)


async def test_refusals_show_no_value_that_a_client_sent_in_a_secret_place(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    key = await door.key()
    with caplog.at_level(logging.DEBUG, "posthouse"):
        answer = await door.anonymous(authorization=f"Bearer {key}x").post(URL, json=SIMPLE)
        body = SIMPLE | {"text": ["planted-body"], "attachments": [{"filename": "a", "content": "planted-file!"}]}
        other = await submit(door, body)
    assert key not in answer.text + caplog.text
    assert "planted" not in other.text + caplog.text
    assert base64.b64encode(b"planted").decode() not in other.text


async def test_a_method_that_an_address_does_not_know_is_told_which_it_does(door: Door) -> None:
    answer = await (await door.http()).put(URL, json=SIMPLE)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
