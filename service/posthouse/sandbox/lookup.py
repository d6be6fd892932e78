"""Look-ups in a mailbox: by Message-ID over all folders, and one item by its id (FACTS A5)."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qs, unquote

from posthouse.sandbox.access import access_refusal, concurrency_refusal
from posthouse.sandbox.answers import Answer, Reply, found, graph_error
from posthouse.sandbox.chaos import Situation, Target
from posthouse.sandbox.drawer import Draft
from posthouse.sandbox.faults import graph_fault, strike
from posthouse.sandbox.requests import Request
from posthouse.sandbox.world import Received, World

_TERM: Final = r"internetMessageId\s+eq\s+'((?:[^']|'')*)'"
_FILTER: Final = re.compile(rf"\s*{_TERM}(?:\s+or\s+{_TERM})*\s*", re.IGNORECASE)
_ONE: Final = re.compile(_TERM, re.IGNORECASE)
_TOP: Final = 10  # Graph's page where $top is missing
_MAX_TOP: Final = 1_000
_PROPERTIES: Final = "singleValueExtendedProperties"
_DRAFTS: Final = "AAMkAGUwNWY5LmRyYWZ0cwAAAAABDwAA="
_SENT: Final = "AAMkAGUwNWY5LnNlbnRpdGVtcwABCQAA="


async def look_up(world: World, request: Request, *, item: str | None, url: str) -> Reply:
    """Answer one GET of a mailbox's messages, or of the one ``item``."""
    counters, gauge = world.counters, world.graph_gauge
    counters.lookups += 1
    reply: Reply | None = None
    try:
        refusal = concurrency_refusal(gauge.enter(request.mailbox), enforced=world.settings.enforce_limits)
        reply = refusal.answer(request) if refusal else await _reply(world, request, item=item, url=url)
    finally:
        gauge.leave(request.mailbox)
        counters.lookups_by_status[str(reply.status if isinstance(reply, Answer) else reply or "canceled")] += 1
    return reply


async def _reply(world: World, request: Request, *, item: str | None, url: str) -> Reply:
    if world.settings.latency:
        await asyncio.sleep(world.settings.latency)
    rule = world.chaos.pick(Situation(target=Target.LOOKUP, mailbox=request.mailbox))
    if rule is None:
        return _process(world, request, item)
    return await strike(
        rule,
        process=lambda: _process(world, request, item),
        fault=lambda status: graph_fault(rule, status, ids=request.ids, url=url),
    )


def _process(world: World, request: Request, item: str | None) -> Answer:
    query = {name: values[0] for name, values in parse_qs(request.query).items()}
    # ReadBasic shows no extended properties (FACTS A5)
    refusal = access_refusal(world, request, grant="Mail.Read" if "$expand" in query else "Mail.ReadBasic")
    if refusal is not None:
        return refusal.answer(request)
    if item is not None:
        return _one(world, request, unquote(item), query)
    return _several(world, request, query)


def _one(world: World, request: Request, item: str, query: Mapping[str, str]) -> Answer:
    copy = world.drawer.of(request.mailbox, item) or world.sent_item(request.mailbox, item)
    if copy is None:
        text = "The specified object was not found in the store., The process failed to get the correct properties."
        return graph_error(request.ids, 404, "ErrorItemNotFound", text)
    return found(request.ids, _as_json(world, copy, _selected(query)))


def _several(world: World, request: Request, query: Mapping[str, str]) -> Answer:
    wanted: Iterable[str] | None = None
    if "$filter" in query:
        if _FILTER.fullmatch(query["$filter"]) is None:
            return graph_error(request.ids, 400, "BadRequest", "Invalid filter clause")
        wanted = dict.fromkeys(text.replace("''", "'") for text in _ONE.findall(query["$filter"]))
    top = query.get("$top", str(_TOP))
    if not top.isdecimal() or not 1 <= int(top) <= _MAX_TOP:
        return graph_error(request.ids, 400, "BadRequest", f"Invalid value '{top}' for $top query option")
    drafts = [
        one
        for one in world.drawer.drafts.values()
        if one.mailbox == request.mailbox and (wanted is None or one.message_id in wanted)
    ]
    copies = [*drafts, *world.sent_items(request.mailbox, wanted)][: int(top)]
    fields = _selected(query) | ({_PROPERTIES} if "$expand" in query else set())
    context = f"https://graph.microsoft.com/v1.0/$metadata#users('{request.mailbox}')/messages"
    return found(request.ids, {"@odata.context": context, "value": [_as_json(world, one, fields) for one in copies]})


def _selected(query: Mapping[str, str]) -> frozenset[str]:
    return frozenset(name.strip() for name in query.get("$select", "").split(",") if name.strip())


def _shown(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _as_json(world: World, copy: Received | Draft, fields: frozenset[str]) -> dict[str, object]:
    unsent = isinstance(copy, Draft)
    draft = unsent or world.is_draft(copy)
    sent_at = copy.created_at if unsent else copy.received_at
    every: dict[str, object] = {
        "@odata.etag": f'W/"{copy.item_id[-16:]}"',
        "id": copy.item_id,
        "internetMessageId": copy.message_id,
        "subject": copy.subject,
        "isDraft": draft,
        "createdDateTime": _shown(copy.created_at),
        "sentDateTime": _shown(sent_at),
        "parentFolderId": _DRAFTS if draft else _SENT,
        _PROPERTIES: [{"id": tag, "value": value} for tag, value in copy.properties.items()] if unsent else [],
    }
    if not fields:
        return every
    return {name: value for name, value in every.items() if name in fields or name in {"@odata.etag", "id"}}
