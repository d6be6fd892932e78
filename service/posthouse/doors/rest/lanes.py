"""GET /v1/lanes and /v1/transports: what waits, for whom, until when and why."""

from collections import defaultdict

from fastapi import FastAPI, Request, Response

from posthouse.doors.rest import views
from posthouse.doors.rest.parts import Parts, answer, path_parameter
from posthouse.policy import Right, must_have
from posthouse.records import Presence
from posthouse.refusal import Condition, Refused


def install(app: FastAPI, parts: Parts) -> None:
    """Mount the routes."""
    carriers = parts.step.rules.carriers

    @app.get("/v1/lanes", summary="Sending accounts with something waiting or paused")
    async def lanes(request: Request) -> Response:
        must_have(parts.caller(request), Right.READ)
        rows = await parts.spool.lanes()
        proofs: defaultdict[str, list[Presence]] = defaultdict(list)
        for proof in await parts.spool.presences():
            proofs[proof.account].append(proof)
        shown = [views.lane(row, proofs=proofs[row.account], diagnosis=parts.diagnosis) for row in rows]
        return answer(views.everything(shown))

    async def resume_lane(request: Request) -> Response:
        must_have(parts.caller(request), Right.MANAGE)
        account = request.path_params["account"]
        if not await parts.resume_lane(account):
            raise Refused(Condition.NOT_FOUND, f"no mail waits for {account}, and it is not paused")
        return answer({"account": account, "resumed": True})

    async def resume_transport(request: Request) -> Response:
        must_have(parts.caller(request), Right.MANAGE)
        name = request.path_params["name"]
        if not parts.resume_transport(name):
            raise Refused(Condition.NOT_FOUND, f"there is no transport {name}; there are {', '.join(sorted(carriers))}")
        return answer({"name": name, "resumed": True})

    @app.get("/v1/transports", summary="Ways out and their circuits")
    async def transports(request: Request) -> Response:
        must_have(parts.caller(request), Right.READ)
        shown = [
            views.transport(row, kind=carriers[row.name].kind, diagnosis=parts.diagnosis) for row in parts.transports()
        ]
        return answer(views.everything(shown))

    mended = "The cause is mended: let it try again now"
    extra = path_parameter("account")
    app.post("/v1/lanes/{account}/resume", summary=mended, openapi_extra=extra)(resume_lane)
    extra = path_parameter("name")
    app.post("/v1/transports/{name}/resume", summary=mended, openapi_extra=extra)(resume_transport)
