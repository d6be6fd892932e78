"""The doors of one HTTP listener as an ASGI application: routes, request ids, refusals in the dialect of each door."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fastapi import FastAPI, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from posthouse.doors.http.allowance import allowance_fields
from posthouse.doors.http.incoming import GoneError
from posthouse.doors.http.parts import CLIENT, SOURCE, Parts, RawRoute
from posthouse.doors.problems import KEPT
from posthouse.identities import Refusal
from posthouse.ports import SpoolUnavailableError
from posthouse.refusal import Condition, Refused
from posthouse.submission import RETRY_AFTER
from posthouse.telemetry import LOGGER, REFUSED, SERVICE_FAULT, log


def _nothing() -> Mapping[str, object]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One protocol: its routes, which addresses are its own, how it refuses and what it says of a fault of ours.

    ``name`` is what messages and refusals call it; ``refused`` and ``fault`` get the id of the request, which the answer carries in any case as ``x-request-id``.
    """

    name: str
    install: Callable[[FastAPI, Parts], None]
    speaks: Callable[[str], bool]
    refused: Callable[[Refused, str], Response]
    fault: Callable[[str], Response]
    schemas: Callable[[], Mapping[str, object]] = _nothing


def application(
    parts: Parts, doors: Sequence[Door], *, documented: bool, chance: Callable[[int], bytes], version: str
) -> FastAPI:
    """What one listener serves; the last door has every address that no other speaks for."""
    app = Application(
        title="posthouse",
        version=version,
        openapi_url="/openapi.json" if documented else None,
        docs_url="/docs" if documented else None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.chance, app.doors, app.parts = chance, doors, parts
    app.router.route_class = RawRoute
    for door in doors:
        door.install(app, parts)
    return app


class Application(FastAPI):
    """FastAPI with one layer above its routes instead of six: on the hot way in each of them is felt (SPEED)."""

    chance: Callable[[int], bytes]
    doors: Sequence[Door]
    parts: Parts

    def build_middleware_stack(self) -> ASGIApp:
        """Request ids and refusals, then the routes."""
        return Outermost(self)

    def openapi(self) -> dict[str, object]:
        """The document, with the models of routes that read their bytes themselves."""
        if self.openapi_schema is None:
            document = super().openapi()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            for door in self.doors:
                schemas.update(door.schemas())
        return super().openapi()


class Outermost:
    """Gives every answer an ``x-request-id`` and turns what was raised into the words of its door.

    A fault of ours becomes a 500 that says nothing but this id, under which its log line stands.
    """

    def __init__(self, app: Application) -> None:
        self._app = app
        self._doors = app.doors
        self._parts = app.parts
        self._routes = app.router
        self._chance = app.chance
        self._fixed: dict[tuple[str, str], ASGIApp] = {
            (method, route.path): route.app
            for route in app.router.routes
            if isinstance(route, RawRoute) and not route.param_convertors
            for method in route.methods or ()
        }
        """Addresses without parameters: found without asking one route after the other."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._routes(scope, receive, send)
            return
        request_id = "req_" + self._chance(12).hex()
        header = (b"x-request-id", request_id.encode())
        door = next((one for one in self._doors if one.speaks(scope["path"])), self._doors[-1])
        started = False

        async def tagged(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._parts.meter.answered(door.name, message["status"])
                message["headers"].append(header)
            await send(message)

        try:
            await self._parts.meet(scope)
            serve = self._fixed.get((scope["method"], scope["path"]), self._routes)
            await serve(scope, receive, tagged)
        except GoneError:
            return
        except Exception as error:
            response = self._explained(error, scope, request_id, door)
            if started:
                raise
            await response(scope, receive, tagged)

    def _explained(self, error: Exception, scope: Scope, request_id: str, door: Door) -> Response:
        if isinstance(error, HTTPException) and error.status_code in (404, 405):
            return self._unrouted(error, scope, request_id, door)
        if isinstance(error, SpoolUnavailableError):
            detail = "the spool cannot be used now"
            error = Refused(Condition.STORAGE_LOW, detail, retry_after=RETRY_AFTER)
        if not isinstance(error, Refused):
            name = type(error).__name__
            log(SERVICE_FAULT, level=logging.ERROR, request=request_id, path=scope["path"], error=name)
            LOGGER.debug("where", exc_info=error)
            return door.fault(request_id)
        client, code = scope.get(CLIENT), error.condition.value
        log(REFUSED, door=door.name, request=request_id, path=scope["path"], client=client, code=code)
        self._note(error, scope, door)
        response = door.refused(error, request_id)
        for name, value in allowance_fields(error.allowance):
            response.headers[name.decode()] = value.decode()
        if error.retry_after is not None:
            response.headers["retry-after"] = str(error.retry_after)
        if error.condition is Condition.REQUEST_TIMEOUT:
            response.headers["connection"] = "close"
        if response.status_code == 401:  # noqa: PLR2004
            response.headers["www-authenticate"] = 'Bearer realm="posthouse"'
        return response

    def _note(self, refused: Refused, scope: Scope, door: Door) -> None:
        """Keep it for /v1/refusals, where an administrator could mend it; what is not kept is only counted."""
        if refused.condition not in KEPT:
            self._parts.meter.refused(door.name, refused.condition.value)
            return
        at = self._parts.clock.now()
        refusal = Refusal(
            door=door.name,
            source=scope.get(SOURCE, ""),
            login="",
            client=scope.get(CLIENT, ""),
            sender=refused.sender,
            code=refused.condition.value,
            detail=refused.detail,
            first_at=at,
            last_at=at,
        )
        self._parts.keeper.refused(refusal)

    def _unrouted(self, error: HTTPException, scope: Scope, request_id: str, door: Door) -> Response:
        """What the routes said: 404, or 405 with every method that the address knows (RFC 9110 §10.2.1)."""
        detail = f"{scope['method']} {scope['path']} is no part of this API"
        if error.status_code == 404:  # noqa: PLR2004
            return self._explained(Refused(Condition.NOT_FOUND, detail), scope, request_id, door)
        response = self._explained(Refused(Condition.METHOD_NOT_ALLOWED, detail), scope, request_id, door)
        methods: set[str] = set()
        for route in self._routes.routes:
            if route.matches(scope)[0] is Match.PARTIAL:
                methods |= getattr(route, "methods", None) or set()
        response.headers["allow"] = ", ".join(sorted(methods))
        return response
