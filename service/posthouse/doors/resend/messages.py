"""GET, PATCH and cancel of /emails: a client's own messages (all with the scope ``read``), whichever door they came in by."""

from fastapi import Request, Response
from pydantic import TypeAdapter

from posthouse.doors.http.kept import Kept, cursor
from posthouse.doors.http.parts import Parts, answer, may_look
from posthouse.doors.http.reading import body, from_query, parsed
from posthouse.doors.resend import views
from posthouse.doors.resend.models import ListQuery, UpdateIn
from posthouse.message import parse_id
from posthouse.policy import Right
from posthouse.records import Action, Change, Filters
from posthouse.refusal import Condition, FieldError, Refused

_UPDATE: TypeAdapter[UpdateIn] = TypeAdapter(UpdateIn)


class Messages:
    """Reads, reschedules and cancels; unknown and foreign ids answer the same."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._kept = Kept(parts)

    async def listed(self, request: Request) -> Response:
        """GET /emails."""
        caller = self._parts.caller(request)
        may_look(caller)
        wanted = from_query(ListQuery, dict(request.query_params))
        filters = Filters(
            client=None if Right.READ in caller.rights else caller.name,
            after=cursor("after", wanted.after),
            before=cursor("before", wanted.before),
            limit=wanted.limit,
        )
        return answer(views.listed(await self._parts.spool.find(filters, now=self._parts.clock.now())))

    async def one(self, request: Request) -> Response:
        """GET /emails/{id}."""
        _, record = await self._kept.visible(request)
        return answer(views.email(record))

    async def update(self, request: Request) -> Response:
        """PATCH /emails/{id}: another scheduled_at while it waits."""
        caller, record = await self._kept.own(request)
        raw = await body(request, monotonic=self._parts.clock.monotonic)
        wanted = parsed(_UPDATE, raw, model=UpdateIn)
        if wanted.id is not None and parse_id(wanted.id) != record.id:
            detail = "this is not the id in the address line"
            raise Refused(Condition.VALIDATION_ERROR, f"/id: {detail}", errors=(FieldError("/id", detail),))
        now = self._parts.clock.now()
        change = Change(due_at=max(wanted.scheduled_at.resolved(now) or now, now))
        await self._kept.changed(caller, record, change, now=now)
        return answer(views.reference(record.id))

    async def cancel(self, request: Request) -> Response:
        """POST /emails/{id}/cancel: as with Resend, who may submit may take back what is its own and has not left."""
        caller, record = await self._kept.own(request)
        command = self._kept.command(caller, record, Action.CANCEL, self._parts.clock.now())
        await self._kept.obeyed(command, Condition.NOT_CANCELABLE)
        return answer(views.reference(record.id))
