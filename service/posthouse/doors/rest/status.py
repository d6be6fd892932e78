"""GET /v1/status: whether mail flows, in one sentence, and what it is made of."""

from collections.abc import Sequence

from fastapi import FastAPI, Request, Response

from posthouse.doors.http.parts import Parts, answer, iso
from posthouse.doors.rest import views
from posthouse.message import Millis, Status
from posthouse.policy import Right, must_have
from posthouse.records import LaneRow
from posthouse.verdict import Standing, judge, standing_of


def install(app: FastAPI, parts: Parts) -> None:
    """Mount the route."""

    async def status(request: Request) -> Response:
        must_have(parts.caller(request), Right.READ)
        standing = await _standing(parts)
        verdict, carriers = judge(standing, parts.diagnosis), parts.step.rules.carriers
        transports = [
            views.transport(
                row, kind=carriers[row.name].kind, ceiling=parts.ceiling(row.name), diagnosis=parts.diagnosis
            )
            for row in standing.transports
        ]
        due = [lane.oldest_due_at for lane in standing.lanes if lane.oldest_due_at is not None]
        oldest = min(due, default=None)
        return answer(
            {
                "verdict": {"flows": verdict.flows, "sentence": verdict.sentence, "also": list(verdict.also)},
                "at": iso(standing.now),
                "messages": {one.value: standing.counts.get(one, 0) for one in Status if one in standing.counts},
                "oldest_due_at": iso(oldest) if oldest is not None and oldest <= standing.now else None,
                "lanes": _lanes(standing.lanes, standing.now),
                "transports": transports,
                "credentials": [views.credential(one, parts.diagnosis) for one in parts.credentials()],
                "alerts": [views.alert(row, parts.diagnosis) for row in await parts.spool.alerts()],
            }
        )

    app.get("/v1/status", summary="Whether mail flows, and what stands in its way")(status)


async def _standing(parts: Parts) -> Standing:
    known = parts.step.rules.carriers
    rows = [row for row in await parts.transports() if row.name in known]
    return await standing_of(parts.spool, now=parts.clock.now(), ready=await parts.ready(), transports=rows)


def _lanes(lanes: Sequence[LaneRow], now: Millis) -> views.Json:
    return {
        "waiting": sum(1 for lane in lanes if lane.waiting),
        "due": sum(part.due for lane in lanes for part in lane.backlog),
        "paused": sum(
            1 for lane in lanes if lane.told.paused or any(one.blocked or one.until > now for one in lane.pauses)
        ),
    }
