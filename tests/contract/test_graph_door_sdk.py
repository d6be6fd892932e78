"""Microsoft's own libraries at the Graph door over TLS: host, client id and secret are all that is changed."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import httpx
import msal
import pytest
import trustme
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientSecretCredential
from azure.identity.aio import ClientSecretCredential as AsyncClientSecretCredential
from msgraph.generated.models.body_type import BodyType
from msgraph.generated.models.email_address import EmailAddress
from msgraph.generated.models.file_attachment import FileAttachment
from msgraph.generated.models.importance import Importance
from msgraph.generated.models.internet_message_header import InternetMessageHeader
from msgraph.generated.models.item_body import ItemBody
from msgraph.generated.models.message import Message
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.recipient import Recipient
from msgraph.generated.users.item.send_mail.send_mail_post_request_body import SendMailPostRequestBody
from msgraph.graph_request_adapter import GraphRequestAdapter
from msgraph.graph_service_client import GraphServiceClient
from msgraph_core.middleware.async_graph_transport import AsyncGraphTransport

from posthouse.clients.forms import key_id_of
from posthouse.doors.listener import Listener, Tls, bind
from posthouse.records import Filters
from tests.contract.graph_door import FROM, SIMPLE
from tests.contract.rest_door import Door, rest_door

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the SDK, by its own classes

SCOPES = ["https://graph.microsoft.com/.default"]


@dataclass
class Host:
    """A door that listens, with a key for it, and the authority of its certificate."""

    door: Door
    url: str
    key: str
    ca_file: str

    @property
    def client_id(self) -> str:
        return key_id_of(self.key) or ""

    async def kept(self) -> list[tuple[str, str]]:
        page = await self.door.spool.find(Filters(), now=self.door.clock.now())
        return [(one.sender, one.subject) for one in page.records]


@pytest.fixture
async def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Host]:
    """A door with a certificate that this process trusts as a machine does that knows its authority."""
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    made.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    made.private_key_pem.write_to_path(tmp_path / "key.pem")
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "ca.pem"))
    async with rest_door(tmp_path, admin=False) as door:
        bound = bind("127.0.0.1:0")
        tls = Tls(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")
        listener = Listener(door.app, bound, tls=tls)
        url = f"https://127.0.0.1:{bound.getsockname()[1]}"
        await listener.start()
        try:
            yield Host(door, url, await door.key(), str(tmp_path / "ca.pem"))
        finally:
            await listener.stop()


def mail(subject: str, to: str = "jo@example.org") -> SendMailPostRequestBody:
    return SendMailPostRequestBody(
        message=Message(
            subject=subject,
            body=ItemBody(content_type=BodyType.Html, content="<p>Grüße</p>"),
            to_recipients=[Recipient(email_address=EmailAddress(address=to, name="Jo"))],
            importance=Importance.High,
            internet_message_headers=[InternetMessageHeader(name="x-order", value="7")],
            attachments=[FileAttachment(name="a.bin", content_type="image/png", content_bytes=bytes(range(256)))],
        ),
        save_to_sent_items=False,
    )


async def close(graph: GraphServiceClient) -> None:
    """The SDK's client leaves its connections open when it is closed; its inner transport has them."""
    assert isinstance(graph.request_adapter, GraphRequestAdapter)
    transport = graph.request_adapter._http_client._transport
    assert isinstance(transport, AsyncGraphTransport)
    await transport.transport.aclose()


async def test_msgraph_sdk_with_azure_identity_sends_and_reads_what_is_refused(host: Host) -> None:
    async with AsyncClientSecretCredential(
        "contoso.com",
        host.client_id,
        host.key,
        authority=host.url,
        disable_instance_discovery=True,
        connection_verify=host.ca_file,  # aiohttp reads the environment once a process, when it is imported
    ) as credential:
        graph = GraphServiceClient(credential, SCOPES)
        graph.request_adapter.base_url = f"{host.url}/v1.0"
        assert await graph.users.by_user_id(FROM).send_mail.post(mail("by the SDK")) is None
        with pytest.raises(ODataError) as refused:
            await graph.users.by_user_id(FROM).send_mail.post(mail("refused", to="nobody"))
        with pytest.raises(ODataError) as denied:
            await graph.users.by_user_id("ceo@fabrikam.com").send_mail.post(mail("denied"))
        await close(graph)
    assert await host.kept() == [(FROM, "by the SDK")]
    error = refused.value.error
    assert refused.value.response_status_code == 400
    assert error is not None
    assert error.details is not None
    assert (error.code, error.details[0].target) == (
        "ErrorInvalidRecipients",
        "/message/toRecipients/0/emailAddress/address",
    )
    assert error.inner_error is not None
    assert (error.inner_error.request_id or "").startswith("req_")
    assert denied.value.response_status_code == 403
    (found,) = (await host.door.spool.find(Filters(), now=host.door.clock.now())).records
    content = await host.door.spool.content(await host.door.spool.key_of(found.id) or 0)
    assert content is not None
    body = b"".join([block async for block in content.body.blocks()])
    assert b64encode(bytes(range(256)))[:70] in body
    for line in (b"To: Jo <jo@example.org>", b"Importance: high", b"x-order: 7"):
        assert line in content.header


async def test_azure_identity_says_what_entra_would_say_of_a_wrong_secret(host: Host) -> None:
    def token(secret: str) -> str:
        with ClientSecretCredential(
            "contoso.com", host.client_id, secret, authority=host.url, disable_instance_discovery=True
        ) as credential:
            return credential.get_token(*SCOPES).token

    assert await asyncio.to_thread(token, host.key)
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        await asyncio.to_thread(token, "Abc8Q~real.entra_secret")


async def test_msal_gets_a_token_by_the_documents_alone(host: Host) -> None:
    def token() -> dict[str, str]:
        app = msal.ConfidentialClientApplication(
            host.client_id,
            client_credential=host.key,
            authority=f"{host.url}/5a4d0000-0000-4000-8000-0000000000a9",
            validate_authority=False,
        )
        try:
            return app.acquire_token_for_client(SCOPES)
        finally:
            app.http_client.close()

    got = await asyncio.to_thread(token)
    for bearer in (got["access_token"], host.key):
        async with httpx.AsyncClient(base_url=host.url, headers={"authorization": f"Bearer {bearer}"}) as http:
            answer = await http.post(
                "/v1.0/me/sendMail", json={"message": SIMPLE | {"from": {"emailAddress": {"address": FROM}}}}
            )
            assert (answer.status_code, answer.content) == (202, b"")
    assert len(await host.kept()) == 2
