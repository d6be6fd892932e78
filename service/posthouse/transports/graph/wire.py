"""HTTP/1.1 for the Graph SDK over aiohttp: one request, one answer, no redirect, no retry, faults told apart by cause.

httpx's own pool costs 5 to 10 times the CPU (SDK §5); what is here is all that the SDK needs of a transport.
"""

import ssl
from collections.abc import AsyncIterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Final

import aiohttp
import httpx

from posthouse.transports.faults import Fault, ProxyFaultError, by_proxy, fault_of
from posthouse.transports.proxies import NO_PROXIES, Proxies, Proxy

ANSWER_LIMIT: Final = 1_048_576
"""Bytes of an answer that are read; Graph's answers to us are some kilobytes, what is longer is cut."""

KEEP_ALIVE: Final = 4.0
"""Seconds that an idle connection is kept: below servers' usual 5 s, so that the idle race stays rare (SDK §3a)."""


class Wire(httpx.AsyncBaseTransport):
    """An httpx transport over one aiohttp session.

    Raises httpx.ConnectError or httpx.ConnectTimeout only where no byte of the request can have left (PROMISES §4),
    another httpx.TransportError for everything later. By a proxy nothing has left before its tunnel stands.
    """

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext,
        connections: int,
        connect_timeout: float,
        read_timeout: float,
        proxies: Proxies = NO_PROXIES,
    ) -> None:
        self._ssl = ssl_context
        self._proxies = proxies
        self._connections = connections
        # ``connect`` bounds the wait for a free connection and the making of it, ``sock_connect`` one address of it
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=2 * connect_timeout, sock_connect=connect_timeout, sock_read=read_timeout
        )
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One exchange; a cancelled one closes its connection."""
        proxy = self._proxies.to(str(request.url))
        try:
            if proxy is not None:
                return await self._through(proxy, request)
            return await self._exchange(request)
        except ProxyFaultError as error:
            raise httpx.ConnectError("no tunnel through the proxy", request=request) from error
        except aiohttp.ConnectionTimeoutError as error:
            raise httpx.ConnectTimeout("no connection in time", request=request) from error
        except aiohttp.ClientConnectorError as error:
            raise httpx.ConnectError("no connection", request=request) from error
        except TimeoutError as error:
            raise httpx.ReadTimeout("no answer in time", request=request) from error
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientResponseError, aiohttp.ClientPayloadError) as error:
            raise httpx.RemoteProtocolError("no readable answer", request=request) from error
        except (aiohttp.ClientError, OSError) as error:
            raise httpx.ReadError("the connection broke", request=request) from error

    async def aclose(self) -> None:
        """Close all connections; idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _through(self, proxy: Proxy, request: httpx.Request) -> httpx.Response:
        """One exchange by a proxy; raises ProxyFaultError while there is no connection to the host itself."""
        tunnel = _Tunnel(proxy)
        try:
            return await self._exchange(request, tunnel)
        except (aiohttp.ClientError, OSError) as error:
            if tunnel.stands:
                raise
            raise ProxyFaultError(by_proxy(fault_of(error, otherwise=Fault.UNKNOWN))) from error

    async def _exchange(self, request: httpx.Request, tunnel: "_Tunnel | None" = None) -> httpx.Response:
        async with self._open().request(
            request.method,
            str(request.url),
            data=_body(request),
            headers=request.headers.multi_items(),
            allow_redirects=False,
            proxy=None if tunnel is None else tunnel.proxy.address,
            proxy_headers=None if tunnel is None else tunnel.proxy.headers,
            trace_request_ctx=tunnel,
        ) as answer:
            content = await _read(answer)
            # kiota answers a claims challenge by a second POST of its own; without the header it cannot (SDK §2)
            headers = [pair for pair in answer.headers.items() if pair[0].lower() != "www-authenticate"]
            return httpx.Response(answer.status, headers=headers, content=content, request=request)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections, ssl=self._ssl, keepalive_timeout=KEEP_ALIVE),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=self._timeout,
                trace_configs=None if self._proxies.https is None else [_tracing()],
            )
        return self._session


@dataclass(slots=True)
class _Tunnel:
    """The way of one request by a proxy, and whether a connection to the host stands: a new one, or one that was kept."""

    proxy: Proxy
    stands: bool = False


def _tracing() -> aiohttp.TraceConfig:
    """Notes when a connection stands; before that, whatever goes wrong, nothing of the request has left."""

    async def stands(_session: object, context: SimpleNamespace, _what: object) -> None:
        if isinstance(context.trace_request_ctx, _Tunnel):
            context.trace_request_ctx.stands = True

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_create_end.append(stands)
    tracing.on_connection_reuseconn.append(stands)
    return tracing


def _body(request: httpx.Request) -> bytes | AsyncIterable[bytes] | None:
    stream = request.stream
    if isinstance(stream, httpx.ByteStream):
        return request.content or None
    return stream if isinstance(stream, httpx.AsyncByteStream) else None


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    pieces = bytearray()
    async for piece in answer.content.iter_any():
        pieces += piece
        if len(pieces) > ANSWER_LIMIT:
            answer.close()
            break
    return bytes(pieces[:ANSWER_LIMIT])
