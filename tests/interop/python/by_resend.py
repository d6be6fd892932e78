"""Sends a mail with Resend's SDK for Python."""

import json
import sys

import resend

order = json.load(sys.stdin)
mail = order["mail"]


def said(person):
    """A person as the SDK's documentation writes one."""
    return f'"{person["name"]}" <{person["address"]}>'


resend.api_url = f"{order['url']}/resend"
resend.api_key = order["key"]
email: resend.Emails.SendParams = {
    "from": said(mail["from"]),
    "to": [said(one) for one in mail["to"]],
    "bcc": mail["bcc"],
    "subject": mail["subject"],
    "text": mail["text"],
    "html": mail["html"],
    "attachments": [
        {
            "filename": mail["file"]["name"],
            "content_type": mail["file"]["type"],
            "content": mail["file"]["content"],
        }
    ],
}
options: resend.Emails.SendOptions = {"idempotency_key": mail["key"]} if mail["key"] else {}
resend.Emails.send(email, options)
