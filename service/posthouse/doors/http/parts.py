"""What every route of the HTTP doors works with, who is calling, and how an answer leaves."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from posthouse.clients.entra import EntraCallers
from posthouse.clients.keeping import Keeper
from posthouse.clients.keys import Keys
from posthouse.clients.tokens import Tokens
from posthouse.concurrency import Ceiling
from posthouse.doors.http.source import source_of
from posthouse.findings import Doctor
from posthouse.limits import Discipline
from posthouse.message import MessageId, Millis, parse_id
from posthouse.meter import UNHEARD, Meter
from posthouse.policy import ADMINISTRATOR, Client, Right, must_have
from posthouse.ports import Clock, Diagnosis, Spool
from posthouse.records import Credential, TransportRow
from posthouse.refusal import Condition, Refused
from posthouse.submission import DoorStep
from posthouse.watch import News, Watch

SOURCE: Final = "posthouse.source"
"""Where the address of the caller lies in a request's scope, for whoever writes down a refusal."""
CLIENT: Final = "posthouse.client"
"""The same of the client's name, once it is known."""
CALLER: Final = "posthouse.caller"
"""The client itself, where a token proved it before the routes were asked."""

_DOTS: Final = 2
"""In a signed token (RFC 7515 §7.1)."""


async def _no_metrics(_accept: str) -> tuple[bytes, str]:
    return b"", "text/plain"


async def _nobody_told() -> Mapping[str, str | None]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The collaborators; ``trusted`` says that whoever reaches this door is the administrator (a unix socket).

    ``ready`` gives None where mail can be kept durably, else the reason; ``transports`` what the circuits stand at;
    ``ceiling`` the concurrency of a transport's app, where it is known here; ``spoken`` is called after a person said
    something about a transport; ``proxies`` are the networks whose X-Forwarded-For counts;
    ``callers`` checks tokens of Entra apps, where the settings want it; ``tokens`` those that the token endpoint gave;
    ``meter`` hears what happens at the doors, ``credentials`` says until when each is good; ``metrics`` writes all that
    was measured in a form that the Accept field names, and says which;
    ``doctor`` examines the ways out; ``test_alerts`` tells every channel of alerts that this is a test, and says by
    channel why it could not.
    """

    step: DoorStep
    spool: Spool
    keys: Keys
    clock: Clock
    watch: Watch
    news: News
    diagnosis: Diagnosis
    ready: Callable[[], Awaitable[str | None]]
    discipline: Discipline
    transports: Callable[[], Awaitable[Sequence[TransportRow]]]
    ceiling: Callable[[str], Ceiling | None]
    spoken: Callable[[], None]
    trusted: bool
    keeper: Keeper
    doctor: Doctor
    proxies: Sequence[str] = ()
    callers: EntraCallers | None = None
    tokens: Tokens | None = None
    meter: Meter = UNHEARD
    credentials: Callable[[], Sequence[Credential]] = tuple
    metrics: Callable[[str], Awaitable[tuple[bytes, str]]] = _no_metrics
    test_alerts: Callable[[], Awaitable[Mapping[str, str | None]]] = _nobody_told

    async def meet(self, scope: Scope) -> None:
        """Where the caller brings a token of Entra ID, find out whose: that may take a question to Microsoft."""
        if self.callers is None or self.trusted:
            return
        scheme, _, token = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1").partition(" ")
        if self.tokens is not None and self.tokens.ours(token.strip()):
            return
        if scheme.lower() == "bearer" and token.startswith("ey") and token.count(".") == _DOTS:
            scope[SOURCE] = source = source_of(scope, self.proxies)
            scope[CALLER] = client = await self.callers.caller(token.strip(), source=source)
            scope[CLIENT] = client.name

    def caller(self, request: Request) -> Client:
        """Who calls; raises Refused where the credential does not say."""
        return self.caller_of(dict(request.scope["headers"]), request.scope)

    def caller_of(self, headers: Mapping[bytes, bytes], scope: Scope) -> Client:
        """The same where the headers are at hand already."""
        if self.trusted:
            return ADMINISTRATOR
        if (known := scope.get(CALLER)) is not None:
            return known
        scope[SOURCE] = source = source_of(scope, self.proxies)
        scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        given = key.strip() if scheme.lower() == "bearer" and key.strip() else None
        if given is not None and self.tokens is not None and self.tokens.ours(given):
            client = self.tokens.client(given, source=source)
        else:
            client = self.keys.authenticate(given, source=source)
        scope[CLIENT] = client.name
        return client


Endpoint = Callable[[Request], Coroutine[None, None, Response]]


class RawRoute(APIRoute):
    """A route whose function reads the request itself and answers ready bytes: nothing is done twice (SPEED)."""

    def __init__(self, path: str, endpoint: Endpoint, **options: Any) -> None:  # noqa: ANN401 - FastAPI's own options
        super().__init__(path, endpoint, **options)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            response = await endpoint(Request(scope, receive))
            await response(scope, receive, send)

        self.app = app


class Ready(Response):
    """Bytes that are JSON already, with a few more header fields; nothing is looked at again."""

    def __init__(self, body: bytes, status: int, *fields: tuple[bytes, bytes]) -> None:
        self.body = body
        self.status_code = status
        self.background = None
        self.raw_headers = [
            (b"content-length", str(len(body)).encode()),
            (b"content-type", b"application/json"),
            *fields,
        ]


def answer(content: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(to_json(content), status, headers=headers, media_type="application/json")


def iso(at: Millis | None) -> str | None:
    """ISO 8601 in UTC with milliseconds and Z."""
    if at is None:
        return None
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def path_parameter(*names: str) -> dict[str, object]:
    """Parts of the address for the OpenAPI document."""
    text = {"in": "path", "required": True, "schema": {"type": "string"}}
    return {"parameters": [{"name": name} | text for name in names]}


def may_look(caller: Client) -> None:
    """``submit`` reads its own, ``read`` all (CONTRACT §3); raises Refused for who has neither."""
    if Right.READ not in caller.rights:
        must_have(caller, Right.SUBMIT)


def known_id(text: str) -> MessageId:
    """The id in the address line, in either form; raises Refused(NOT_FOUND)."""
    message_id = parse_id(text)
    if message_id is None:
        raise no_message()
    return message_id


def no_message() -> Refused:
    """Unknown and foreign ids answer the same (CONTRACT §3)."""
    return Refused(Condition.NOT_FOUND, "no such message")
