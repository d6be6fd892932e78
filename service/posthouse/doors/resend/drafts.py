"""Turns an email as a client of Resend wrote it into a draft for the door step."""

from typing import Final

from posthouse.doors.http.composing import planned
from posthouse.doors.letters import Written, draft_of, envelope_of, whole
from posthouse.doors.resend.models import EmailIn
from posthouse.policy import Client
from posthouse.submission import DoorStep, Draft

DOOR: Final = "resend"


def draft(email: EmailIn, *, client: Client, step: DoorStep, root: str = "") -> Draft:
    """The draft of a validated email, composed; raises Refused. ``root`` is its place in a batch."""
    written = Written(
        letter=email.letter(),
        envelope=envelope_of(email.sender, to=email.to, cc=email.cc, bcc=email.bcc),
        wishes=email.wishes,
        root=root,
    )
    identity = step.identify(email.sender.address)
    return draft_of(written, identity, whole(planned(written, identity)), door=DOOR, client=client)
