"""A tunnel through a proxy, asked for as the transports ask for theirs, with what the proxy says where it gives none."""

import asyncio
import re
from typing import Final

from posthouse.transports.faults import Fault, ProxyFaultError, proxy_fault, public
from posthouse.transports.proxies import Proxy

_OPEN: Final = 200
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: ([^\r\n]*))?")


async def ask_for_tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str, proxy: Proxy) -> None:
    """CONNECT to the target (RFC 9110 §9.3.6); raises ProxyFaultError where the proxy opens no tunnel, else OSError."""
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *(f"{name}: {v}" for name, v in proxy.headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (EOFError, asyncio.LimitOverrunError) as error:
        raise ProxyFaultError(Fault.PROXY, "it gives no answer to CONNECT") from error
    answer = _STATUS.match(head)
    if answer is None:
        raise ProxyFaultError(Fault.PROXY, "it does not speak HTTP")
    status = int(answer[1])
    if status != _OPEN:
        words = public((answer[2] or b"").decode("latin-1"))
        raise ProxyFaultError(proxy_fault(status), f"HTTP {status} {words}".rstrip())
