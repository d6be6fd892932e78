"""Sends a mail with msgraph-sdk and azure-identity."""

import asyncio
import base64
import json
import sys

from azure.identity.aio import ClientSecretCredential
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph.generated.models.body_type import BodyType
from msgraph.generated.models.email_address import EmailAddress
from msgraph.generated.models.file_attachment import FileAttachment
from msgraph.generated.models.item_body import ItemBody
from msgraph.generated.models.message import Message
from msgraph.generated.models.recipient import Recipient
from msgraph.generated.users.item.send_mail.send_mail_post_request_body import SendMailPostRequestBody
from msgraph.graph_service_client import GraphServiceClient

order = json.load(sys.stdin)
mail = order["mail"]


def recipient(address, name=None):
    """One of the people."""
    return Recipient(email_address=EmailAddress(address=address, name=name))


async def main():
    """As Microsoft's documentation shows it, with another authority and base URL."""
    credential = ClientSecretCredential(
        *("contoso.example", order["client_id"], order["key"]), authority=order["url"], disable_instance_discovery=True
    )
    async with credential:
        client = GraphServiceClient(credential, ["https://graph.microsoft.com/.default"])
        client.request_adapter.base_url = f"{order['url']}/v1.0"
        configuration = RequestConfiguration()
        if mail["key"]:
            configuration.headers.add("client-request-id", mail["key"])
        message = Message(
            from_=recipient(**mail["from"]),
            to_recipients=[recipient(**one) for one in mail["to"]],
            bcc_recipients=[recipient(address) for address in mail["bcc"]],
            subject=mail["subject"],
            body=ItemBody(content_type=BodyType.Html, content=mail["html"]),
            attachments=[
                FileAttachment(
                    odata_type="#microsoft.graph.fileAttachment",
                    name=mail["file"]["name"],
                    content_type=mail["file"]["type"],
                    content_bytes=base64.b64decode(mail["file"]["content"]),
                )
            ],
        )
        user = client.users.by_user_id(mail["from"]["address"])
        await user.send_mail.post(SendMailPostRequestBody(message=message), configuration)


asyncio.run(main())
