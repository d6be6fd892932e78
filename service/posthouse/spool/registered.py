"""Rows of the small tables made into records and back: keys, clients with their terms, refusals; the same for all engines."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Final, cast

from posthouse.identities import ClientRow, KeyKind, KeyRow, Refusal
from posthouse.message import OnUnconfirmed, Priority
from posthouse.policy import Terms
from posthouse.spool.rows import parsed

KeyTuple = tuple[str, str, bytes, str, str, str, int, int | None, int | None, int | None, KeyKind, str]
"""The order is that of keys.sql."""
ClientTuple = tuple[str, int, int | None, str]
"""The order is that of clients.sql."""
UseTuple = tuple[str, int, int]
"""The order is that of use_of_others.sql."""
RefusalTuple = tuple[str, str, str, str, str, str, str, int, int, int]
"""The order is that of refusals.sql."""


def key(row: KeyTuple) -> KeyRow:
    """A client's key."""
    return KeyRow(
        id=row[0],
        client=row[1],
        key_hash=row[2],
        senders=tuple(parsed(row[3], list[str])),
        recipient_domains=tuple(parsed(row[4], list[str])),
        scopes=tuple(parsed(row[5], list[str])),
        created_at=row[6],
        expires_at=row[7],
        revoked_at=row[8],
        last_used_at=row[9],
        kind=row[10],
        networks=tuple(parsed(row[11], list[str])),
    )


def client(row: ClientTuple) -> ClientRow:
    """A client."""
    name, created_at, paused_at, terms = row
    return ClientRow(
        name=name, created_at=created_at, paused_at=paused_at, terms=_terms(parsed(terms, dict[str, object]))
    )


def terms_document(terms: Terms) -> dict[str, object]:
    """What a client's terms set, and nothing that they leave."""
    plain = Terms()
    return {one.name: value for one in fields(terms) if (value := getattr(terms, one.name)) != getattr(plain, one.name)}


def _terms(document: dict[str, object]) -> Terms:
    """The same read back; what a later version wrote is left alone."""
    known = {one.name for one in fields(Terms)}
    given = {name: _READ.get(name, _same)(value) for name, value in document.items() if name in known}
    return replace(Terms(), **given)


def _same(value: object) -> object:
    return value


_READ: Final[dict[str, Callable[[object], object]]] = {
    "priority": lambda value: Priority(cast("int", value)),
    "on_unconfirmed": lambda value: OnUnconfirmed(cast("str", value)),
}


def refusal_row(one: Refusal) -> list[object]:
    """A group of refusals in the order of save_refusals.sql."""
    return [getattr(one, name.name) for name in fields(one)]


def refusal(row: RefusalTuple) -> Refusal:
    """The same read back."""
    door, source, login, client, sender, code, detail, first_at, last_at, times = row
    return Refusal(
        door=door,
        source=source,
        login=login,
        client=client,
        sender=sender,
        code=code,
        detail=detail,
        first_at=first_at,
        last_at=last_at,
        times=times,
    )
