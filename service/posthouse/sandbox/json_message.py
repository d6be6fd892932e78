"""Renders Graph's JSON message to a mail, refusing what Graph refuses (FACTS A1, A4)."""

import binascii
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from hashlib import sha256
from typing import Final

import pybase64

from posthouse.sandbox.drawer import File

MAX_HEADERS: Final = 5
_FILE: Final = "#microsoft.graph.fileAttachment"
_FIELDS: Final = {"String 0x1042": "In-Reply-To", "String 0x1039": "References", "String 0x1045": "List-Unsubscribe"}


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
    given = read(body)
    message = _lowered(given.get("message"))
    if not message:
        raise JsonMessageError("ErrorInvalidArgument", "The request is missing the required parameter: Message")
    mail, recipients = written(message, mailbox=mailbox, at=at)
    saved = str(given.get("savetosentitems", True)).lower() != "false"
    return mail.as_bytes(), recipients, saved


def read(body: bytes) -> dict[str, object]:
    """The JSON object with its names in lower case; raises JsonMessageError."""
    try:
        return _lowered(json.loads(body))
    except ValueError as wrong:
        raise JsonMessageError("UnableToDeserializePostBody", "were unable to deserialize") from wrong


def written(message: Mapping[str, object], *, mailbox: str, at: float) -> tuple[EmailMessage, tuple[str, ...]]:
    """The message as MIME and its recipients, once each; raises JsonMessageError."""
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
    if message.get("importance"):
        mail["Importance"] = str(message["importance"])
    for name, value in _headers(message):
        mail[name] = value
    for tag, value in properties(message).items():
        if tag in _FIELDS:
            mail[_FIELDS[tag]] = value
    _add_content(mail, message)
    return mail, tuple(recipients.values())


def properties(message: Mapping[str, object]) -> dict[str, str]:
    """The single-value extended properties by their ids."""
    listed = _items(message, "singlevalueextendedproperties")
    return {str(one.get("id")): str(one.get("value")) for one in listed}


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
        file = file_of(one)
        add_file(mail, file)


def file_of(one: Mapping[str, object]) -> File:
    """A fileAttachment with its bytes; raises JsonMessageError."""
    if one.get("@odata.type", _FILE) != _FILE:
        raise JsonMessageError("UnableToDeserializePostBody", "only fileAttachment is known here")
    content = _bytes(one)
    return File(
        name=str(one.get("name") or ""),
        kind=str(one.get("contenttype") or "application/octet-stream"),
        content_id=str(one["contentid"]) if one.get("contentid") else None,
        inline=bool(one.get("isinline")),
        size=len(content),
        digest=sha256(content).hexdigest(),
        content=content,
    )


def add_file(mail: EmailMessage, file: File) -> None:
    """Put a file whose bytes are kept into the mail."""
    main, _, sub = file.kind.partition(";")[0].partition("/")
    if main in {"message", "multipart"}:
        main, sub = "application", "octet-stream"
    mail.add_attachment(
        file.content or b"",
        maintype=main,
        subtype=sub or "octet-stream",
        filename=file.name or None,
        disposition="inline" if file.inline else "attachment",
        cid=f"<{file.content_id}>" if file.content_id else None,
    )


def _bytes(one: Mapping[str, object]) -> bytes:
    try:
        return pybase64.b64decode(str(one.get("contentbytes") or ""), validate=True)
    except (binascii.Error, ValueError) as wrong:
        raise JsonMessageError("UnableToDeserializePostBody", "contentBytes is not base64") from wrong
