"""Reads the reports about mail that did not arrive, in the Inbox of the mailbox that sent it, by delta query (FACTS E).

Nothing is marked, moved or deleted there. The class of a message tells a report (MS-OXOMSG §2.2.2.1); of what came from a
mail system's own address the content does.
"""

import asyncio
import json
import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

import httpx
from kiota_abstractions.method import Method

from posthouse.fixes import bounce_fix
from posthouse.message import Millis
from posthouse.ndr import Ndr, parsed
from posthouse.outcome import Answer
from posthouse.records import Bounce, Inbox, NoSight, Post
from posthouse.telemetry import REPORTS_UNREAD, log
from posthouse.transports.graph.calls import IMMUTABLE, Calls, user

PAGE: Final = 10
"""Messages a page: what is read of one page is written down before the next is asked for, so it must be read in a minute."""
TRIES: Final = 10
"""After so many failures a report is left alone: one that Graph cannot give must not keep the later ones from being read."""
SECONDS: Final = 20.0
"""For one request."""
DENIED: Final = "graph.report_permission"
"""A key of fixes."""
CLASS: Final = "String 0x001A"
"""PidTagMessageClass as Graph names it (MS-OXPROPS)."""
CLOCKS_DIFFER: Final[Millis] = 600_000
"""Microsoft's times and ours: so much earlier than its first mail a mailbox's reports are read."""

_PROPERTIES: Final = "singleValueExtendedProperties"
_SELECT: Final = "id,from,sender,receivedDateTime"
_SYSTEMS: Final = re.compile(r"(?:postmaster|mailer-daemon|microsoftexchange[0-9a-f]{32})@", re.IGNORECASE)
_TAG: Final = re.compile(r"String 0x0*1A", re.IGNORECASE)
_GONE: Final = 410
_NOT_FOUND: Final = 404
_SILENT: Final = "no_answer"
_OF_ALL: Final = frozenset({401, 403, 429})
"""Statuses of answers that say nothing of the one message that was asked for."""
_WORN: Final = frozenset({"syncstatenotfound", "syncstateinvalid", "resyncrequired"})


@dataclass(frozen=True, slots=True)
class _Page:
    """The ids of the messages that may be reports, and where to go on."""

    candidates: tuple[str, ...]
    link: str
    more: bool


class Letterbox:
    """``ports.Letterbox`` of one Graph transport."""

    def __init__(self, calls: Calls, *, name: str) -> None:
        self.name = name
        self._calls = calls
        self._begun: dict[str, dict[str, tuple[Bounce, ...]]] = {}
        """By mailbox, what was read of a page that did not come to its end: a slow one goes on from there."""
        self._failed: Counter[tuple[str, str]] = Counter()

    async def read(self, inbox: Inbox) -> Post | NoSight:
        """The reports of the next page since its cursor; where that is worn out, from the beginning."""
        path = None if inbox.cursor is None else self._calls.path_of(inbox.cursor)
        answer = await self._asked(inbox.account, path or _first(inbox))
        if isinstance(answer, NoSight) and path is not None and _worn(answer.answer):
            answer = await self._asked(inbox.account, _first(inbox))
        if isinstance(answer, NoSight):
            return answer
        page = _page(answer.content)
        if page is None or self._calls.path_of(page.link) is None:
            text = "the answer about the mailbox's Inbox could not be read"
            return NoSight(Answer(status="4.3.0", text=text, code="unreadable", fix="graph.service"))
        return await self._reports(inbox.account, page)

    async def _reports(self, account: str, page: _Page) -> Post | NoSight:
        """What a page's reports say, all of them or why not."""
        known = self._begun.get(account, {})
        read = self._begun[account] = {id_: known[id_] for id_ in page.candidates if id_ in known}
        for id_ in page.candidates:
            if id_ in read:
                continue
            report = await self._report(account, id_)
            if isinstance(report, NoSight):
                if not self._hopeless(account, id_, report.answer):
                    return report
                report = None
            read[id_] = () if report is None else tuple(_bounces(report, id_))
        del self._begun[account]
        for id_ in page.candidates:
            self._failed.pop((account, id_), None)
        return Post(tuple(one for id_ in page.candidates for one in read[id_]), page.link, page.more)

    def _hopeless(self, account: str, id_: str, answer: Answer) -> bool:
        """Whether this report failed so often, by an answer about itself, that it is left alone."""
        if answer.code != _SILENT and (answer.reply is None or answer.reply in _OF_ALL):
            return False
        self._failed[account, id_] += 1
        if self._failed[account, id_] < TRIES:
            return False
        told = {"mailbox": account, "transport": self.name, "code": answer.code, "fix": answer.fix}
        log(REPORTS_UNREAD, level=logging.WARNING, **told)
        return True

    async def _report(self, account: str, id_: str) -> Ndr | NoSight | None:
        """What a message reports; None where it is no report, or somebody has deleted it."""
        mime = await self._asked(account, f"{user(account)}/messages/{quote(id_, safe='')}/$value")
        if isinstance(mime, NoSight):
            return None if mime.answer.reply == _NOT_FOUND else mime
        return parsed(mime.content)

    async def _asked(self, account: str, path: str) -> httpx.Response | NoSight:
        request = self._calls.request(Method.GET, path)
        request.headers.add("Prefer", f"{IMMUTABLE}, odata.maxpagesize={PAGE}")
        try:
            async with asyncio.timeout(SECONDS):
                return await self._calls.look(account, request, denied=DENIED)
        except TimeoutError:
            return NoSight(Answer(status="4.4.7", text="reading took too long", code=_SILENT, fix=_SILENT))


def _first(inbox: Inbox) -> str:
    """The first question of a round; its links carry all of it on (learn.microsoft.com/graph/api/message-delta)."""
    since = datetime.fromtimestamp((inbox.since - CLOCKS_DIFFER) // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    expand = quote(f"{_PROPERTIES}($filter=id eq '{CLASS}')", safe="")
    asked = f"changeType=created&$select={_SELECT}&$expand={expand}&$filter={quote(f'receivedDateTime ge {since}')}"
    return f"{user(inbox.account)}/mailFolders/inbox/messages/delta?{asked}"


def _worn(answer: Answer) -> bool:
    return answer.reply == _GONE or (answer.code or "").casefold() in _WORN


def _page(body: bytes) -> _Page | None:
    """The page in these bytes; None where it cannot be read."""
    try:
        found = json.loads(body)
        candidates = tuple(str(one["id"]) for one in found["value"] if _may_report(one))
        more, end = found.get("@odata.nextLink"), found.get("@odata.deltaLink")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    link = more or end
    return _Page(candidates, link, bool(more)) if isinstance(link, str) else None


def _may_report(one: dict[str, object]) -> bool:
    if "@removed" in one:
        return False
    reports = [value for value in _classes(one.get(_PROPERTIES)) if value.startswith("report.")]
    if reports:  # a delay, a delivery, a reading is no bounce, whoever tells it
        return any(value.endswith(".ndr") for value in reports)
    return any(_SYSTEMS.match(_address(one.get(name))) for name in ("from", "sender"))


def _classes(properties: object) -> Iterator[str]:
    for one in properties if isinstance(properties, list) else ():
        # Graph writes the number of a property in its own form: String 0x1a
        if isinstance(one, dict) and _TAG.fullmatch(str(one.get("id", ""))):
            yield str(one.get("value")).casefold()


def _address(person: object) -> str:
    inner = person.get("emailAddress") if isinstance(person, dict) else None
    return str(inner.get("address")) if isinstance(inner, dict) else ""


def _bounces(report: Ndr, id_: str) -> Iterator[Bounce]:
    for failure in report.failures:
        yield Bounce(
            report=id_,
            message_id=report.message_id,
            addresses=failure.addresses,
            code=failure.code,
            reply=failure.reply,
            text=failure.text,
            fix=bounce_fix(failure.code, failure.text or ""),
        )
