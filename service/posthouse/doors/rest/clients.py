"""/v1/clients: who may submit, on which terms; pause (accepted but held) and resume."""

from dataclasses import replace
from typing import Final

from fastapi import FastAPI, Request, Response
from pydantic import TypeAdapter

from posthouse.doors.http.parts import Parts, answer, iso, path_parameter
from posthouse.doors.http.reading import body, parsed
from posthouse.doors.rest import views
from posthouse.doors.rest.models import TermsIn
from posthouse.identities import ClientRow
from posthouse.policy import Client, Right, must_have
from posthouse.refusal import Condition, FieldError, Refused

_TERMS: Final = TypeAdapter(TermsIn)


class ClientsDesk:
    """Lists clients, changes their terms, pauses and resumes them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def listed(self, request: Request) -> Response:
        """GET /v1/clients."""
        self._administrator(request)
        return answer(views.everything([self._shown(row) for row in await self._parts.keys.clients()]))

    async def one(self, request: Request) -> Response:
        """GET /v1/clients/{name}."""
        self._administrator(request)
        return answer(self._shown(await self._row(request)))

    async def change(self, request: Request) -> Response:
        """PATCH /v1/clients/{name}: its terms."""
        caller = self._administrator(request)
        row = await self._row(request)
        if self._parts.keys.settled(row.name):
            detail = f"the terms of {row.name} stand in the settings ([[clients]]) and are changed there"
            raise Refused(Condition.VALIDATION_ERROR, detail)
        raw = await body(request, monotonic=self._parts.clock.monotonic)
        wanted = parsed(_TERMS, raw, model=TermsIn)
        if wanted.rewrite_from is not None and not self._parts.keys.may_send_as(row.name, wanted.rewrite_from):
            error = FieldError("/rewrite_from", f"no key of {row.name} has this address as sender")
            raise Refused(Condition.VALIDATION_ERROR, f"{error.pointer}: {error.detail}", errors=(error,))
        row = replace(row, terms=wanted.over(row.terms))
        await self._parts.keys.change(row, action="client.change", by=caller.by)
        return answer(self._shown(row))

    async def pause(self, request: Request) -> Response:
        """POST /v1/clients/{name}/pause: what it submits is accepted and held."""
        return await self._tell(request, paused=True)

    async def resume(self, request: Request) -> Response:
        """POST /v1/clients/{name}/resume: what was held goes on within half a minute."""
        return await self._tell(request, paused=False)

    async def _tell(self, request: Request, *, paused: bool) -> Response:
        caller = self._administrator(request)
        row = await self._row(request)
        if paused is (row.paused_at is None):
            row = replace(row, paused_at=self._parts.clock.now() if paused else None)
            action = "client.pause" if paused else "client.resume"
            await self._parts.keys.change(row, action=action, by=caller.by)
        return answer(self._shown(row))

    async def _row(self, request: Request) -> ClientRow:
        row = await self._parts.keys.client(request.path_params["name"])
        if row is None:
            raise Refused(Condition.NOT_FOUND, "there is no such client; posthouse keys create NAME makes one")
        return row

    def _shown(self, row: ClientRow) -> views.Json:
        terms = row.terms
        return {
            "name": row.name,
            "created_at": iso(row.created_at) if row.created_at else None,
            "paused_at": iso(row.paused_at),
            "settings": self._parts.keys.settled(row.name),
            "rate_per_minute": terms.rate_per_minute or None,
            "rate_per_day": terms.rate_per_day or None,
            "over_rate": terms.over_rate,
            "max_message_bytes": terms.max_message_bytes or None,
            "rewrite_from": terms.rewrite_from,
            "priority": None if terms.priority is None else terms.priority.name.lower(),
            "expire_after": terms.expire_after or None,
            "on_unconfirmed": terms.on_unconfirmed,
            "content": terms.content,
            "tags": dict(terms.tags),
        }

    def _administrator(self, request: Request) -> Client:
        caller = self._parts.caller(request)
        must_have(caller, Right.ADMIN)
        return caller


def install(app: FastAPI, parts: Parts) -> None:
    """Mount the routes."""
    desk, one, extra = ClientsDesk(parts), "/v1/clients/{name}", path_parameter("name")
    app.get("/v1/clients", summary="Who may submit, and on which terms")(desk.listed)
    app.get(one, summary="A client and its terms", openapi_extra=extra)(desk.one)
    app.patch(one, summary="Change a client's terms", openapi_extra=extra)(desk.change)
    app.post(f"{one}/pause", summary="Accept what it submits, and hold it", openapi_extra=extra)(desk.pause)
    app.post(f"{one}/resume", summary="Let what was held go on", openapi_extra=extra)(desk.resume)
