"""What an answer of Graph to a look at a mailbox lists: a page of messages, read with care."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import quote

from posthouse.continuity import OtherClock
from posthouse.message import Millis

SELECT: Final = "id,internetMessageId,isDraft,createdDateTime"
PAGE: Final = 100

_PROPERTIES: Final = "singleValueExtendedProperties"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A message in a mailbox; ``id`` is empty where the answer has none, ``mark`` is the extended property that was asked for.

    It came to be ``between`` these times of our own clock; None: it does not say when.
    """

    id: str
    message_id: str
    draft: bool
    between: tuple[Millis, Millis] | None
    mark: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some messages, and the link to more."""

    items: tuple[Item, ...]
    next_link: str | None


def query(message_ids: Sequence[str], *, mark: str | None = None) -> str:
    """The question for all copies of these Message-IDs; ``mark`` is the id of an extended property."""
    condition = " or ".join("internetMessageId eq '{}'".format(one.replace("'", "''")) for one in message_ids)
    asked = f"$filter={quote(condition, safe='')}&$select={SELECT}&$top={PAGE}"
    if mark is None:
        return asked
    expand = f"{_PROPERTIES}($filter=id eq '{mark}')"
    return f"{asked}&$expand={quote(expand, safe='')}"


def parsed(body: bytes, *, mark: str | None = None, clock: OtherClock | None = None) -> Page | None:
    """The page in these bytes, whose times are by this clock; None where it cannot be read."""
    try:
        found = json.loads(body)
        items = tuple(_item(one, mark, clock) for one in found["value"])
        link = found.get("@odata.nextLink")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Page(items, link) if link is None or isinstance(link, str) else None


def _item(one: dict[str, object], mark: str | None, clock: OtherClock | None) -> Item:
    id_, message_id, draft = one.get("id"), one["internetMessageId"], one["isDraft"]
    if not isinstance(id_, str | None) or not isinstance(message_id, str) or not isinstance(draft, bool):
        raise TypeError
    moment = _moment(one.get("createdDateTime"))
    return Item(
        id=id_ or "",
        message_id=message_id,
        draft=draft,
        between=None if moment is None or clock is None else clock.between(moment),
        mark=_value(one.get(_PROPERTIES), mark),
    )


def _moment(text: object) -> Millis | None:
    """A time with its zone, as Graph writes it (ISO 8601 in UTC; learn.microsoft.com/graph/api/resources/message)."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return None if moment.tzinfo is None else int(moment.timestamp() * 1000)


def _value(properties: object, mark: str | None) -> str | None:
    if mark is None or not isinstance(properties, list):
        return None
    for one in properties:
        # Graph writes the GUID of a property's id in its own case
        if isinstance(one, dict) and str(one.get("id", "")).casefold() == mark.casefold():
            return str(one.get("value"))
    return None
