"""What a client of Resend writes in JSON; what posthouse cannot do is refused by name, and so is what nobody knows."""

from collections.abc import Callable
from hashlib import sha256
from typing import Annotated, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    model_validator,
)
from pydantic_core import to_json

from posthouse.compose import Attachment, Letter, Person
from posthouse.doors.options import TAGS, TagName, TagValue
from posthouse.doors.people import people, person
from posthouse.doors.resend.when import When, when
from posthouse.doors.rules import RuleError
from posthouse.doors.values import content_type_of, decoded
from posthouse.message import Millis
from posthouse.submission import Wishes


def _none_for(*empty: object) -> Callable[[object], object]:
    """Null for what clients of some languages write where they have nothing."""
    return lambda value: None if value in empty else value


def _never(why: str) -> BeforeValidator:
    def refuse(value: object) -> None:
        if value is not None:
            raise RuleError(why)

    return BeforeValidator(refuse)


def _people(value: object) -> tuple[Person, ...]:
    return () if value is None else people(value)


def _content(value: object) -> bytes | None:
    """Base64, a list of bytes (the SDKs of Go, Ruby and Rust), or a Buffer as older ones of Node write it."""
    if isinstance(value, dict) and value.get("type") == "Buffer":
        value = value.get("data")
    if isinstance(value, list):
        try:
            return bytes(value)
        except (TypeError, ValueError):
            raise RuleError("content as a list holds numbers from 0 to 255") from None
    return None if value is None else decoded(value)


_One = Annotated[Person, PlainValidator(person)]
_Many = Annotated[tuple[Person, ...], PlainValidator(_people)]
_Headers = Annotated[dict[str, str] | None, BeforeValidator(_none_for([]))]
"""PHP has one empty array, which it writes as a list."""
_Name = Annotated[str | None, BeforeValidator(lambda value: None if value is False else value)]
"""Node's type has false for a file without a name."""


class AttachmentIn(BaseModel):
    """A file, with its content; one with a content id is shown inside of the html."""

    model_config = ConfigDict(extra="forbid", strict=True, ser_json_bytes="base64")

    filename: _Name = None
    content: Annotated[bytes | None, PlainValidator(_content)] = None
    content_type: str | None = Field(default=None, validation_alias=AliasChoices("content_type", "contentType"))
    content_id: str | None = Field(default=None, validation_alias=AliasChoices("content_id", "inline_content_id"))
    path: Annotated[None, _never("posthouse fetches no files from elsewhere: send them as content")] = None

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if self.content is None:
            raise RuleError("a file has its content, in base64", at="/content")
        return self

    def attachment(self) -> Attachment:
        """The same for composing."""
        filename, content_id = self.filename or "", self.content_id or None
        return Attachment(
            filename=filename,
            content=self.content or b"",
            content_type=content_type_of(filename, self.content_type),
            content_id=content_id,
            inline=content_id is not None,
        )


class TagIn(BaseModel):
    """A name and what it stands for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: TagName
    value: TagValue | None = None


class EmailIn(BaseModel):
    """An email; null, and an empty text or html, are the same as nothing."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sender: _One = Field(alias="from")
    to: _Many
    subject: str
    cc: _Many = ()
    bcc: _Many = ()
    reply_to: _Many = ()
    html: str | None = None
    text: str | None = None
    headers: _Headers = None
    attachments: tuple[AttachmentIn, ...] | None = Field(default=None, strict=False)
    tags: Annotated[tuple[TagIn, ...], Field(max_length=TAGS)] | None = Field(default=None, strict=False)
    scheduled_at: Annotated[When | None, PlainValidator(lambda value: None if value is None else when(value))] = None
    template: Annotated[None, _never("posthouse keeps no templates: send the finished html or text")] = None
    topic_id: Annotated[None, _never("posthouse keeps no topics and no contacts")] = None
    region: Annotated[None, _never("posthouse sends from where it runs")] = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.to:
            raise RuleError("an email has at least one recipient in to", at="/to", missing=True)
        if not self.html and not self.text:
            raise RuleError("an email has html or text, which is not empty", at="/html", missing=True)
        names = [tag.name for tag in self.tags or ()]
        if twice := next((index for index, name in enumerate(names) if name in names[:index]), None):
            raise RuleError("every tag has a name of its own", at=f"/tags/{twice}/name")
        return self

    def letter(self) -> Letter:
        """The same for composing; blind copies are no part of it."""
        return Letter(
            sender=self.sender,
            to=self.to,
            cc=self.cc,
            reply_to=self.reply_to,
            subject=self.subject,
            text=self.text or None,
            html=self.html or None,
            headers=tuple((self.headers or {}).items()),
            attachments=tuple([file.attachment() for file in self.attachments or ()]),
        )

    def wishes(self, now: Millis) -> Wishes:
        """When it goes and what it is marked with."""
        return Wishes(
            tags={tag.name: tag.value or "" for tag in self.tags or ()},
            due_at=None if self.scheduled_at is None else self.scheduled_at.resolved(now),
        )

    def fingerprint(self) -> bytes:
        """SHA-256 of the validated request; the order of header fields does not matter (PROMISES §2)."""
        fields = self.__dict__ | {"headers": sorted((self.headers or {}).items())}
        return sha256(to_json(fields, bytes_mode="base64")).digest()


class UpdateIn(BaseModel):
    """What is changed of an email that waits; some SDKs repeat its id."""

    model_config = ConfigDict(extra="forbid", strict=True)

    scheduled_at: Annotated[When, PlainValidator(when)]
    id: str | None = Field(default=None, validation_alias=AliasChoices("id", "email_id"))


class ListQuery(BaseModel):
    """Which part of the list."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    after: str | None = None
    before: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.after is not None and self.before is not None:
            raise RuleError("after or before, not both", at="/before")
        return self
