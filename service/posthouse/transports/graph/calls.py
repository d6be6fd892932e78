"""Requests to Graph by the SDK's adapter: the native answer, tokens judged, no retry, no redirect (SDK §0)."""

from dataclasses import replace
from typing import Final, cast
from urllib.parse import quote

import httpx
from kiota_abstractions.method import Method
from kiota_abstractions.native_response_handler import NativeResponseHandler
from kiota_abstractions.request_information import RequestInformation
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from kiota_http.middleware.options import ResponseHandlerOption
from msgraph.graph_request_adapter import GraphRequestAdapter

from posthouse.continuity import OtherClock
from posthouse.message import Message
from posthouse.outcome import Answer
from posthouse.ports import Clock
from posthouse.records import NoSight
from posthouse.transports.faults import Fault, fault_of, http_date, network_answer
from posthouse.transports.graph.refusals import Refusals
from posthouse.transports.graph.replies import ACCEPTED, Refused, Reply, failed_answer
from posthouse.transports.graph.wire import Wire
from posthouse.transports.tokens import NoToken, TokenSource

CERTAIN: Final = (httpx.ConnectError, httpx.ConnectTimeout)
"""Our wire raises these two only where nothing can have left; every other fault is uncertain (PROMISES §4)."""
IMMUTABLE: Final = 'IdType="ImmutableId"'
"""What Prefer asks for, so that an id survives the way from Drafts to Sent Items (FACTS A5)."""
OK: Final = 200

_UNAUTHORIZED: Final = 401
_DENIED: Final = frozenset({401, 403})


class Calls:
    """One Graph under one token source; what an answer means is the caller's."""

    def __init__(self, wire: Wire, *, base_url: str, scope: str, tokens: TokenSource, clock: Clock) -> None:
        self.clock = clock
        self._tokens = tokens
        self._refusals = Refusals()
        # our own client: no middleware, so no redirect and no repeated POST (SDK §0.1, §0.2); the wire keeps the times
        self.plain = httpx.AsyncClient(transport=wire, headers={"User-Agent": "posthouse"})
        # CAE off: a claims challenge would make kiota send the body a second time (SDK §5)
        provider = AzureIdentityAuthenticationProvider(tokens, scopes=[scope], is_cae_enabled=False)
        self._adapter = GraphRequestAdapter(provider, client=self.plain)
        self._adapter.base_url = base_url.rstrip("/")

    async def close(self) -> None:
        """Close all connections; idempotent."""
        await self.plain.aclose()

    def request(self, method: Method, path: str) -> RequestInformation:
        """A request for a path, percent-encoded already, under the base URL."""
        # a ready URL: expanding the SDK's URI templates costs a quarter of a send's CPU
        request = RequestInformation(method)
        request.url = self._adapter.base_url + path
        return request

    async def exchange(self, request: RequestInformation) -> httpx.Response:
        """The answer, whatever its status; raises NoToken, or httpx's errors as the wire does."""
        request.add_request_options([ResponseHandlerOption(NativeResponseHandler())])
        response: object = await self._adapter.send_no_response_content_async(request, {})
        return cast("httpx.Response", response)

    async def judge(self, account: str, request: RequestInformation, response: httpx.Response) -> Refused:
        """Learn what the answer says of the token that the request carried."""
        token = "".join(request.headers.get("Authorization")).removeprefix("Bearer ")
        if response.status_code == ACCEPTED:
            self._refusals.accepted(account, token)
        if response.status_code != _UNAUTHORIZED:
            return Refused.MAILBOX
        verdict = self._refusals.refused(account, token)
        if verdict is not Refused.MAILBOX:
            await self._tokens.drop(token)
        return verdict

    async def look(
        self, account: str, request: RequestInformation, *, denied: str = "graph.read_permission"
    ) -> httpx.Response | NoSight:
        """The answer 200 to a question, else why there is none; ``denied`` is the fix where a right is missing."""
        try:
            response = await self.exchange(request)
        except NoToken as error:
            return NoSight(error.outcome.answer)
        except Exception as error:  # noqa: BLE001 - a look-up that failed, whatever the reason, has seen nothing
            return NoSight(before(error) if isinstance(error, CERTAIN) else after(error))
        await self.judge(account, request, response)
        if response.status_code == OK:
            return response
        fix = denied if response.status_code in _DENIED else "graph.service"
        return NoSight(replace(failed_answer(self.reply(response, waited=0.0), fix=fix), fix=fix))

    def reply(self, response: httpx.Response, *, waited: float) -> Reply:
        """The answer as ``replies`` wants it; ``waited`` is the seconds since the request's last byte."""
        return Reply(
            status=response.status_code,
            headers=response.headers,
            body=response.content,
            waited=waited,
            now=self.clock.now() / 1000,
        )

    def clock_of(self, response: httpx.Response) -> OtherClock:
        """What Microsoft's clock shows, by an answer that has just come (RFC 9110 §6.6.1)."""
        date = http_date(response.headers.get("date", ""))
        return OtherClock(None if date is None else int(date * 1000), self.clock.now())

    def path_of(self, link: str) -> str | None:
        """The path of a link that Graph gave; None where it leads elsewhere, because the token would go with it."""
        base = self._adapter.base_url
        return link.removeprefix(base) if link.startswith(base + "/") else None


def user(account: str) -> str:
    """The path of a mailbox."""
    return f"/users/{quote(account, safe='')}"


def own_from(message: Message) -> bool:
    """Whether the message comes from its mailbox itself, so that it needs no Send As."""
    return message.sender.casefold() == message.mailbox.casefold()


def before(error: BaseException) -> Answer:
    """The public answer for a fault before the request began."""
    otherwise = Fault.CONNECT_TIMEOUT if isinstance(error, httpx.ConnectTimeout) else Fault.UNREACHABLE
    return network_answer(fault_of(error, otherwise=otherwise), where="connecting to Graph", status="4.4.1")


def after(error: BaseException) -> Answer:
    """The public answer for a fault after it began."""
    match error:
        case httpx.ReadTimeout():
            otherwise = Fault.SILENCE
        case httpx.RemoteProtocolError() | httpx.DecodingError():
            otherwise = Fault.GARBLED
        case _:
            otherwise = Fault.UNKNOWN
    return network_answer(fault_of(error, otherwise=otherwise), where="after the request began", status="4.4.2")
