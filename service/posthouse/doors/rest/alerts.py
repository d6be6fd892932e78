"""GET /v1/alerts: what is wrong now or will be soon; POST /v1/alerts/test: whether whoever should be told is."""

from fastapi import FastAPI, Request, Response

from posthouse.doors.http.parts import Parts, answer
from posthouse.doors.rest import views
from posthouse.policy import Right, must_have
from posthouse.records import AuditEntry


def install(app: FastAPI, parts: Parts) -> None:
    """Mount the routes."""

    async def alerts(request: Request) -> Response:
        must_have(parts.caller(request), Right.READ)
        return answer({"data": [views.alert(row, parts.diagnosis) for row in await parts.spool.alerts()]})

    async def test(request: Request) -> Response:
        caller = parts.caller(request)
        must_have(caller, Right.ADMIN)
        at = parts.clock.now()
        await parts.spool.audit(AuditEntry(at=at, by=caller.by, action="alerts.test", target="alerts"))
        told = await parts.test_alerts()
        return answer({"data": [{"channel": name, "told": why is None, "error": why} for name, why in told.items()]})

    app.get("/v1/alerts", summary="What is wrong now or will be soon")(alerts)
    app.post("/v1/alerts/test", summary="Tell every channel of [alerts] that this is a test")(test)
