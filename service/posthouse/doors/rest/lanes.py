"""/v1/lanes and /v1/transports: what waits, for whom, until when and why; pause and resume."""

from collections import defaultdict
from collections.abc import Sequence

from fastapi import FastAPI, Request, Response

from posthouse.doors.http.parts import Parts, answer, path_parameter
from posthouse.doors.rest import views
from posthouse.message import Millis
from posthouse.pace import DAY_HOURS, HOUR, Day
from posthouse.policy import Right, folded, must_have
from posthouse.reckoning import Account, waits_for
from posthouse.records import LaneRow, Presence, TransportRow
from posthouse.refusal import Condition, Refused


class Lanes:
    """Reads and tells; all of it from the spool, so that a process that owns no lane answers as well."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._spool = parts.spool

    async def listed(self, request: Request) -> Response:
        """GET /v1/lanes."""
        must_have(self._parts.caller(request), Right.READ)
        now = self._parts.clock.now()
        return answer(views.everything(await self._shown(await self._spool.lanes(now=now), now)))

    async def one(self, request: Request) -> Response:
        """GET /v1/lanes/{account}."""
        must_have(self._parts.caller(request), Right.READ)
        return await self._answer(request.path_params["account"])

    async def pause(self, request: Request) -> Response:
        """POST /v1/lanes/{account}/pause: until somebody resumes it; also one that has not sent anything yet."""
        return await self._tell(request, paused=True)

    async def resume(self, request: Request) -> Response:
        """POST /v1/lanes/{account}/resume: ends a person's pause and all blocks, never a Retry-After."""
        return await self._tell(request, paused=False)

    async def _tell(self, request: Request, *, paused: bool) -> Response:
        caller = self._parts.caller(request)
        must_have(caller, Right.MANAGE)
        account = folded(request.path_params["account"])
        logins = {carrier.account for carrier in self._parts.step.rules.carriers.values()}
        if paused and "@" not in account and account not in logins:
            raise _no_lane(account)
        now = self._parts.clock.now()
        if not await self._spool.tell_lane(account=account, paused=paused, at=now, by=caller.by):
            raise _no_lane(account)
        return await self._answer(account)

    async def _answer(self, account: str) -> Response:
        now = self._parts.clock.now()
        rows = await self._spool.lanes(now=now, account=account)
        if not rows:
            raise _no_lane(account)
        return answer((await self._shown(rows, now))[0])

    async def _shown(self, rows: Sequence[LaneRow], now: Millis) -> list[views.Json]:
        parts, spool = self._parts, self._spool
        pasts = await spool.past(lanes=[row.lane for row in rows], now=now)
        transports, tenant = await parts.transports(), Day()
        tenant.learn(await spool.recipient_hours(since=now - DAY_HOURS * HOUR))
        proofs: defaultdict[str, list[Presence]] = defaultdict(list)
        for proof in await spool.presences():
            proofs[proof.account].append(proof)
        shown: list[views.Json] = []
        for row in rows:
            heads = await spool.peek(lane=row.lane, now=now, most=1) if row.waiting else ()
            head = min(heads, key=lambda one: (one.priority, one.due_at, one.key), default=None)
            account = Account(row=row, past=pasts[row.lane], head=head, at=now, tenant=tenant)
            why = waits_for(account, parts.discipline, transports=transports)
            shown.append(
                views.lane(
                    account,
                    why,
                    discipline=parts.discipline,
                    proofs=proofs[row.account],
                    diagnosis=parts.diagnosis,
                )
            )
        return shown


class Transports:
    """The ways out."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._carriers = parts.step.rules.carriers

    async def listed(self, request: Request) -> Response:
        """GET /v1/transports."""
        must_have(self._parts.caller(request), Right.READ)
        rows = [row for row in await self._parts.transports() if row.name in self._carriers]
        return answer(views.everything([self._shown(row) for row in rows]))

    async def one(self, request: Request) -> Response:
        """GET /v1/transports/{name}."""
        must_have(self._parts.caller(request), Right.READ)
        return await self._answer(request.path_params["name"])

    async def pause(self, request: Request) -> Response:
        """POST /v1/transports/{name}/pause: nothing goes by it until somebody resumes it."""
        return await self._tell(request, paused=True)

    async def resume(self, request: Request) -> Response:
        """POST /v1/transports/{name}/resume: it may try again now."""
        return await self._tell(request, paused=False)

    async def _tell(self, request: Request, *, paused: bool) -> Response:
        caller = self._parts.caller(request)
        must_have(caller, Right.MANAGE)
        name = request.path_params["name"]
        if name not in self._carriers:
            raise self._none(name)
        await self._parts.spool.tell_transport(name=name, paused=paused, at=self._parts.clock.now(), by=caller.by)
        self._parts.spoken()
        return await self._answer(name)

    async def _answer(self, name: str) -> Response:
        row = next((row for row in await self._parts.transports() if row.name == name), None)
        if row is None or name not in self._carriers:
            raise self._none(name)
        return answer(self._shown(row))

    def _shown(self, row: TransportRow) -> views.Json:
        kind = self._carriers[row.name].kind
        ceiling = self._parts.ceiling(row.name)
        return views.transport(row, kind=kind, ceiling=ceiling, diagnosis=self._parts.diagnosis)

    def _none(self, name: str) -> Refused:
        return Refused(
            Condition.NOT_FOUND, f"there is no transport {name}; there are {', '.join(sorted(self._carriers))}"
        )


def install(app: FastAPI, parts: Parts) -> None:
    """Mount the routes."""
    lanes, lane, extra = Lanes(parts), "/v1/lanes/{account}", path_parameter("account")
    app.get("/v1/lanes", summary="Sending accounts with something waiting or paused")(lanes.listed)
    app.get(lane, summary="A sending account: what waits for what, until when", openapi_extra=extra)(lanes.one)
    app.post(f"{lane}/pause", summary="Send nothing until somebody resumes it", openapi_extra=extra)(lanes.pause)
    app.post(f"{lane}/resume", summary="Go on, or try again now", openapi_extra=extra)(lanes.resume)
    transports, way, extra = Transports(parts), "/v1/transports/{name}", path_parameter("name")
    app.get("/v1/transports", summary="Ways out and their circuits")(transports.listed)
    app.get(way, summary="A way out and its circuit", openapi_extra=extra)(transports.one)
    app.post(f"{way}/pause", summary="Send nothing by it until somebody resumes it", openapi_extra=extra)(
        transports.pause
    )
    app.post(f"{way}/resume", summary="Go on, or try again now", openapi_extra=extra)(transports.resume)


def _no_lane(account: str) -> Refused:
    return Refused(Condition.NOT_FOUND, f"there is no lane of {account}: nothing was accepted for it yet")
