"""The REST door: its routes, its problem documents (RFC 9457), the documentation of the codes."""

from functools import partial
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse

from posthouse.doors.http import health, metrics
from posthouse.doors.http.application import Door
from posthouse.doors.http.parts import Parts
from posthouse.doors.problems import MEDIA_TYPE, PAGES, fault, page, problem, status_of
from posthouse.doors.rest import (
    alerts,
    clients,
    diagnostics,
    erasing,
    events,
    keys,
    lanes,
    messages,
    refusals,
    status,
    submit,
)
from posthouse.doors.rest.drafts import DOOR
from posthouse.refusal import Condition, Refused


def door(*, admin: bool) -> Door:
    """The native door; ``admin`` adds keys, lanes and transports."""
    return Door(
        name=DOOR,
        install=partial(_install, admin=admin),
        speaks=_all,
        refused=_refused,
        fault=_fault,
        schemas=lambda: {**submit.schemas(), **diagnostics.schemas()} if admin else submit.schemas(),
    )


def _install(app: FastAPI, parts: Parts, *, admin: bool) -> None:
    submit.install(app, parts)
    messages.install(app, parts)
    events.install(app, parts)
    keys.install(app, parts, admin=admin)
    health.install(app, parts)
    if admin:
        metrics.install(app, parts)
        status.install(app, parts)
        alerts.install(app, parts)
        lanes.install(app, parts)
        erasing.install(app, parts)
        clients.install(app, parts)
        refusals.install(app, parts)
        diagnostics.install(app, parts)
    app.get(f"{PAGES}/{{code}}", include_in_schema=False)(_documentation)


def _all(_path: str) -> bool:
    return True


def _refused(refused: Refused, request_id: str) -> Response:
    return Response(problem(refused, request_id=request_id), status_of(refused), media_type=MEDIA_TYPE)


def _fault(request_id: str) -> Response:
    return Response(fault(request_id=request_id), 500, media_type=MEDIA_TYPE)


async def _documentation(request: Request) -> Response:
    """The page of a code."""
    code = request.path_params["code"]
    if code not in set(Condition):
        raise Refused(Condition.NOT_FOUND, "no such code")
    return HTMLResponse(page(Condition(code)))


PROBES: Final = Door(name=DOOR, install=health.install, speaks=_all, refused=_refused, fault=_fault)
"""What a process answers that takes no messages."""
