"""What both protocols share: names for faults below them, what of a foreign text may be shown, Retry-After."""

import errno
import re
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final

import aiohttp

from posthouse.fixes import NETWORK
from posthouse.outcome import Answer

TEXT_LIMIT: Final = 300
"""Characters of a foreign text that are kept."""

_UNREACHABLE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL})


class Fault(StrEnum):
    """The causes that can be told apart, whichever library met them."""

    DNS = "dns"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    CONNECT_TIMEOUT = "connect_timeout"
    CERTIFICATE = "certificate"
    TLS = "tls"
    RESET = "reset"
    CLOSED = "closed"
    GARBLED = "garbled"
    SILENCE = "silence"
    STALLED = "stalled"
    PROXY = "proxy"
    PROXY_LOGIN = "proxy_login"
    PROXY_REFUSAL = "proxy_refusal"
    PROXY_WAY = "proxy_way"
    UNKNOWN = "unknown"


_TEXTS: Final[dict[Fault, str]] = {
    Fault.DNS: "the host name could not be resolved",
    Fault.REFUSED: "the connection was refused",
    Fault.UNREACHABLE: "the host could not be reached",
    Fault.CONNECT_TIMEOUT: "no connection in time",
    Fault.CERTIFICATE: "the certificate of the other side could not be verified",
    Fault.TLS: "the TLS handshake failed",
    Fault.RESET: "the connection was reset",
    Fault.CLOSED: "the connection ended without an answer",
    Fault.GARBLED: "the answer could not be read",
    Fault.SILENCE: "no answer in time",
    Fault.STALLED: "the other side stopped reading",
    Fault.PROXY: "the proxy could not be reached, or broke the connection off",
    Fault.PROXY_LOGIN: "the proxy wants a login, or refused the one it got",
    Fault.PROXY_REFUSAL: "the proxy refused the connection",
    Fault.PROXY_WAY: "the proxy did not reach the host",
    Fault.UNKNOWN: "the connection broke",
}


_LOGIN: Final = frozenset({401, 407})  # 401 is not for proxies, but some say it of a wrong password
_CLIENT_ERRORS: Final = range(400, 500)
_BEHIND_THE_PROXY: Final = frozenset(
    {Fault.PROXY_LOGIN, Fault.PROXY_REFUSAL, Fault.PROXY_WAY, Fault.CERTIFICATE, Fault.TLS}
)


class ProxyFaultError(OSError):
    """No tunnel through a proxy: nothing of a request can have left."""

    def __init__(self, fault: Fault, said: str = "") -> None:
        super().__init__(fault.value)
        self.fault = fault
        self.said = said


def proxy_fault(status: int) -> Fault:
    """What a proxy means by an answer to CONNECT that opens no tunnel (RFC 9110 §9.3.6, §15.5.8)."""
    if status in _LOGIN:
        return Fault.PROXY_LOGIN
    return Fault.PROXY_REFUSAL if status in _CLIENT_ERRORS else Fault.PROXY_WAY


def by_proxy(fault: Fault) -> Fault:
    """What a fault means that met a connection by a proxy before a request began: below TLS only the proxy is met."""
    return fault if fault in _BEHIND_THE_PROXY else Fault.PROXY


def fault_of(error: BaseException, *, otherwise: Fault) -> Fault:
    """The cause behind an error of any client library; ``otherwise`` where its chain names none."""
    for link in _chain(error):
        match link:
            case ProxyFaultError():
                return link.fault
            case aiohttp.ClientHttpProxyError():
                return proxy_fault(link.status)
            case ssl.SSLCertVerificationError():
                return Fault.CERTIFICATE
            case ssl.SSLError():
                return Fault.TLS
            case socket.gaierror():
                return Fault.DNS
            case ConnectionRefusedError():
                return Fault.REFUSED
            case ConnectionResetError() | BrokenPipeError():
                return Fault.RESET
            case OSError() if link.errno in _UNREACHABLE:
                return Fault.UNREACHABLE
            case _:
                continue
    return otherwise


def network_answer(fault: Fault, *, where: str, status: str) -> Answer:
    """The public answer for a fault; ``where`` says how far things had come, in words."""
    return Answer(status=status, text=f"{_TEXTS[fault]} ({where})", code=f"network_{fault}", fix=NETWORK[fault])


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


_SECONDS: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]+)?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_DIAGNOSTIC: Final = re.compile(r"\[[^\[\]]*\]")
_HOST: Final = re.compile(r"\b(?:[\w-]+\.)+(?:outlook\.com|office365\.(?:com|us)|exchangelabs\.com)\b", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"[^\s<>\"@:;,()]+@(?=[\w.-]+)")
_TOKEN: Final = re.compile(r"\beyJ[\w-]+(?:\.[\w-]*){1,2}|[A-Za-z0-9+/=_-]{64,}")


def public(text: str) -> str:
    """A server's words without control characters, hosts, tokens and local parts of addresses, at most 300 long."""
    plain = text[: 8 * TEXT_LIMIT]
    for pattern, instead in ((_DIAGNOSTIC, ""), (_TOKEN, "…"), (_HOST, "…"), (_ADDRESS, "…@")):
        plain = pattern.sub(instead, plain)
    return one_line(plain)


def one_line(text: str) -> str:
    """The words on one line without control characters, at most 300 long."""
    plain = " ".join(_CONTROL.sub(" ", text).split())
    return plain if len(plain) <= TEXT_LIMIT else plain[: TEXT_LIMIT - 1] + "…"


def retry_after(value: str | None, *, now: float) -> float | None:
    """Seconds of a Retry-After header, given as seconds or as an HTTP date (RFC 9110 §10.2.3); None if unreadable."""
    if not value:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    date = http_date(text)
    return None if date is None else max(0.0, date - now)


def http_date(text: str) -> float | None:
    """Seconds since 1970 of an HTTP date (RFC 9110 §5.6.7); None if unreadable."""
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
