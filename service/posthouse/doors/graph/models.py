"""What a Graph client writes in JSON: the parameters of sendMail, and of the resource message what a mail can say.

What a stored item has and a mail has not (its id, its folder, whether it was read) is put aside, as OData wants it of
properties that only the service sets (OData 4.01 Part 1, §11.4.2 and §11.4.3). What a mail cannot say is refused by name.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, model_validator
from pydantic_core import to_json

from posthouse.doors.address import is_address
from posthouse.doors.rules import RuleError
from posthouse.doors.values import Base64
from posthouse.draftable import PROPERTIES
from posthouse.encoded import MSG_ID, MSG_ID_LIMIT

TYPE: Final = "@odata.type"
INVALID_RECIPIENTS: Final = "ErrorInvalidRecipients"
INVALID_HEADER: Final = "InvalidInternetMessageHeader"
NOT_SUPPORTED: Final = "notSupported"

_MESSAGE: Final = "#microsoft.graph.message"
_FILE: Final = "#microsoft.graph.fileAttachment"
_OF_AN_ITEM: Final = frozenset(
    {
        *("id", "changeKey", "createdDateTime", "lastModifiedDateTime", "receivedDateTime", "sentDateTime"),
        *("parentFolderId", "conversationId", "conversationIndex", "webLink", "isRead", "isDraft"),
        *("hasAttachments", "bodyPreview", "uniqueBody"),
    }
)
_OF_A_FILE: Final = frozenset({"id", "lastModifiedDateTime", "size", "contentLocation"})
_DEFERRED: Final = "SystemTime 0x3FEF"
"""PidTagDeferredSendTime ([MS-OXOMSG]): not before then, in UTC."""
_SENSITIVITIES: Final = {"personal": "Personal", "private": "Private", "confidential": "Company-Confidential"}
"""From Graph's words, which it has for events, to those of the field Sensitivity (RFC 2156)."""
_HEADER_OF: Final = {tag.lower(): name for name, tag in PROPERTIES.items()}
_CUSTOM: Final = re.compile(r"[xX]-[!-9;-~]+")
_CATEGORY: Final = re.compile(r"[^,;\"\\<>@:()\[\]]+")


class GraphRuleError(RuleError):
    """A rule for whose breach Graph has a code of its own."""

    def __init__(self, rule: str, *, code: str, at: str = "") -> None:
        super().__init__(rule, at=at)
        self.code = code


def _cannot(what: str) -> GraphRuleError:
    return GraphRuleError(f"a mail cannot say this, and posthouse sends it as a mail; {what}", code=NOT_SUPPORTED)


class _Entity(BaseModel):
    """An entity or a complex type of Graph.

    ``kind`` is what its annotation of the type must say, where that matters; ``ignored`` is what only the service sets.
    """

    model_config = ConfigDict(extra="forbid", strict=True, ser_json_bytes="base64")
    kind: ClassVar[str] = ""
    ignored: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _without_what_only_the_service_sets(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        said = value.get(TYPE, cls.kind)
        if cls.kind and (not isinstance(said, str) or said.lstrip("#").lower() != cls.kind.lstrip("#").lower()):
            rule = f"posthouse takes {cls.kind}, not {str(said)[:100]!r}"
            raise GraphRuleError(rule, code=NOT_SUPPORTED, at=f"/{TYPE}")
        return {name: item for name, item in value.items() if name != TYPE and name not in cls.ignored}


class EmailAddressIn(_Entity):
    """An address and the name shown beside it."""

    address: str = ""
    name: str = ""

    @model_validator(mode="after")
    def _an_address(self) -> "EmailAddressIn":
        if not is_address(self.address):
            rule = "an address is local-part@domain (RFC 5321 §4.1.2); several stand in several recipients"
            raise GraphRuleError(rule, code=INVALID_RECIPIENTS, at="/address")
        return self


class RecipientIn(_Entity):
    """Who gets it, sends it, or is answered."""

    email: EmailAddressIn = Field(alias="emailAddress")


class BodyIn(_Entity):
    """The text; html goes alone, as from Graph."""

    content_type: Annotated[Literal["text", "html"], PlainValidator(lambda value: _word(value, "text", "html"))] = (
        Field(default="text", alias="contentType")
    )
    content: str = ""


class HeaderIn(_Entity):
    """A header field of the client's own; its name begins with x- (FACTS A4)."""

    name: str
    value: str = ""

    @model_validator(mode="after")
    def _custom(self) -> "HeaderIn":
        if not _CUSTOM.fullmatch(self.name):
            rule = "the name of an internet message header begins with 'x-' or 'X-'"
            raise GraphRuleError(rule, code=INVALID_HEADER, at="/name")
        return self


class AttachmentIn(_Entity):
    """A file; items and references are no files and cannot go with a mail."""

    kind = _FILE
    ignored = _OF_A_FILE

    name: str = ""
    content_type: str = Field(default="", alias="contentType")
    content: Base64 = Field(alias="contentBytes")
    content_id: str | None = Field(default=None, alias="contentId")
    inline: bool = Field(default=False, alias="isInline")


class PropertyIn(_Entity):
    """A MAPI property for which a mail has a header field, or that says when it leaves."""

    id: str
    value: str

    @property
    def header(self) -> str | None:
        """The header field that Exchange makes of it."""
        return _HEADER_OF.get(self.id.lower())

    @property
    def moment(self) -> datetime | None:
        """When it leaves at the earliest."""
        if self.id.lower() != _DEFERRED.lower():
            return None
        found = datetime.fromisoformat(self.value)
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)

    @model_validator(mode="after")
    def _known(self) -> "PropertyIn":
        try:
            known = self.header is not None or self.moment is not None
        except ValueError:
            raise RuleError("a time is ISO 8601, such as 2026-11-24T09:30:00Z", at="/value") from None
        if not known:
            names = ", ".join((*PROPERTIES.values(), _DEFERRED))
            raise GraphRuleError(f"of extended properties a mail can say {names}", code=NOT_SUPPORTED, at="/id")
        return self


def _word(value: object, *words: str) -> str:
    """One of the words, in any case as Graph takes it, in lower case."""
    if isinstance(value, str) and value.lower() in words:
        return value.lower()
    raise RuleError(f"this is one of {', '.join(words)}")


def _flag(value: object) -> None:
    said = {name: item for name, item in value.items() if name != TYPE} if isinstance(value, dict) else {}
    if [*said] != ["flagStatus"] or str(said["flagStatus"]).lower() != "notflagged":
        raise _cannot("leave the flag out")


def _only(*accepted: object, what: str) -> Callable[[object], None]:
    """A validator of what says nothing as long as it has one of these values."""

    def check(value: object) -> None:
        if not any(value == one and type(value) is type(one) for one in accepted):
            raise _cannot(what)

    return check


def _saved(value: object) -> bool:
    """Graph's own example writes it as a text."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise RuleError("this is true or false")


def _category(value: object) -> str:
    if not isinstance(value, str) or not _CATEGORY.fullmatch(value):
        raise RuleError('a category goes as a keyword (RFC 5322 §3.6.5): a text without any of ,;"\\<>@:()[]')
    return value


def _message_id(value: object) -> str:
    if not isinstance(value, str) or len(value) > MSG_ID_LIMIT or not MSG_ID.fullmatch(value):
        raise RuleError("a Message-ID is <left@right> in ASCII (RFC 5322 §3.6.4)")
    return value


def _sensitivity(value: object) -> str | None:
    return _SENSITIVITIES.get(_word(value, "normal", *_SENSITIVITIES))


_People = Annotated[tuple[RecipientIn, ...], Field(strict=False)]
_Nothing = Annotated[None, PlainValidator(_only([], what="leave it out"))]


class MessageIn(_Entity):
    """The resource message, as far as a mail can say it."""

    kind = _MESSAGE
    ignored = _OF_AN_ITEM

    subject: str = ""
    body: BodyIn = BodyIn()
    author: RecipientIn | None = Field(default=None, alias="from")
    sender: RecipientIn | None = None
    to: _People = Field(default=(), alias="toRecipients")
    cc: _People = Field(default=(), alias="ccRecipients")
    bcc: _People = Field(default=(), alias="bccRecipients")
    reply_to: _People = Field(default=(), alias="replyTo")
    importance: Annotated[
        Literal["low", "normal", "high"] | None, PlainValidator(lambda value: _word(value, "low", "normal", "high"))
    ] = None
    headers: Annotated[tuple[HeaderIn, ...], Field(strict=False)] = Field(default=(), alias="internetMessageHeaders")
    message_id: Annotated[str | None, PlainValidator(_message_id)] = Field(default=None, alias="internetMessageId")
    attachments: Annotated[tuple[AttachmentIn, ...], Field(strict=False)] = ()
    read_receipt: bool = Field(default=False, alias="isReadReceiptRequested")
    categories: Annotated[tuple[Annotated[str, PlainValidator(_category)], ...], Field(strict=False)] = ()
    sensitivity: Annotated[str | None, PlainValidator(_sensitivity)] = None
    properties: Annotated[tuple[PropertyIn, ...], Field(strict=False)] = Field(
        default=(), alias="singleValueExtendedProperties"
    )
    delivery_receipt: Annotated[None, PlainValidator(_only(False, what="no standard header field asks for it"))] = (
        Field(default=None, alias="isDeliveryReceiptRequested")
    )
    flag: Annotated[None, PlainValidator(_flag)] = None
    inference: Annotated[None, PlainValidator(_only("focused", what="the recipient's mailbox decides"))] = Field(
        default=None, alias="inferenceClassification"
    )
    extensions: _Nothing = None
    mentions: _Nothing = None
    multi_properties: _Nothing = Field(default=None, alias="multiValueExtendedProperties")

    @model_validator(mode="after")
    def _somebody(self) -> "MessageIn":
        if not self.to and not self.cc and not self.bcc:
            rule = "a message can't be sent because it contains no recipients"
            raise GraphRuleError(rule, code=INVALID_RECIPIENTS, at="/toRecipients")
        return self


class SendMailIn(_Entity):
    """The parameters of the action sendMail."""

    message: MessageIn
    saved: Annotated[bool, PlainValidator(_saved)] = Field(default=True, alias="saveToSentItems")

    def fingerprint(self, mailbox: str) -> bytes:
        """SHA-256 of the validated request to a mailbox (PROMISES §2)."""
        return sha256(b"graph json\0" + mailbox.encode() + b"\0" + to_json(self)).digest()


def _names(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


_ENTITIES: Final = (*(EmailAddressIn, RecipientIn, BodyIn, HeaderIn, AttachmentIn, PropertyIn, MessageIn, SendMailIn),)
NAMES: Final = {
    name.lower(): name
    for name in {TYPE, "flagStatus", *_OF_AN_ITEM, *_OF_A_FILE, *(n for e in _ENTITIES for n in _names(e))}
}
"""Every name that Graph's documents write, by its form in lower case: clients write them in any."""
