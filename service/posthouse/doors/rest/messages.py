"""/v1/messages: a client's own messages (all with the scope ``read``), their history, content and actions."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from posthouse.doors.http.kept import Kept, cursor
from posthouse.doors.http.parts import Parts, answer, may_look, path_parameter
from posthouse.doors.http.reading import body, from_query, parsed
from posthouse.doors.options import moment
from posthouse.doors.rest import views
from posthouse.doors.rest.models import ChangeIn, RetryIn, SettleIn
from posthouse.message import Content, Status
from posthouse.policy import Client, Right, must_have
from posthouse.ports import ContentUnreadableError
from posthouse.records import Action, AuditEntry, Filters, Record
from posthouse.refusal import Condition, Refused
from posthouse.structure import anatomy, decoded, index_of
from posthouse.telemetry import CONTENT_VIEWED, log

_DIGITS: Final = 4  # of the number of a file; structure.PARTS has as many
_RETRY: Final = TypeAdapter(RetryIn)
_SETTLE: Final = TypeAdapter(SettleIn)
_CHANGE: Final = TypeAdapter(ChangeIn)


class ListQuery(BaseModel):
    """What a list is narrowed by; beside it stand tag.<name>=value."""

    model_config = ConfigDict(extra="forbid")

    status: Status | None = None
    sender: str | None = Field(default=None, alias="from")
    to: str | None = None
    subject: str | None = None
    reference: str | None = None
    message_id: str | None = None
    client: str | None = None
    door: str | None = None
    transport: str | None = None
    created_after: AwareDatetime | None = None
    created_before: AwareDatetime | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50
    after: str | None = None
    before: str | None = None


class Messages:
    """Reads and acts; unknown and foreign ids answer the same."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._spool = parts.spool
        self._kept = Kept(parts)

    async def listed(self, request: Request) -> Response:
        """GET /v1/messages."""
        caller = self._parts.caller(request)
        may_look(caller)
        filters = _filters(dict(request.query_params), caller)
        page = await self._spool.find(filters, now=self._parts.clock.now())
        return answer(views.page(page, diagnosis=self._parts.diagnosis))

    async def one(self, request: Request) -> Response:
        """GET /v1/messages/{id}."""
        _, record = await self._kept.visible(request)
        return await self._shown(record)

    async def events(self, request: Request) -> Response:
        """GET /v1/messages/{id}/events."""
        _, record = await self._kept.visible(request)
        return answer(
            views.everything(
                [views.event(event, diagnosis=self._parts.diagnosis) for event in await self._spool.events(record.id)]
            )
        )

    async def content(self, request: Request) -> Response:
        """GET /v1/messages/{id}/content: the message as it is kept, without Bcc."""
        caller, record, content = await self._read(request)
        await self._audited(caller, record)
        log(CONTENT_VIEWED, message=record.id, by=caller.by)
        headers = {
            "content-length": str(content.size),
            "content-disposition": f'attachment; filename="{record.id}.eml"',
            "x-content-type-options": "nosniff",
        }
        return StreamingResponse(_whole(content), headers=headers, media_type="message/rfc822")

    async def attachment(self, request: Request) -> Response:
        """GET /v1/messages/{id}/attachments/{n}: one file, decoded; they are counted from 0 as they stand in the content."""
        caller, record, content = await self._read(request)
        files, number = anatomy(await index_of(content)).files, request.path_params["number"]
        if not number.isdecimal() or len(number) > _DIGITS or int(number) >= len(files):
            raise Refused(Condition.NOT_FOUND, f"the message has {len(files)} attachments, counted from 0")
        file = files[int(number)]
        await self._audited(caller, record)
        log(CONTENT_VIEWED, message=record.id, by=caller.by, attachment=int(number))
        name = quote(file.filename or f"{record.id}.{number}", safe="")
        headers = {
            "content-disposition": f"attachment; filename*=UTF-8''{name}",
            "x-content-type-options": "nosniff",
        }
        return StreamingResponse(decoded(content.body, file), headers=headers, media_type=file.type)

    async def _read(self, request: Request) -> tuple[Client, Record, Content]:
        caller, record = await self._kept.visible(request)
        must_have(caller, Right.CONTENT)
        key = await self._spool.key_of(record.id)
        try:
            content = None if key is None else await self._spool.content(key)
        except ContentUnreadableError as fault:
            raise Refused(Condition.NOT_FOUND, f"{fault}; posthouse spool check says more") from fault
        if content is None:
            raise Refused(Condition.NOT_FOUND, "the content of this message was deleted ([spool] content_retention)")
        return caller, record, content

    async def _audited(self, caller: Client, record: Record) -> None:
        """Nobody sees a content whose view is not audited."""
        entry = AuditEntry(at=self._parts.clock.now(), by=caller.by, action=CONTENT_VIEWED, target=record.id)
        await self._spool.audit(entry)

    async def cancel(self, request: Request) -> Response:
        """POST /v1/messages/{id}/cancel."""
        caller, record = await self._managed(request)
        return await self._obey(caller, record, Action.CANCEL, refusal=Condition.NOT_CANCELABLE)

    async def release(self, request: Request) -> Response:
        """POST /v1/messages/{id}/release: sends what is held, looks again for what is unsettled."""
        caller, record = await self._managed(request)
        return await self._obey(caller, record, Action.RELEASE)

    async def retry(self, request: Request) -> Response:
        """POST /v1/messages/{id}/retry."""
        caller, record = await self._managed(request)
        raw = await body(request, monotonic=self._parts.clock.monotonic)
        options = parsed(_RETRY, raw or b"{}", model=RetryIn)
        return await self._obey(caller, record, Action.RETRY, options=options)

    async def settle(self, request: Request) -> Response:
        """POST /v1/messages/{id}/settle: the operator's word."""
        caller, record = await self._managed(request)
        raw = await body(request, monotonic=self._parts.clock.monotonic)
        word = parsed(_SETTLE, raw, model=SettleIn).as_
        action = Action.SETTLE_SENT if word == "sent" else Action.SETTLE_NOT_SENT
        return await self._obey(caller, record, action)

    async def change(self, request: Request) -> Response:
        """PATCH /v1/messages/{id}: times and priority while it waits; its own client may, others need ``manage``."""
        caller, record = await self._kept.own(request)
        raw = await body(request, monotonic=self._parts.clock.monotonic)
        now = self._parts.clock.now()
        change = parsed(_CHANGE, raw, model=ChangeIn).change(now)
        return await self._shown(await self._kept.changed(caller, record, change, now=now))

    async def _obey(
        self,
        caller: Client,
        record: Record,
        action: Action,
        *,
        options: RetryIn | None = None,
        refusal: Condition = Condition.NOT_RETRYABLE,
    ) -> Response:
        now, options = self._parts.clock.now(), options or RetryIn()
        command = replace(
            self._kept.command(caller, record, action, now),
            accept_duplicate=options.accept_duplicate,
            expires_at=moment(options.expires_at, options.expires_in, now=now),
            gives_up_at=now + self._kept.expire_after,
        )
        return await self._shown(await self._kept.obeyed(command, refusal))

    async def _managed(self, request: Request) -> tuple[Client, Record]:
        caller, record = await self._kept.visible(request)
        must_have(caller, Right.MANAGE)
        return caller, record

    async def _shown(self, record: Record) -> Response:
        attempts = await self._spool.attempts(record.id)
        return answer(views.record(record, attempts=attempts, diagnosis=self._parts.diagnosis))


def install(app: FastAPI, parts: Parts) -> None:
    """Mount the routes."""
    messages, one, extra = Messages(parts), "/v1/messages/{message_id}", path_parameter("message_id")
    app.get("/v1/messages", summary="Messages, newest first", openapi_extra=_narrowed())(messages.listed)
    app.get(one, summary="A message with its attempts", openapi_extra=extra)(messages.one)
    app.get(f"{one}/events", summary="What happened to a message", openapi_extra=extra)(messages.events)
    app.get(f"{one}/content", summary="The message as kept (.eml)", openapi_extra=extra)(messages.content)
    file = path_parameter("message_id", "number")
    app.get(f"{one}/attachments/{{number}}", summary="One file of it, decoded", openapi_extra=file)(messages.attachment)
    app.patch(one, summary="Change times and priority while it waits", openapi_extra=extra)(messages.change)
    app.post(f"{one}/cancel", summary="Do not send it", openapi_extra=extra)(messages.cancel)
    app.post(f"{one}/retry", summary="Send it again", openapi_extra=extra)(messages.retry)
    app.post(f"{one}/release", summary="Let a held message go", openapi_extra=extra)(messages.release)
    app.post(f"{one}/settle", summary="Say what became of an unsettled message", openapi_extra=extra)(messages.settle)


def _narrowed() -> dict[str, object]:
    properties = ListQuery.model_json_schema()["properties"]
    return {"parameters": [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]}


def _filters(query: dict[str, str], caller: Client) -> Filters:
    tags = {name.removeprefix("tag."): value for name, value in query.items() if name.startswith("tag.")}
    wanted = from_query(ListQuery, {name: value for name, value in query.items() if not name.startswith("tag.")})
    return Filters(
        status=wanted.status,
        sender=wanted.sender,
        recipient=wanted.to,
        subject=wanted.subject,
        reference=wanted.reference,
        message_id=wanted.message_id,
        tags=tags,
        client=wanted.client if Right.READ in caller.rights else caller.name,
        door=wanted.door,
        transport=wanted.transport,
        created_after=moment(wanted.created_after, None, now=0),
        created_before=moment(wanted.created_before, None, now=0),
        after=cursor("after", wanted.after),
        before=cursor("before", wanted.before),
        limit=wanted.limit,
    )


async def _whole(content: Content) -> AsyncIterator[bytes]:
    yield content.header + b"\r\n"
    async for block in content.body.blocks():
        yield block
