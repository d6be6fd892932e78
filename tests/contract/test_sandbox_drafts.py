"""The emulator's drafts, files and upload sessions, as Microsoft documents them (FACTS A5, A6)."""

import asyncio
import hashlib
import json
import random
import ssl
import time
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from posthouse.sandbox.chaos import Rule, Stage, Target
from posthouse.sandbox.drawer import IMMUTABLE
from posthouse.sandbox.emulator import Emulator

pytest_plugins = ["posthouse.sandbox.pytest_plugin"]

ALERTS = "alerts@contoso.com"
MESSAGE_ID = "<own.1@contoso.com>"
TAG = "String {66f5a359-4659-4830-9070-00047ec6ac6e} Name posthouse"
DRAFT: dict[str, object] = {
    "subject": "Large",
    "internetMessageId": MESSAGE_ID,
    "body": {"contentType": "text", "content": "See the file.\r\n"},
    "toRecipients": [{"emailAddress": {"address": "ann@example.com", "name": "Ann"}}],
    "bccRecipients": [{"emailAddress": {"address": "secret@example.com"}}],
    "singleValueExtendedProperties": [{"id": TAG, "value": "msg_1"}, {"id": "String 0x1042", "value": "<old@x>"}],
}
RANGE = 3_932_160
IMMUTABLE_IDS = {"prefer": 'IdType="ImmutableId"'}


class Client:
    """A plain HTTP client of one mailbox."""

    def __init__(self, emulator: Emulator, http: httpx.AsyncClient, token: str) -> None:
        self.world = emulator.world
        self.url = f"{emulator.graph_url}/users/{ALERTS}/messages"
        self.http = http
        self.headers = {"authorization": f"Bearer {token}"}

    async def call(self, method: str, path: str = "", **options: Any) -> httpx.Response:
        headers = self.headers | options.pop("headers", {})
        return await self.http.request(method, self.url + path, headers=headers, **options)

    async def draft(self, **changes: object) -> str:
        answer = await self.call("POST", json=DRAFT | changes, headers=IMMUTABLE_IDS)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    async def session(self, draft: str, size: int, **more: object) -> httpx.Response:
        item = {"attachmentType": "file", "name": "large.bin", "size": size} | more
        return await self.call("POST", f"/{draft}/attachments/createUploadSession", json={"AttachmentItem": item})

    async def put(self, url: str, content: bytes, *, start: int, total: int, **headers: str) -> httpx.Response:
        place = {"content-range": f"bytes {start}-{start + len(content) - 1}/{total}"}
        return await self.http.put(url, content=content, headers=place | headers)


@asynccontextmanager
async def connected(emulator: Emulator) -> AsyncGenerator[Client]:
    trusted = ssl.create_default_context(cafile=str(emulator.ca_file))
    options = emulator.options
    form = {
        "grant_type": "client_credentials",
        "client_id": options.client_id,
        "client_secret": options.client_secret,
        "scope": "https://graph.microsoft.com/.default",
    }
    async with httpx.AsyncClient(verify=trusted, timeout=10) as http:
        answer = await http.post(f"{emulator.authority}/{options.tenant_id}/oauth2/v2.0/token", data=form)
        yield Client(emulator, http, answer.json()["access_token"])


@pytest.fixture
async def client(microsoft365: Emulator) -> AsyncGenerator[Client]:
    settings = microsoft365.world.settings
    microsoft365.world.settings = replace(settings, grants=settings.grants | {"Mail.ReadWrite"})
    async with connected(microsoft365) as client:
        yield client


async def test_a_draft_is_sent_once_and_keeps_its_immutable_id(client: Client) -> None:
    draft = await client.draft()
    assert draft.startswith(IMMUTABLE)
    fields = {"$select": "id,isDraft,createdDateTime"}
    seen = (await client.call("GET", f"/{draft}", params=fields)).json()
    assert (seen["id"], seen["isDraft"]) == (draft, True)
    client.world.clock = lambda: time.time() + 90
    assert (await client.call("POST", f"/{draft}/send")).status_code == 202
    sent = (await client.call("GET", f"/{draft}", params=fields)).json()
    assert (sent["id"], sent["isDraft"], sent["createdDateTime"]) == (draft, False, seen["createdDateTime"])
    again = await client.call("POST", f"/{draft}/send")
    assert (again.status_code, again.json()["error"]["code"]) == (404, "ErrorItemNotFound")
    (got,) = client.world.received
    assert got.recipients == ("ann@example.com", "secret@example.com")
    assert (got.message_id, got.subject) == (MESSAGE_ID, "Large")
    assert b"In-Reply-To: <old@x>" in got.mime
    assert b"secret@" not in got.mime
    assert len(client.world.drawer.drafts) == 0


async def test_an_ordinary_id_does_not_survive_the_sending(client: Client) -> None:
    draft = (await client.call("POST", json=DRAFT)).json()["id"]
    assert (await client.call("POST", f"/{draft}/send")).status_code == 202
    assert (await client.call("GET", f"/{draft}")).status_code == 404


async def test_a_draft_can_be_mime(client: Client) -> None:
    mime = b"From: alerts@contoso.com\r\nTo: ann@example.com\r\nMessage-ID: <m@x>\r\nSubject: m\r\n\r\nHello\r\n"
    headers = {"content-type": "text/plain"} | IMMUTABLE_IDS
    draft = (await client.call("POST", content=b64encode(mime), headers=headers)).json()["id"]
    assert (await client.call("POST", f"/{draft}/send")).status_code == 202
    assert [one.mime for one in client.world.received] == [mime]


async def test_small_files_by_post_and_large_ones_in_ranges_arrive_byte_for_byte(client: Client) -> None:
    draft = await client.draft()
    small, large = b"small", random.Random(1).randbytes(2 * RANGE + 7)
    file = {
        "@odata.type": "#microsoft.graph.fileAttachment",
        "name": "a.txt",
        "contentBytes": b64encode(small).decode(),
    }
    assert (await client.call("POST", f"/{draft}/attachments", json=file)).status_code == 201
    session = (await client.session(draft, len(large), contentType="image/png", isInline=True, contentId="c")).json()
    assert session["nextExpectedRanges"] == ["0-"]
    for start in range(0, len(large), RANGE):
        answer = await client.put(session["uploadUrl"], large[start : start + RANGE], start=start, total=len(large))
    assert (answer.status_code, "location" in answer.headers) == (201, True)
    listed = (await client.call("GET", f"/{draft}/attachments", params={"$select": "name,size"})).json()["value"]
    assert listed == [{"name": "a.txt", "size": 5}, {"name": "large.bin", "size": len(large)}]
    assert (await client.call("POST", f"/{draft}/send")).status_code == 202
    (got,) = client.world.received
    assert [(one.name, one.kind, one.content_id, one.inline, one.content) for one in got.files] == [
        ("a.txt", "application/octet-stream", None, False, small),
        ("large.bin", "image/png", "c", True, large),
    ]
    assert b64encode(small) in got.mime


async def test_of_very_large_files_only_size_and_digest_are_kept(client: Client) -> None:
    client.world.settings = replace(client.world.settings, digest_above=3_500_000)
    draft, large = await client.draft(), random.Random(2).randbytes(3_600_000)
    session = (await client.session(draft, len(large))).json()
    assert (await client.put(session["uploadUrl"], large, start=0, total=len(large))).status_code == 201
    await client.call("POST", f"/{draft}/send")
    ((file,),) = [one.files for one in client.world.received]
    assert (file.size, file.digest, file.content) == (len(large), hashlib.sha256(large).hexdigest(), None)


async def test_ranges_come_strictly_in_order_and_the_answer_says_which_is_next(client: Client) -> None:
    draft, total = await client.draft(), 4_000_000
    url = (await client.session(draft, total)).json()["uploadUrl"]
    block = bytes(1_000_000)
    assert (await client.put(url, block, start=1_000_000, total=total)).status_code == 416
    taken = await client.put(url, block, start=0, total=total)
    assert (taken.status_code, taken.json()["nextExpectedRanges"]) == (200, ["1000000-"])
    assert (await client.put(url, block, start=0, total=total)).status_code == 416
    assert (await client.put(url, block, start=1_000_000, total=total + 1)).status_code == 416
    assert (await client.http.get(url)).json()["nextExpectedRanges"] == ["1000000-"]
    assert (await client.http.delete(url)).status_code == 204
    assert (await client.put(url, block, start=1_000_000, total=total)).status_code == 404


async def test_an_upload_url_wants_no_token(client: Client) -> None:
    draft, block = await client.draft(), bytes(3_000_000)
    url = (await client.session(draft, len(block))).json()["uploadUrl"]
    assert "/v1.0/" not in url
    refused = await client.put(url, block, start=0, total=len(block), **client.headers)
    assert refused.status_code == 401
    assert (await client.put(url, block, start=0, total=len(block))).status_code == 201


async def test_the_limits_of_files_and_ranges_are_microsofts(client: Client) -> None:
    draft = await client.draft()
    small = await client.session(draft, 2_999_999)
    assert small.json()["error"]["code"] == "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize"
    assert (await client.session(draft, 157_286_401)).status_code == 400
    url = (await client.session(draft, 5_000_000)).json()["uploadUrl"]
    assert (await client.put(url, bytes(4 * 1024 * 1024), start=0, total=5_000_000)).status_code == 413
    file = {"name": "a", "contentBytes": b64encode(bytes(3_145_612)).decode()}
    assert (await client.call("POST", f"/{draft}/attachments", json=file)).status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "grant"),
    [
        ("POST", "", "Mail.ReadWrite"),
        ("POST", "/{}/attachments", "Mail.ReadWrite"),
        ("POST", "/{}/attachments/createUploadSession", "Mail.ReadWrite"),
        ("GET", "/{}/attachments", "Mail.Read"),
        ("POST", "/{}/send", "Mail.Send"),
        ("DELETE", "/{}", "Mail.ReadWrite"),
    ],
)
async def test_each_request_wants_its_right(client: Client, method: str, path: str, grant: str) -> None:
    draft = await client.draft()
    client.world.settings = replace(client.world.settings, grants=frozenset())
    refused = await client.call(method, path.format(draft), json=DRAFT if method == "POST" else None)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "ErrorAccessDenied")
    client.world.settings = replace(client.world.settings, grants=frozenset({grant}))
    allowed = await client.call(method, path.format(draft), json=DRAFT if method == "POST" else None)
    assert allowed.status_code != 403


async def test_a_deleted_draft_is_gone_and_another_mailboxes_is_not_there(client: Client) -> None:
    draft = await client.draft()
    other = client.url.replace(ALERTS, "other@contoso.com")
    assert (await client.http.get(f"{other}/{draft}", headers=client.headers)).status_code == 404
    assert (await client.call("DELETE", f"/{draft}")).status_code == 204
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/send"), ("GET", "/attachments")):
        assert (await client.call(method, f"/{draft}{path}")).status_code == 404


async def test_look_ups_show_drafts_with_the_property_that_their_writer_gave_them(client: Client) -> None:
    draft = await client.draft()
    query = {
        "$filter": f"internetMessageId eq '{MESSAGE_ID}'",
        "$select": "id,isDraft",
        "$expand": f"singleValueExtendedProperties($filter=id eq '{TAG}')",
    }
    (found,) = (await client.call("GET", params=query)).json()["value"]
    assert (found["id"], found["isDraft"]) == (draft, True)
    assert {"id": TAG, "value": "msg_1"} in found["singleValueExtendedProperties"]


@pytest.mark.parametrize("target", [Target.DRAFT, Target.UPLOAD, Target.SEND])
@pytest.mark.parametrize("fault", ["500", "504-after-send", "429", "drop", "reset-after-send"])
async def test_faults_strike_each_kind_of_request(client: Client, target: Target, fault: str) -> None:
    draft = await client.draft()
    file = {"name": "a", "contentBytes": b64encode(b"x").decode()}
    calls = {
        Target.DRAFT: ("", DRAFT),
        Target.UPLOAD: (f"/{draft}/attachments", file),
        Target.SEND: (f"/{draft}/send", {}),
    }
    path, body = calls[target]
    client.world.faults = [Rule(target=target, fault=fault, times=1)]
    if fault[0].isdigit():
        assert (await client.call("POST", path, json=body)).status_code == int(fault[:3])
    else:
        with pytest.raises(httpx.TransportError):
            await client.call("POST", path, json=body)
    done = {
        Target.DRAFT: client.world.counters.drafts_made == 2,
        Target.UPLOAD: client.world.counters.files_posted == 1,
        Target.SEND: client.world.counters.sends_accepted == 1,
    }
    assert done[target] is fault.endswith("-after-send")


async def test_a_range_can_be_struck_alone(client: Client) -> None:
    draft, block = await client.draft(), bytes(3_000_000)
    client.world.faults = [Rule(target=Target.UPLOAD, fault="503", stage=Stage.RANGE, times=1)]
    url = (await client.session(draft, len(block))).json()["uploadUrl"]
    assert (await client.put(url, block, start=0, total=len(block))).status_code == 503
    assert (await client.put(url, block, start=0, total=len(block))).status_code == 201


async def test_what_was_answered_504_can_be_done_later(client: Client) -> None:
    """The work goes on behind a gateway that gave up (SDK §6): here a draft is sent after its 504."""
    draft = await client.draft()
    client.world.faults = [Rule(target=Target.SEND, fault="504-late", seconds=0.2, times=1)]
    assert (await client.call("POST", f"/{draft}/send")).status_code == 504
    assert (await client.call("GET", f"/{draft}")).json()["isDraft"] is True
    while not client.world.received:
        await asyncio.sleep(0.02)
    assert (await client.call("POST", f"/{draft}/send")).status_code == 404


async def test_a_body_that_broke_off_is_no_range(client: Client) -> None:
    draft = await client.draft()
    url = (await client.session(draft, 3_000_000)).json()["uploadUrl"]

    async def broken() -> AsyncGenerator[bytes]:
        yield bytes(1_000_000)
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        await client.http.put(
            url,
            content=broken(),
            headers={"content-range": "bytes 0-2999999/3000000", "content-length": "3000000"},
        )
    assert (await client.http.get(url)).json()["nextExpectedRanges"] == ["0-"]
    assert client.world.counters.draft_requests == {"draft 201": 1, "upload 201": 1}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"internetMessageHeaders": [{"name": "List-Id", "value": "x"}]}, "InvalidInternetMessageHeader"),
        (
            {"internetMessageHeaders": [{"name": f"x-{n}", "value": "x"} for n in range(6)]},
            "InvalidInternetMessageHeaderCollection",
        ),
    ],
)
async def test_a_draft_takes_five_headers_that_begin_with_x(
    client: Client, changes: dict[str, object], code: str
) -> None:
    answer = await client.call("POST", json=DRAFT | changes)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert json.loads(answer.text)["error"]["innerError"]["request-id"]
