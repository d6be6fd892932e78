"""GET /v1/lanes and /v1/transports: what waits, for whom, until when and why."""

from fastapi import FastAPI, Request, Response

from posthouse.doors.rest import views
from posthouse.doors.rest.parts import Parts, answer
from posthouse.policy import Right, must_have


def install(app: FastAPI, parts: Parts) -> None:
    """Mount the routes."""
    carriers = parts.step.rules.carriers

    @app.get("/v1/lanes", summary="Sending accounts with something waiting or paused")
    async def lanes(request: Request) -> Response:
        must_have(parts.caller(request), Right.READ)
        rows = await parts.spool.lanes()
        return answer(views.everything([views.lane(row) for row in rows]))

    @app.get("/v1/transports", summary="Ways out and their circuits")
    async def transports(request: Request) -> Response:
        must_have(parts.caller(request), Right.READ)
        shown = [
            views.transport(row, kind=carriers[row.name].kind, diagnosis=parts.diagnosis) for row in parts.transports()
        ]
        return answer(views.everything(shown))
