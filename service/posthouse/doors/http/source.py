"""Where a request came from: the peer, or what a trusted proxy says of it (X-Forwarded-For)."""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

from starlette.types import Scope

from posthouse.clients.networks import inside

_FORWARDED: Final = b"x-forwarded-for"


def source_of(scope: Scope, proxies: Sequence[str]) -> str:
    """The address of the last hop that is no trusted proxy; what strangers write into the header counts for nothing."""
    peer = scope["client"][0] if scope.get("client") else ""
    if not proxies or inside(peer, proxies) < 0:
        return peer
    lines = [value for name, value in scope["headers"] if name == _FORWARDED]
    for hop in reversed(list(_hops(lines))):
        if not _is_address(hop):
            return peer
        if inside(hop, proxies) < 0:
            return hop
        peer = hop
    return peer


def _hops(lines: Iterable[bytes]) -> Iterable[str]:
    for line in lines:
        for hop in line.decode("latin-1").split(","):
            yield hop.strip().strip("[]")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
