"""The way out through Microsoft Graph: sendMail in MIME form by the SDK, and look-ups of what was sent."""

import asyncio
import json
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, cast
from urllib.parse import quote

import httpx
from kiota_abstractions.method import Method
from kiota_abstractions.native_response_handler import NativeResponseHandler
from kiota_abstractions.request_information import RequestInformation
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from kiota_http.middleware.options import ResponseHandlerOption
from msgraph.graph_request_adapter import GraphRequestAdapter

from posthouse.headers import fit_to_envelope
from posthouse.message import Content, Message
from posthouse.outcome import Answer, Outcome, PermanentFailure, Scope, TransientFailure, Unconfirmed
from posthouse.ports import Clock, Dispatch, NotBegunError
from posthouse.records import NoSight, Sightings
from posthouse.telemetry import MESSAGE_RECIPIENTS_DROPPED, log, masked
from posthouse.transports.faults import Fault, fault_of, network_answer
from posthouse.transports.graph.refusals import Refusals
from posthouse.transports.graph.replies import ACCEPTED, Facts, Refused, Reply, failed_answer, outcome
from posthouse.transports.graph.upload import Upload
from posthouse.transports.graph.wire import Wire
from posthouse.transports.tokens import NoToken, TokenSource

MIME_LIMIT: Final = 3_145_728
"""Bytes of a message on the wire, Bcc included, whose base64 fits Graph's 4 MiB request (FACTS 0.4)."""

_SELECT: Final = "id,internetMessageId,isDraft"
_PAGE: Final = 100
_PAGES: Final = 5
_NOBODY: Final = "00000000-0000-0000-0000-000000000000"
_UNAUTHORIZED: Final = 401
_OK: Final = 200
_SERVER_ERROR: Final = 500
_CERTAIN: Final = (httpx.ConnectError, httpx.ConnectTimeout)
"""Our wire raises these two only where nothing can have left; every other fault is uncertain (PROMISES §4)."""


@dataclass(frozen=True, slots=True)
class _Page:
    items: tuple[tuple[str, bool], ...]
    next_link: str | None


class GraphTransport:
    """Sends through Graph and looks up what it sent.

    ``unproven`` says of a message that its mailbox has never sent anything and only a wildcard allows it.
    """

    kind: Literal["graph"] = "graph"

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        scope: str,
        tokens: TokenSource,
        ssl_context: ssl.SSLContext,
        clock: Clock,
        unproven: Callable[[Message], bool],
        connections: int = 64,
        connect_timeout: float = 5.0,
        read_timeout: float = 60.0,
    ) -> None:
        self.name = name
        self._tokens = tokens
        self._clock = clock
        self._unproven = unproven
        self._refusals = Refusals()
        self._latest = _NOBODY
        wire = Wire(
            ssl_context=ssl_context,
            connections=connections,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
        )
        # our own client: no middleware, so no redirect and no repeated POST (SDK §0.1, §0.2); the wire keeps the times
        self._http = httpx.AsyncClient(transport=wire, headers={"User-Agent": "posthouse"})
        # CAE off: a claims challenge would make kiota send the body a second time (SDK §5)
        provider = AzureIdentityAuthenticationProvider(tokens, scopes=[scope], is_cae_enabled=False)
        self._adapter = GraphRequestAdapter(provider, client=self._http)
        self._adapter.base_url = base_url.rstrip("/")

    async def send(self, dispatch: Dispatch) -> Outcome:
        """One POST at most; the header recipients of the copy are the envelope's (PROMISES §8)."""
        try:
            content = self._fitted(dispatch)
        except ValueError:
            return _refused_message("a recipient's address cannot be written", status="5.1.3", fix="graph.recipients")
        except Exception as fault:
            raise NotBegunError from fault
        if content.size > MIME_LIMIT:
            text = f"the message has {content.size} bytes on the wire, Graph takes {MIME_LIMIT} in MIME form"
            return _refused_message(text, status="5.3.4", fix="graph.too_large")
        self._latest = dispatch.account
        upload = Upload(content, monotonic=self._clock.monotonic)
        request = self._request(Method.POST, f"{_user(dispatch.account)}/sendMail")
        request.headers.add("client-request-id", dispatch.attempt_id)
        request.headers.add("Content-Type", "text/plain")
        request.headers.add("Content-Length", str(upload.size))
        # kiota says bytes and passes on what httpx takes; a stream never lies in memory twice nor is sent twice
        request.content = cast("bytes", upload.blocks())
        try:
            response = await self._exchange(request)
        except NoToken as error:
            return error.outcome
        except _CERTAIN as error:
            return TransientFailure(scope=Scope.TRANSPORT, answer=_before(error))
        except asyncio.CancelledError as cut:
            # where no byte of the body had left, Graph cannot have taken anything
            if upload.began:
                raise
            raise NotBegunError from cut
        except Exception as error:  # noqa: BLE001 - whatever goes wrong after the request began is doubt
            if isinstance(error, httpx.HTTPError) or upload.began:
                return Unconfirmed(answer=_after(error))
            return TransientFailure(scope=Scope.TRANSPORT, answer=_before(error))
        return await self._verdict(request, response, upload, dispatch)

    async def look_up(self, *, account: str, message_ids: Sequence[str]) -> Sightings | NoSight:
        """Look for copies in all folders; only complete answers 200 count."""
        literals = (one.replace("'", "''") for one in message_ids)
        condition = " or ".join(f"internetMessageId eq '{one}'" for one in literals)
        query = f"$filter={quote(condition, safe='')}&$select={_SELECT}&$top={_PAGE}"
        request = self._request(Method.GET, f"{_user(account)}/messages?{query}")
        found: dict[str, tuple[bool, ...]] = dict.fromkeys(message_ids, ())
        for _ in range(_PAGES):
            page = await self._page(account, request)
            if isinstance(page, NoSight):
                return page
            for message_id, draft in page.items:
                if message_id in found:
                    found[message_id] += (draft,)
            if page.next_link is None:
                return Sightings(found)
            request = self._request(Method.GET, page.next_link.removeprefix(self._adapter.base_url))
        return _no_sight("the mailbox holds too many copies to count", code="too_many_copies")

    async def probe(self) -> bool:
        """Whether Graph answers at all: asks for a message that does not exist (PROMISES §6)."""
        request = self._request(Method.GET, f"{_user(self._latest)}/messages/posthouse-probe?$select=id")
        try:
            response = await self._exchange(request)
        except Exception:  # noqa: BLE001 - no answer, whatever the reason, is no sign of life
            return False
        return response.status_code < _SERVER_ERROR

    async def close(self) -> None:
        """Close all connections; idempotent."""
        await self._http.aclose()

    def _request(self, method: Method, path: str) -> RequestInformation:
        # a ready URL: expanding the SDK's URI templates costs a quarter of a send's CPU
        request = RequestInformation(method)
        request.url = self._adapter.base_url + path
        return request

    async def _exchange(self, request: RequestInformation) -> httpx.Response:
        request.add_request_options([ResponseHandlerOption(NativeResponseHandler())])
        response: object = await self._adapter.send_no_response_content_async(request, {})
        return cast("httpx.Response", response)

    def _fitted(self, dispatch: Dispatch) -> Content:
        message = dispatch.message
        edit = fit_to_envelope(dispatch.content.header, recipients=message.envelope.addresses)
        if edit.dropped:
            log(
                MESSAGE_RECIPIENTS_DROPPED,
                message=message.id,
                transport=self.name,
                recipients=[masked(address) for address in edit.dropped],
            )
        return replace(dispatch.content, header=edit.header)

    async def _verdict(
        self, request: RequestInformation, response: httpx.Response, upload: Upload, dispatch: Dispatch
    ) -> Outcome:
        message = dispatch.message
        refused = await self._judge(dispatch.account, request, response)
        ended_at = upload.ended_at
        # an answer before the last byte left was given to an incomplete request
        waited = 0.0 if ended_at is None else self._clock.monotonic() - ended_at
        facts = Facts(
            own_from=message.sender.casefold() == message.mailbox.casefold(),
            unproven=self._unproven(message),
            refused=refused,
        )
        return outcome(self._reply(response, waited=waited), facts)

    async def _judge(self, account: str, request: RequestInformation, response: httpx.Response) -> Refused:
        token = "".join(request.headers.get("Authorization")).removeprefix("Bearer ")
        if response.status_code == ACCEPTED:
            self._refusals.accepted(account, token)
        if response.status_code != _UNAUTHORIZED:
            return Refused.MAILBOX
        verdict = self._refusals.refused(account, token)
        if verdict is not Refused.MAILBOX:
            await self._tokens.drop(token)
        return verdict

    def _reply(self, response: httpx.Response, *, waited: float) -> Reply:
        return Reply(
            status=response.status_code,
            headers=response.headers,
            body=response.content,
            waited=waited,
            now=self._clock.now() / 1000,
        )

    async def _page(self, account: str, request: RequestInformation) -> _Page | NoSight:
        try:
            response = await self._exchange(request)
        except NoToken as error:
            return NoSight(error.outcome.answer)
        except Exception as error:  # noqa: BLE001 - a look-up that failed, whatever the reason, has seen nothing
            return NoSight(_before(error) if isinstance(error, _CERTAIN) else _after(error))
        await self._judge(account, request, response)
        if response.status_code != _OK:
            fix = "graph.read_permission" if response.status_code in {401, 403} else "graph.service"
            answer = failed_answer(self._reply(response, waited=0.0), fix=fix)
            return NoSight(replace(answer, fix=fix))
        page = _parsed(response.content)
        if page is None or not self._ours(page.next_link):
            return _no_sight("the answer to the look-up could not be read", code="unreadable")
        return page

    def _ours(self, link: str | None) -> bool:
        # the token goes with the request, so a link to elsewhere is not followed
        return link is None or link.startswith(self._adapter.base_url + "/")


def _user(account: str) -> str:
    return f"/users/{quote(account, safe='')}"


def _before(error: BaseException) -> Answer:
    otherwise = Fault.CONNECT_TIMEOUT if isinstance(error, httpx.ConnectTimeout) else Fault.UNREACHABLE
    return network_answer(fault_of(error, otherwise=otherwise), where="connecting to Graph", status="4.4.1")


def _after(error: BaseException) -> Answer:
    match error:
        case httpx.ReadTimeout():
            otherwise = Fault.SILENCE
        case httpx.RemoteProtocolError() | httpx.DecodingError():
            otherwise = Fault.GARBLED
        case _:
            otherwise = Fault.UNKNOWN
    return network_answer(fault_of(error, otherwise=otherwise), where="after the request began", status="4.4.2")


def _refused_message(text: str, *, status: str, fix: str) -> PermanentFailure:
    return PermanentFailure(scope=Scope.MESSAGE, answer=Answer(status=status, text=text, code=fix, fix=fix))


def _no_sight(text: str, *, code: str) -> NoSight:
    return NoSight(Answer(status="4.3.0", text=text, code=code, fix="graph.service"))


def _parsed(body: bytes) -> _Page | None:
    try:
        parsed = json.loads(body)
        items = tuple((item["internetMessageId"], item["isDraft"]) for item in parsed["value"])
        link = parsed.get("@odata.nextLink")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    sound = all(isinstance(message_id, str) and isinstance(draft, bool) for message_id, draft in items)
    return _Page(items, link) if sound and (link is None or isinstance(link, str)) else None
