"""The emulator seen by clients that we did not write: msgraph-sdk, azure-identity and httpx."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
from base64 import b64encode
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP

import httpx
import jwt
import pytest
import trustme
from azure.core.exceptions import ClientAuthenticationError
from azure.identity.aio import (
    CertificateCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from kiota_abstractions.headers_collection import HeadersCollection
from kiota_abstractions.method import Method
from kiota_abstractions.native_response_handler import NativeResponseHandler
from kiota_abstractions.request_information import RequestInformation
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from kiota_http.middleware.options import ResponseHandlerOption
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.models.body_type import BodyType
from msgraph.generated.models.email_address import EmailAddress
from msgraph.generated.models.file_attachment import FileAttachment
from msgraph.generated.models.item_body import ItemBody
from msgraph.generated.models.message import Message
from msgraph.generated.models.recipient import Recipient
from msgraph.generated.users.item.send_mail.send_mail_post_request_body import SendMailPostRequestBody

from posthouse.sandbox.chaos import Rule, Target, parse_chaos
from posthouse.sandbox.emulator import Emulator, Options

pytest_plugins = ["posthouse.sandbox.pytest_plugin"]

GRAPH = "https://graph.microsoft.com/.default"
OUTLOOK = "https://outlook.office365.com/.default"
ALERTS = "alerts@contoso.com"


def mime(*, number=1, sender=ALERTS, to="ann@example.com", **headers):
    """A small mail as bytes."""
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = sender, to, f"mail {number}"
    mail["Message-ID"] = f"<{number}@contoso.com>"
    for name, value in headers.items():
        mail[name] = value
    mail.set_content("Good morning.\n")
    return mail.as_bytes()


class Client:
    """A plain HTTP client of the emulator with a token."""

    def __init__(self, emulator, http):
        self.emulator, self.http = emulator, http
        self.headers = {}

    async def ask_token(self, *, tenant=None, scope=GRAPH, **form):
        options = self.emulator.options
        data = {
            "grant_type": "client_credentials",
            "client_id": options.client_id,
            "client_secret": options.client_secret,
            "scope": scope,
        } | form
        url = f"{self.emulator.authority}/{tenant or options.tenant_id}/oauth2/v2.0/token"
        return await self.http.post(url, data={name: value for name, value in data.items() if value is not None})

    async def send(self, content=None, *, mailbox=ALERTS, kind="text/plain", **headers):
        body = b64encode(mime() if content is None else content) if kind == "text/plain" else content
        url = f"{self.emulator.graph_url}/users/{mailbox}/sendMail"
        return await self.http.post(url, content=body, headers=self.headers | {"content-type": kind} | headers)

    async def look(self, *numbers, mailbox=ALERTS, **query):
        terms = " or ".join(f"internetMessageId eq '<{number}@contoso.com>'" for number in numbers)
        url = f"{self.emulator.graph_url}/users/{mailbox}/messages"
        return await self.http.get(url, params={"$filter": terms} | query, headers=self.headers)


@asynccontextmanager
async def connected(emulator):
    trusted = ssl.create_default_context(cafile=str(emulator.ca_file))
    async with httpx.AsyncClient(verify=trusted, timeout=10) as http:
        client = Client(emulator, http)
        answer = await client.ask_token()
        client.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
        yield client


@pytest.fixture
async def client(microsoft365):
    async with connected(microsoft365) as client:
        yield client


class Clock:
    """A time that tests turn."""

    def __init__(self):
        self.now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
async def timed(tmp_path):
    """A client of an emulator whose clock stands still, and the clock."""
    clock = Clock()
    async with Emulator(Options(directory=tmp_path), clock=clock) as emulator, connected(emulator) as client:
        yield client, clock


def settle(emulator, **changes):
    emulator.world.settings = replace(emulator.world.settings, **changes)


# --- the real SDK ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def adapter(microsoft365):
    """The SDK's request adapter as SDK.md section 1 points it at another host."""
    options, ca = microsoft365.options, str(microsoft365.ca_file)
    credential = ClientSecretCredential(
        options.tenant_id,
        options.client_id,
        options.client_secret,
        authority=microsoft365.authority,
        disable_instance_discovery=True,
        connection_verify=ca,
        retry_total=0,
    )
    trusted = ssl.create_default_context(cafile=ca)
    async with credential, httpx.AsyncClient(verify=trusted) as http:
        made = GraphRequestAdapter(AzureIdentityAuthenticationProvider(credential, scopes=[GRAPH]), client=http)
        made.base_url = microsoft365.graph_url
        yield made


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK's typed calls warn about each other
async def test_the_typed_call_of_msgraph_sdk_sends_json(microsoft365, adapter):
    message = Message(
        subject="Grüße, daily report",
        body=ItemBody(content_type=BodyType.Html, content="<p>Hello</p>"),
        to_recipients=[Recipient(email_address=EmailAddress(address="ann@example.com", name="Smith, Ann"))],
        bcc_recipients=[Recipient(email_address=EmailAddress(address="secret@example.com"))],
        attachments=[FileAttachment(name="a.bin", content_type="application/octet-stream", content_bytes=b"\x00\xff")],
    )
    body = SendMailPostRequestBody(message=message, save_to_sent_items=False)
    await GraphServiceClient(request_adapter=adapter).users.by_user_id(ALERTS).send_mail.post(body)
    (got,) = microsoft365.world.received
    assert got.recipients == ("ann@example.com", "secret@example.com")
    assert (got.subject, got.transport, got.saved) == ("Grüße, daily report", "graph", False)
    assert b"secret@" not in got.mime
    assert b64encode(b"\x00\xff") in got.mime


async def test_the_sdk_sends_mime_and_everything_but_bcc_arrives_byte_for_byte(microsoft365, adapter):
    sent = mime(to='"Smith, Ann" <ann@example.com>, b@example.com', Cc="c@example.com", Bcc="secret@example.com")
    info = RequestInformation(Method.POST, "{+baseurl}/users/{user}/sendMail", {"user": ALERTS})
    info.headers = HeadersCollection()
    info.headers.add("client-request-id", "7a6f0f5e-0000-4000-8000-000000000001")
    info.set_stream_content(b64encode(sent), "text/plain")
    info.add_request_options([ResponseHandlerOption(NativeResponseHandler())])
    answer = await adapter.send_no_response_content_async(info, {})
    assert answer.status_code == 202
    assert answer.content == b""
    assert answer.headers["client-request-id"] == "7a6f0f5e-0000-4000-8000-000000000001"
    assert {"request-id", "date", "x-ms-ags-diagnostic"} <= answer.headers.keys()
    (got,) = microsoft365.world.received
    assert got.recipients == ("ann@example.com", "b@example.com", "c@example.com", "secret@example.com")
    assert got.mime == sent.replace(b"Bcc: secret@example.com\r\n", b"")


# --- Entra ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "changes", "refusal"),
    [
        ({"client_secret": "wrong"}, {}, (401, "invalid_client", 7000215)),
        ({}, {"secret_expired": True}, (401, "invalid_client", 7000222)),
        ({"client_secret": None}, {}, (401, "invalid_client", 7000218)),
        ({"tenant": "11111111-1111-4111-8111-111111111111"}, {}, (400, "invalid_request", 90002)),
        ({"client_id": "11111111-1111-4111-8111-111111111111"}, {}, (400, "unauthorized_client", 700016)),
        ({"scope": "https://graph.microsoft.com/Mail.Send"}, {}, (400, "invalid_scope", 70011)),
        ({"scope": "https://graph.microsoft.us/.default"}, {}, (400, "invalid_resource", 500011)),
    ],
)
async def test_entra_refuses_in_its_own_form(client, form, changes, refusal):
    status, error, code = refusal
    settle(client.emulator, **changes)
    answer = await client.ask_token(**form)
    said = answer.json()
    assert (answer.status_code, said["error"], said["error_codes"]) == (status, error, [code])
    assert said["error_description"].startswith(f"AADSTS{code}: ")
    assert {"timestamp", "trace_id", "correlation_id"} <= said.keys()


async def test_azure_identity_reads_a_wrong_secret(microsoft365):
    options = microsoft365.options
    credential = ClientSecretCredential(
        options.tenant_id,
        options.client_id,
        "wrong",
        authority=microsoft365.authority,
        disable_instance_discovery=True,
        connection_verify=str(microsoft365.ca_file),
        retry_total=0,
    )
    async with credential:
        with pytest.raises(ClientAuthenticationError) as refused:
            await credential.get_token(GRAPH)
    assert "AADSTS7000215" in str(refused.value)


async def test_certificate_workload_and_managed_identity_get_tokens(microsoft365, tmp_path, monkeypatch):
    options, ca = microsoft365.options, str(microsoft365.ca_file)
    kind = {"authority": microsoft365.authority, "disable_instance_discovery": True, "connection_verify": ca}
    own = trustme.CA().issue_cert("posthouse.test", key_type=trustme.KeyType.RSA)
    pem = tmp_path / "app.pem"
    own.private_key_and_cert_chain_pem.write_to_path(str(pem))
    pod = tmp_path / "pod"
    claims = {"sub": "system:serviceaccount:mail:posthouse", "aud": "api://AzureADTokenExchange", "exp": 4e9}
    pod.write_text(jwt.encode(claims, "k" * 32))
    monkeypatch.setenv("IDENTITY_ENDPOINT", microsoft365.identity_endpoint)
    monkeypatch.setenv("IDENTITY_HEADER", options.identity_header)
    for credential in (
        CertificateCredential(options.tenant_id, options.client_id, str(pem), **kind),
        WorkloadIdentityCredential(
            tenant_id=options.tenant_id, client_id=options.client_id, token_file_path=str(pod), **kind
        ),
        ManagedIdentityCredential(),
    ):
        async with credential:
            token = await credential.get_token(OUTLOOK)
        assert microsoft365.world.tokens[token.token].resource == "https://outlook.office365.com"


async def test_a_client_assertion_of_another_app_is_refused(client):
    claims = {"sub": "another", "iss": "another", "aud": "https://login", "exp": 4e9}
    answer = await client.ask_token(
        client_secret=None,
        client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        client_assertion=jwt.encode(claims, "k" * 32),
    )
    assert answer.json()["error_codes"] == [700027]


async def test_faults_of_entra(client):
    client.emulator.world.faults = [
        Rule(target=Target.ENTRA, fault="503", times=1, retry_after=7),
        Rule(target=Target.ENTRA, fault="401", code="7000222", times=1),
        Rule(target=Target.ENTRA, fault="drop", times=1),
    ]
    down, expired = await client.ask_token(), await client.ask_token()
    assert (down.status_code, down.headers["retry-after"], down.json()["error_codes"]) == (503, "7", [90033])
    assert expired.json()["error_codes"] == [7000222]
    with pytest.raises(httpx.TransportError):
        await client.ask_token()
    assert (await client.ask_token()).status_code == 200


# --- what Graph refuses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "changes", "status", "code"),
    [
        (mime(), {"grants": frozenset({"Mail.ReadBasic"})}, 403, "ErrorAccessDenied"),
        (mime(), {"mailboxes": frozenset({"b@contoso.com"})}, 404, "ErrorInvalidUser"),
        (mime(), {"unlicensed": frozenset({ALERTS})}, 404, "MailboxNotEnabledForRESTAPI"),
        (mime(sender="boss@contoso.com"), {}, 403, "ErrorSendAsDenied"),
        (mime(to="undisclosed-recipients:;"), {}, 400, "ErrorInvalidRecipients"),
        (b"From: alerts@contoso.com\r\nTo: nobody\r\n\r\n", {}, 400, "ErrorInvalidRecipients"),
        (b"From: alerts@contoso.com\r\nTo: a@x.com; b@x.com\r\n\r\n", {}, 400, "ErrorInvalidRecipients"),
        (b"", {}, 400, "ErrorMimeContentInvalid"),
        (b"no header here", {}, 400, "ErrorMimeContentInvalid"),
    ],
)
async def test_graph_refuses_in_its_own_form(client, content, changes, status, code):
    settle(client.emulator, **changes)
    answer = await client.send(content, **{"client-request-id": "one"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    inner = answer.json()["error"]["innerError"]
    assert inner["request-id"] == answer.headers["request-id"]
    assert inner["client-request-id"] == "one"
    assert not client.emulator.world.received


async def test_a_mailbox_with_the_right_sends_as_another(client):
    settle(client.emulator, send_as={ALERTS: frozenset({"boss@contoso.com"})})
    assert (await client.send(mime(sender="Boss@contoso.com"))).status_code == 202


async def test_bad_base64_is_refused_and_lines_in_it_are_not(client):
    url = f"{client.emulator.graph_url}/users/{ALERTS}/microsoft.graph.sendMail"
    headers = client.headers | {"content-type": "text/plain"}
    text = b64encode(mime())
    broken = await client.http.post(url, content=text[:-3], headers=headers)
    assert broken.json()["error"]["code"] == "ErrorMimeContentInvalidBase64String"
    lines = b"\r\n".join(text[at : at + 76] for at in range(0, len(text), 76))
    assert (await client.http.post(url, content=lines, headers=headers)).status_code == 202


async def test_without_a_good_token_there_is_a_challenge(timed):
    client, clock = timed
    outlook = (await client.ask_token(scope=OUTLOOK)).json()["access_token"]
    for token in ("", "Bearer nonsense", f"Bearer {outlook}"):
        answer = await client.send(authorization=token)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "InvalidAuthenticationToken")
        assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert (await client.send()).status_code == 202
    clock.now += 3600
    assert (await client.send()).status_code == 401


async def test_four_mebibytes_pass_and_one_byte_more_does_not(client):
    limit = 4 * 1024 * 1024
    fits = mime()
    fits += b"x" * (limit // 4 * 3 - len(fits))
    assert len(b64encode(fits)) == limit
    assert (await client.send(fits)).status_code == 202
    assert (await client.send(fits + b"x")).status_code == 413
    assert len(client.emulator.world.received) == 1


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({}, "ErrorInvalidRecipients"),
        ({"toRecipients": [{"emailAddress": {"address": "a@x; b@x"}}]}, "ErrorInvalidRecipients"),
        ({"internetMessageHeaders": []}, "InvalidInternetMessageHeaderCollection"),
        ({"internetMessageHeaders": [{"name": "List-Id", "value": "x"}]}, "InvalidInternetMessageHeader"),
        (
            {"internetMessageHeaders": [{"name": f"x-{n}", "value": "x"} for n in range(6)]},
            "InvalidInternetMessageHeaderCollection",
        ),
    ],
)
async def test_json_that_graph_refuses(client, message, code):
    content = json.dumps({"message": {"subject": "x"} | message})
    answer = await client.send(content, kind="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


async def test_a_request_that_broke_off_is_no_message(client):
    async def half():
        yield b64encode(mime())[:100]
        raise InterruptedError

    for _ in range(3):
        with pytest.raises(InterruptedError):
            await client.send(half(), kind="text/plain;", **{"content-length": "100000"})
    await client.send(mime())
    assert len(client.emulator.world.received) == 1


# --- look-ups -------------------------------------------------------------------------------------------------------


async def test_sent_mail_is_found_by_its_message_id(client):
    for number in (1, 2, 3):
        await client.send(mime(number=number))
    found = (await client.look(1, 3, 9, **{"$select": "internetMessageId,isDraft,sentDateTime,parentFolderId"})).json()
    assert {one["internetMessageId"] for one in found["value"]} == {"<1@contoso.com>", "<3@contoso.com>"}
    wanted = {"@odata.etag", "id", "internetMessageId", "isDraft", "sentDateTime", "parentFolderId"}
    assert all(one.keys() == wanted and one["isDraft"] is False for one in found["value"])
    assert len((await client.look(1, 3, **{"$top": "1"})).json()["value"]) == 1
    assert (await client.look(1, mailbox="b@contoso.com")).json()["value"] == []
    url = f"{client.emulator.graph_url}/users/{ALERTS}/messages/"
    one = await client.http.get(url + found["value"][0]["id"], headers=client.headers)
    assert one.json()["internetMessageId"] == found["value"][0]["internetMessageId"]
    missing = await client.http.get(url + "AAMkNothing=", headers=client.headers)
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "ErrorItemNotFound")


async def test_look_ups_need_their_own_grant(client):
    settle(client.emulator, grants=frozenset({"Mail.Send"}))
    url = f"{client.emulator.graph_url}/users/{ALERTS}/messages/AAMkNothing="
    for answer in (await client.look(1), await client.http.get(url, headers=client.headers)):
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "ErrorAccessDenied")


async def test_items_appear_late_and_first_as_drafts(timed):
    client, clock = timed
    settle(client.emulator, appear_after=8.0, draft_for=20.0)
    await client.send()
    seen = []
    for seconds in (0, 7, 2, 12):
        clock.now += seconds
        seen.append([one["isDraft"] for one in (await client.look(1)).json()["value"]])
    assert seen == [[], [], [True], [False]]


async def test_a_copy_says_when_it_was_made_however_late_it_appears(timed):
    client, clock = timed
    settle(client.emulator, appear_after=8.0)
    sent_at = clock.now
    await client.send()
    clock.now += 30
    (one,) = (await client.look(1, **{"$select": "id,createdDateTime"})).json()["value"]
    assert datetime.fromisoformat(one["createdDateTime"]).timestamp() == int(sent_at)


async def test_message_ids_can_be_rewritten(client):
    settle(client.emulator, rewrite_message_ids=True)
    await client.send()
    assert (await client.look(1)).json()["value"] == []
    (got,) = client.emulator.world.received
    assert f"Message-ID: {got.message_id}\r\n".encode() in got.mime
    assert b"<1@contoso.com>" not in got.mime


async def test_look_ups_have_faults_of_their_own(client):
    client.emulator.world.faults = [Rule(target=Target.LOOKUP, fault="503", times=1)]
    assert (await client.send()).status_code == 202
    assert [(await client.look(1)).status_code for _ in range(2)] == [503, 200]
    assert client.emulator.world.counters.lookups == 2


# --- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 302, 307, 400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504, 507])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after-send"])
async def test_every_status_before_and_after_the_mail_was_taken(client, status, after):
    fault = f"{status}-after-send" if after else str(status)
    client.emulator.world.faults = [Rule(target=Target.GRAPH, fault=fault, times=1)]
    answer = await client.send()
    assert answer.status_code == status
    assert len(client.emulator.world.received) == int(after)
    assert ("location" in answer.headers) is (300 <= status < 400)
    assert answer.headers.get("retry-after") == ("1" if status == 429 else None)
    assert (await client.send()).status_code == 202
    assert client.emulator.world.counters.posts == 2


@pytest.mark.parametrize("fault", ["drop", "drop-after-send", "reset", "reset-after-send"])
async def test_the_connection_dies(client, fault):
    client.emulator.world.faults = [Rule(target=Target.GRAPH, fault=fault, times=1)]
    with pytest.raises(httpx.TransportError):
        await client.send()
    assert len(client.emulator.world.received) == int("after" in fault)
    assert (await client.send()).status_code == 202


@pytest.mark.parametrize("fault", ["hang", "hang-after-send"])
async def test_no_answer_comes(client, fault):
    client.emulator.world.faults = [Rule(target=Target.GRAPH, fault=fault, times=1)]
    client.http.timeout = httpx.Timeout(5, read=0.2)
    with pytest.raises(httpx.ReadTimeout):
        await client.send()
    assert len(client.emulator.world.received) == int("after" in fault)


async def by_hand(microsoft365, client):
    """A connection on which a request was just written."""
    trusted = ssl.create_default_context(cafile=str(microsoft365.ca_file))
    port = int(microsoft365.https_url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusted, server_hostname="localhost")
    body = b64encode(mime())
    lines = [
        f"POST /v1.0/users/{ALERTS}/sendMail HTTP/1.1",
        "Host: localhost",
        f"Authorization: {client.headers['authorization']}",
        "Content-Type: text/plain",
        f"Content-Length: {len(body)}",
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    return reader, writer


async def test_a_reset_is_a_reset(microsoft365, client):
    microsoft365.world.faults = [Rule(target=Target.GRAPH, fault="drop-after-send")]
    reader, writer = await by_hand(microsoft365, client)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_what_is_to_be_cut_may_have_gone_already(microsoft365, client, caplog):
    microsoft365.world.faults = [Rule(target=Target.GRAPH, fault="drop-after-send", seconds=0.3)]
    _, writer = await by_hand(microsoft365, client)
    while not microsoft365.world.graph_gauge.now[ALERTS]:
        await asyncio.sleep(0.01)
    writer.transport.abort()
    while microsoft365.world.graph_gauge.now[ALERTS]:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0)
    assert len(microsoft365.world.received) == 1
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


async def test_forms_of_an_error_body(client):
    client.emulator.world.faults = [
        Rule(target=Target.GRAPH, fault="503", times=1, code="CommandConcurrencyLimitReached", retry_after=3),
        Rule(target=Target.GRAPH, fault="503", times=1, body="html"),
        Rule(target=Target.GRAPH, fault="401", times=1, body="empty"),
        Rule(target=Target.GRAPH, fault="429", times=1, retry_after="Wed, 25 Nov 2026 07:28:00 GMT"),
        Rule(target=Target.GRAPH, fault="429", times=1, retry_after=""),
        Rule(target=Target.GRAPH, fault="202-after-send", times=1, retry_after=9),
    ]
    answers = [await client.send() for _ in client.emulator.world.faults]
    assert answers[0].json()["error"]["code"] == "CommandConcurrencyLimitReached"
    assert answers[1].headers["content-type"] == "text/html"
    assert answers[2].content == b""
    assert [one.headers.get("retry-after") for one in answers] == [
        "3",
        None,
        None,
        "Wed, 25 Nov 2026 07:28:00 GMT",
        None,
        "9",
    ]
    assert len(client.emulator.world.received) == 1


async def test_of_504s_every_second_can_be_accepted(client):
    client.emulator.world.faults = [
        Rule(target=Target.GRAPH, fault="504-after-send", every=2),
        Rule(target=Target.GRAPH, fault="504"),
    ]
    answers = [await client.send(mime(number=number)) for number in range(20)]
    assert {one.status_code for one in answers} == {504}
    assert len(client.emulator.world.received) == 10


async def test_rules_meet_their_share_their_mailbox_and_their_mail(client):
    world = client.emulator.world
    world.faults = parse_chaos("graph=429:20%")
    statuses = Counter([(await client.send()).status_code for _ in range(200)])
    assert 20 <= statuses[429] <= 60
    world.faults = [Rule(target=Target.GRAPH, fault="500", mailbox=ALERTS, match="BOB@")]
    assert (await client.send()).status_code == 202
    assert (await client.send(mime(to="bob@example.com"))).status_code == 500
    other = mime(sender="b@contoso.com", to="bob@example.com")
    assert (await client.send(other, mailbox="b@contoso.com")).status_code == 202


def test_the_short_form_of_faults():
    rules = parse_chaos("graph=429:20%,graph=504-after-send:2%, smtp=421:5%,entra=503:x3,smtp=drop@rcpt")
    assert [(one.target, one.fault, one.share, one.times) for one in rules] == [
        ("graph", "429", 0.2, None),
        ("graph", "504-after-send", 0.02, None),
        ("smtp", "421", 0.05, None),
        ("entra", "503", 1.0, 3),
        ("smtp", "drop", 1.0, None),
    ]
    assert rules[4].stage == "rcpt"


@pytest.mark.parametrize(
    "text", ["graph", "graph=banana", "mars=503", "entra=503-after-send", "graph=503@rcpt", "smtp=302"]
)
def test_a_fault_that_cannot_be_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_chaos(text)


async def test_simulator_addresses(client):
    async def tries(name, number, count):
        sent = mime(number=number, to=f"{name}@simulator.test")
        return [(await client.send(sent)).status_code for _ in range(count)]

    assert await tries("sent", 1, 1) == [202]
    assert await tries("deferred", 2, 3) == [503, 503, 202]
    assert await tries("deferred", 3, 1) == [503]
    assert await tries("failed", 4, 2) == [400, 400]
    assert await tries("throttled", 5, 2) == [429, 202]
    assert await tries("unconfirmed", 6, 1) == [504]
    assert [one.message_id[1] for one in client.emulator.world.received] == ["1", "2", "5", "6"]


# --- limits ---------------------------------------------------------------------------------------------------------


async def test_the_fifth_request_in_flight_is_throttled_when_limits_are_on(client):
    settle(client.emulator, latency=1.0, enforce_limits=True)
    answers = await asyncio.gather(*(client.send(mime(number=number)) for number in range(6)))
    assert Counter(one.status_code for one in answers) == {202: 4, 429: 2}
    throttled = next(one for one in answers if one.status_code == 429)
    assert throttled.json()["error"]["code"] == "ApplicationThrottled"
    assert "MailboxConcurrency" in throttled.json()["error"]["message"]
    assert int(throttled.headers["retry-after"]) > 0
    settle(client.emulator, enforce_limits=False)
    answers = await asyncio.gather(*(client.send(mime(number=number)) for number in range(6)))
    assert {one.status_code for one in answers} == {202}


async def test_thirty_messages_a_minute_and_ten_thousand_recipients_a_day(timed):
    client, clock = timed
    settle(client.emulator, enforce_limits=True, expires_in=10**6)
    client.headers["authorization"] = f"Bearer {(await client.ask_token()).json()['access_token']}"
    assert {(await client.send()).status_code for _ in range(30)} == {202}
    late = await client.send()
    assert (late.status_code, late.headers["retry-after"]) == (429, "61")
    assert (await client.send(mime(sender="b@contoso.com"), mailbox="b@contoso.com")).status_code == 202
    clock.now += 60
    many = mime(to=", ".join(f"r{number}@example.com" for number in range(9_970)))
    assert (await client.send(many)).status_code == 202
    over = await client.send()
    assert over.json()["error"]["code"] == "ErrorSubmissionQuotaExceeded"
    clock.now += 86_400
    assert (await client.send()).status_code == 202


# --- the machine ----------------------------------------------------------------------------------------------------


async def test_graph_refuses_connections_while_stopped_and_comes_back_on_its_port(client):
    url = client.emulator.https_url
    await client.emulator.stop_graph()
    with pytest.raises(httpx.ConnectError):
        await client.send()
    await client.emulator.start_graph()
    assert client.emulator.https_url == url
    assert (await client.send()).status_code == 202


async def test_graph_can_be_down_without_entra_and_entra_without_graph(client):
    await client.emulator.stop_graph()
    assert (await client.ask_token()).status_code == 200
    await client.emulator.start_graph()
    await client.emulator.stop_entra()
    with pytest.raises(httpx.ConnectError):
        await client.ask_token()
    assert (await client.send()).status_code == 202
    await client.emulator.start_entra()
    assert (await client.ask_token()).status_code == 200


async def test_a_client_that_follows_a_redirect_is_told_200_and_has_lost_its_mail(client):
    client.emulator.world.faults = [Rule(target=Target.GRAPH, fault="302")]
    client.http.follow_redirects = True
    assert (await client.send()).status_code == 200
    assert not client.emulator.world.received


async def test_memory_is_bounded(tmp_path):
    options = Options(directory=tmp_path, keep=3)
    async with Emulator(options) as emulator, connected(emulator) as client:
        for number in range(5):
            await client.send(mime(number=number))
        assert [one.number for one in emulator.world.received] == [3, 4, 5]
        assert (await client.look(0, 1)).json()["value"] == []
        assert len((await client.look(2, 3, 4)).json()["value"]) == 3


async def test_the_inbox_shows_what_was_received(client):
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = ALERTS, "ann@example.com", "<script>alert(1)</script>"
    mail["Message-ID"] = "<html@contoso.com>"
    mail.set_content("plain words")
    mail.add_alternative("<p>rich words</p>", subtype="html")
    mail.add_attachment(b"\x00\x01", maintype="application", subtype="pdf", filename="Übersicht.pdf")
    await client.send()
    await client.send(mail.as_bytes())
    base = client.emulator.inbox_url
    page = (await client.http.get(f"{base}/inbox")).text
    assert "<script>" not in page
    assert 'href="/inbox/2"' in page
    one = await client.http.get(f"{base}/inbox/2")
    assert "plain words" in one.text
    assert "<iframe" in one.text
    assert "sandbox" in one.text
    assert "Übersicht.pdf" in one.text
    assert "default-src 'none'" in one.headers["content-security-policy"]
    assert (await client.http.get(f"{base}/inbox/2.eml")).content == mail.as_bytes()
    assert (await client.http.get(f"{base}/inbox/2/attachments/0")).content == b"\x00\x01"
    assert (await client.http.get(f"{base}/inbox/3")).status_code == 404
    (listed,) = (await client.http.get(f"{base}/inbox.json?after=1")).json()
    assert listed["recipients"] == ["ann@example.com"]
    assert (listed["message_id"], listed["size"]) == ("<html@contoso.com>", len(mail.as_bytes()))


async def test_other_processes_drive_it(client):
    base, http = client.emulator.inbox_url, client.http
    rules = [{"target": "graph", "fault": "429", "times": 1, "retry_after": 2}]
    assert (await http.put(f"{base}/control/faults", json=rules)).status_code == 204
    assert [(await client.send()).status_code for _ in range(2)] == [429, 202]
    state = (await http.get(f"{base}/control/state")).json()
    assert (state["posts"], state["accepted"], state["tokens_issued"]) == (2, 1, 1)
    assert state["posts_by_status"] == {"429": 1, "202": 1}
    assert state["posts_by_mailbox"] == {ALERTS: 2}
    posts = (await http.get(f"{base}/control/posts")).json()
    assert [(one["message_id"], one["accepted"]) for one in posts] == [
        ("<1@contoso.com>", False),
        ("<1@contoso.com>", True),
    ]
    assert (await http.put(f"{base}/control/settings", json={"unlicensed": ["Alerts@contoso.com"]})).status_code == 204
    assert (await client.send()).status_code == 404
    assert (await http.put(f"{base}/control/listeners", json={"graph": False})).status_code == 204
    with pytest.raises(httpx.ConnectError):
        await client.send()
    assert (await http.put(f"{base}/control/listeners", json={"graph": True})).status_code == 204
    assert (await http.delete(f"{base}/control/inbox")).status_code == 204
    assert (await http.get(f"{base}/inbox.json")).json() == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", [{"target": "graph", "fault": "429", "tiems": 1}]),
        ("faults", [{"target": "graph", "fault": "banana"}]),
        ("faults", 7),
        ("settings", {"granst": []}),
        ("settings", {"latency": "soon"}),
        ("listeners", {"inbox": False}),
    ],
)
async def test_a_mistake_in_a_control_request_is_said(client, path, body):
    before = client.emulator.world.settings
    answer = await client.http.put(f"{client.emulator.inbox_url}/control/{path}", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert client.emulator.world.settings == before


def start(directory, *more):
    command = [sys.executable, "-m", "posthouse.sandbox.emulator", "--directory", str(directory), *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def test_the_program_stops_at_once_and_starts_again_on_its_ports_with_its_authority(tmp_path):
    process, first = start(tmp_path, "--chaos", "graph=503")
    trusted = ssl.create_default_context(cafile=first["ca_file"])
    ports = [first[name].rpartition(":")[2] for name in ("https_url", "authority", "inbox_url")]
    form = {
        "grant_type": "client_credentials",
        "client_id": first["client_id"],
        "client_secret": first["client_secret"],
        "scope": GRAPH,
    }
    url = f"{first['authority']}/{first['tenant_id']}/oauth2/v2.0/token"
    with httpx.Client(verify=trusted) as http:
        assert http.post(url, data=form).status_code == 200
        assert http.post(f"{first['graph_url']}/users/{ALERTS}/sendMail", content=b"x").status_code == 503
        os.kill(process.pid, signal.SIGTERM)  # with a connection open
        assert process.wait(5) == 0
    process.stdout.close()
    more = ["--smtp-port", str(first["smtp_port"])]
    for name, port in zip(("https", "entra", "inbox"), ports, strict=True):
        more += [f"--{name}-port", port]
    process, second = start(tmp_path, *more, "--client-secret", first["client_secret"])
    with httpx.Client(verify=trusted) as http:
        assert http.post(url, data=form).status_code == 200
    process.terminate()
    process.wait(5)
    process.stdout.close()
    same = first.keys() - {"pid", "identity_header"}
    assert {name: first[name] for name in same} == {name: second[name] for name in same}
