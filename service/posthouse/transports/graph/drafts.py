"""Sends what is too large for one request: a draft, its files, then the draft itself (FACTS A5, A6; PROMISES §4).

Until the draft is about to be sent every failure is certain. From then on only an answer tells, and what is sent again
is the same draft, for one draft can be sent only once.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final, cast
from urllib.parse import quote, urlsplit

import httpx
from kiota_abstractions.method import Method
from kiota_abstractions.request_information import RequestInformation

from posthouse.draftable import loss, outline
from posthouse.message import Content, EarlierDraft, Message, MessageId
from posthouse.outcome import Answer, Outcome, PermanentFailure, Scope, TransientFailure, Unconfirmed
from posthouse.ports import Dispatch, NotBegunError, SpoolUnavailableError
from posthouse.records import DraftNote, DraftState, NoSight
from posthouse.structure import Part, index_of
from posthouse.transports.graph import draft_json, pages
from posthouse.transports.graph.calls import CERTAIN, IMMUTABLE, Calls, after, before, own_from, user
from posthouse.transports.graph.files import File
from posthouse.transports.graph.replies import Facts, Refused, Reply, code_of, outcome
from posthouse.transports.graph.sessions import Upload
from posthouse.transports.graph.verdicts import ITEM_GONE, Over, unsent
from posthouse.transports.tokens import NoToken

SESSION_FROM: Final = 3_000_000
"""Bytes from which a file goes by an upload session; below, its base64 fits one request (FACTS A6, 0.4)."""

_CREATED: Final = 201
_GONE: Final = frozenset({204, 404})
_CONFLICTS: Final = frozenset({409, 412})
_JSON: Final = "application/json"
_PAGES: Final = 5


class Drafts:
    """Sends by drafts for one transport, ``name``; ``unproven`` as in GraphTransport."""

    def __init__(self, calls: Calls, *, name: str, unproven: Callable[[Message], bool]) -> None:
        self._calls = calls
        self._name = name
        self._unproven = unproven

    def again(self, dispatch: Dispatch) -> str | None:
        """The draft that earlier attempts left to be sent by this transport; None where a new one must be made."""
        earlier = dispatch.message.draft
        return (
            earlier.id if earlier is not None and self._ours(earlier) and earlier.account == dispatch.account else None
        )

    async def send(self, dispatch: Dispatch, content: Content) -> Outcome:
        """One message whose header recipients are its envelope's."""
        try:
            draft = self.again(dispatch) or await self._made(dispatch, content)
            await self._note(dispatch, DraftNote(DraftState.SUBMITTED, draft))
        except Over as over:
            return over.outcome
        except (Exception, asyncio.CancelledError) as fault:
            raise NotBegunError from fault
        return await self._submit(dispatch, draft)

    async def sweep(self, *, account: str, id_: MessageId, message_id: str, but: str | None) -> bool:
        """Delete the drafts of a message, ``but`` one; whether none is left."""
        clean, asked = True, pages.query([message_id], mark=draft_json.MARK)
        path: str | None = f"{user(account)}/messages?{asked}"
        for _ in range(_PAGES):
            if path is None:
                return clean
            request = self._calls.request(Method.GET, path)
            request.headers.add("Prefer", IMMUTABLE)
            response = await self._calls.look(account, request)
            page = None if isinstance(response, NoSight) else pages.parsed(response.content, mark=draft_json.MARK)
            if page is None:
                return False
            for item in page.items:
                if item.draft and item.mark == id_ and item.id != but:
                    clean = await self._delete(account, item.id) and clean
            path = None if page.next_link is None else self._calls.path_of(page.next_link)
        return False

    def _ours(self, earlier: EarlierDraft) -> bool:
        return earlier.transport == self._name

    async def _made(self, dispatch: Dispatch, content: Content) -> str:
        """The id of a complete draft."""
        message = dispatch.message
        root = await index_of(content)
        lost = loss(content.header, root)
        if lost is not None:
            text = f"the message is over Graph's limit for one request, and a draft would lose {lost}"
            raise Over(_refused(text))
        seen = outline(content.header, root)
        body = await draft_json.draft(seen, content.body, message_id=message.message_id, id_=message.id)
        await self._note(dispatch, DraftNote(DraftState.BEGUN))
        if message.draft is not None and self._ours(message.draft):
            # earlier attempts may have left theirs; a mailbox fills quickly with what nobody sends
            where = {"account": message.draft.account, "message_id": message.message_id}
            await self.sweep(**where, id_=message.id, but=None)
        draft = await self._create(dispatch, body)
        await self._note(dispatch, DraftNote(DraftState.BEGUN, draft))
        for number, part in enumerate(seen.files, 1):
            await self._attach(dispatch, draft, content, part, number=number)
        return draft

    async def _create(self, dispatch: Dispatch, body: bytes) -> str:
        request = self._request(dispatch, Method.POST, "")
        request.headers.add("Prefer", IMMUTABLE)
        request.headers.add("Content-Type", _JSON)
        request.content = body
        response = await self._ask(dispatch, request)
        draft = _read(response, "id")
        if draft is None:
            raise Over(_unreadable(self._calls.reply(response, waited=0.0)))
        return draft

    async def _attach(self, dispatch: Dispatch, draft: str, content: Content, part: Part, *, number: int) -> None:
        file, name = File(content.body, part), draft_json.name_of(part, number)
        size = await file.size()
        if size < SESSION_FROM:
            await self._post(dispatch, draft, file, size, frame=draft_json.frame(part, name))
            return
        url = await self._session(dispatch, draft, {**draft_json.described(part, name), "size": size})
        if not await Upload(self._calls, url=url, file=file, size=size).run():
            await self._count(dispatch, draft, number)

    async def _post(self, dispatch: Dispatch, draft: str, file: File, size: int, *, frame: tuple[bytes, bytes]) -> None:
        """A file in one request, which is never repeated: it would be in the mail twice."""
        head, tail = frame
        request = self._request(dispatch, Method.POST, f"/{_quoted(draft)}/attachments")
        request.headers.add("Content-Type", _JSON)
        request.headers.add("Content-Length", str(len(head) + (size + 2) // 3 * 4 + len(tail)))
        # kiota says bytes and passes on what httpx takes
        request.content = cast("bytes", _framed(head, file.range(0, size), tail))
        await self._ask(dispatch, request)

    async def _session(self, dispatch: Dispatch, draft: str, item: dict[str, object]) -> str:
        """The URL of a new upload session."""
        request = self._request(dispatch, Method.POST, f"/{_quoted(draft)}/attachments/createUploadSession")
        request.headers.add("Content-Type", _JSON)
        request.content = json.dumps({"AttachmentItem": {"attachmentType": "file", **item}}).encode()
        response = await self._ask(dispatch, request)
        url = _read(response, "uploadUrl")
        if url is None or urlsplit(url).scheme != "https":
            raise Over(_unreadable(self._calls.reply(response, waited=0.0)))
        return url

    async def _count(self, dispatch: Dispatch, draft: str, number: int) -> None:
        """The answer to the end of a file was lost: raises Over unless the draft has as many files as it should."""
        path = f"{user(dispatch.account)}/messages/{_quoted(draft)}/attachments?$select=name,size&$top={pages.PAGE}"
        response = await self._calls.look(dispatch.account, self._calls.request(Method.GET, path))
        try:
            found = None if isinstance(response, NoSight) else len(json.loads(response.content)["value"])
        except (ValueError, KeyError, TypeError, RecursionError):
            found = None
        if found != number:
            text = "a file was sent, but the draft does not show it"
            raise Over(_again(Answer(status="4.4.2", text=text, code="upload_lost", fix="graph.upload")))

    async def _ask(self, dispatch: Dispatch, request: RequestInformation) -> httpx.Response:
        """The answer 201; raises Over for every other end, for nothing was sent yet."""
        try:
            response = await self._calls.exchange(request)
        except NoToken as error:
            raise Over(error.outcome) from error
        except httpx.HTTPError as error:
            answer = before(error) if isinstance(error, CERTAIN) else after(error)
            raise Over(TransientFailure(scope=Scope.TRANSPORT, answer=answer)) from error
        refused = await self._calls.judge(dispatch.account, request, response)
        if response.status_code != _CREATED:
            raise Over(unsent(self._calls.reply(response, waited=0.0), refused, own_from=own_from(dispatch.message)))
        return response

    async def _submit(self, dispatch: Dispatch, draft: str) -> Outcome:
        """POST send, once: what comes now is an answer or doubt."""
        request = self._request(dispatch, Method.POST, f"/{_quoted(draft)}/send")
        request.headers.add("Content-Length", "0")
        begun = self._calls.clock.monotonic()
        try:
            response = await self._calls.exchange(request)
        except NoToken as error:
            return error.outcome
        except CERTAIN as error:
            return TransientFailure(scope=Scope.TRANSPORT, answer=before(error))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong after the request began is doubt
            return Unconfirmed(answer=after(error))
        refused = await self._calls.judge(dispatch.account, request, response)
        reply = self._calls.reply(response, waited=self._calls.clock.monotonic() - begun)
        return await self._verdict(dispatch, draft, reply, refused)

    async def _verdict(self, dispatch: Dispatch, draft: str, reply: Reply, refused: Refused) -> Outcome:
        message = dispatch.message
        found = outcome(reply, Facts(own_from=own_from(message), unproven=self._unproven(message), refused=refused))
        if isinstance(found, PermanentFailure) and code_of(reply.body) == ITEM_GONE:
            # sent before, deleted by somebody, or not to be seen yet (SDK §6b): no refusal of the message
            try:
                await dispatch.note_draft(DraftNote(DraftState.MISSING, draft))
            except SpoolUnavailableError:
                return Unconfirmed(answer=found.answer)
            return Unconfirmed(answer=found.answer)
        if isinstance(found, PermanentFailure) and reply.status in _CONFLICTS:
            return _again(found.answer)  # it is still being worked on
        return found

    async def _delete(self, account: str, draft: str) -> bool:
        request = self._calls.request(Method.DELETE, f"{user(account)}/messages/{_quoted(draft)}")
        try:
            response = await self._calls.exchange(request)
        except (NoToken, httpx.HTTPError):
            return False
        await self._calls.judge(account, request, response)
        return response.status_code in _GONE

    async def _note(self, dispatch: Dispatch, note: DraftNote) -> None:
        try:
            ours = await dispatch.note_draft(note)
        except SpoolUnavailableError as error:
            text = "the draft could not be written down, so nothing was sent"
            raise Over(_again(Answer(status="4.3.0", text=text, code="spool_unavailable"))) from error
        if not ours:
            text = "the attempt was taken over before its draft was sent"
            raise Over(_again(Answer(status="4.3.0", text=text, code="taken_over")))

    def _request(self, dispatch: Dispatch, method: Method, path: str) -> RequestInformation:
        request = self._calls.request(method, f"{user(dispatch.account)}/messages{path}")
        request.headers.add("client-request-id", dispatch.attempt_id)
        return request


async def _framed(head: bytes, blocks: AsyncIterator[bytes], tail: bytes) -> AsyncIterator[bytes]:
    yield head
    encoding = draft_json.Base64()
    async for block in blocks:
        yield encoding.feed(block)
    yield encoding.end() + tail


def _quoted(draft: str) -> str:
    return quote(draft, safe="")


def _read(response: httpx.Response, name: str) -> str | None:
    """A text that an answer must have; None where it has none."""
    try:
        found = json.loads(response.content)[name]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) and found else None


def _unreadable(reply: Reply) -> Outcome:
    answer = unsent(reply, Refused.MAILBOX, own_from=True).answer
    return TransientFailure(scope=Scope.TRANSPORT, answer=replace(answer, code="unreadable", fix="graph.redirect"))


def _again(answer: Answer) -> TransientFailure:
    return TransientFailure(scope=Scope.MESSAGE, answer=answer)


def _refused(text: str) -> PermanentFailure:
    answer = Answer(status="5.3.4", text=text, code="graph.too_large", fix="graph.too_large")
    return PermanentFailure(scope=Scope.MESSAGE, answer=answer)
