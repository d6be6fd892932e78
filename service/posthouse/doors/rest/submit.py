"""POST /v1/messages and /v1/messages/batch: the hot way in."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Final, NamedTuple

from fastapi import FastAPI, Request, Response
from pydantic import Field, TypeAdapter
from starlette.datastructures import QueryParams

from posthouse.doors.http.allowance import allowance_fields
from posthouse.doors.http.incoming import arriving
from posthouse.doors.http.parts import Parts, Ready
from posthouse.doors.http.reading import (
    FORM,
    JSON,
    JSON_LIMIT,
    RAW,
    Headers,
    body,
    from_query,
    idempotency_key,
    in_turn,
    media_type,
    no_more,
    parsed,
    refuse_length,
    wait_of,
)
from posthouse.doors.rest import views
from posthouse.doors.rest.drafts import from_json
from posthouse.doors.rest.forms import MESSAGE, form_message
from posthouse.doors.rest.models import MessageIn, RawOptions, hashed_batch
from posthouse.doors.rest.multipart import Form
from posthouse.doors.rest.streaming import Arrived, raw_message
from posthouse.message import MessageId, Status
from posthouse.policy import Client
from posthouse.records import Idempotency, Replayed
from posthouse.refusal import Allowance, Condition, FieldError, Refused
from posthouse.submission import Accepted, Draft
from posthouse.ways import EXCHANGE_MOST

BATCH: Final = 100

_Batch = Annotated[tuple[MessageIn, ...], Field(min_length=1, max_length=BATCH, strict=False)]
_ONE: Final = TypeAdapter(MessageIn)
_MANY: Final[TypeAdapter[tuple[MessageIn, ...]]] = TypeAdapter(_Batch)


class Wanted(NamedTuple):
    """What a request asks beside its message: the client's own key, a dry run, seconds to wait for the end."""

    key: str | None
    dry_run: bool
    wait: int


class Submit:
    """Takes messages and answers 202 only after they are kept durably."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._step = parts.step

    async def one(self, request: Request) -> Response:
        """POST /v1/messages as application/json, multipart/form-data or message/rfc822."""
        headers: Headers = dict(request.scope["headers"])
        client = self._parts.caller_of(headers, request.scope)
        self._step.welcome(client)
        media, wanted = media_type(headers), Wanted(idempotency_key(headers), _dry_run(request), wait_of(headers))
        if media == JSON:
            no_more(request, "dry_run")
            raw = await body(request, monotonic=self._parts.clock.monotonic)
            arrived = await in_turn(raw, lambda: self._json(raw, client, hashed=wanted.key is not None))
            return await self._accept(arrived, wanted)
        async with self._arrival(request, headers, media, client) as arrived:
            return await self._accept(arrived, wanted)

    def _arrival(
        self, request: Request, headers: Headers, media: bytes, client: Client
    ) -> AbstractAsyncContextManager[Arrived]:
        """The draft of a body that is kept while it comes, and goes again with the context unless it was accepted."""
        limit = self._step.rules.max_message_bytes or EXCHANGE_MOST
        blocks = arriving(request.receive, monotonic=self._parts.clock.monotonic)
        if media == RAW:
            to, options = _raw_query(request.query_params)
            refuse_length(headers, limit)
            return raw_message(blocks, options, to=to, client=client, step=self._step)
        no_more(request, "dry_run")
        refuse_length(headers, limit + JSON_LIMIT)
        return form_message(Form(blocks, headers[b"content-type"]), client=client, step=self._step)

    async def batch(self, request: Request) -> Response:
        """POST /v1/messages/batch: up to 100 messages, all or nothing."""
        headers: Headers = dict(request.scope["headers"])
        client = self._parts.caller(request)
        self._step.welcome(client)
        if media_type(headers) != JSON:
            raise Refused(Condition.UNSUPPORTED_MEDIA_TYPE, "a batch is a JSON array of messages")
        key, dry_run = idempotency_key(headers), _dry_run(request)
        no_more(request, "dry_run")
        raw = await body(request, monotonic=self._parts.clock.monotonic)
        drafts, request_hash = await in_turn(raw, lambda: self._batch(raw, client))
        idempotency = None if key is None else Idempotency(client.name, key, request_hash)
        render = views.resolved_batch if dry_run else views.batch
        result = await self._step.accept(drafts, answer=render, idempotency=idempotency, dry_run=dry_run)
        status, replayed = 200 if dry_run else 202, isinstance(result, Replayed)
        return _ready(result.answer, status=status, replayed=replayed, allowance=self._step.allowance(client))

    def _json(self, raw: bytes, client: Client, *, hashed: bool) -> Arrived:
        message = parsed(_ONE, raw, model=MessageIn)
        draft = from_json(message, client=client, step=self._step)
        return Arrived(draft, message.fingerprint() if hashed else b"")

    def _batch(self, raw: bytes, client: Client) -> tuple[list[Draft], bytes]:
        messages = parsed(_MANY, raw, model=MessageIn)
        drafts = [
            from_json(message, client=client, step=self._step, root=f"/{index}")
            for index, message in enumerate(messages)
        ]
        return drafts, hashed_batch(messages)

    async def _accept(self, arrived: Arrived, wanted: Wanted) -> Response:
        drafts, key = (arrived.draft,), wanted.key
        if wanted.dry_run:
            result = await self._step.accept(drafts, answer=views.resolved, dry_run=True)
            return _ready(result.answer, status=200)
        message_id = arrived.draft.identity.id
        idempotency = None if key is None else Idempotency(arrived.draft.client.name, key, arrived.request_hash)
        if wanted.wait:
            return await self._accept_and_wait(drafts, idempotency=idempotency, wait=wanted.wait)
        result = await self._step.accept(drafts, answer=views.single, idempotency=idempotency)
        allowance = self._step.allowance(arrived.draft.client)
        if isinstance(result, Accepted):
            return _ready(result.answer, location=message_id, allowance=allowance)
        return _ready(result.answer, location=_id_in(result.answer), replayed=True, allowance=allowance)

    async def _accept_and_wait(self, drafts: tuple[Draft], *, idempotency: Idempotency | None, wait: int) -> Response:
        """As ``Prefer: wait`` asks: still 202, with the status that was reached."""
        watch, message_id = self._parts.watch, drafts[0].identity.id
        future = watch.expect(message_id)
        try:
            result = await self._step.accept(drafts, answer=views.single, idempotency=idempotency)
            if isinstance(result, Accepted):
                await asyncio.wait({future}, timeout=wait)
        finally:
            watch.forget(message_id, future)
        replayed = isinstance(result, Replayed)
        if replayed:
            message_id = _id_in(result.answer)
            await self._wait_again(message_id, wait)
        document = json.loads(result.answer) | {"status": await self._status(message_id)}
        return _ready(json.dumps(document).encode(), location=message_id, replayed=replayed, waited=wait)

    async def _wait_again(self, message_id: MessageId, wait: int) -> None:
        """A replay waits like the first: from before its status is read, so that the end is not missed."""
        future = self._parts.watch.expect(message_id)
        try:
            if not Status(await self._status(message_id)).final:
                await asyncio.wait({future}, timeout=wait)
        finally:
            self._parts.watch.forget(message_id, future)

    async def _status(self, message_id: MessageId) -> str:
        record = await self._parts.spool.get(message_id, now=self._parts.clock.now())
        return record.status.value if record else Status.QUEUED.value


def install(app: FastAPI, parts: Parts) -> None:
    """Mount the routes."""
    submit = Submit(parts)
    ok: dict[int | str, dict[str, object]] = {
        202: {"description": "kept durably", "headers": {"Location": {"schema": {"type": "string"}}}}
    }
    app.post(
        "/v1/messages",
        summary="Submit a message",
        status_code=202,
        responses=ok,
        openapi_extra=_takes("MessageIn", RAW, form=True),
    )(submit.one)
    app.post(
        "/v1/messages/batch",
        summary="Submit up to 100 messages, all or nothing",
        status_code=202,
        responses=ok,
        openapi_extra=_takes("Batch"),
    )(submit.batch)


def schemas() -> dict[str, object]:
    """The models of the hot routes for the OpenAPI document."""
    template = "#/components/schemas/{model}"
    batch = {"type": "array", "maxItems": BATCH, "minItems": 1, "items": {"$ref": "#/components/schemas/MessageIn"}}
    one = MessageIn.model_json_schema(ref_template=template)
    return {**one.pop("$defs", {}), "MessageIn": one, "Batch": batch}


def _takes(model: str, *others: bytes, form: bool = False) -> dict[str, object]:
    one = {"$ref": f"#/components/schemas/{model}"}
    content: dict[str, object] = {JSON.decode(): {"schema": one}}
    content |= {other.decode(): {"schema": {"type": "string", "format": "binary"}} for other in others}
    if form:
        content[FORM.decode()] = {"schema": _form(one), "encoding": {MESSAGE: {"contentType": JSON.decode()}}}
    return {"requestBody": {"required": True, "content": content}}


def _form(message: dict[str, str]) -> dict[str, object]:
    """The message first, then its files, each under the name that an attachment's ``part`` says (CONTRACT §2.1)."""
    return {
        "type": "object",
        "required": [MESSAGE],
        "properties": {MESSAGE: message},
        "additionalProperties": {"type": "string", "format": "binary"},
        "description": f"The part {MESSAGE!r} comes first; every other part is the file of one attachment, by its name.",
    }


def _raw_query(query: QueryParams) -> tuple[tuple[str, ...], RawOptions]:
    """?to= overrides the envelope; the rest is what the JSON form has as fields."""
    to = tuple(address.strip() for text in query.getlist("to") for address in text.split(",") if address.strip())
    rest = {name: value for name, value in query.items() if name not in ("to", "dry_run")}
    tags = {name.removeprefix("tag."): rest.pop(name) for name in tuple(rest) if name.startswith("tag.")}
    return to, from_query(RawOptions, {**rest, "tags": tags})


def _dry_run(request: Request) -> bool:
    value = request.query_params.get("dry_run", "") if request.scope["query_string"] else ""
    if value not in ("", "true", "false"):
        detail = "dry_run is true or false"
        raise Refused(Condition.VALIDATION_ERROR, detail, errors=(FieldError("/query/dry_run", detail),))
    return value == "true"


def _id_in(stored: bytes) -> MessageId:
    return MessageId(json.loads(stored)["id"])


def _ready(
    content: bytes,
    *,
    status: int = 202,
    location: str | None = None,
    replayed: bool = False,
    waited: int = 0,
    allowance: Sequence[Allowance] = (),
) -> Response:
    fields = allowance_fields(allowance)
    if location is not None:
        fields.append((b"location", b"/v1/messages/" + location.encode()))
    if replayed:
        fields.append((b"idempotency-replayed", b"true"))
    if waited:
        fields.append((b"preference-applied", f"wait={waited}".encode()))
    return Ready(content, status, *fields)
