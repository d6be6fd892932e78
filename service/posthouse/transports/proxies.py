"""The proxy that an organisation's way to the internet leads by: HTTPS_PROXY and NO_PROXY, read as curl reads them."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote, urlsplit

_DEFAULT_PORT: Final = 80
_HTTPS: Final = 443


class ProxyRefusedError(ValueError):
    """What HTTPS_PROXY says cannot be used; the text says why and shows no password."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that is asked for tunnels (CONNECT, RFC 9110 §9.3.6); its login is never shown."""

    host: str
    port: int
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        """As a person writes it, without the login."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def address(self) -> str:
        """Its URL without the login."""
        return f"http://{self}"

    @property
    def url(self) -> str:
        """Its URL with the login: a secret."""
        login = "" if self.user is None else f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@"
        return f"http://{login}{self}"

    @property
    def headers(self) -> Mapping[str, str]:
        """What a request to it carries beside its own lines: the login (RFC 7617), where there is one."""
        if self.user is None:
            return {}
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return {"Proxy-Authorization": f"Basic {pair}"}


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxy for HTTPS, if there is one, and the hosts that are reached without it."""

    https: Proxy | None = None
    without: tuple[str, ...] = ()

    def to(self, url: str) -> Proxy | None:
        """The proxy by which this URL is reached; None where it is reached directly."""
        if self.https is None:
            return None
        parts = urlsplit(url)
        return None if self._direct((parts.hostname or "").lower(), parts.port or _HTTPS) else self.https

    def _direct(self, host: str, port: int) -> bool:
        """Whether NO_PROXY names the host: itself or a domain above it, with or without a dot before it and a port."""
        for name in self.without:
            suffix = name.removesuffix(f":{port}").strip("[]").removeprefix("*").removeprefix(".")
            if name == "*" or (suffix and (host == suffix or host.endswith(f".{suffix}"))):
                return True
        return False


NO_PROXIES: Final = Proxies()


def proxies_of(environ: Mapping[str, str]) -> Proxies:
    """What the environment says, small letters before capitals; raises ProxyRefusedError."""
    written = environ.get("https_proxy") or environ.get("HTTPS_PROXY") or ""
    without = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    names = tuple(name for part in without.split(",") if (name := part.strip().lower()))
    return Proxies(_proxy(written.strip()), names) if written.strip() else NO_PROXIES


def _proxy(written: str) -> Proxy:
    try:
        parts = urlsplit(written if "://" in written else f"http://{written}")
        host, port = parts.hostname, parts.port or _DEFAULT_PORT
    except ValueError as error:
        raise ProxyRefusedError("it is no URL; write http://host:port, special characters percent-encoded") from error
    if parts.scheme != "http":
        words = "the proxy itself is spoken to in clear, whatever goes through it"
        raise ProxyRefusedError(f"{parts.scheme}:// is not supported: {words}; write http://host:port")
    if not host:
        raise ProxyRefusedError("it names no host; write http://host:port, special characters percent-encoded")
    user = None if parts.username is None else unquote(parts.username)
    return Proxy(host, port, user, unquote(parts.password or ""))
