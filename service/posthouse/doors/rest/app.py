"""The REST door as an ASGI application: routes, request ids, problem documents, documentation of the codes."""

import logging
from collections.abc import Callable

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from posthouse.doors.problems import MEDIA_TYPE, PAGES, fault, page, problem, status_of
from posthouse.doors.rest import erasing, events, health, keys, lanes, messages, submit
from posthouse.doors.rest.incoming import GoneError
from posthouse.doors.rest.parts import Parts, RawRoute
from posthouse.ports import SpoolUnavailableError
from posthouse.refusal import Condition, Refused
from posthouse.submission import RETRY_AFTER
from posthouse.telemetry import LOGGER, REFUSED, SERVICE_FAULT, log


def build(parts: Parts, *, admin: bool, chance: Callable[[int], bytes], version: str) -> FastAPI:
    """The application of one listener; ``admin`` adds keys, lanes, transports and the API's documentation."""
    app = _empty(admin=admin, chance=chance, version=version)
    submit.install(app, parts)
    messages.install(app, parts)
    events.install(app, parts)
    keys.install(app, parts, admin=admin)
    health.install(app, parts)
    if admin:
        lanes.install(app, parts)
        erasing.install(app, parts)
    app.get(f"{PAGES}/{{code}}", include_in_schema=False)(_documentation)
    return app


def probes(parts: Parts, *, chance: Callable[[int], bytes], version: str) -> FastAPI:
    """What a process answers that takes no messages."""
    app = _empty(admin=False, chance=chance, version=version)
    health.install(app, parts)
    return app


def _empty(*, admin: bool, chance: Callable[[int], bytes], version: str) -> "Application":
    app = Application(
        title="posthouse",
        version=version,
        openapi_url="/openapi.json" if admin else None,
        docs_url="/docs" if admin else None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.chance = chance
    app.router.route_class = RawRoute
    return app


class Application(FastAPI):
    """FastAPI with one layer above its routes instead of six: on the hot way in each of them is felt (SPEED)."""

    chance: Callable[[int], bytes]

    def build_middleware_stack(self) -> ASGIApp:
        """Request ids and refusals, then the routes."""
        return Outermost(self, chance=self.chance)

    def openapi(self) -> dict[str, object]:
        """The document, with the models of routes that read their bytes themselves."""
        if self.openapi_schema is None:
            document = super().openapi()
            document.setdefault("components", {}).setdefault("schemas", {}).update(submit.schemas())
        return super().openapi()


class Outermost:
    """Gives every answer an ``x-request-id`` and turns what was raised into a problem document.

    A fault of ours becomes a 500 that says nothing but this id, under which its log line stands.
    """

    def __init__(self, app: FastAPI, *, chance: Callable[[int], bytes]) -> None:
        self._app = app
        self._routes = app.router
        self._chance = chance
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
        started = False

        async def tagged(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"].append(header)
            await send(message)

        try:
            serve = self._fixed.get((scope["method"], scope["path"]), self._routes)
            await serve(scope, receive, tagged)
        except GoneError:
            return
        except Exception as error:
            response = self._explained(error, scope, request_id)
            if started:
                raise
            await response(scope, receive, tagged)

    def _explained(self, error: Exception, scope: Scope, request_id: str) -> Response:
        if isinstance(error, HTTPException) and error.status_code in (404, 405):
            return self._unrouted(error, scope, request_id)
        if isinstance(error, SpoolUnavailableError):
            detail = "the spool cannot be used now"
            error = Refused(Condition.STORAGE_LOW, detail, retry_after=RETRY_AFTER)
        if not isinstance(error, Refused):
            name = type(error).__name__
            log(SERVICE_FAULT, level=logging.ERROR, request=request_id, path=scope["path"], error=name)
            LOGGER.debug("where", exc_info=error)
            return Response(fault(request_id=request_id), 500, media_type=MEDIA_TYPE)
        log(REFUSED, request=request_id, path=scope["path"], code=error.condition.value)
        response = Response(problem(error, request_id=request_id), status_of(error), media_type=MEDIA_TYPE)
        if error.retry_after is not None:
            response.headers["retry-after"] = str(error.retry_after)
        if error.condition is Condition.REQUEST_TIMEOUT:
            response.headers["connection"] = "close"
        if error.condition in (Condition.MISSING_CREDENTIALS, Condition.INVALID_KEY):
            response.headers["www-authenticate"] = 'Bearer realm="posthouse"'
        return response

    def _unrouted(self, error: HTTPException, scope: Scope, request_id: str) -> Response:
        """What the routes said: 404, or 405 with every method that the address knows (RFC 9110 §10.2.1)."""
        detail = f"{scope['method']} {scope['path']} is no part of this API"
        if error.status_code == 404:  # noqa: PLR2004
            return self._explained(Refused(Condition.NOT_FOUND, detail), scope, request_id)
        response = self._explained(Refused(Condition.METHOD_NOT_ALLOWED, detail), scope, request_id)
        methods: set[str] = set()
        for route in self._routes.routes:
            if route.matches(scope)[0] is Match.PARTIAL:
                methods |= getattr(route, "methods", None) or set()
        response.headers["allow"] = ", ".join(sorted(methods))
        return response


async def _documentation(request: Request) -> Response:
    """The page of a code."""
    code = request.path_params["code"]
    if code not in set(Condition):
        raise Refused(Condition.NOT_FOUND, "no such code")
    return HTMLResponse(page(Condition(code)))
