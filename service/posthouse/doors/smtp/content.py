"""The content of a mail, as it comes after DATA, becomes a submission like that of any other door."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from aiosmtpd.smtp import Envelope

from posthouse import headers as edit
from posthouse.doors.raw import Raw, Weighed, draft_of
from posthouse.doors.smtp import replies
from posthouse.doors.smtp.hooks import NULL
from posthouse.doors.smtp.incoming import Incoming
from posthouse.doors.smtp.rewriting import rewritten, sender_of
from posthouse.doors.smtp.wishes import Wanted, wanted
from posthouse.policy import Client
from posthouse.receipt import Receipt
from posthouse.records import Idempotency
from posthouse.submission import DoorStep

_TRACE: Final = ("Received", "Return-Path", "Date")
"""Fields that differ when a smart host relays a mail again (PROMISES §2)."""


async def submit(incoming: Incoming, mail: Envelope, *, step: DoorStep, client: Client) -> str:
    """Keep the message durably; the reply that says so. Raises Refused, SpoolUnavailableError."""
    raw = Raw(incoming.blocks())
    asked = wanted(await raw.header())
    reverse_path = None if mail.mail_from == NULL else sender_of(client, mail.mail_from or "")
    draft = draft_of(
        rewritten(asked.header, client),
        door=replies.DOOR,
        to=tuple(mail.rcpt_tos),
        wishes=asked.options.wishes,
        client=client,
        step=step,
        reverse_path=reverse_path,
    )
    async with Weighed(draft, step=step).kept(raw.body()) as whole:
        idempotency = _idempotency(asked, mail, raw, client)
        result = await step.accept((whole,), answer=_answer, idempotency=idempotency)
    return f"250 2.0.0 Queued as {result.answer.decode()}"


def _idempotency(asked: Wanted, mail: Envelope, raw: Raw, client: Client) -> Idempotency | None:
    """The client's key together with the envelope, bound to the content without trace fields (PROMISES §2).

    A smart host may split one mail by its recipients, each part with the same key, and may relay a part again.
    """
    if asked.key is None:
        return None
    envelope = "\0".join((asked.key, mail.mail_from or "", *sorted(mail.rcpt_tos))).encode()
    content = raw.digest(edit.without(asked.header, *_TRACE))
    return Idempotency(client.name, f"smtp {sha256(envelope).hexdigest()}", content)


def _answer(receipts: Sequence[Receipt]) -> bytes:
    return receipts[0].id.encode()
