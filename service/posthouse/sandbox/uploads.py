"""Upload sessions: a large file comes in ranges, strictly in order, at a URL that wants no token (FACTS A6)."""

import json
import re
from datetime import UTC, datetime
from secrets import token_urlsafe
from typing import Final
from urllib.parse import unquote

from posthouse.sandbox.access import Refusal, access_refusal
from posthouse.sandbox.answers import Answer, Reply, created, emptied, found, graph_error
from posthouse.sandbox.chaos import Situation, Stage, Target
from posthouse.sandbox.drafts import FILE_TOO_LARGE, GONE, guarded, recipients_of, struck
from posthouse.sandbox.drawer import Draft, Session
from posthouse.sandbox.json_message import JsonMessageError, read
from posthouse.sandbox.limits import MAX_FILE, MAX_RANGE, MIN_SESSION
from posthouse.sandbox.requests import Request
from posthouse.sandbox.world import World

_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_LIFE: Final = 86_400.0  # seconds


async def open_session(world: World, request: Request, item: str, *, base_url: str, url: str) -> Reply:
    """POST createUploadSession: 201 with the URL for the ranges."""
    draft = world.drawer.of(request.mailbox, unquote(item))

    def process() -> Answer:
        refusal = access_refusal(world, request, grant="Mail.ReadWrite")
        if refusal is not None or draft is None:
            return (refusal or GONE).answer(request)
        session = _session(world, request, draft)
        if isinstance(session, Refusal):
            return session.answer(request)
        world.drawer.open(session)
        world.counters.sessions += 1
        upload = {"uploadUrl": f"{base_url}/upload/{session.token}", **_state(world, session)}
        return created(request.ids, upload)

    return await guarded(world, request, process, target=Target.UPLOAD, url=url, stage=Stage.SESSION, subject=draft)


async def upload(world: World, request: Request, method: str, token: str, *, url: str) -> Reply:
    """PUT the next range, GET what is expected, DELETE the session; any token in the request is refused."""
    session = world.drawer.sessions.get(token)
    draft = session.draft if session else None

    def process() -> Answer:
        if request.header(b"authorization") is not None:
            text = "The upload URL is pre-authenticated: send no Authorization header."
            return Refusal(status=401, code="InvalidAuthenticationToken", message=text).answer(request)
        if session is None or token not in world.drawer.sessions:
            return GONE.answer(request)
        match method:
            case "PUT":
                return _put(world, request, session)
            case "GET":
                return found(request.ids, _state(world, session))
            case _:
                del world.drawer.sessions[token]
                return emptied(request.ids)

    if method != "PUT":
        return process()
    rule = world.chaos.pick(
        Situation(
            target=Target.UPLOAD,
            mailbox=draft.mailbox if draft else "",
            recipients=recipients_of(draft) if draft and world.chaos else (),
            subject=draft.subject if draft else "",
            stage=Stage.RANGE,
        )
    )
    reply = process() if rule is None else await struck(rule, request, process, url=url)
    status = str(reply.status if isinstance(reply, Answer) else reply)
    world.counters.draft_requests[f"range {status}"] += 1
    return reply


def _session(world: World, request: Request, draft: Draft) -> Session | Refusal:
    try:
        given = read(request.body or b"")
    except JsonMessageError as wrong:
        return Refusal(status=400, code=wrong.code, message=wrong.message)
    item = given.get("attachmentitem")
    named = {str(name).lower(): value for name, value in item.items()} if isinstance(item, dict) else {}
    size = named.get("size")
    if named.get("attachmenttype") != "file" or not isinstance(size, int):
        return Refusal(status=400, code="ErrorInvalidArgument", message="AttachmentItem needs attachmentType and size.")
    if size < MIN_SESSION:
        text = "The attachment is too small for an upload session."
        return Refusal(status=400, code="ErrorAttachmentSizeShouldNotBeLessThanMinimumSize", message=text)
    if size > MAX_FILE:
        return Refusal(status=400, code="ErrorAttachmentSizeLimitExceeded", message="The attachment is too large.")
    above = world.settings.digest_above
    return Session(
        token=token_urlsafe(24),
        draft=draft,
        name=str(named.get("name") or ""),
        kind=str(named.get("contenttype") or "application/octet-stream"),
        content_id=str(named["contentid"]) if named.get("contentid") else None,
        inline=bool(named.get("isinline")),
        size=size,
        kept=None if above is not None and size > above else bytearray(),
    )


def _put(world: World, request: Request, session: Session) -> Answer:
    place = _RANGE.fullmatch(request.header(b"content-range") or "")
    body = request.body
    if body is None or len(body) >= MAX_RANGE:
        return FILE_TOO_LARGE.answer(request)
    first, last, total = (int(number) for number in place.groups()) if place else (-1, -1, -1)
    if (first, last - first + 1, total) != (session.received, len(body), session.size):
        text = f"The range is not the next one: {json.dumps(_state(world, session))}"
        return graph_error(request.ids, 416, "ErrorInvalidRange", text)
    session.take(body)
    world.counters.ranges += 1
    world.counters.bytes_uploaded += len(body)
    if session.received < session.size:
        return found(request.ids, _state(world, session))
    del world.drawer.sessions[session.token]
    session.draft.files.append(session.file())
    place_of = (
        f"https://outlook.office.com/api/v2.0/Users/Messages/{session.draft.item_id}/Attachments('{session.token}')"
    )
    answer = emptied(request.ids)
    return Answer(201, (*answer.headers, (b"location", place_of.encode())))


def _state(world: World, session: Session) -> dict[str, object]:
    until = datetime.fromtimestamp(world.clock() + _LIFE, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"expirationDateTime": until, "nextExpectedRanges": [f"{session.received}-"]}
