"""The content of a mail, as it comes after DATA, becomes a submission like that of any other door."""

from collections.abc import Sequence
from hashlib import sha256

from aiosmtpd.smtp import Envelope

from posthouse.doors.raw import Raw, Weighed, draft_of
from posthouse.doors.smtp import replies
from posthouse.doors.smtp.hooks import NULL
from posthouse.doors.smtp.incoming import Incoming
from posthouse.doors.smtp.wishes import Wanted, wanted
from posthouse.policy import Client
from posthouse.receipt import Receipt
from posthouse.records import Idempotency
from posthouse.submission import DoorStep, Wishes


async def submit(incoming: Incoming, mail: Envelope, *, step: DoorStep, client: Client) -> str:
    """Keep the message durably; the reply that says so. Raises Refused, SpoolUnavailableError."""
    raw = Raw(incoming.blocks())
    asked = wanted(await raw.header())
    reverse_path = None if mail.mail_from == NULL else mail.mail_from
    draft = draft_of(
        asked.header,
        door=replies.DOOR,
        to=tuple(mail.rcpt_tos),
        wishes=lambda _now: Wishes(),
        client=client,
        step=step,
        reverse_path=reverse_path,
    )
    async with Weighed(draft, step=step).kept(raw.body()) as whole:
        idempotency = _idempotency(asked, mail, raw.digest(), client)
        result = await step.accept((whole,), answer=_answer, idempotency=idempotency)
    return f"250 2.0.0 Queued as {result.answer.decode()}"


def _idempotency(asked: Wanted, mail: Envelope, digest: bytes, client: Client) -> Idempotency | None:
    """The client's key, bound to envelope and content (PROMISES §2)."""
    if asked.key is None:
        return None
    envelope = "\0".join((mail.mail_from or "", *mail.rcpt_tos)).encode()
    return Idempotency(client.name, asked.key, sha256(b"smtp\0" + envelope + b"\0" + digest).digest())


def _answer(receipts: Sequence[Receipt]) -> bytes:
    return receipts[0].id.encode()
