"""GET /livez and /readyz: whether the loop turns, whether mail can be kept; neither depends on Microsoft (CONTRACT §7)."""

from fastapi import FastAPI, Request, Response

from posthouse.doors.http.parts import Parts, answer


def install(app: FastAPI, parts: Parts) -> None:
    """Mount the probes; they need no credential."""

    @app.get("/livez", summary="Does the loop turn?")
    async def livez(_request: Request) -> Response:
        return answer({"status": "ok"})

    @app.get("/readyz", summary="Can mail be kept durably?", responses={503: {"description": "not now"}})
    async def readyz(_request: Request) -> Response:
        reason = await parts.ready()
        if reason is None:
            return answer({"status": "ok"})
        return answer({"status": "unavailable", "reason": reason}, status=503, headers={"retry-after": "5"})
