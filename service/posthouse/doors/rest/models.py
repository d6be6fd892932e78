"""What a client writes in JSON (CONTRACT §2.1), validated once from the raw bytes; unknown fields are refused."""

import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    model_validator,
)
from pydantic_core import to_json

from posthouse.compose import Arriving, Attachment, Letter, Person
from posthouse.doors.letters import envelope_of
from posthouse.doors.options import PRIORITIES, Options, Tags, moment
from posthouse.doors.people import people, person
from posthouse.doors.rules import RuleError
from posthouse.doors.values import Base64, Count, Network, Seconds, content_type_of
from posthouse.message import Envelope, Millis, OnUnconfirmed
from posthouse.policy import Terms
from posthouse.records import Change

_UNKNOWN: Final = Arriving()

_ADDRESS_SCHEMA = str | dict[Literal["name", "address"], str]
_One = Annotated[Person, PlainValidator(person, json_schema_input_type=_ADDRESS_SCHEMA)]
_Many = Annotated[
    tuple[Person, ...],
    PlainValidator(people, json_schema_input_type=_ADDRESS_SCHEMA | list[_ADDRESS_SCHEMA]),
]


class AttachmentIn(BaseModel):
    """A file: its ``content``, or the name of the ``part`` of the form that is it.

    Without ``content_type`` its name decides, with a ``content_id`` it is inline unless said otherwise.
    """

    model_config = ConfigDict(extra="forbid", strict=True, ser_json_bytes="base64")

    filename: str = ""
    content: Base64 | None = None
    part: str | None = None
    content_type: str | None = None
    content_id: str | None = None
    disposition: Literal["attachment", "inline"] | None = None

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if (self.content is None) == (self.part is None):
            raise RuleError("a file has its content in base64, or names its part of the form", at="/content")
        return self

    @property
    def type(self) -> str:
        """Its content type, as given or by its name."""
        return content_type_of(self.filename, self.content_type)

    @property
    def is_message(self) -> bool:
        """Whether it may go without encoding (RFC 2046 §5.2.1)."""
        return self.type.strip().lower().startswith("message/")

    def attachment(self, arriving: Arriving) -> Attachment:
        """The same for composing; ``arriving`` stands for a content that is not at hand."""
        inline = self.disposition == "inline" or (self.disposition is None and self.content_id is not None)
        return Attachment(
            filename=self.filename,
            content=arriving if self.content is None else self.content,
            content_type=self.type,
            content_id=self.content_id,
            inline=inline,
        )


class MessageIn(Options):
    """A message as JSON; addresses are ``Name <a@b>`` or ``{name, address}``, one or a list."""

    sender: _One = Field(alias="from")
    to: _Many = ()
    cc: _Many = ()
    bcc: _Many = ()
    reply_to: _Many = ()
    subject: str = ""
    text: str | None = None
    html: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    attachments: tuple[AttachmentIn, ...] = Field(default=(), strict=False)
    importance: Literal["high", "normal", "low"] | None = None
    save_to_sent_items: bool = True

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not self.to and not self.cc and not self.bcc:
            raise RuleError("a message has at least one recipient in to, cc or bcc", at="/to")
        return self

    def letter(self, contents: Mapping[int, Arriving]) -> Letter:
        """The same for composing, with what is known of contents not at hand; blind copies are no part of it."""
        files = enumerate(self.attachments)
        return Letter(
            sender=self.sender,
            to=self.to,
            cc=self.cc,
            reply_to=self.reply_to,
            subject=self.subject,
            text=self.text,
            html=self.html,
            headers=tuple(self.headers.items()) if self.headers else (),
            attachments=tuple([file.attachment(contents.get(index, _UNKNOWN)) for index, file in files]),
            importance=self.importance,
        )

    def envelope(self) -> Envelope:
        """Sender and recipients, each address once."""
        return envelope_of(self.sender, to=self.to, cc=self.cc, bcc=self.bcc)

    def fingerprint(self) -> bytes:
        """SHA-256 of the validated request; the order of named things does not matter (PROMISES §2)."""
        fields = self.__dict__ | {
            "tags": sorted(self.tags.items()),
            "headers": sorted(self.headers.items()),
            "metadata": json.dumps(self.metadata, sort_keys=True),
            "priority": self.priority or "normal",
        }
        return sha256(to_json(fields, bytes_mode="base64")).digest()


class RawOptions(Options):
    """What the address line of a raw message may say beside ``to``, which overrides the envelope."""

    def fingerprint(self, *, to: tuple[str, ...], digest: bytes) -> bytes:
        """SHA-256 of the validated request: options, envelope, and the SHA-256 of its bytes."""
        fields = self.__dict__ | {"priority": self.priority or "normal"}
        return sha256(to_json([fields, sorted(self.tags.items()), to]) + b"\0" + digest).digest()


class RetryIn(BaseModel):
    """What a retry may need: a word that a second copy is acceptable, a new expiry."""

    model_config = ConfigDict(extra="forbid", strict=True)

    accept_duplicate: bool = False
    expires_at: AwareDatetime | None = None
    expires_in: Seconds | None = None


class ChangeIn(BaseModel):
    """What may be changed of a message that is not being sent; null takes a time away (at once, never)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    scheduled_at: AwareDatetime | None = None
    send_in: Seconds | None = None
    expires_at: AwareDatetime | None = None
    expires_in: Seconds | None = None
    priority: Literal["high", "normal", "low"] | None = None

    @model_validator(mode="after")
    def _something_and_one_time_each(self) -> Self:
        if not self.model_fields_set:
            raise RuleError("nothing to change: scheduled_at, send_in, expires_at, expires_in or priority", at="")
        for one, other in (("scheduled_at", "send_in"), ("expires_at", "expires_in")):
            if {one, other} <= self.model_fields_set:
                raise RuleError(f"{one} or {other}, not both", at=f"/{other}")
        if "priority" in self.model_fields_set and self.priority is None:
            raise RuleError("a priority is high, normal or low", at="/priority")
        return self

    def change(self, now: Millis) -> Change:
        """The same, resolved at ``now``."""
        scheduled = {"scheduled_at", "send_in"} & self.model_fields_set
        due_at = moment(self.scheduled_at, self.send_in, now=now)
        expires_at = moment(self.expires_at, self.expires_in, now=now)
        return Change(
            due_at=max(due_at or now, now) if scheduled else None,
            expires_at=expires_at,
            never_expires=expires_at is None and bool({"expires_at", "expires_in"} & self.model_fields_set),
            priority=None if self.priority is None else PRIORITIES[self.priority],
        )


class SettleIn(BaseModel):
    """The operator's word about an unsettled message."""

    model_config = ConfigDict(extra="forbid", strict=True)

    as_: Literal["sent", "not_sent"] = Field(alias="as")


class KeyIn(BaseModel):
    """A key to be made; no key can be made without at least one sender (CONTRACT §3)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    client: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    kind: Literal["api", "device"] = "api"
    senders: list[str] = Field(min_length=1)
    recipient_domains: list[str] = []
    networks: list[Network] = []
    scopes: list[Literal["submit", "read", "content", "manage", "admin"]] = Field(default=["submit"], min_length=1)
    expires_at: AwareDatetime | None = None
    expires_in: Seconds | None = None

    @model_validator(mode="after")
    def _a_device_has_one_sender(self) -> Self:
        if self.kind == "device" and len(self.senders) != 1:
            raise RuleError("a device has one sender", at="/senders")
        if self.kind == "device" and self.scopes != ["submit"]:
            raise RuleError("a device may submit and nothing else", at="/scopes")
        return self


class RotateIn(BaseModel):
    """For how long both keys are valid."""

    model_config = ConfigDict(extra="forbid", strict=True)

    grace: Seconds = 86_400.0


class TermsIn(BaseModel):
    """What changes of a client's terms; null takes a rule away."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rate_per_minute: Count | None = None
    rate_per_day: Count | None = None
    over_rate: Literal["refuse", "delay"] | None = None
    max_message_bytes: Count | None = None
    rewrite_from: str | None = None
    priority: Literal["high", "normal", "low"] | None = None
    expire_after: Seconds | None = None
    on_unconfirmed: Literal["settle", "retry", "hold"] | None = None
    content: Literal["keep", "until_sent"] | None = None
    tags: Tags | None = None

    def over(self, terms: Terms) -> Terms:
        """The terms with what this changes of them."""
        plain = Terms()
        changed: dict[str, object] = {}
        for name in self.model_fields_set:
            value = getattr(self, name)
            if name == "priority" and value is not None:
                value = PRIORITIES[value]
            if name == "on_unconfirmed" and value is not None:
                value = OnUnconfirmed(value)
            changed[name] = getattr(plain, name) if value is None else value
        return replace(terms, **changed)


def hashed_batch(batch: tuple[MessageIn, ...]) -> bytes:
    """One fingerprint for a batch, which has one key and one answer (PROMISES §2)."""
    return sha256(b"".join(message.fingerprint() for message in batch)).digest()
