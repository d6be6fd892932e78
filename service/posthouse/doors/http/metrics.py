"""GET /metrics for Prometheus: without a credential where only this machine reaches it, else with the scope ``read``."""

from ipaddress import ip_address
from typing import Final

from fastapi import FastAPI, Request, Response
from starlette.types import Scope

from posthouse.doors.http.parts import Parts
from posthouse.policy import Right, must_have

_OPEN: Final = "text/plain"
_BY_PROXY: Final = frozenset(
    {b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip"}
)


def install(app: FastAPI, parts: Parts) -> None:
    """Mount the route."""

    async def metrics(request: Request) -> Response:
        if not _local(request.scope):
            must_have(parts.caller(request), Right.READ)
        page, media_type = await parts.metrics(request.headers.get("accept", _OPEN))
        return Response(page, headers={"content-type": media_type, "cache-control": "no-store"})

    app.get("/metrics", summary="What Prometheus reads")(metrics)


def _local(scope: Scope) -> bool:
    """Whether the connection came to a loopback address (CONTRACT §3: never open on another), and not by a proxy there."""
    if any(name in _BY_PROXY for name, _ in scope["headers"]):
        return False
    server = scope.get("server")
    try:
        return server is not None and ip_address(server[0]).is_loopback
    except ValueError:
        return False
