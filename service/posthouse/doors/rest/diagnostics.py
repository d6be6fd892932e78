"""POST /v1/diagnostics: the doctor, by whom the service runs and with its own eyes (``manage``; a real message: ``admin``)."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter
from pydantic_core import to_json

from posthouse.doors.http.parts import Parts, answer
from posthouse.doors.http.reading import body, parsed
from posthouse.doors.rest.checkups import DiagnoseIn, DiagnosisOut, diagnosis, step_out
from posthouse.findings import Finding, UnknownStepError
from posthouse.policy import Client, Right, must_have
from posthouse.records import AuditEntry
from posthouse.refusal import Condition, FieldError, Refused

STREAM: Final = "text/event-stream"

_WISH: Final = TypeAdapter(DiagnoseIn)


class Diagnostics:
    """Examines when asked."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def diagnose(self, request: Request) -> Response:
        """POST /v1/diagnostics: the whole diagnosis, or step by step as Server-Sent Events and the whole at the end."""
        caller = self._parts.caller(request)
        must_have(caller, Right.MANAGE)
        raw = await body(request, monotonic=self._parts.clock.monotonic)
        wanted = parsed(_WISH, raw or b"{}", model=DiagnoseIn)
        if wanted.send_to is not None:
            await self._allow_mail(caller, wanted.sender or "", wanted.send_to)
        events = self._events(wanted)
        try:
            first = await anext(events)  # what cannot be asked is refused before anything is said
        except UnknownStepError as error:
            fault = FieldError("/step", str(error))
            raise Refused(Condition.VALIDATION_ERROR, f"{fault.pointer}: {fault.detail}", errors=(fault,)) from error
        if STREAM in request.headers.get("accept", ""):
            headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
            return StreamingResponse(_frames(first, events), headers=headers, media_type=STREAM)
        last = first
        async for event in events:
            last = event
        return answer(last[1])

    async def _allow_mail(self, caller: Client, sender: str, to: str) -> None:
        """A real message goes out as anybody, past the senders and rates of clients: for administrators, and audited."""
        must_have(caller, Right.ADMIN)
        spool, now = self._parts.spool, self._parts.clock.now()
        data = {"to": spool.pseudonym(to)}
        await spool.audit(AuditEntry(at=now, by=caller.by, action="diagnostics.message", target=sender, data=data))

    async def _events(self, wanted: DiagnoseIn) -> AsyncGenerator[tuple[str, object]]:
        """Each step, and the diagnosis at last."""
        clock = self._parts.clock
        at, began = datetime.fromtimestamp(clock.now() / 1000, UTC), clock.monotonic()
        found: list[Finding] = []
        async with aclosing(self._parts.doctor(wanted.wish)) as findings:
            async for finding in findings:
                found.append(finding)
                yield "step", step_out(finding).model_dump(mode="json", by_alias=True)
        seconds = clock.monotonic() - began
        yield "diagnosis", diagnosis(found, version=version("posthouse"), at=at, seconds=seconds)


async def _frames(first: tuple[str, object], events: AsyncGenerator[tuple[str, object]]) -> AsyncIterator[bytes]:
    yield _frame(*first)
    async with aclosing(events):
        async for event in events:
            yield _frame(*event)


def _frame(name: str, data: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), to_json(data))


def install(app: FastAPI, parts: Parts) -> None:
    """Mount the route."""
    app.post(
        "/v1/diagnostics",
        summary="Examine settings, spool and every way out; each failure with its class and what mends it",
        openapi_extra={"requestBody": {"content": {"application/json": {"schema": _ref("DiagnoseIn")}}}},
        responses={200: {"content": {"application/json": {"schema": _ref("DiagnosisOut")}, STREAM: {}}}},
    )(Diagnostics(parts).diagnose)


def schemas() -> dict[str, object]:
    """The models of the route for the OpenAPI document."""
    template = "#/components/schemas/{model}"
    out = DiagnosisOut.model_json_schema(ref_template=template)
    wish = DiagnoseIn.model_json_schema(ref_template=template)
    return {**out.pop("$defs", {}), "DiagnoseIn": wish, "DiagnosisOut": out}


def _ref(model: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model}"}
