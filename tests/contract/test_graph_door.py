"""The Graph door's JSON: every field of a message that a mail can say is said, every other is refused by name."""

from base64 import b64encode
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from posthouse.message import Priority, Status
from tests.contract.graph_door import BODY, FROM, SIMPLE, TO, URL, count, file, id_of, mail, person, record, send
from tests.contract.rest_door import Door, rest_door


@pytest.fixture
async def door(tmp_path: Path) -> AsyncGenerator[Door]:
    async with rest_door(tmp_path, admin=False) as opened:
        yield opened


# --- where and as whom ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "/v1.0/users/noreply@contoso.com/sendMail",
        "/v1.0/users/noreply%40contoso.com/sendMail",
        "/v1.0/users/noreply@contoso.com/microsoft.graph.sendMail",
        "/beta/users/noreply@contoso.com/sendMail",
        "/V1.0/Users/noreply@contoso.com/SendMail",
        "/v1.0/users/noreply@contoso.com/sendmail?api-version=1",
        "/v1.0/users/a%2Fb@contoso.com/sendMail",
        "/v1.0/me/sendMail",
        "/beta/me/microsoft.graph.sendMail",
    ],
)
async def test_every_address_of_send_mail_answers_202_as_graph_does(url: str, door: Door) -> None:
    http = await door.http(senders=("*@fabrikam.com", "noreply@contoso.com", "a/b@contoso.com"))
    answer = await http.post(url, json={"message": SIMPLE}, headers={"client-request-id": "6c9c"})
    found = await record(door, answer)
    assert answer.headers["location"] == f"/v1/messages/{found.id}"
    assert answer.headers["client-request-id"] == "6c9c"
    assert answer.headers["content-length"] == "0"
    assert (found.door, found.subject, found.status) == ("graph", "Hi", Status.QUEUED)
    assert found.sender == ("a/b@contoso.com" if "%2F" in url else FROM)
    assert (await http.get(answer.headers["location"])).json()["id"] == found.id


async def test_from_is_who_sends_wherever_the_url_points_and_must_be_allowed(door: Door) -> None:
    http = await door.http(senders=("alerts@contoso.com",))
    own = {"from": person("alerts@contoso.com", "Alerts")}
    sent = await http.post("/v1.0/users/svc@contoso.com/sendMail", json={"message": SIMPLE | own})
    assert (await mail(door, sent))["From"] == "Alerts <alerts@contoso.com>"
    for message in (SIMPLE, SIMPLE | {"from": person("ceo@contoso.com")}):
        answer = await http.post("/v1.0/users/svc@contoso.com/sendMail", json={"message": message})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "ErrorSendAsDenied")
    assert (await http.post("/v1.0/me/sendMail", json={"message": SIMPLE | own})).status_code == 202


async def test_the_sender_may_only_repeat_what_the_url_or_from_says(door: Door) -> None:
    for address in ("NOREPLY@contoso.com", "alerts@contoso.com"):
        message = SIMPLE | {"from": person("alerts@contoso.com"), "sender": person(address)}
        assert (await send(door, message=message)).status_code == 202
    refused = await send(door, message=SIMPLE | {"sender": person("other@contoso.com")})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "ErrorSendAsDenied")
    assert "/message/sender" in refused.json()["error"]["message"]


async def test_me_needs_a_sender_that_is_no_pattern(door: Door) -> None:
    url = "/v1.0/me/sendMail"
    refused = await send(door, url)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "BadRequest")
    assert "*@contoso.com" in refused.json()["error"]["message"]
    assert (await send(door, url, message=SIMPLE | {"from": person(FROM)})).status_code == 202


@pytest.mark.parametrize("user", ["5a4d0000-0000-4000-8000-0000000000a9", "nobody", "x/messages/1"])
async def test_a_mailbox_is_named_by_its_address(user: str, door: Door) -> None:
    answer = await send(door, f"/v1.0/users/{user}/sendMail")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "ErrorInvalidUser")
    assert user in answer.json()["error"]["message"]


# --- fields that are said -------------------------------------------------------------------------------------------


async def test_a_message_with_every_field_is_kept_as_the_mail_that_it_says(door: Door) -> None:
    message = {
        "@odata.type": "#microsoft.graph.message",
        "subject": "Grüße",
        "body": {"contentType": "HTML", "content": '<p>Hello <img src="cid:logo"></p>'},
        "toRecipients": [person("jo@example.org", "Jo, the first"), person("kim@example.org")],
        "ccRecipients": [person("cc@example.org")],
        "bccRecipients": [person("blind@example.org")],
        "replyTo": [person("help@contoso.com", "Help")],
        "from": person(FROM, "Shop"),
        "sender": person(FROM),
        "importance": "High",
        "internetMessageHeaders": [{"name": "x-order", "value": "7"}, {"name": "X-Team", "value": "Süd"}],
        "internetMessageId": "<own.7@contoso.com>",
        "isReadReceiptRequested": True,
        "isDeliveryReceiptRequested": False,
        "categories": ["Orders", "Blue category"],
        "sensitivity": "confidential",
        "flag": {"flagStatus": "notFlagged"},
        "inferenceClassification": "focused",
        "attachments": [
            file(),
            file(name="logo.png", contentType="image/png", contentId="logo", isInline=True),
        ],
        "singleValueExtendedProperties": [
            {"id": "String 0x1045", "value": "<mailto:stop@contoso.com>"},
            {"id": "String 0x1042", "value": "<first@example.org>"},
        ],
        "multiValueExtendedProperties": [],
        "extensions": [],
    }
    answer = await send(door, message=message)
    found = await record(door, answer)
    got = await mail(door, answer)
    assert {one.address: one.kind for one in found.recipients} == {
        "jo@example.org": "to",
        "kim@example.org": "to",
        "cc@example.org": "cc",
        "blind@example.org": "bcc",
    }
    assert found.message_id == "<own.7@contoso.com>"
    assert {name: str(got[name]) for name in got if name not in ("Date", "Content-Type", "MIME-Version")} == {
        "From": "Shop <noreply@contoso.com>",
        "To": '"Jo, the first" <jo@example.org>, kim@example.org',
        "Cc": "cc@example.org",
        "Reply-To": "Help <help@contoso.com>",
        "Subject": "Grüße",
        "Message-ID": "<own.7@contoso.com>",
        "Importance": "high",
        "Disposition-Notification-To": FROM,
        "Keywords": "Orders, Blue category",
        "Sensitivity": "Company-Confidential",
        "List-Unsubscribe": "<mailto:stop@contoso.com>",
        "In-Reply-To": "<first@example.org>",
        "x-order": "7",
        "X-Team": "Süd",
    }
    leaves = [part for part in got.walk() if not part.is_multipart()]
    assert [(part.get_content_type(), part.get_filename(), part["Content-ID"]) for part in leaves] == [
        ("text/html", None, None),
        ("image/png", "logo.png", "<logo>"),
        ("text/csv", "list.csv", None),
    ]
    assert leaves[0].get_content().rstrip("\n") == '<p>Hello <img src="cid:logo"></p>'
    assert [part.get_content_disposition() for part in leaves[1:]] == ["inline", "attachment"]
    assert leaves[1].get_payload(decode=True) == leaves[2].get_payload(decode=True) == b"a,b\r\n"


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ({"contentType": "text", "content": "a"}, "text/plain", "a"),
        ({"content": "a"}, "text/plain", "a"),
        ({"contentType": "html"}, "text/html", ""),
        (None, "text/plain", ""),
    ],
)
async def test_a_body_is_text_unless_it_says_html(body: object, kind: str, text: str, door: Door) -> None:
    got = await mail(door, await send(door, message=SIMPLE | {"body": body}))
    assert (got.get_content_type(), got.get_content().strip()) == (kind, text)


@pytest.mark.parametrize("moment", ["2099-01-01T10:00:00Z", "2099-01-01T10:00:00.0000000Z", "2099-01-01T10:00:00"])
async def test_a_deferred_send_time_is_when_it_leaves(moment: str, door: Door) -> None:
    deferred = {"singleValueExtendedProperties": [{"id": "SystemTime 0x3FEF", "value": moment}]}
    found = await record(door, await send(door, message=SIMPLE | deferred))
    assert (found.status, found.due_at) == (Status.SCHEDULED, 4_070_944_800_000)


async def test_each_sensitivity_has_its_word_and_normal_has_none(door: Door) -> None:
    words = {"normal": None, "Personal": "Personal", "private": "Private"}
    for given, said in words.items():
        assert (await mail(door, await send(door, message=SIMPLE | {"sensitivity": given})))["Sensitivity"] == said


async def test_names_are_taken_in_any_case_as_dotnet_and_msgraph_sdk_write_them(door: Door) -> None:
    body = {
        "Message": {
            "Subject": "Hi",
            "Body": {"ContentType": "Html", "Content": "x"},
            "ToRecipients": [{"EmailAddress": {"Address": "jo@example.org", "Name": "Jo"}}],
            "InternetMessageHeaders": [{"Name": "X-A", "Value": "1"}],
            "Attachments": [{"@odata.type": "#Microsoft.Graph.fileAttachment", "Name": "a", "ContentBytes": "QQ=="}],
        },
        "SaveToSentItems": "false",
    }
    answer = await (await door.http()).post(URL, json=body)
    got = await mail(door, answer)
    assert (got["To"], got["X-A"], got["Subject"]) == ("Jo <jo@example.org>", "1", "Hi")


async def test_what_only_a_stored_item_has_and_null_and_annotations_are_as_if_absent(door: Door) -> None:
    stored = {
        "@odata.etag": 'W/"x"',
        "toRecipients@odata.type": "#Collection(microsoft.graph.recipient)",
        **dict.fromkeys(("id", "changeKey", "parentFolderId", "conversationId", "conversationIndex", "webLink"), "x"),
        **dict.fromkeys(("createdDateTime", "lastModifiedDateTime", "receivedDateTime", "sentDateTime"), "2020-01-01"),
        **dict.fromkeys(("isRead", "isDraft", "hasAttachments"), True),
        "bodyPreview": "x",
        "uniqueBody": BODY,
        **dict.fromkeys(("from", "ccRecipients", "importance", "flag", "internetMessageHeaders", "mentions"), None),
        "attachments": [file(id="1", size=3, lastModifiedDateTime="2020-01-01", contentLocation=None, contentId=None)],
        "toRecipients": [{"emailAddress": {"address": "jo@example.org", "name": None}}],
    }
    plain = await mail(door, await send(door, message=SIMPLE | {"attachments": [file()]}))
    got = await mail(door, await send(door, message=SIMPLE | stored))
    own = ("Date", "Message-ID", "Content-Type")
    assert [(n, v) for n, v in got.items() if n not in own] == [(n, v) for n, v in plain.items() if n not in own]


# --- fields that are refused ----------------------------------------------------------------------------------------

ADDRESS = "/message/toRecipients/0/emailAddress/address"


@pytest.mark.parametrize(
    ("change", "code", "place", "said"),
    [
        ({"bccRecipient": TO}, "RequestBodyRead", "/message/bccRecipient", "did you mean 'bccRecipients'?"),
        ({"to": TO}, "RequestBodyRead", "/message/to", "unknown field"),
        ({"subject": 7}, "ErrorInvalidRequest", "/message/subject", "string"),
        ({"subject": "a\r\nBcc: x@example.org"}, "ErrorInvalidRequest", "/message/subject", "line break"),
        ({"body": {"contentType": "rtf"}}, "ErrorInvalidRequest", "/message/body/contentType", "text, html"),
        ({"body": "Hello"}, "ErrorInvalidRequest", "/message/body", "dictionary"),
        ({"importance": "urgent"}, "ErrorInvalidRequest", "/message/importance", "low, normal, high"),
        ({"toRecipients": [person("a@x.org; b@x.org")]}, "ErrorInvalidRecipients", ADDRESS, "several recipients"),
        ({"toRecipients": [{"emailAddress": {}}]}, "ErrorInvalidRecipients", "/message/toRecipients/0/emailAddress/address", "RFC 5321"),
        ({"toRecipients": [], "replyTo": TO}, "ErrorInvalidRecipients", "/message/toRecipients", "no recipients"),
        ({"toRecipients": ["jo@example.org"]}, "ErrorInvalidRequest", "/message/toRecipients/0", "dictionary"),
        ({"toRecipients": [person("jo@example.org", "a\nb")]}, "ErrorInvalidRequest", "/message/toRecipients/0", "line break"),
        ({"from": person("nobody")}, "ErrorInvalidRecipients", "/message/from/emailAddress/address", "RFC 5321"),
        ({"internetMessageHeaders": [{"name": "Bcc", "value": "x@example.org"}]}, "InvalidInternetMessageHeader", "/message/internetMessageHeaders/0/name", "x-"),
        ({"internetMessageHeaders": [{"name": "X-A", "value": "a\nb"}]}, "ErrorInvalidRequest", "/message/internetMessageHeaders/X-A", "line break"),
        ({"internetMessageId": "own.7"}, "ErrorInvalidRequest", "/message/internetMessageId", "RFC 5322"),
        ({"isDeliveryReceiptRequested": True}, "notSupported", "/message/isDeliveryReceiptRequested", "no standard header"),
        ({"isReadReceiptRequested": "yes"}, "ErrorInvalidRequest", "/message/isReadReceiptRequested", "boolean"),
        ({"categories": ["a, b"]}, "ErrorInvalidRequest", "/message/categories/0", "RFC 5322"),
        ({"sensitivity": "secret"}, "ErrorInvalidRequest", "/message/sensitivity", "confidential"),
        ({"flag": {"flagStatus": "flagged"}}, "notSupported", "/message/flag", "leave the flag out"),
        ({"flag": {"flagStatus": "notFlagged", "dueDateTime": {}}}, "notSupported", "/message/flag", "leave"),
        ({"inferenceClassification": "other"}, "notSupported", "/message/inferenceClassification", "mailbox decides"),
        ({"extensions": [{"extensionName": "a"}]}, "notSupported", "/message/extensions", "leave it out"),
        ({"mentions": [{"id": "a"}]}, "notSupported", "/message/mentions", "leave it out"),
        ({"multiValueExtendedProperties": [{"id": "a"}]}, "notSupported", "/message/multiValueExtendedProperties", "leave it out"),
        ({"singleValueExtendedProperties": [{"id": "Integer 0x36", "value": "1"}]}, "notSupported", "/message/singleValueExtendedProperties/0/id", "String 0x1042"),
        ({"singleValueExtendedProperties": [{"id": "SystemTime 0x3FEF", "value": "soon"}]}, "ErrorInvalidRequest", "/message/singleValueExtendedProperties/0/value", "ISO 8601"),
        ({"@odata.type": "#microsoft.graph.eventMessageRequest"}, "notSupported", "/message/@odata.type", "eventMessageRequest"),
        ({"attachments": [file(**{"@odata.type": "#microsoft.graph.itemAttachment", "item": {}, "contentBytes": ...})]}, "notSupported", "/message/attachments/0/@odata.type", "itemAttachment"),
        ({"attachments": [file(**{"@odata.type": "#microsoft.graph.referenceAttachment", "sourceUrl": "https://x", "contentBytes": ...})]}, "notSupported", "/message/attachments/0/@odata.type", "referenceAttachment"),
        ({"attachments": [file(contentBytes=...)]}, "ErrorInvalidRequest", "/message/attachments/0/contentBytes", "required"),
        ({"attachments": [file(contentBytes="no base64!")]}, "ErrorInvalidRequest", "/message/attachments/0/contentBytes", "base64"),
        ({"attachments": [file(contentType="pdf")]}, "ErrorInvalidRequest", "/message/attachments/0/contentType", "type/subtype"),
        ({"attachments": [file(name="a\n")]}, "ErrorInvalidRequest", "/message/attachments/0/name", "line break"),
        ({"attachments": [file(contentId="a"), file(contentId="a")]}, "ErrorInvalidRequest", "/message/attachments/1/contentId", "RFC 2045"),
        ({"attachments": [file(isInline="true")]}, "ErrorInvalidRequest", "/message/attachments/0/isInline", "boolean"),
        ({"attachments": [file(expires="soon")]}, "RequestBodyRead", "/message/attachments/0/expires", "unknown field"),
    ],
)  # fmt: skip
async def test_what_a_mail_cannot_say_is_refused_by_name(
    change: dict[str, object], code: str, place: str, said: str, door: Door
) -> None:
    answer = await send(door, message=SIMPLE | change)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, code), answer.text
    assert place in error["message"]
    assert said in error["message"]
    assert [one["target"] for one in error["details"]] == [place]
    assert await count(door) == 0


async def test_all_fields_at_fault_are_named_at_once(door: Door) -> None:
    answer = await send(door, message={"subject": 7, "toRecipients": TO, "importance": "urgent", "bdy": {}})
    details = answer.json()["error"]["details"]
    assert {one["target"] for one in details} == {"/message/subject", "/message/importance", "/message/bdy"}


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", "BadRequest", "JSON"),
        (b'{"message": NaN}', "BadRequest", "JSON"),
        (b"[" * 10_000, "BadRequest", "JSON"),
        (b"[]", "ErrorInvalidRequest", "dictionary"),
        (b"{}", "ErrorInvalidRequest", "/message"),
        (b'{"subject": "no wrapper"}', "ErrorInvalidRequest", "/message"),
        (b'{"message": {}, "Message": {}}', "RequestBodyRead", "twice"),
        (b'{"message": null}', "ErrorInvalidRequest", "/message"),
    ],
)
async def test_what_is_no_request_of_send_mail_is_refused(content: bytes, code: str, said: str, door: Door) -> None:
    answer = await (await door.http()).post(URL, content=content, headers={"content-type": "application/json"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, code), answer.text
    assert said in error["message"]


async def test_a_parameter_beside_the_message_is_refused_by_name(door: Door) -> None:
    for extra, place in (({"saveToSentItems": "no"}, "/saveToSentItems"), ({"comment": "x"}, "/comment")):
        answer = await (await door.http()).post(URL, json={"message": SIMPLE} | extra)
        assert (answer.status_code, answer.json()["error"]["details"][0]["target"]) == (400, place)


async def test_files_of_some_megabytes_are_taken_as_graph_takes_them_and_the_priority_is_normal(door: Door) -> None:
    content = b64encode(bytes(range(256)) * 12_000).decode()
    answer = await send(door, message=SIMPLE | {"attachments": [file(contentBytes=content)]})
    assert (await record(door, answer)).priority is Priority.NORMAL
    (part,) = (await mail(door, answer)).iter_attachments()
    assert part.get_payload(decode=True) == bytes(range(256)) * 12_000
    assert id_of(answer)
