"""GET /v1/events and its stream: what happened to all messages that the caller may see, in the order of commits.

A reader keeps the cursor of what it has seen (``next``, or ``id`` in the stream) and goes on from it after any break.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Annotated, Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from posthouse.doors.http.parts import Parts, answer, may_look
from posthouse.doors.http.reading import from_query, wait_of
from posthouse.doors.rest import views
from posthouse.policy import Client, Right
from posthouse.ports import LATEST, Diagnosis, SpoolUnavailableError
from posthouse.records import FeedPage
from posthouse.refusal import Condition, FieldError, Refused
from posthouse.telemetry import MESSAGE_EVENTS

MOST: Final = 1_000
GATHERED: Final = 0.05
"""Seconds for which news are gathered before they are read: a reader costs at most 20 questions a second."""
HEARTBEAT: Final = 15.0
"""Seconds after which a silent stream shows that it lives, and how far its reader has come."""
RECONNECT: Final = 2_000
"""Milliseconds after which an EventSource comes back."""


class FeedQuery(BaseModel):
    """From where on, and how many; beside it stand any number of type=<event>."""

    model_config = ConfigDict(extra="forbid")

    after: str | None = None
    limit: Annotated[int, Field(ge=1, le=MOST)] = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What a reader wants: ``client`` None sees all."""

    after: str | None
    types: Collection[str]
    client: str | None
    most: int


class Events:
    """Reads the feed for whoever asks."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def pulled(self, request: Request) -> Response:
        """GET /v1/events; ``Prefer: wait=N`` answers when there is something, or after N seconds."""
        wish, wait = self._wish(request), wait_of(dict(request.scope["headers"]))
        page = await self._page(wish) if not wait else await self._awaited(wish, wait)
        headers = {"preference-applied": f"wait={wait}"} if wait else None
        return answer(views.feed(page, diagnosis=self._parts.diagnosis), headers=headers)

    async def streamed(self, request: Request) -> Response:
        """GET /v1/events/stream: Server-Sent Events; without a cursor from now on."""
        wish = self._wish(request)
        wish = replace(wish, after=request.headers.get("last-event-id") or wish.after or LATEST)
        await self._page(replace(wish, most=1))  # what is no cursor is refused before the stream begins
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self._stream(request, wish), headers=headers, media_type="text/event-stream")

    def _wish(self, request: Request) -> _Wish:
        caller = self._parts.caller(request)
        may_look(caller)
        given = dict(request.query_params)
        types = request.query_params.getlist("type")
        given.pop("type", None)
        query = from_query(FeedQuery, given)
        _check(types)
        return _Wish(after=query.after, types=frozenset(types), client=_only(caller), most=query.limit)

    async def _page(self, wish: _Wish) -> FeedPage:
        try:
            return await self._parts.spool.feed(after=wish.after, types=wish.types, client=wish.client, most=wish.most)
        except ValueError:
            detail = "after is the next of an earlier answer, or the id of a stream"
            raise Refused(Condition.VALIDATION_ERROR, detail, errors=(FieldError("/query/after", detail),)) from None

    async def _awaited(self, wish: _Wish, wait: int) -> FeedPage:
        news, clock = self._parts.news, self._parts.clock
        end = clock.monotonic() + wait
        gap = False
        while True:
            seen = news.count
            page = await self._page(wish)
            gap = gap or page.gap
            left = end - clock.monotonic()
            if page.events or left <= 0 or news.closed:
                return replace(page, gap=gap)
            wish = replace(wish, after=page.next)
            if not page.has_more:
                await self._news(seen, seconds=left)

    async def _stream(self, request: Request, wish: _Wish) -> AsyncIterator[bytes]:
        news, clock = self._parts.news, self._parts.clock
        yield f"retry: {RECONNECT}\n\n".encode()
        beat_at = clock.monotonic() + HEARTBEAT
        while True:
            seen, last = news.count, news.closed
            try:
                page = await self._page(wish)
            except SpoolUnavailableError:
                return  # whoever reads comes back with its cursor
            wish = replace(wish, after=page.next)
            for frame in _frames(page, self._parts.diagnosis):
                yield frame
            if last:
                return
            if clock.monotonic() >= beat_at:
                if not self._still_may(request):
                    return
                yield f"id: {page.next}\n\n".encode()
                beat_at = clock.monotonic() + HEARTBEAT
            if page.events or page.has_more:
                continue
            await self._news(seen, seconds=max(beat_at - clock.monotonic(), 0.0))

    async def _news(self, seen: int, *, seconds: float) -> None:
        """Until the feed may have grown; where other processes write too, they are not heard, so look now and then."""
        unheard = self._parts.spool.look_every
        await self._parts.news.after(seen, seconds=seconds if unheard is None else min(seconds, unheard))
        if not self._parts.news.closed:
            await asyncio.sleep(min(GATHERED, seconds))

    def _still_may(self, request: Request) -> bool:
        """A key that was revoked or has expired ends its stream."""
        try:
            may_look(self._parts.caller(request))
        except Refused:
            return False
        return True


def install(app: FastAPI, parts: Parts) -> None:
    """Mount the routes."""
    events, extra = Events(parts), _parameters()
    app.get("/v1/events", summary="What happened, in order, from a cursor on", openapi_extra=extra)(events.pulled)
    app.get("/v1/events/stream", summary="The same as it happens (SSE)", openapi_extra=extra)(events.streamed)


def _only(caller: Client) -> str | None:
    return None if Right.READ in caller.rights else caller.name


def _check(types: Collection[str]) -> None:
    """A mistyped type would never be heard of."""
    for one in types:
        if one not in MESSAGE_EVENTS:
            near = get_close_matches(one, MESSAGE_EVENTS, n=1)
            detail = f"unknown type; did you mean {near[0]!r}?" if near else "unknown type of event"
            raise Refused(Condition.VALIDATION_ERROR, detail, errors=(FieldError("/query/type", detail),))


def _frames(page: FeedPage, diagnosis: Diagnosis) -> Iterator[bytes]:
    if page.gap:
        yield b'event: gap\ndata: {"detail":"history between your cursor and what follows is gone"}\n\n'
    for fed in page.events:
        event = fed.event
        data = to_json(views.fed(fed, diagnosis=diagnosis)).decode()
        yield f"id: {event.position}\nevent: {event.type}\ndata: {data}\n\n".encode()


def _parameters() -> dict[str, object]:
    properties = FeedQuery.model_json_schema()["properties"]
    listed = [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]
    types = {"type": "array", "items": {"type": "string", "enum": sorted(MESSAGE_EVENTS)}}
    return {"parameters": [*listed, {"name": "type", "in": "query", "schema": types, "explode": True}]}
