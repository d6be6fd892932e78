"""Drafts of a mailbox, their files, and the upload sessions by which large files come (FACTS A5, A6)."""

from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_hex
from typing import Final, Protocol

IMMUTABLE: Final = "AAkALgAAAAAAHYQDEapm"
MUTABLE: Final = "AAMkAGUwNWY5LmRyYWZ0"
"""How ids begin: an immutable one survives the way to Sent Items, the other does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One attachment; ``content`` is None where only its size and SHA-256 are kept."""

    name: str
    kind: str
    content_id: str | None
    inline: bool
    size: int
    digest: str
    content: bytes | None = field(repr=False)

    def as_json(self) -> dict[str, object]:
        """What tests read of it."""
        return {"name": self.name, "type": self.kind, "content_id": self.content_id, "inline": self.inline} | {
            "size": self.size,
            "sha256": self.digest,
        }


@dataclass(slots=True, kw_only=True)
class Draft:
    """A message that was created and not sent: the JSON (names in lower case) or the MIME form that it came in."""

    item_id: str
    mailbox: str
    created_at: float
    message_id: str
    subject: str
    message: dict[str, object] = field(repr=False)
    mime: bytes | None = field(default=None, repr=False)
    properties: dict[str, str] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


@dataclass(slots=True, kw_only=True)
class Session:
    """A file on its way; ``kept`` is None where only a digest is wanted."""

    token: str
    draft: Draft
    name: str
    kind: str
    content_id: str | None
    inline: bool
    size: int
    received: int = 0
    kept: bytearray | None = field(default=None, repr=False)
    digest: "_Hash" = field(default_factory=sha256, repr=False)

    def take(self, block: bytes) -> None:
        """The next range."""
        self.digest.update(block)
        self.received += len(block)
        if self.kept is not None:
            self.kept += block

    def file(self) -> File:
        """The whole."""
        return File(
            name=self.name,
            kind=self.kind,
            content_id=self.content_id,
            inline=self.inline,
            size=self.received,
            digest=self.digest.hexdigest(),
            content=None if self.kept is None else bytes(self.kept),
        )


class Drawer:
    """All drafts and sessions of the tenant."""

    def __init__(self) -> None:
        self.drafts: dict[str, Draft] = {}
        self.sessions: dict[str, Session] = {}

    def new_id(self, *, immutable: bool) -> str:
        """The id of a draft to be."""
        return f"{IMMUTABLE if immutable else MUTABLE}{token_hex(16)}="

    def of(self, mailbox: str, item_id: str) -> Draft | None:
        """The draft of this id, if it is this mailbox's."""
        draft = self.drafts.get(item_id)
        return draft if draft is not None and draft.mailbox == mailbox else None

    def open(self, session: Session) -> None:
        """A session whose URL may be used from now on."""
        self.sessions[session.token] = session

    def drop(self, draft: Draft) -> None:
        """The draft was sent or deleted; its sessions end."""
        del self.drafts[draft.item_id]
        self.sessions = {token: one for token, one in self.sessions.items() if one.draft is not draft}
