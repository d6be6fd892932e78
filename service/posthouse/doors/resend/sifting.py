"""A batch of which only the sound emails are taken (Resend's permissive mode)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from posthouse.doors.http.reading import parsed
from posthouse.doors.resend import views
from posthouse.doors.resend.drafts import draft
from posthouse.doors.resend.models import EmailIn
from posthouse.doors.resend.refusals import said
from posthouse.policy import Client
from posthouse.refusal import Condition, Refused
from posthouse.submission import DoorStep, Draft, Receipt

_ONE: Final = TypeAdapter(EmailIn)


@dataclass(slots=True)
class Sieve:
    """The emails of a batch by their place in it: drafts, or why they are none; and what each of them was."""

    drafts: dict[int, Draft] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    prints: list[bytes] = field(default_factory=list)

    def refuse(self, index: int, refused: Refused) -> None:
        """Leave one out; raises what was refused for a reason that passes by itself: then nothing is taken."""
        if refused.retry_after is not None:
            raise refused
        self.drafts.pop(index, None)
        self.errors[index] = said(refused)

    def answer(self, receipts: Sequence[Receipt]) -> bytes:
        """The ids of those that were taken, and why the others were not."""
        return views.sifted(receipts, [views.refused(index, self.errors[index]) for index in sorted(self.errors)])


def items(raw: bytes, *, most: int) -> list[object]:
    """The emails of a batch, whatever they are; raises Refused."""
    try:
        found = from_json(raw, allow_inf_nan=False)
    except ValueError as fault:
        raise Refused(Condition.INVALID_JSON, str(fault)) from None
    if not isinstance(found, list) or not 1 <= len(found) <= most:
        raise Refused(Condition.VALIDATION_ERROR, f"a batch is a JSON array of 1 to {most} emails")
    return found


def sift(batch: Sequence[object], *, client: Client, step: DoorStep) -> Sieve:
    """Reads and composes each by itself."""
    sieve = Sieve()
    for index, item in enumerate(batch):
        raw = to_json(item)
        try:
            email = parsed(_ONE, raw, model=EmailIn)
        except Refused as refused:
            sieve.prints.append(sha256(raw).digest())
            sieve.refuse(index, refused)
            continue
        sieve.prints.append(email.fingerprint())
        try:
            sieve.drafts[index] = draft(email, client=client, step=step)
        except Refused as refused:
            sieve.refuse(index, refused)
    return sieve


async def weighed(sieve: Sieve, *, step: DoorStep) -> None:
    """Leaves out what the door step would refuse, each by itself."""
    for index, one in tuple(sieve.drafts.items()):
        try:
            await step.accept((one,), answer=views.single, dry_run=True)
        except Refused as refused:
            sieve.refuse(index, refused)
