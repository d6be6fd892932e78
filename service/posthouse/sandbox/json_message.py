"""Renders Graph's JSON message to a mail, refusing what Graph refuses (FACTS A1, A4)."""

import binascii
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final

import pybase64

MAX_HEADERS: Final = 5
_FILE: Final = "#microsoft.graph.fileAttachment"


class JsonMessageError(ValueError):
    """Graph answers 400 with this code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message


def render(body: bytes, *, mailbox: str, at: float) -> tuple[bytes, tuple[str, ...], bool]:
    """The MIME form, the recipients, and whether a copy goes to Sent Items; raises JsonMessageError.

    ``at`` is its Date in seconds since 1970. ``internetMessageId`` is not taken: on sendMail a client's value was seen to be lost (FACTS A4).
    """
    try:
        given = _lowered(json.loads(body))
    except ValueError as wrong:
        raise JsonMessageError("UnableToDeserializePostBody", "were unable to deserialize") from wrong
    message = _lowered(given.get("message"))
    if not message:
        raise JsonMessageError("ErrorInvalidArgument", "The request is missing the required parameter: Message")
    mail = EmailMessage(policy=SMTP.clone(utf8=True))
    mail["From"] = _address(_lowered(message.get("from")), fallback=mailbox)
    recipients: dict[str, str] = {}
    for name, header in (("torecipients", "To"), ("ccrecipients", "Cc"), ("bccrecipients", "")):
        listed = [_address(one) for one in _items(message, name)]
        if listed and header:
            mail[header] = listed
        recipients.update((one.addr_spec.lower(), one.addr_spec) for one in listed)
    replies = [_address(one) for one in _items(message, "replyto")]
    if replies:
        mail["Reply-To"] = replies
    mail["Subject"] = " ".join(str(message.get("subject") or "").split())
    mail["Date"] = datetime.fromtimestamp(at, UTC)
    for name, value in _headers(message):
        mail[name] = value
    _add_content(mail, message)
    saved = str(given.get("savetosentitems", True)).lower() != "false"
    return mail.as_bytes(), tuple(recipients.values()), saved


def _lowered(value: object) -> dict[str, object]:
    """An object with its names in lower case: msgraph-sdk writes Message and SaveToSentItems (CONTRACT 2.2)."""
    if not isinstance(value, dict):
        return {}
    return {str(name).lower(): one for name, one in value.items()}


def _items(message: Mapping[str, object], name: str) -> Iterator[dict[str, object]]:
    value = message.get(name) or []
    if not isinstance(value, list):
        raise JsonMessageError("UnableToDeserializePostBody", f"'{name}' is not a collection")
    return (_lowered(one) for one in value)


def _address(given: Mapping[str, object], *, fallback: str | None = None) -> Address:
    email = _lowered(given.get("emailaddress"))
    text = str(email.get("address") or fallback or "")
    try:
        return Address(display_name=str(email.get("name") or ""), addr_spec=text)
    except (ValueError, IndexError) as wrong:
        raise JsonMessageError("ErrorInvalidRecipients", f"Recipient '{text}' is not resolved.") from wrong


def _headers(message: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    if "internetmessageheaders" not in message:
        return
    listed = list(_items(message, "internetmessageheaders"))
    if not 1 <= len(listed) <= MAX_HEADERS:
        text = "Maximum number of headers in one message should be less than or equal to 5."
        raise JsonMessageError("InvalidInternetMessageHeaderCollection", text)
    for one in listed:
        name, value = str(one.get("name") or ""), str(one.get("value") or "")
        if not name.lower().startswith("x-"):
            text = f"The internet message header name '{name}' should start with 'x-' or 'X-'."
            raise JsonMessageError("InvalidInternetMessageHeader", text)
        yield name, " ".join(value.split())


def _add_content(mail: EmailMessage, message: Mapping[str, object]) -> None:
    body = _lowered(message.get("body"))
    kind = "html" if str(body.get("contenttype", "text")).lower() == "html" else "plain"
    mail.set_content(str(body.get("content") or ""), subtype=kind, charset="utf-8", cte="base64")
    for one in _items(message, "attachments"):
        if one.get("@odata.type", _FILE) != _FILE:
            raise JsonMessageError("UnableToDeserializePostBody", "only fileAttachment is known here")
        main, _, sub = str(one.get("contenttype") or "application/octet-stream").partition("/")
        mail.add_attachment(
            _bytes(one),
            maintype=main,
            subtype=sub or "octet-stream",
            filename=str(one.get("name") or "") or None,
            disposition="inline" if one.get("isinline") else "attachment",
            cid=f"<{one['contentid']}>" if one.get("contentid") else None,
        )


def _bytes(one: Mapping[str, object]) -> bytes:
    try:
        return pybase64.b64decode(str(one.get("contentbytes") or ""), validate=True)
    except (binascii.Error, ValueError) as wrong:
        raise JsonMessageError("UnableToDeserializePostBody", "contentBytes is not base64") from wrong
