"""A mail as Django has it, whatever backend sends it."""

import base64
from typing import Any

from django.core.mail import EmailMultiAlternatives


def letter(mail: dict[str, Any], headers: dict[str, str]) -> EmailMultiAlternatives:
    """Text, html and a file."""
    message = EmailMultiAlternatives(
        mail["subject"],
        mail["text"],
        said(mail["from"]),
        [said(one) for one in mail["to"]],
        bcc=mail["bcc"],
        headers=headers,
    )
    message.attach_alternative(mail["html"], "text/html")
    message.attach(mail["file"]["name"], base64.b64decode(mail["file"]["content"]), mail["file"]["type"])
    return message


def said(person: dict[str, str]) -> str:
    """A person as one writes one in settings."""
    return f'"{person["name"]}" <{person["address"]}>'
