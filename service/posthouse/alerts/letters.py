"""Tells by mail: through a mailbox and by a transport that the alert is not about, as far as the settings have others."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from posthouse.alerts.words import Telling
from posthouse.compose import Letter, Person, compose
from posthouse.message import Bytes, Content, Envelope, Kind, Millis, Priority, Recipient
from posthouse.policy import Client
from posthouse.receipt import Receipt
from posthouse.records import Alert, Idempotency
from posthouse.refusal import Refused
from posthouse.submission import DoorStep, Draft, Identity, Wishes

DOOR: Final = "alerts"
CLIENT: Final = "posthouse"
GOOD_FOR: Final[Millis] = 86_400_000
"""After a day an alert is no news."""


@dataclass(frozen=True, slots=True)
class Way:
    """As whom, and by which transport where it must be a certain one."""

    sender: str
    transport: str | None


class Letters:
    """Submits alerts like any other mail: durably, and once, because the telling's id is the idempotency key."""

    def __init__(self, step: DoorStep, *, to: Sequence[str], senders: Sequence[str]) -> None:
        self._step = step
        self._to = to
        self._senders = senders
        self._client = Client(name=CLIENT, senders=tuple(senders))

    async def send(self, told: Telling, about: Alert) -> str | None:
        """Submit it; None where it is kept, else why it is not."""
        way = self.way(about)
        identity = self._step.identify(way.sender)
        draft = Draft(
            identity=identity,
            client=self._client,
            door=DOOR,
            sender=way.sender,
            envelope=Envelope(way.sender, tuple(Recipient(one, Kind.TO) for one in self._to)),
            content=self._content(told, identity, sender=way.sender),
            subject=told.title,
            wishes=Wishes(
                reference=told.id,
                priority=Priority.HIGH,
                transport=way.transport,
                expires_at=identity.at + GOOD_FOR,
            ),
        )
        idempotency = Idempotency(CLIENT, told.id, sha256(told.id.encode()).digest())
        try:
            await self._step.accept((draft,), answer=_answer, idempotency=idempotency)
        except Refused as refused:
            return refused.condition.value
        return None

    def way(self, about: Alert) -> Way:
        """The first sender of another mailbox, and of its transports the first that it is not about."""
        rules = self._step.rules
        boxes = {rule.address.casefold(): rule.mailboxes or (rule.address,) for rule in rules.senders}
        ill = {one.casefold() for one in about.mailboxes}
        well = [one for one in self._senders if not ill & {box.casefold() for box in boxes.get(one.casefold(), (one,))}]
        sender = (well or list(self._senders))[0]
        route = rules.route(sender, self._to)
        others = [name for name in route if name not in about.transports]
        return Way(sender, others[0] if others and len(others) < len(route) else None)

    def _content(self, told: Telling, identity: Identity, *, sender: str) -> Content:
        letter = Letter(
            sender=Person("posthouse", sender),
            to=tuple(Person("", one) for one in self._to),
            subject=told.title,
            text="\n\n".join(told.lines) + "\n",
            headers=(("Auto-Submitted", "auto-generated"),),  # RFC 3834 §5: nobody's absence note shall answer
        )
        date = datetime.fromtimestamp(identity.at / 1000, UTC)
        header, body = compose(letter, message_id=identity.message_id, date=date, boundary=identity.id)
        return Content(header, Bytes(body))


def _answer(receipts: Sequence[Receipt]) -> bytes:
    return receipts[0].id.encode()
