"""POST /v1/messages as message/rfc822: kept as it came but for Bcc, Message-ID and Date."""

import httpx
import pytest

from posthouse.message import MessageId
from tests.contract.rest_door import Door

PLAIN = (
    b"From: Shop <noreply@contoso.com>\r\n"
    b"To: Jo <jo@example.org>,\r\n kim@example.org\r\n"
    b"cC: c@example.org\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Date: Tue, 24 Nov 2026 09:30:00 +0100\r\n"
    b"Message-ID: <own.1@contoso.com>\r\n"
)
BODY = b"Hello\r\n.\r\n=20\r\n"


async def post(door: Door, raw: bytes, query: str = "", **headers: str) -> httpx.Response:
    http = await door.http("submit", "read")
    return await http.post(f"/v1/messages{query}", content=raw, headers={"content-type": "message/rfc822"} | headers)


async def kept(door: Door, answer: httpx.Response) -> tuple[bytes, bytes]:
    assert answer.status_code == 202, answer.text
    content = await door.spool.content(await door.spool.key_of(MessageId(answer.json()["id"])) or 0)
    assert content is not None
    return content.header, b"".join([block async for block in content.body.blocks()])


async def recipients(door: Door, answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 202, answer.text
    record = await door.spool.get(MessageId(answer.json()["id"]), now=door.clock.now())
    assert record is not None
    return {recipient.address: recipient.kind for recipient in record.recipients}


async def test_a_complete_message_is_kept_byte_for_byte(door: Door) -> None:
    answer = await post(door, PLAIN + b"\r\n" + BODY)
    assert await kept(door, answer) == (PLAIN, BODY)
    assert await recipients(door, answer) == {"jo@example.org": "to", "kim@example.org": "to", "c@example.org": "cc"}
    record = await door.spool.get(MessageId(answer.json()["id"]), now=door.clock.now())
    assert record is not None
    assert (record.subject, record.message_id, record.sender) == ("Grüße", "<own.1@contoso.com>", "noreply@contoso.com")


async def test_bcc_joins_the_envelope_and_leaves_the_content(door: Door) -> None:
    answer = await post(door, PLAIN + b"bcc: Secret <s@example.org>,\r\n\tt@example.org\r\n\r\n" + BODY)
    assert (await kept(door, answer))[0] == PLAIN
    found = await recipients(door, answer)
    assert (found["s@example.org"], found["t@example.org"]) == ("bcc", "bcc")


async def test_to_in_the_address_line_is_the_whole_envelope(door: Door) -> None:
    raw = PLAIN + b"Bcc: s@example.org\r\n\r\n" + BODY
    answer = await post(door, raw, "?to=jo@example.org,x@example.org&to=y@example.org")
    assert await recipients(door, answer) == {"jo@example.org": "to", "x@example.org": "bcc", "y@example.org": "bcc"}
    assert (await kept(door, answer))[0] == PLAIN


async def test_header_recipients_outside_the_envelope_are_announced(door: Door) -> None:
    dry = await post(door, PLAIN + b"\r\n" + BODY, "?to=jo@example.org&dry_run=true")
    assert dry.json()["route"] == ["smtp"]
    pinned = await post(door, PLAIN + b"\r\n" + BODY, "?to=jo@example.org&transport=graph&dry_run=true")
    assert [warning["code"] for warning in pinned.json()["warnings"]] == ["header_recipients_dropped"]


async def test_bare_line_feeds_become_crlf(door: Door) -> None:
    answer = await post(door, (PLAIN + b"\r\n" + BODY).replace(b"\r\n", b"\n"))
    assert await kept(door, answer) == (PLAIN, BODY)


@pytest.mark.parametrize(
    "given",
    [b"", b"Message-ID: none\r\n", b"Message-ID: <a@b>\r\nMessage-ID: <c@d>\r\n", b"Message-ID: <a@b> <c@d>\r\n"],
)
async def test_a_message_id_that_is_missing_double_or_invalid_is_replaced_by_ours(door: Door, given: bytes) -> None:
    head = PLAIN.replace(b"Message-ID: <own.1@contoso.com>\r\n", given)
    answer = await post(door, head + b"\r\n" + BODY)
    header, body = await kept(door, answer)
    record = await door.spool.get(MessageId(answer.json()["id"]), now=door.clock.now())
    assert record is not None
    assert header.lower().count(b"message-id:") == 1
    assert f"Message-ID: {record.message_id}\r\n".encode() in header
    assert answer.json()["id"] in record.message_id
    assert body == BODY


async def test_a_missing_date_is_added(door: Door) -> None:
    head = PLAIN.replace(b"Date: Tue, 24 Nov 2026 09:30:00 +0100\r\n", b"")
    header, _ = await kept(door, await post(door, head + b"\r\n" + BODY))
    assert header.startswith(head)
    assert header[len(head) :].startswith(b"Date: ")


async def test_options_stand_in_the_address_line(door: Door) -> None:
    query = "?reference=r-1&priority=low&send_in=60&expires_in=2h&on_unconfirmed=retry&tag.kind=bill"
    http = await door.http("submit", "read")
    answer = await post(door, PLAIN + b"\r\n" + BODY, query)
    shown = (await http.get(answer.headers["location"])).json()
    assert (shown["reference"], shown["priority"], shown["status"]) == ("r-1", "low", "scheduled")
    assert shown["expires_at"]
    assert shown["tags"] == {"kind": "bill"}


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (PLAIN, "blank line"),
        (PLAIN.replace(b"From: Shop <noreply@contoso.com>\r\n", b"") + b"\r\n", "one From"),
        (b"From: a@contoso.com\r\n" + PLAIN + b"\r\n", "one From"),
        (
            PLAIN.replace(b"Shop <noreply@contoso.com>", b"a@contoso.com, b@contoso.com") + b"\r\n",
            "exactly one address",
        ),
        (PLAIN.replace(b"Shop <noreply@contoso.com>", b"group:;") + b"\r\n", "exactly one address"),
        (PLAIN + b"\r\n" + b"x" * 999, "998"),
        (PLAIN + b"\r\n\0", "NUL"),
        (PLAIN + b"X: " + b"\xff\r\n\r\n", "UTF-8"),
        (PLAIN + b"no field\r\n\r\n", "field"),
        (PLAIN + b"Bcc: not an address\r\n\r\n", "cannot be read"),
        (PLAIN + b"Idempotency-Key: 1\r\n\r\n", "header of the request"),
        (b"From: a@contoso.com\r\nTo: undisclosed-recipients:;\r\n\r\n", "recipients"),
    ],
)
async def test_what_is_no_message_is_refused_and_the_rule_is_named(door: Door, raw: bytes, said: str) -> None:
    answer = await post(door, raw)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_mime")
    assert any(said in error["detail"] for error in answer.json()["errors"])


@pytest.mark.parametrize("name", [b"From", b"Sender"])
async def test_the_sender_policy_holds_for_what_the_header_says(door: Door, name: bytes) -> None:
    head = PLAIN.replace(b"From: Shop <noreply@contoso.com>", b"From: <ceo@fabrikam.com>") if name == b"From" else PLAIN
    answer = await post(door, head + (b"Sender: ceo@fabrikam.com\r\n" if name == b"Sender" else b"") + b"\r\n")
    assert (answer.status_code, answer.json()["code"]) == (403, "sender_not_allowed")


async def test_an_encoded_word_cannot_smuggle_a_sender_past_the_policy(door: Door) -> None:
    head = PLAIN.replace(b"Shop <noreply@contoso.com>", b"=?utf-8?q?noreply=40contoso.com?= <ceo@fabrikam.com>")
    assert (await post(door, head + b"\r\n")).status_code == 403
    head = PLAIN.replace(b"Shop <noreply@contoso.com>", b'"noreply@contoso.com" <ceo@fabrikam.com>')
    assert (await post(door, head + b"\r\n")).status_code == 403


async def test_a_raw_request_is_idempotent_over_envelope_options_and_bytes(door: Door) -> None:
    raw, key = PLAIN + b"\r\n" + BODY, {"idempotency-key": "k"}
    first = await post(door, raw, "?to=a@example.org", **key)
    assert (await post(door, raw, "?to=a@example.org", **key)).json() == first.json()
    for other, query in (
        (raw, "?to=b@example.org"),
        (raw, "?to=a@example.org&priority=low"),
        (raw + b"x", "?to=a@example.org"),
    ):
        assert (await post(door, other, query, **key)).json()["code"] == "idempotency_key_reused"


async def test_a_large_message_goes_through_whole(door: Door) -> None:
    body = (b"0123456789" * 7 + b"\r\n") * 60_000
    answer = await post(door, PLAIN + b"\r\n" + body)
    assert (await kept(door, answer))[1] == body
    record = await door.spool.get(MessageId(answer.json()["id"]), now=door.clock.now())
    assert record is not None
    assert record.route == ("smtp",)


@pytest.mark.parametrize(
    "query", ["?tp=a@example.org", "?to=nobody", "?priority=urgent", "?dry_run=1", "?send_in=soon"]
)
async def test_a_mistyped_parameter_is_refused(door: Door, query: str) -> None:
    answer = await post(door, PLAIN + b"\r\n" + BODY, query)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert answer.json()["errors"][0]["pointer"].startswith("/query/")
