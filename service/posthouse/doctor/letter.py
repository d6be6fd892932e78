"""The doctor's own letter: without a recipient one that nobody can get, with one a real message."""

import uuid
from email.utils import formatdate
from typing import Final

_TEXT: Final = "posthouse doctor sent this by the transport {way}. There is nothing to do.\r\n"


def new_message_id() -> str:
    """A Message-ID that no message has."""
    return f"<doctor.{uuid.uuid4().hex}@posthouse.invalid>"


def letter(*, sender: str, to: str | None, at: float, way: str) -> bytes:
    """An RFC 5322 message at this Unix time; ``way`` is named in its text."""
    fields = [
        f"From: <{sender}>",
        *([] if to is None else [f"To: <{to}>"]),
        "Subject: posthouse doctor",
        f"Date: {formatdate(at)}",
        f"Message-ID: {new_message_id()}",
        "Auto-Submitted: auto-generated",  # RFC 3834 §5: nobody's absence note shall answer
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
    ]
    return ("\r\n".join(fields) + "\r\n\r\n" + _TEXT.format(way=way)).encode()
