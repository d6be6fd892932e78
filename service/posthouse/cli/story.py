"""The story of a message in plain words, from its record and its events."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from posthouse.cli.output import count, moment
from posthouse.cli.shapes import Attempt, Diagnosis, Event, Message
from posthouse.cli.why import reason

WORDS: Final[Mapping[str, str]] = {
    "message.accepted": "accepted",
    "message.sending": "handed over",
    "message.sent": "sent: Microsoft 365 took responsibility",
    "message.deferred": "not sent; it will be tried again",
    "message.fell_back": "not sent; the next transport of its route takes over",
    "message.unconfirmed": "the answer was lost or is in doubt; posthouse looks for it before anything else",
    "message.looked_up": "looked for",
    "message.settled": "settled",
    "message.held": "held",
    "message.released": "released",
    "message.retried": "to be sent again",
    "message.changed": "changed",
    "message.failed": "failed for good",
    "message.expired": "expired",
    "message.canceled": "canceled",
    "message.erased": "erased at a person's request; only what accounting needs is left",
    "message.bounced": "Exchange reported later that it did not arrive",
    "message.late_outcome": "an answer came after all was settled",
    "message.resend_withdrawn": "canceled while in doubt: it is not sent again, whatever a look-up says",
}
"""What the types of events mean."""
_ASIDE: Final = frozenset(
    {"attempt", "attempt_id", "outcome", "scope", "status", "reply", "text", "fix", "next_attempt_at", "code"}
    | {"request_id", "retry_after"}
)
"""Data of events that the attempt's own lines tell."""


def story(message: Message, events: Sequence[Event]) -> Iterator[str]:
    """Its lines."""
    yield f"{message['id']} is {message['status']}"
    yield from _head(message)
    yield ""
    attempts = {attempt["number"]: attempt for attempt in message.get("attempts", ())}
    for event in events:
        yield f"{moment(event['at'])}  {WORDS.get(event['type'], event['type'])}{_data(event)}"
        yield from _why(event, attempts, message["diagnosis"])
    yield ""
    yield from _now(message)


def _head(message: Message) -> Iterator[str]:
    yield f"  subject    {message['subject']}"
    yield f"  from       {message['from']}, mailbox {message['mailbox']}"
    for recipient in message["recipients"]:
        refused = f"  REFUSED: {recipient['refused']}" if recipient["refused"] else ""
        yield f"  {recipient['kind']:<10} {recipient['address']}{refused}"
    size = count(message["size"], "byte")
    yield f"  accepted   {moment(message['created_at'])} from {message['client']} by {message['door']}, {size}"
    yield f"  route      {', '.join(message['route'])}"
    if message["reference"]:
        yield f"  reference  {message['reference']}"
    yield f"  Message-ID {message['message_id']}"


def _data(event: Event) -> str:
    rest = ", ".join(f"{name} {value}" for name, value in event["data"].items() if name not in _ASIDE)
    return f" ({rest})" if rest else ""


def _why(event: Event, attempts: Mapping[int, Attempt], now: Diagnosis | None) -> Iterator[str]:
    """The answer to the attempt that an event tells of, why, and what mends it: with the message's own names, where known."""
    attempt = attempts.get(event["data"].get("attempt", 0))
    if attempt is not None and event["type"] != "message.sending" and attempt["outcome"] is not None:
        answer = attempt["text"] or attempt["code"] or attempt["outcome"]
        yield f"{'':22}attempt {attempt['number']} by {attempt['transport']} as {attempt['account']}: {answer}"
        if attempt["request_id"] and event["diagnosis"] is None:
            yield f"{'':22}request id {attempt['request_id']}"
    told = event["diagnosis"]
    if told is not None:
        fix = now["fix"] if now is not None and now["key"] == told["key"] else told["fix"]
        yield from reason({**told, "fix": fix}, " " * 22)


def _now(message: Message) -> Iterator[str]:
    match message["status"]:
        case "deferred":
            yield f"It will be tried again at {moment(message['next_attempt_at'])}."
        case "scheduled":
            yield f"It is due at {moment(message['scheduled_at'])}."
        case "held" if message["held"]:
            yield f"It waits: {message['held']['cause']}. {message['held']['advice']}"
        case "unconfirmed":
            yield "Nobody knows yet whether it was sent. It will not be sent again before that is known."
        case "sent" if message["bounces"]:
            whom = ", ".join(dict.fromkeys(one["recipient"] for one in message["bounces"]))
            yield f"Exchange Online took it, and reported later that it did not reach {whom}."
        case "sent":
            yield "Exchange Online has it. Whether it was read or delivered nobody here can know."
        case "failed" | "expired" | "canceled":
            yield "Nothing more will happen to it by itself."
        case _:
            yield "It waits for its turn; `posthouse queue` says what its mailbox waits for, and until when."
    if message["unsettled"] and message["status"] != "unconfirmed":
        yield "Whether an earlier attempt sent it is not settled yet."
    if message["expires_at"]:
        yield f"It is not sent later than {moment(message['expires_at'])}."
