"""The Inbox of a mailbox as Graph shows it: changes by delta query page by page, and the MIME of one message (FACTS E)."""

import asyncio
import re
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qs, unquote

from posthouse.sandbox.access import access_refusal, concurrency_refusal
from posthouse.sandbox.answers import Answer, Reply, found, graph_error
from posthouse.sandbox.chaos import Situation, Target
from posthouse.sandbox.faults import graph_fault, strike
from posthouse.sandbox.requests import Request
from posthouse.sandbox.undeliverable import Report
from posthouse.sandbox.world import World

_SIZE: Final = re.compile(r"odata\.maxpagesize=(\d{1,3})")
_SINCE: Final = re.compile(r"receivedDateTime g[et] (\S+)")
_PAGE: Final = 10  # Graph's page where nothing is preferred
_CLASS: Final = "String 0x1a"  # Graph writes the number of a property's id in its own form


async def arrivals(world: World, request: Request, *, item: str | None, base_url: str, url: str) -> Reply:
    """Answer one GET of the Inbox's delta, or of the MIME of one ``item``."""
    counters, gauge = world.counters, world.graph_gauge
    counters.inbox_reads += 1

    def process() -> Answer:
        refusal = access_refusal(world, request, grant="Mail.Read")
        if refusal is not None:
            return refusal.answer(request)
        return _delta(world, request, base_url) if item is None else _mime(world, request, unquote(item))

    try:
        refusal = concurrency_refusal(gauge.enter(request.mailbox), enforced=world.settings.enforce_limits)
        if refusal is not None:
            return refusal.answer(request)
        if world.settings.latency:
            await asyncio.sleep(world.settings.latency)
        rule = world.chaos.pick(
            Situation(target=Target.INBOX, mailbox=request.mailbox, subject="delta" if item is None else "$value")
        )
        if rule is None:
            return process()
        return await strike(
            rule, process=process, fault=lambda status: graph_fault(rule, status, ids=request.ids, url=url)
        )
    finally:
        gauge.leave(request.mailbox)


def _delta(world: World, request: Request, base_url: str) -> Answer:
    """A page from the state in the link on: how many of the mailbox's messages were shown, and since when they count."""
    query = {name: values[0] for name, values in parse_qs(request.query).items()}
    state = query.get("$skiptoken") or query.get("$deltatoken") or f"0~{_since(query.get('$filter', ''))}"
    place, _, since = state.partition("~")
    if not place.isdecimal() or not re.fullmatch(r"\d+", since):
        return graph_error(request.ids, 400, "BadRequest", "Badly formed token.")
    arrived = world.inboxes.get(request.mailbox, [])
    if int(place) > len(arrived):
        text = "The sync state generation is not found; continuing requires a full synchronization."
        return graph_error(request.ids, 410, "SyncStateNotFound", text)
    size = _SIZE.search(request.header(b"prefer") or "")
    end = int(place) + (int(size[1]) if size else _PAGE)
    shown = [_as_json(one) for one in arrived[int(place) : end] if one.received_at >= int(since)]
    link = f"{base_url}/v1.0/users/{request.mailbox}/mailFolders('inbox')/messages/delta?"
    if end < len(arrived):
        links = {"@odata.nextLink": f"{link}$skiptoken={end}~{since}"}
    else:
        links = {"@odata.deltaLink": f"{link}$deltatoken={len(arrived)}~{since}"}
    return found(request.ids, {"value": shown} | links)


def _since(condition: str) -> int:
    match = _SINCE.search(condition)
    return int(datetime.fromisoformat(match[1]).timestamp()) if match else 0


def _mime(world: World, request: Request, item: str) -> Answer:
    for one in world.inboxes.get(request.mailbox, ()):
        if one.item_id == item:
            return Answer(200, (*request.ids.headers, (b"content-type", b"text/plain")), one.mime)
    return graph_error(request.ids, 404, "ErrorItemNotFound", "The specified object was not found in the store.")


def _as_json(one: Report) -> dict[str, object]:
    person = {"emailAddress": {"name": "Microsoft Outlook", "address": one.sender}}
    return {
        "@odata.type": "#microsoft.graph.message",
        "id": one.item_id,
        "from": person,
        "sender": person,
        "receivedDateTime": datetime.fromtimestamp(one.received_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "singleValueExtendedProperties": [{"id": _CLASS, "value": one.kind}],
    }
