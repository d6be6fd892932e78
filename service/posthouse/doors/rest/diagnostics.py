"""POST /v1/diagnostics: the doctor, by whom the service runs and with its own eyes (scope ``manage``)."""

from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI, Request, Response
from pydantic import TypeAdapter

from posthouse.doors.http.parts import Parts, answer
from posthouse.doors.http.reading import body, parsed
from posthouse.doors.rest.checkups import DiagnoseIn, DiagnosisOut, diagnosis
from posthouse.findings import UnknownStepError
from posthouse.policy import Right, must_have
from posthouse.refusal import Condition, FieldError, Refused

_WISH: Final = TypeAdapter(DiagnoseIn)


def install(app: FastAPI, parts: Parts) -> None:
    """Mount the route."""

    async def diagnose(request: Request) -> Response:
        must_have(parts.caller(request), Right.MANAGE)
        clock = parts.clock
        raw = await body(request, monotonic=clock.monotonic)
        wanted = parsed(_WISH, raw or b"{}", model=DiagnoseIn)
        at, began = datetime.fromtimestamp(clock.now() / 1000, UTC), clock.monotonic()
        try:
            findings = [finding async for finding in parts.doctor(wanted.wish)]
        except UnknownStepError as error:
            fault = FieldError("/step", str(error))
            raise Refused(Condition.VALIDATION_ERROR, f"{fault.pointer}: {fault.detail}", errors=(fault,)) from error
        seconds = clock.monotonic() - began
        return answer(diagnosis(findings, version=version("posthouse"), at=at, seconds=seconds))

    app.post(
        "/v1/diagnostics",
        summary="Examine settings, spool and every way out; each failure with its class and what mends it",
        openapi_extra={"requestBody": {"content": {"application/json": {"schema": _ref("DiagnoseIn")}}}},
        responses={200: {"content": {"application/json": {"schema": _ref("DiagnosisOut")}}}},
    )(diagnose)


def schemas() -> dict[str, object]:
    """The models of the route for the OpenAPI document."""
    template = "#/components/schemas/{model}"
    out = DiagnosisOut.model_json_schema(ref_template=template)
    wish = DiagnoseIn.model_json_schema(ref_template=template)
    return {**out.pop("$defs", {}), "DiagnoseIn": wish, "DiagnosisOut": out}


def _ref(model: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model}"}
