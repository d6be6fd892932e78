"""What the Graph door refuses, in Graph's words; what it takes twice and keeps once; and base64 MIME."""

import asyncio
import os
import re
from base64 import b64encode, encodebytes
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from posthouse.clients.failures import PER_MINUTE as FAILURES_PER_MINUTE
from posthouse.clients.forms import make_key
from posthouse.doors.problems import TABLE, graph_of
from posthouse.identities import KeyRow
from posthouse.policy import Terms
from posthouse.refusal import Condition
from tests.contract.graph_door import FROM, SIMPLE, URL, count, file, id_of, mail, person, raw_mail, record, send
from tests.contract.graph_door import send_mime as mime
from tests.contract.rest_door import Door, rest_door

MAIL = b"From: Shop <noreply@contoso.com>\r\nTo: jo@example.org\r\nSubject: Hi\r\nDate: Tue, 24 Nov 2026 09:30:00 +0100\r\nMessage-ID: <own.1@contoso.com>\r\n\r\nHello\r\n"


@pytest.fixture
async def door(tmp_path: Path) -> AsyncGenerator[Door]:
    async with rest_door(tmp_path, admin=False) as opened:
        yield opened


async def as_json(door: Door, content: bytes, **headers: str) -> httpx.Response:
    return await (await door.http()).post(URL, content=content, headers={"content-type": "application/json"} | headers)


async def anonymous(door: Door, **headers: str) -> httpx.Response:
    return await door.anonymous(**headers).post(URL, json={"message": SIMPLE})


async def many_wrong_keys(door: Door) -> httpx.Response:
    for _ in range(FAILURES_PER_MINUTE):
        await anonymous(door, authorization="Bearer ph_live_x")
    return await anonymous(door, authorization="Bearer ph_live_x")


async def reused_key(door: Door) -> httpx.Response:
    await send(door, headers={"idempotency-key": "k"})
    return await send(door, message=SIMPLE | {"subject": "Other"}, headers={"idempotency-key": "k"})


async def while_closed(door: Door, condition: Condition) -> httpx.Response:
    http = await door.http()
    door.state.closed = condition
    return await http.post(URL, json={"message": SIMPLE})


async def on_a_full_disk(door: Door) -> httpx.Response:
    http = await door.http()
    await door.fill_disk()
    return await http.post(URL, json={"message": SIMPLE | {"body": {"content": "x" * 1_000_000}}})


async def slow_client(door: Door) -> httpx.Response:
    async def body() -> AsyncGenerator[bytes]:
        yield b64encode(MAIL[:30])
        door.clock.ahead += 100_000
        await asyncio.Event().wait()

    return await (await door.http()).post(URL, content=body(), headers={"content-type": "text/plain"})


REACHED: dict[Condition, tuple[int, str, Callable[[Door], Awaitable[httpx.Response]]]] = {
    Condition.INVALID_JSON: (400, "BadRequest", lambda door: as_json(door, b"{")),
    Condition.INVALID_IDEMPOTENCY_KEY: (400, "BadRequest", lambda door: send(door, headers={"idempotency-key": "a b"})),
    Condition.MISSING_CREDENTIALS: (401, "InvalidAuthenticationToken", anonymous),
    Condition.INVALID_KEY: (
        401,
        "InvalidAuthenticationToken",
        lambda door: anonymous(door, authorization="Bearer ph_live_x"),
    ),
    Condition.INSUFFICIENT_SCOPE: (403, "ErrorAccessDenied", lambda door: by(door, scopes=("read",))),
    Condition.SENDER_NOT_ALLOWED: (403, "ErrorSendAsDenied", lambda door: send(door, URL.replace("contoso", "x"))),
    Condition.RECIPIENT_NOT_ALLOWED: (403, "ErrorAccessDenied", lambda door: by(door, domains=("contoso.com",))),
    Condition.NOT_FOUND: (400, "BadRequest", lambda door: send(door, "/v1.0/me/messages")),
    Condition.METHOD_NOT_ALLOWED: (405, "Request_BadRequest", lambda door: door.anonymous().get(URL)),
    Condition.REQUEST_TIMEOUT: (408, "RequestTimeout", slow_client),
    Condition.MESSAGE_TOO_LARGE: (413, "ErrorMessageSizeExceeded", lambda door: as_json(door, b" " * 10_485_761)),
    Condition.UNSUPPORTED_MEDIA_TYPE: (
        415,
        "UnsupportedMediaType",
        lambda door: as_json(door, b"{}", **{"content-encoding": "gzip"}),
    ),
    Condition.VALIDATION_ERROR: (400, "ErrorInvalidRequest", lambda door: as_json(door, b"{}")),
    Condition.TOO_MANY_RECIPIENTS: (
        400,
        "ErrorInvalidRecipients",
        lambda door: send(door, message=SIMPLE | {"ccRecipients": [person(f"a{n}@x.org") for n in range(500)]}),
    ),
    Condition.INVALID_ATTACHMENT: (
        400,
        "ErrorInvalidRequest",
        lambda door: send(door, message=SIMPLE | {"attachments": [file(contentBytes="!")]}),
    ),
    Condition.INVALID_MIME: (400, "ErrorMimeContentInvalid", lambda door: mime(door, b"no header")),
    Condition.IDEMPOTENCY_KEY_REUSED: (422, "UnprocessableEntity", reused_key),
    Condition.QUOTA_EXCEEDED: (429, "TooManyRequests", many_wrong_keys),
    Condition.SPOOL_FULL: (503, "serviceNotAvailable", on_a_full_disk),
    Condition.STORAGE_LOW: (503, "serviceNotAvailable", lambda door: while_closed(door, Condition.STORAGE_LOW)),
    Condition.DRAINING: (503, "serviceNotAvailable", lambda door: while_closed(door, Condition.DRAINING)),
}


async def by(door: Door, *, scopes: tuple[str, ...] = (), domains: tuple[str, ...] = ()) -> httpx.Response:
    return await (await door.http(*scopes, domains=domains)).post(URL, json={"message": SIMPLE})


@pytest.mark.parametrize("condition", REACHED)
async def test_every_condition_is_said_in_graphs_shape_with_graphs_code(condition: Condition, door: Door) -> None:
    status, code, reach = REACHED[condition]
    assert graph_of(condition) == (status, code)
    answer = await reach(door)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/json"
    assert error["message"]
    inner = error["innerError"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", inner["date"])
    assert inner["request-id"] == answer.headers["request-id"] == answer.headers["x-request-id"]
    assert inner["client-request-id"] == answer.headers["client-request-id"] == inner["request-id"]
    assert ("retry-after" in answer.headers) == (status in (429, 503))
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert answer.headers.get("allow") == ("POST" if status == 405 else None)


def test_every_condition_has_a_status_and_a_code_for_graph() -> None:
    for condition in TABLE:
        status, code = graph_of(condition)
        assert 400 <= status <= 503
        assert re.fullmatch(r"[A-Za-z_]+", code)


@pytest.mark.parametrize("path", ["/v1.0", "/beta/", "/v1.0/users/a@b.org", "/beta/$batch", "/V1.0/me/messages"])
async def test_what_posthouse_has_not_of_graph_is_refused_as_graph_refuses_it(path: str, door: Door) -> None:
    answer = await (await door.http()).get(path, headers={"client-request-id": "mine"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "BadRequest")
    assert "Resource not found for the segment" in error["message"]
    assert error["innerError"]["client-request-id"] == answer.headers["client-request-id"] == "mine"


async def test_the_native_door_keeps_its_own_words(door: Door) -> None:
    for path in ("/v1/nothing", "/v1.1/me/sendMail", "/betas"):
        answer = await (await door.http()).post(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "sendMail" not in str(door.app.openapi())


async def test_a_fault_of_ours_says_nothing_but_its_id(door: Door) -> None:
    http = await door.http()

    def broken(_count: int) -> bytes:
        raise OSError("secret-place")

    door.step._chance = broken
    answer = await http.post(URL, json={"message": SIMPLE})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (500, "InternalServerError")
    assert error["innerError"]["request-id"] == answer.headers["x-request-id"]
    assert "secret-place" not in answer.text


async def test_a_client_over_its_own_rate_is_told_so_and_when_to_come_again(tmp_path: Path) -> None:
    key = make_key(os.urandom)
    row = KeyRow(
        id=key.id, client="shop", key_hash=key.hash, senders=(FROM,), recipient_domains=(), scopes=("submit",),
        created_at=0, expires_at=None, revoked_at=None, last_used_at=None,
    )  # fmt: skip
    async with rest_door(tmp_path, admin=False, fixed=(row,), terms={"shop": Terms(rate_per_minute=1)}) as door:
        http = door.anonymous(authorization=f"Bearer {key.text}")
        first = await http.post(URL, json={"message": SIMPLE}, headers=RETRY)
        assert first.headers["ratelimit"].startswith('"minute";r=0;')
        over = await http.post(URL, json={"message": SIMPLE})
        assert (over.status_code, over.json()["error"]["code"]) == (429, "TooManyRequests")
        door.clock.ahead += int(over.headers["retry-after"]) * 1000
        assert (await http.post(URL, json={"message": SIMPLE})).status_code == 202


# --- the same request again -----------------------------------------------------------------------------------------

RETRY = {"client-request-id": "0b2ad2f0-3b0b-4f5d-9f6e-1f4b5f3d2a11"}


async def test_a_retry_with_the_same_client_request_id_is_the_same_message(door: Door) -> None:
    first = await send(door, headers=RETRY)
    again = await send(door, headers=RETRY)
    assert id_of(again) == id_of(first)
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    assert await count(door) == 1


async def test_the_same_id_with_another_body_mailbox_or_client_is_another_message(door: Door) -> None:
    others = [
        await send(door, headers=RETRY),
        await send(door, message=SIMPLE | {"subject": "Other"}, headers=RETRY),
        await send(door, URL.replace("noreply", "alerts"), headers=RETRY),
        await (await door.http(client="billing")).post(URL, json={"message": SIMPLE}, headers=RETRY),
        await mime(door, MAIL, headers=RETRY),
        await send(door),
        await send(door),
    ]
    assert len({id_of(answer) for answer in others}) == len(others)


async def test_after_15_minutes_the_same_request_is_a_new_message_whose_retries_are_it(door: Door) -> None:
    seen = []
    for _ in range(4):
        first = id_of(await send(door, headers=RETRY))
        door.clock.ahead += 14 * 60_000
        assert id_of(await send(door, headers=RETRY)) == first
        seen.append(first)
        door.clock.ahead += 2 * 60_000
    assert len(set(seen)) == 4 == await count(door)


async def test_retries_at_the_same_moment_are_one_message_also_after_15_minutes(door: Door) -> None:
    http = await door.http()
    for _ in range(2):
        answers = await asyncio.gather(*(http.post(URL, json={"message": SIMPLE}, headers=RETRY) for _ in range(5)))
        assert len({id_of(answer) for answer in answers}) == 1
        door.clock.ahead += 16 * 60_000
    assert await count(door) == 2


async def test_an_idempotency_key_counts_as_at_rest_and_goes_before_the_client_request_id(door: Door) -> None:
    key = {"idempotency-key": "order-7"}
    first = await send(door, headers=key | RETRY)
    door.clock.ahead += 60 * 60_000
    again = await send(door, headers=key | {"client-request-id": "other"})
    assert id_of(again) == id_of(first)
    other = await send(door, message=SIMPLE | {"subject": "Other"}, headers=key | RETRY)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "UnprocessableEntity")


async def test_no_client_request_id_meets_an_idempotency_key_of_any_door(door: Door) -> None:
    http = await door.http()
    native = {"from": FROM, "to": "jo@example.org", "subject": "Hi", "text": "Hello"}
    for name in ("idempotency-key", "client-request-id"):
        assert (await http.post(URL, json={"message": SIMPLE}, headers={name: "same"})).status_code == 202
    refused = await http.post("/v1/messages", json=native, headers={"idempotency-key": "same"})
    assert refused.json()["code"] == "idempotency_key_reused"
    assert await count(door) == 2


async def test_a_retry_of_a_large_mime_message_is_one_message(door: Door) -> None:
    large = MAIL + b"x" * 70 + b"\r\n" + (b"y" * 76 + b"\r\n") * 20_000
    first, again = await mime(door, large, headers=RETRY), await mime(door, large, headers=RETRY)
    assert id_of(again) == id_of(first)
    door.clock.ahead += 16 * 60_000
    later = await mime(door, large, headers=RETRY)
    assert id_of(later) != id_of(first)
    assert await raw_mail(door, later) == large


# --- base64 MIME ----------------------------------------------------------------------------------------------------


async def test_a_mime_message_is_kept_byte_for_byte_however_its_base64_is_broken_and_cut(door: Door) -> None:
    http = await door.http()
    whole = encodebytes(MAIL).replace(b"\n", b"\r\n")

    async def pieces(size: int) -> AsyncGenerator[bytes]:
        for at in range(0, len(whole), size):
            yield whole[at : at + size]

    for size in (1, 3, 77, 10_000):
        answer = await http.post(URL, content=pieces(size), headers={"content-type": "text/plain; charset=utf-8"})
        assert await raw_mail(door, answer) == MAIL
    found = await record(door, answer)
    assert (found.door, found.message_id, found.sender) == ("graph", "<own.1@contoso.com>", FROM)


async def test_nothing_comes_after_the_padding_of_base64_wherever_it_is_cut(door: Door) -> None:
    async def pieces() -> AsyncGenerator[bytes]:
        yield b64encode(MAIL + b"1")
        yield b"QUJD"

    assert b64encode(MAIL + b"1").endswith(b"=")
    answer = await (await door.http()).post(URL, content=pieces(), headers={"content-type": "text/plain"})
    assert answer.json()["error"]["code"] == "ErrorMimeContentInvalidBase64String"


@pytest.mark.parametrize(
    "content",
    [
        MAIL,
        b"!" + b64encode(MAIL),
        b64encode(MAIL)[:-1],
        b64encode(MAIL + b"1") + b"QUJD",
        b64encode(MAIL + b"1") + b"\r\n\r\nQUJD",
        b64encode(MAIL).replace(b"S", b"="),
        b"QUI=QUJD" + b64encode(MAIL),
        b"=",
    ],
)
async def test_what_is_no_base64_is_refused_as_graph_refuses_it(content: bytes, door: Door) -> None:
    answer = await (await door.http()).post(URL, content=content, headers={"content-type": "text/plain"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "ErrorMimeContentInvalidBase64String")
    assert await count(door) == 0


async def test_mime_without_from_comes_from_the_mailbox_of_the_url(door: Door) -> None:
    answer = await mime(door, MAIL.replace(b"From: Shop <noreply@contoso.com>\r\n", b""))
    assert (await mail(door, answer))["From"] == FROM
    answer = await mime(door, MAIL, "/v1.0/users/svc@contoso.com/sendMail")
    assert (await record(door, answer)).sender == FROM
    http = await door.http(senders=("*@contoso.com",))
    refused = await http.post(
        "/v1.0/me/sendMail", content=b64encode(b"To: jo@example.org\r\n\r\nx"), headers={"content-type": "text/plain"}
    )
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "ErrorMimeContentInvalid")


async def test_recipients_of_mime_are_those_of_its_header_and_bcc_leaves_it(door: Door) -> None:
    answer = await mime(door, b"Cc: kim@example.org\r\nBcc: blind@example.org\r\n" + MAIL)
    kinds = {one.address: one.kind for one in (await record(door, answer)).recipients}
    assert kinds == {"jo@example.org": "to", "kim@example.org": "cc", "blind@example.org": "bcc"}
    assert b"blind" not in await raw_mail(door, answer)
    for header in (b"To: nobody\r\n", b"Subject: x\r\n"):
        refused = await mime(door, b"From: noreply@contoso.com\r\n" + header + b"\r\nx\r\n")
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "ErrorInvalidRecipients")


async def test_a_mime_message_that_no_transport_carries_is_refused_with_the_limit(door: Door) -> None:
    answer = await (await door.http()).post(URL, content=b"QUJD" * 20_000_000, headers={"content-type": "text/plain"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "ErrorMessageSizeExceeded")
    assert "bytes" in answer.json()["error"]["message"]
