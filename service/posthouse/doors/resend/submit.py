"""POST /emails and /emails/batch."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Final

from fastapi import Request, Response
from pydantic import Field, TypeAdapter

from posthouse.doors.http.allowance import allowance_fields
from posthouse.doors.http.parts import Parts, Ready
from posthouse.doors.http.reading import JSON, Headers, body, idempotency_key, in_turn, media_type, no_more, parsed
from posthouse.doors.resend import views
from posthouse.doors.resend.allowance import rate_fields
from posthouse.doors.resend.drafts import DOOR, draft
from posthouse.doors.resend.models import EmailIn
from posthouse.doors.resend.sifting import items, sift, weighed
from posthouse.policy import Client
from posthouse.records import Idempotency, Replayed
from posthouse.refusal import Condition, FieldError, Refused
from posthouse.submission import Draft, Render

BATCH: Final = 100
STRICT: Final = "strict"
PERMISSIVE: Final = "permissive"

_Batch = Annotated[tuple[EmailIn, ...], Field(min_length=1, max_length=BATCH, strict=False)]
_ONE: Final = TypeAdapter(EmailIn)
_MANY: Final[TypeAdapter[tuple[EmailIn, ...]]] = TypeAdapter(_Batch)


class Submit:
    """Takes emails and answers 200 only after they are kept durably."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._step = parts.step

    async def one(self, request: Request) -> Response:
        """POST /emails."""
        client, key, raw = await self._read(request)
        made, prints = await in_turn(raw, lambda: self._single(raw, client))
        return await self._accept((made,), views.single, _bound(key, client, "one", prints))

    async def batch(self, request: Request) -> Response:
        """POST /emails/batch: up to 100; all or nothing, or (permissive) those that are sound."""
        client, key, raw = await self._read(request)
        if _mode(dict(request.scope["headers"])) == STRICT:
            drafts, prints = await in_turn(raw, lambda: self._strict(raw, client))
            return await self._accept(drafts, views.batch, _bound(key, client, STRICT, *prints))
        sieve = await in_turn(raw, lambda: sift(items(raw, most=BATCH), client=client, step=self._step))
        await weighed(sieve, step=self._step)
        if not sieve.drafts:
            return Ready(sieve.answer(()), 200)
        drafts = tuple(sieve.drafts.values())
        return await self._accept(drafts, sieve.answer, _bound(key, client, PERMISSIVE, *sieve.prints))

    async def _read(self, request: Request) -> tuple[Client, str | None, bytes]:
        headers: Headers = dict(request.scope["headers"])
        client = self._parts.caller_of(headers, request.scope)
        self._step.welcome(client)
        if media_type(headers) != JSON:
            raise Refused(Condition.UNSUPPORTED_MEDIA_TYPE, "emails are JSON: send Content-Type: application/json")
        key = idempotency_key(headers)
        no_more(request)
        return client, key, await body(request, monotonic=self._parts.clock.monotonic)

    def _single(self, raw: bytes, client: Client) -> tuple[Draft, bytes]:
        email = parsed(_ONE, raw, model=EmailIn)
        return draft(email, client=client, step=self._step), email.fingerprint()

    def _strict(self, raw: bytes, client: Client) -> tuple[list[Draft], list[bytes]]:
        emails = parsed(_MANY, raw, model=EmailIn)
        drafts = [draft(one, client=client, step=self._step, root=f"/{index}") for index, one in enumerate(emails)]
        return drafts, [one.fingerprint() for one in emails]

    async def _accept(self, drafts: Sequence[Draft], render: Render, idempotency: Idempotency | None) -> Response:
        result = await self._step.accept(drafts, answer=render, idempotency=idempotency)
        allowance = self._step.allowance(drafts[0].client)
        fields = allowance_fields(allowance) + rate_fields(allowance)
        if isinstance(result, Replayed):
            fields.append((b"idempotency-replayed", b"true"))
        return Ready(result.answer, 200, *fields)


def _bound(key: str | None, client: Client, kind: str, *prints: bytes) -> Idempotency | None:
    """The client's key with what it is bound to: also to this door, whose answers no other gives again."""
    if key is None:
        return None
    return Idempotency(client.name, key, sha256(f"{DOOR}/{kind}/".encode() + b"".join(prints)).digest())


def _mode(headers: Headers) -> str:
    mode = headers.get(b"x-batch-validation", STRICT.encode()).decode("latin-1")
    if mode not in (STRICT, PERMISSIVE):
        error = FieldError("/header/x-batch-validation", f"it is {STRICT} or {PERMISSIVE}")
        raise Refused(Condition.VALIDATION_ERROR, f"{error.pointer}: {error.detail}", errors=(error,))
    return mode
