"""The control API: what tests in other processes read from the emulator and tell it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from http import HTTPStatus
from typing import Final

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from posthouse.sandbox.chaos import Rule
from posthouse.sandbox.listeners import Listener
from posthouse.sandbox.settings import Settings
from posthouse.sandbox.world import World

_ADDRESSES: Final = frozenset({"mailboxes", "scope", "unlicensed", "smtp_disabled", "send_as"})


def control_routes(world: World, listeners: Mapping[str, Listener]) -> list[Route]:
    """All routes below ``/control``."""
    control = _Control(world, listeners)
    return [
        Route("/control/state", control.state, methods=["GET"]),
        Route("/control/posts", control.posts, methods=["GET"]),
        Route("/control/violations", control.violations, methods=["GET"]),
        Route("/control/faults", control.put_faults, methods=["PUT"]),
        Route("/control/faults", control.delete_faults, methods=["DELETE"]),
        Route("/control/settings", control.put_settings, methods=["PUT"]),
        Route("/control/listeners", control.put_listeners, methods=["PUT"]),
        Route("/control/inbox", control.delete_inbox, methods=["DELETE"]),
        Route("/control/smtp-password", control.smtp_password, methods=["GET"]),
    ]


class _Control:
    """The endpoints; a wrong body is answered 422 with what is wrong."""

    def __init__(self, world: World, listeners: Mapping[str, Listener]) -> None:
        self._world = world
        self._listeners = listeners

    async def state(self, _request: Request) -> Response:
        """The counters since the start, and what is under way."""
        world = self._world
        more = {
            "received": len(world.received),
            "drafts": len(world.drawer.drafts),
            "in_flight_by_mailbox": dict(+world.graph_gauge.now),
            "peak_in_flight_by_mailbox": dict(world.graph_gauge.peak),
            "smtp_connections_by_mailbox": dict(+world.smtp_gauge.now),
            "peak_smtp_connections_by_mailbox": dict(world.smtp_gauge.peak),
            "violations": world.violations.counts,
            "faults": [asdict(rule) for rule in world.faults],
        }
        # Not asdict: before Python 3.12 it breaks a Counter.
        counted = {one.name: getattr(world.counters, one.name) for one in fields(world.counters)}
        return JSONResponse(counted | more)

    async def posts(self, _request: Request) -> Response:
        """Every sendMail request that is remembered, in order."""
        return JSONResponse([asdict(post) for post in self._world.posts])

    async def violations(self, _request: Request) -> Response:
        """The latest requests that went beyond Microsoft's limits, enforced or not."""
        return JSONResponse([asdict(one) for one in self._world.violations.examples])

    async def put_faults(self, request: Request) -> Response:
        """Replace all fault rules by this list."""
        try:
            given = json.loads(await request.body())
            self._world.faults = tuple(_rule(one) for one in given)
        except (TypeError, ValueError) as wrong:
            return _refused(wrong)
        return _done()

    async def delete_faults(self, _request: Request) -> Response:
        """No more faults."""
        self._world.faults = ()
        return _done()

    async def put_settings(self, request: Request) -> Response:
        """Change the settings that are named; the others stay."""
        try:
            self._world.settings = _changed(self._world.settings, json.loads(await request.body()))
        except (TypeError, ValueError) as wrong:
            return _refused(wrong)
        return _done()

    async def put_listeners(self, request: Request) -> Response:
        """Stop or start: ``{"graph": false, "smtp": true}``."""
        try:
            wanted = TypeAdapter(dict[str, bool]).validate_json(await request.body(), strict=True)
            chosen = [(self._listeners[name], on) for name, on in wanted.items()]
        except (KeyError, ValueError) as wrong:
            return _refused(wrong)
        for listener, on in chosen:
            await (listener.start() if on else listener.stop())
        return _done()

    async def delete_inbox(self, _request: Request) -> Response:
        """Forget all mail, Sent Items too; counters and numbers go on."""
        self._world.forget_mail()
        return _done()

    async def smtp_password(self, request: Request) -> Response:
        """The password of ``?mailbox=`` for AUTH LOGIN."""
        return JSONResponse({"password": self._world.smtp_password(request.query_params.get("mailbox", ""))})


def _rule(given: object) -> Rule:
    return TypeAdapter(Rule).validate_python(_named(given, Rule))


def _changed(settings: Settings, given: object) -> Settings:
    current = {one.name: getattr(settings, one.name) for one in fields(Settings)}
    named = _named(given, Settings)
    return TypeAdapter(Settings).validate_python(
        current | {name: _lowered(value) if name in _ADDRESSES else value for name, value in named.items()}
    )


def _lowered(value: object) -> object:
    """Addresses in lower case, wherever in the value they stand."""
    match value:
        case str():
            return value.lower()
        case list():
            return [_lowered(one) for one in value]
        case dict():
            return {str(name).lower(): _lowered(one) for name, one in value.items()}
        case _:
            return value


def _named(given: object, kind: type[Rule | Settings]) -> dict[str, object]:
    """The object's members; raises ValueError where one is unknown."""
    if not isinstance(given, dict):
        raise TypeError("a JSON object is needed")
    members = {str(name): value for name, value in given.items()}
    unknown = members.keys() - {one.name for one in fields(kind)}
    if unknown:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    return members


def _done() -> Response:
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _refused(wrong: Exception) -> Response:
    return JSONResponse({"detail": str(wrong)}, status_code=HTTPStatus.UNPROCESSABLE_ENTITY)
