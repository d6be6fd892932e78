"""The way out through Microsoft Graph: sendMail in MIME form by the SDK, drafts, and look-ups of what was sent."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Literal, cast

import httpx
from kiota_abstractions.method import Method
from kiota_abstractions.request_information import RequestInformation

from posthouse.headers import fit_to_envelope
from posthouse.message import Content, Message
from posthouse.outcome import Answer, Outcome, PermanentFailure, Scope, TransientFailure, Unconfirmed
from posthouse.ports import Clock, Dispatch, NotBegunError
from posthouse.records import Copy, NoSight, Sightings, Stray
from posthouse.telemetry import MESSAGE_RECIPIENTS_DROPPED, Addresses, log
from posthouse.transports.graph import pages
from posthouse.transports.graph.calls import CERTAIN, IMMUTABLE, Calls, after, before, own_from, user
from posthouse.transports.graph.drafts import Drafts
from posthouse.transports.graph.letterbox import Letterbox
from posthouse.transports.graph.replies import Facts, outcome
from posthouse.transports.graph.upload import Upload
from posthouse.transports.graph.wire import Wire
from posthouse.transports.proxies import NO_PROXIES, Proxies
from posthouse.transports.tokens import NoToken, TokenSource

MIME_LIMIT: Final = 3_145_728
"""Bytes of a message on the wire, Bcc included, whose base64 fits Graph's 4 MiB request (FACTS 0.4)."""

_PAGES: Final = 5
_NOBODY: Final = "00000000-0000-0000-0000-000000000000"
_SERVER_ERROR: Final = 500


class GraphTransport:
    """Sends through Graph and looks up what it sent.

    ``drafts``: what is over one request goes as a draft. ``unproven`` says of a message that its mailbox has never sent
    anything and only a wildcard allows it.
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
        drafts: bool = False,
        connections: int = 64,
        connect_timeout: float = 5.0,
        read_timeout: float = 60.0,
        proxies: Proxies = NO_PROXIES,
    ) -> None:
        self.name = name
        self._clock = clock
        self._unproven = unproven
        self._by_draft = drafts
        self._latest = _NOBODY
        wire = Wire(
            ssl_context=ssl_context,
            connections=connections,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            proxies=proxies,
        )
        self._calls = Calls(wire, base_url=base_url, scope=scope, tokens=tokens, clock=clock)
        self.letterbox = Letterbox(self._calls, name=name)
        self._drafts = Drafts(self._calls, name=name, unproven=unproven)

    async def send(self, dispatch: Dispatch) -> Outcome:
        """One mail at most; the header recipients of the copy are the envelope's (PROMISES §8)."""
        try:
            content = self._fitted(dispatch)
        except ValueError:
            return _refused_message("a recipient's address cannot be written", status="5.1.3", fix="graph.recipients")
        except Exception as fault:
            raise NotBegunError from fault
        self._latest = dispatch.account
        if content.size <= MIME_LIMIT:
            return await self._send_mail(dispatch, content)
        if self._by_draft or self._drafts.again(dispatch):
            return await self._drafts.send(dispatch, content)
        text = f"the message has {content.size} bytes on the wire, Graph takes {MIME_LIMIT} in MIME form"
        return _refused_message(text, status="5.3.4", fix="graph.too_large")

    async def look_up(self, *, account: str, message_ids: Sequence[str]) -> Sightings | NoSight:
        """Look for copies in all folders; only complete answers 200 count."""
        path = f"{user(account)}/messages?{pages.query(message_ids)}"
        found: dict[str, tuple[Copy, ...]] = dict.fromkeys(message_ids, ())
        by_id: dict[str, bool] = {}
        for _ in range(_PAGES):
            page = await self._page(account, path)
            if isinstance(page, NoSight):
                return page
            for item in page.items:
                if item.message_id in found:
                    found[item.message_id] += (Copy(item.draft, item.between),)
                    by_id |= {item.id: item.draft} if item.id else {}
            if page.next_link is None:
                return Sightings(found, by_id)
            path = self._calls.path_of(page.next_link) or ""
        return _no_sight("the mailbox holds too many copies to count", code="too_many_copies")

    async def sweep(self, stray: Stray) -> bool:
        """Delete the drafts of this message but the sent one; False where it must be tried again."""
        return await self._drafts.sweep(
            account=stray.account, id_=stray.id, message_id=stray.message_id, but=stray.sent
        )

    async def probe(self) -> bool:
        """Whether Graph answers at all: asks for a message that does not exist (PROMISES §6)."""
        request = self._calls.request(Method.GET, f"{user(self._latest)}/messages/posthouse-probe?$select=id")
        try:
            response = await self._calls.exchange(request)
        except Exception:  # noqa: BLE001 - no answer, whatever the reason, is no sign of life
            return False
        return response.status_code < _SERVER_ERROR

    async def close(self) -> None:
        """Close all connections; idempotent."""
        await self._calls.close()

    async def _send_mail(self, dispatch: Dispatch, content: Content) -> Outcome:
        upload = Upload(content, monotonic=self._clock.monotonic)
        request = self._calls.request(Method.POST, f"{user(dispatch.account)}/sendMail")
        request.headers.add("client-request-id", dispatch.attempt_id)
        request.headers.add("Content-Type", "text/plain")
        request.headers.add("Content-Length", str(upload.size))
        # kiota says bytes and passes on what httpx takes; a stream never lies in memory twice nor is sent twice
        request.content = cast("bytes", upload.blocks())
        try:
            response = await self._calls.exchange(request)
        except NoToken as error:
            return error.outcome
        except CERTAIN as error:
            return TransientFailure(scope=Scope.TRANSPORT, answer=before(error))
        except asyncio.CancelledError as cut:
            # where no byte of the body had left, Graph cannot have taken anything
            if upload.began:
                raise
            raise NotBegunError from cut
        except Exception as error:  # noqa: BLE001 - whatever goes wrong after the request began is doubt
            if isinstance(error, httpx.HTTPError) or upload.began:
                return Unconfirmed(answer=after(error))
            return TransientFailure(scope=Scope.TRANSPORT, answer=before(error))
        return await self._verdict(request, response, upload, dispatch)

    def _fitted(self, dispatch: Dispatch) -> Content:
        message = dispatch.message
        edit = fit_to_envelope(dispatch.content.header, recipients=message.envelope.addresses)
        if edit.dropped:
            log(
                MESSAGE_RECIPIENTS_DROPPED,
                message=message.id,
                transport=self.name,
                recipients=Addresses(edit.dropped),
            )
        return replace(dispatch.content, header=edit.header)

    async def _verdict(
        self, request: RequestInformation, response: httpx.Response, upload: Upload, dispatch: Dispatch
    ) -> Outcome:
        message = dispatch.message
        refused = await self._calls.judge(dispatch.account, request, response)
        ended_at = upload.ended_at
        # an answer before the last byte left was given to an incomplete request
        waited = 0.0 if ended_at is None else self._clock.monotonic() - ended_at
        facts = Facts(
            own_from=own_from(message),
            unproven=self._unproven(message),
            refused=refused,
        )
        return outcome(self._calls.reply(response, waited=waited), facts)

    async def _page(self, account: str, path: str) -> pages.Page | NoSight:
        request = self._calls.request(Method.GET, path)
        request.headers.add("Prefer", IMMUTABLE)
        response = await self._calls.look(account, request)
        if isinstance(response, NoSight):
            return response
        page = pages.parsed(response.content, clock=self._calls.clock_of(response))
        if page is None or (page.next_link is not None and self._calls.path_of(page.next_link) is None):
            return _no_sight("the answer to the look-up could not be read", code="unreadable")
        return page


def _refused_message(text: str, *, status: str, fix: str) -> PermanentFailure:
    return PermanentFailure(scope=Scope.MESSAGE, answer=Answer(status=status, text=text, code=fix, fix=fix))


def _no_sight(text: str, *, code: str) -> NoSight:
    return NoSight(Answer(status="4.3.0", text=text, code=code, fix="graph.service"))
