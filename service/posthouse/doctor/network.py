"""The path to a host: its name, its port, its certificate; and questions over HTTPS with faults told apart."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import httpx
from cryptography import x509

from posthouse.doctor.steps import Seen
from posthouse.doctor.tunnel import ask_for_tunnel
from posthouse.findings import Result, Trouble, trouble
from posthouse.fixes import NETWORK
from posthouse.transports.dialling import dial
from posthouse.transports.faults import Fault, ProxyFaultError, by_proxy, fault_of, one_line
from posthouse.transports.graph.wire import Wire
from posthouse.transports.proxies import NO_PROXIES, Proxies, Proxy

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 12.0

_UNCONNECTED: Final = frozenset({Fault.DNS, Fault.CONNECT_TIMEOUT, Fault.UNREACHABLE})


Trust = Callable[[], ssl.SSLContext]
"""Whose certificates count, read when they are needed: the file that names them may be missing."""


@dataclass(frozen=True, slots=True)
class Host:
    """A host and its port, whose certificates count there, and the proxy by which it is reached, if it is by one."""

    name: str
    port: int
    trust: Trust
    proxy: Proxy | None = None

    @property
    def names(self) -> Mapping[str, str]:
        """How remedies call it and its proxy."""
        return {"host": self.name, "port": str(self.port), **_names_of(self.proxy)}

    @property
    def target(self) -> str:
        """How HTTP writes it."""
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"

    @property
    def near(self) -> tuple[str, int]:
        """Name and port of what this machine connects to: the host, or the proxy in its place."""
        return (self.name, self.port) if self.proxy is None else (self.proxy.host, self.proxy.port)

    def __str__(self) -> str:
        """As a person writes it."""
        return self.target + ("" if self.proxy is None else f" by proxy {self.proxy}")


class Unanswered(Exception):
    """There was no answer; ``trouble`` says why."""

    def __init__(self, why: Trouble) -> None:
        super().__init__(why.fix)
        self.trouble = why


async def resolve(hosts: Sequence[Host]) -> Seen:
    """Whether the names lead to addresses."""
    found: list[str] = []
    for host in hosts:
        name, port = host.near
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                answers = await asyncio.get_running_loop().getaddrinfo(name, port)
        except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
            seen = broken(error, host, otherwise=Fault.DNS)
            return replace(seen, words=f"{seen.words}: {_unresolved(error)}")
        addresses = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
        found.append(f"{name} is {', '.join(addresses[:3])}" + ("" if host.proxy is None else " (the proxy)"))
    return Seen(words="; ".join(dict.fromkeys(found)))


async def connect(hosts: Sequence[Host]) -> Seen:
    """Whether the ports can be reached, by the proxy where there is one."""
    for host in hosts:
        try:
            writer = await opened(host, seconds=CONNECT_SECONDS)
        except OSError as error:
            otherwise = Fault.CONNECT_TIMEOUT if isinstance(error, TimeoutError) else Fault.UNREACHABLE
            return broken(error, host, otherwise=otherwise)
        await hang_up(writer)
    return Seen(words=", ".join(str(host) for host in hosts) + " can be reached")


async def handshake(hosts: Sequence[Host]) -> Seen:
    """Whether TLS can be spoken with certificates that this machine trusts; where not, who issued what is shown."""
    found: list[str] = []
    for host in hosts:
        try:
            writer = await secured(host, host.trust(), seconds=CONNECT_SECONDS * 2)
        except OSError as error:  # ssl.SSLError is one
            seen = broken(error, host, otherwise=Fault.SILENCE if isinstance(error, TimeoutError) else Fault.TLS)
            judged = isinstance(error, ssl.SSLCertVerificationError)
            return distrusted(seen, error, await shown(host)) if judged else seen
        tls = writer.get_extra_info("ssl_object")
        found.append(f"{host}: {tls.version()}, certificate until {tls.getpeercert().get('notAfter', '?')}")
        await hang_up(writer)
    return Seen(words="; ".join(found))


async def secured(host: Host, context: ssl.SSLContext, *, seconds: float) -> asyncio.StreamWriter:
    """A connection with TLS; raises OSError."""
    async with asyncio.timeout(seconds):
        writer = await opened(host, seconds=seconds)
        try:
            await writer.start_tls(context, server_hostname=host.name)
        except BaseException:
            writer.transport.abort()
            raise
    return writer


async def opened(host: Host, *, seconds: float) -> asyncio.StreamWriter:
    """A connection in clear, by the proxy where there is one; raises OSError, what the proxy says as ProxyFaultError."""
    async with asyncio.timeout(seconds):
        name, port = host.near
        reader, writer = await asyncio.open_connection(sock=await dial(name, port, seconds=seconds))
        if host.proxy is not None:
            try:
                await ask_for_tunnel(reader, writer, host.target, host.proxy)
            except BaseException:
                writer.transport.abort()
                raise
    return writer


async def shown(host: Host) -> x509.Certificate | None:
    """The certificate that a host shows, whoever issued it; None where it shows none."""
    with contextlib.suppress(OSError, ValueError):
        writer = await secured(host, gullible(), seconds=CONNECT_SECONDS)
        tls = writer.get_extra_info("ssl_object")
        raw = tls.getpeercert(binary_form=True)
        await hang_up(writer)
        return x509.load_der_x509_certificate(raw)
    return None


def gullible() -> ssl.SSLContext:
    """A context that believes everybody: only to look at a certificate, nothing is ever said over it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def distrusted(seen: Seen, error: BaseException, certificate: x509.Certificate | None) -> Seen:
    """What was seen, with the name of the issuer whom this machine does not trust: that of the proxy, if there is one."""
    reason = getattr(error, "verify_message", "")
    words = [seen.words, str(reason)] if reason else [seen.words]
    if certificate is not None:
        issuer = one_line(certificate.issuer.rfc4514_string())
        words.append(f"the certificate shown was issued by {issuer}, until {certificate.not_valid_after_utc:%Y-%m-%d}")
    return Seen(result=seen.result, words="; ".join(words), trouble=seen.trouble)


def _unresolved(error: BaseException) -> str:
    match error:
        case socket.gaierror(errno=socket.EAI_NONAME | socket.EAI_NODATA) | UnicodeError():
            return "there is no such name"
        case _:
            return "the resolver does not answer"


def broken(error: BaseException, host: Host, *, otherwise: Fault) -> Seen:
    """The failure that an error of the network means."""
    fault = fault_of(error, otherwise=otherwise)
    if host.proxy is not None and otherwise in _UNCONNECTED:
        fault = by_proxy(fault)
    said = error.said if isinstance(error, ProxyFaultError) and error.said else None
    what = trouble(NETWORK[fault], names=host.names, said=said, code=f"network_{fault}")
    words = f"{host}: {fault.replace('_', ' ')}"
    return Seen(result=Result.FAILED, words=words if said is None else f"{words}: {said}", trouble=what)


def _names_of(proxy: Proxy | None) -> Mapping[str, str]:
    return {} if proxy is None else {"proxy host": proxy.host, "proxy port": str(proxy.port)}


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close without waiting long: what the other side says to it is of no interest."""
    writer.close()
    with contextlib.suppress(OSError):
        async with asyncio.timeout(1.0):
            await writer.wait_closed()


class Http:
    """Questions over HTTPS, by the wire that the Graph transport uses: no redirect, no retry."""

    def __init__(self, trust: Trust, proxies: Proxies = NO_PROXIES) -> None:
        self._trust = trust
        self._proxies = proxies
        self._client: httpx.AsyncClient | None = None

    async def ask(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, content: bytes | None = None
    ) -> httpx.Response:
        """The answer, whatever its status; raises Unanswered."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._open().request(method, url, headers=headers, content=content)
        except (httpx.HTTPError, OSError) as error:
            fault = fault_of(error, otherwise=Fault.SILENCE)
            parts = httpx.URL(url)
            names = {"host": parts.host, "port": str(parts.port or 443), **_names_of(self._proxies.to(url))}
            raise Unanswered(trouble(NETWORK[fault], names=names, code=f"network_{fault}")) from error

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose()

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            wire = Wire(
                ssl_context=self._trust(),
                connections=4,
                connect_timeout=CONNECT_SECONDS,
                read_timeout=ANSWER_SECONDS,
                proxies=self._proxies,
            )
            self._client = httpx.AsyncClient(transport=wire, headers={"User-Agent": "posthouse-doctor"})
        return self._client
