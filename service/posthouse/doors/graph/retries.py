"""What makes a repeated request the same message: an Idempotency-Key, as at REST, or Graph's own client-request-id.

Graph's SDK for JavaScript repeats 429, 503 and 504 with the same client-request-id, and a client whose connection broke
may do so too. It is no promise of the client that an id stands for one message: some write one id for a whole job. So
it counts together with the request (another body is another message, never an error), and for 15 minutes (CONTRACT
§2.2); the same alert an hour later goes again. The spool keeps keys longer: which message is the newest under a name
stands in the answer that is kept, its time in its id, and the next one's name is made of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from posthouse.doors.graph.errors import CLIENT_REQUEST_ID
from posthouse.doors.http.reading import Headers, idempotency_key
from posthouse.message import MessageId, Millis, id_bytes
from posthouse.receipt import Receipt
from posthouse.records import Idempotency, Replayed
from posthouse.submission import DoorStep, Draft

WINDOW: Final[Millis] = 900_000
"""How long a request with the same client-request-id, client and content is the same message."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What a request says of itself; an Idempotency-Key goes before a client-request-id."""

    key: str | None
    client_request_id: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """The message that a request stands for, and whether an earlier one brought it."""

    id: MessageId
    replayed: bool


def marks_of(headers: Headers) -> Marks:
    """What the header says; raises Refused(INVALID_IDEMPOTENCY_KEY)."""
    return Marks(idempotency_key(headers), headers.get(CLIENT_REQUEST_ID, b""))


async def keep(draft: Draft, marks: Marks, request_hash: bytes, *, step: DoorStep) -> Kept:
    """Keep the message durably, once; raises Refused."""
    if marks.key is not None or not marks.client_request_id:
        return await _once(draft, marks.key, request_hash, step=step)
    name = _name(marks.client_request_id, request_hash)
    while True:
        kept = await _once(draft, name, request_hash, step=step)
        if not kept.replayed or draft.identity.at - _time_of(kept.id) <= WINDOW:
            return kept
        name = _name(name.encode(), id_bytes(kept.id))


async def _once(draft: Draft, key: str | None, request_hash: bytes, *, step: DoorStep) -> Kept:
    idempotency = None if key is None else Idempotency(draft.client.name, key, request_hash)
    result = await step.accept((draft,), answer=_answer, idempotency=idempotency)
    return Kept(MessageId(result.answer.decode()), isinstance(result, Replayed))


def _answer(receipts: Sequence[Receipt]) -> bytes:
    return receipts[0].id.encode()


def _name(*parts: bytes) -> str:
    """A name that no client can write as a key: it has a space."""
    return "client-request-id " + sha256(b"\0".join(parts)).hexdigest()


def _time_of(message_id: MessageId) -> Millis:
    """When it was accepted: the first 48 bits of a UUIDv7 (RFC 9562 §5.7)."""
    return int.from_bytes(id_bytes(message_id)[:6], "big")
