"""Reaches the service: by POSTHOUSE_URL, by its socket, or, where no service runs, inside this process (CONTRACT §5)."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

import httpx

from posthouse.cli.exits import Code, Stop
from posthouse.settings.places import SOCKET, STATE, find, state_directory

TIMEOUT: Final = 60.0
"""Seconds for one answer."""

_CODES: Final[Mapping[int, Code]] = {401: Code.DENIED, 403: Code.DENIED, 404: Code.NOT_FOUND, 429: Code.NETWORK}
_SERVER_ERROR: Final = 500


class Alone(Enum):
    """What a command does where no service runs: fail, open an existing spool, or make one (PROMISES §9)."""

    FAIL = "fail"
    OPEN = "open"
    MAKE = "make"


@dataclass(frozen=True, slots=True)
class Desk:
    """The service's REST door for one command; ``place`` names it, ``url`` is what other programs reach it by."""

    http: httpx.AsyncClient
    place: str
    url: str | None = None

    async def get(self, path: str, **params: str) -> Any:  # noqa: ANN401 - JSON; the caller names its shape
        """The JSON answer to a GET; raises Stop."""
        return (await self.call("GET", path, params=params)).json()

    async def post(self, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON; the caller names its shape
        """The JSON answer to a POST of JSON; raises Stop."""
        return (await self.call("POST", path, json=body)).json()

    async def patch(self, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON; the caller names its shape
        """The JSON answer to a PATCH with JSON; raises Stop."""
        return (await self.call("PATCH", path, json=body)).json()

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own options
        """The answer; raises Stop with the problem's text and the exit code that belongs to it."""
        try:
            answer = await self.http.request(method, path, **options)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise Stop(Code.NETWORK, f"cannot reach {self.place}: {error or type(error).__name__}") from error
        return _well(answer)

    async def told(self, path: str, body: object) -> AsyncGenerator[tuple[str, Any]]:
        """The events that answer a POST (Server-Sent Events), each with its name and its JSON; raises Stop."""
        headers, name = {"accept": "text/event-stream"}, ""
        try:
            async with self.http.stream("POST", path, json=body, headers=headers) as answer:
                if not answer.is_success:
                    await answer.aread()
                async for line in _well(answer).aiter_lines():
                    field, _, value = line.partition(": ")
                    if field == "event":
                        name = value
                    elif field == "data":
                        yield name, json.loads(value)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise Stop(Code.NETWORK, f"cannot reach {self.place}: {error or type(error).__name__}") from error


def run(work: Callable[[Desk], Awaitable[Code | None]], *, environ: Mapping[str, str], alone: Alone) -> None:
    """Do a command's work at the desk; raises Stop where it does not end well."""

    async def whole() -> Code | None:
        async with reach(environ, alone=alone) as desk:
            return await work(desk)

    code = asyncio.run(whole())
    if code:
        raise Stop(code)


def serves(environ: Mapping[str, str]) -> bool:
    """Whether a service can be asked, here or elsewhere; raises Stop where it is another user's."""
    return bool(environ.get("POSTHOUSE_URL")) or _answers(state_directory(environ) / SOCKET)


@asynccontextmanager
async def reach(environ: Mapping[str, str], *, alone: Alone) -> AsyncGenerator[Desk]:
    """The desk; raises Stop where there is none."""
    if environ.get("POSTHOUSE_URL"):
        async with _remote(environ) as desk:
            yield desk
        return
    path = state_directory(environ) / SOCKET
    if _answers(path):
        transport = httpx.AsyncHTTPTransport(uds=str(path))
        async with httpx.AsyncClient(transport=transport, base_url="http://posthouse", timeout=TIMEOUT) as http:
            yield Desk(http, str(path))
    elif alone is Alone.FAIL:
        raise Stop(Code.NETWORK, f"no service answers at {path}; {_advice()}")
    else:
        async with _inside(environ, path, make=alone is Alone.MAKE) as desk:
            yield desk


@asynccontextmanager
async def _remote(environ: Mapping[str, str]) -> AsyncGenerator[Desk]:
    from posthouse.settings.secret import Secret, SecretError

    url = environ["POSTHOUSE_URL"].rstrip("/")
    try:
        key = Secret(environ.get("POSTHOUSE_KEY", ""), environ).read()
    except SecretError as error:
        raise Stop(Code.DENIED, f"POSTHOUSE_URL is set, so POSTHOUSE_KEY is needed: {error}") from None
    headers = {"authorization": f"Bearer {key}"}
    try:
        http = httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT)
    except (httpx.InvalidURL, UnicodeEncodeError) as error:
        raise Stop(Code.USAGE, "POSTHOUSE_URL is no URL, or POSTHOUSE_KEY no key") from error
    async with http:
        yield Desk(http, url, url)


@asynccontextmanager
async def _inside(environ: Mapping[str, str], path: Path, *, make: bool) -> AsyncGenerator[Desk]:
    """The same door in this process, with the spool open for this one command."""
    from posthouse.settings.loading import load
    from posthouse.settings.problems import SettingsError

    if not make and find(None, environ) is None:
        raise Stop(Code.NETWORK, f"no service answers at {path}, and there are no settings; {_advice()}")
    try:
        settings = load(None, environ)
    except SettingsError as error:
        raise Stop(Code.CONFIGURATION, f"no service answers at {path}, and the settings are wrong:\n{error}") from None
    if not make and not settings.many_processes and not settings.spool_path().exists():
        raise Stop(Code.NETWORK, f"no service answers at {path}, and there is no spool; {_advice()}")

    from posthouse.opening import open_for_command
    from posthouse.ports import SpoolUnavailableError
    from posthouse.spool.refused import SpoolRefusedError

    try:
        async with open_for_command(settings) as app:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://posthouse", timeout=TIMEOUT) as http:
                place = "the spool's database" if settings.many_processes else str(settings.spool_path())
                yield Desk(http, place)
    except (SpoolRefusedError, SpoolUnavailableError) as error:
        raise Stop(Code.CONFIGURATION, str(error)) from None


def _answers(path: Path) -> bool:
    """Whether a service listens; raises Stop where it is another user's."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(str(path))
    except PermissionError:
        raise Stop(Code.DENIED, f"{path} belongs to another user; {_advice()}") from None
    except OSError:
        return False
    return True


def _well(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    code = _CODES.get(answer.status_code, Code.FAILED)
    raise Stop(Code.NETWORK if answer.status_code >= _SERVER_ERROR else code, _words(answer))


def _advice() -> str:
    hint = "run this as the service's user (sudo -u posthouse posthouse …), " if STATE.exists() else ""
    return f"{hint}start it (posthouse serve), or set POSTHOUSE_URL and POSTHOUSE_KEY"


def _words(answer: httpx.Response) -> str:
    """A problem document as a sentence, with every field at fault where there are several."""
    try:
        problem = answer.json()
        detail, errors = f"{problem['code']}: {problem['detail']}", problem["errors"]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code} {answer.reason_phrase}"
    more = [f"  {error['pointer']}: {error['detail']}" for error in errors] if len(errors) > 1 else []
    return "\n".join([detail, *more])
