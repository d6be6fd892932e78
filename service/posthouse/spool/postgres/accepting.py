"""Accepting: a whole group of submissions by one statement, then the lanes that slept through it are woken."""

import json
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple, cast

from posthouse.message import Millis, id_bytes
from posthouse.records import Added, AddResult, Idempotency, KeyReused, NewMessage, Replayed, Submission
from posthouse.spool.loads import ANSWER_KEPT, ENTRY_OVERHEAD, SealedRow, Stored, sealed
from posthouse.spool.postgres.database import Session
from posthouse.spool.postgres.waking import Waker
from posthouse.spool.sealing import Keyring

_COLUMNS: Final = (
    "ids", "public_ids", "clients", "lanes", "priorities", "dues", "expiries", "gives_ups", "held_causes", "mailboxes",
    "senders", "sizes", "accepteds", "subjects", "references", "message_ids", "owns", "routes", "tags", "metadatas",
    "doors", "key_ids", "envelope_senders", "wishes", "recipients", "keyed", "header_sizes", "body_sizes", "locations",
    "seal_names", "data_keys", "bodies", "strands", "traceparents",
)  # fmt: skip
"""The order is that of ``_row`` and of add.sql."""
_KEY_COLUMNS: Final = (
    "key_clients", "key_keys", "key_hashes", "key_answers", "key_firsts", "key_lasts", "key_checks",
)  # fmt: skip


class AddLoad(NamedTuple):
    """A submission as the committer takes it; ``size`` in bytes, about."""

    first: int
    rows: list[tuple[object, ...]]
    lanes: frozenset[int]
    at: Millis
    answer: bytes
    idempotency: Idempotency | None
    size: int


def prepare(
    submission: Submission, *, first: int, contents: Sequence[Stored], lanes: Mapping[str, int], keyring: Keyring
) -> AddLoad:
    """The load of a submission whose messages get the keys from ``first`` on; sealed once, however often it is written."""
    messages = submission.messages
    keyed = submission.idempotency is not None
    return AddLoad(
        first,
        [
            _row(
                key,
                message,
                stored,
                sealed(stored, id_bytes(message.id), keyring),
                lane=lanes[message.account.lower()],
                keyed=keyed,
            )
            for key, (message, stored) in enumerate(zip(messages, contents, strict=True), first)
        ],
        frozenset(lanes[message.account.lower()] for message in messages),
        messages[0].accepted_at,
        submission.answer,
        submission.idempotency,
        sum(len(stored.data) for stored in contents) + ENTRY_OVERHEAD * len(messages) + len(submission.answer),
    )


def _row(
    key: int, new: NewMessage, stored: Stored, content: SealedRow, *, lane: int, keyed: bool
) -> tuple[object, ...]:
    return (
        key,
        uuid.UUID(bytes=id_bytes(new.id)),
        new.client,
        lane,
        int(new.priority),
        new.due_at,
        new.expires_at,
        new.gives_up_at,
        new.held_cause,
        new.mailbox,
        new.sender,
        new.content.size,
        new.accepted_at,
        new.subject,
        new.reference,
        new.message_id,
        new.own_message_id,
        json.dumps(new.route),
        json.dumps(dict(new.tags)),
        json.dumps(dict(new.metadata)),
        new.door,
        new.key_id,
        new.envelope.sender,
        new.on_unconfirmed.value,
        json.dumps([(recipient.address, recipient.kind) for recipient in new.envelope.recipients]),
        keyed,
        stored.header_size,
        stored.body_size,
        stored.location,
        *content,
        new.strand,
        new.traceparent,
    )


def adding(waker: Waker) -> Callable[[Session, Sequence[AddLoad]], Awaitable[Sequence[AddResult]]]:
    """What the committer of submissions does; ``waker`` hears of their lanes."""

    async def add(session: Session, loads: Sequence[AddLoad]) -> Sequence[AddResult]:
        firsts = _first_of_each_key(loads)
        fresh = [load for load in loads if firsts.get(_name(load), load) is load]
        added, keys, asleep = await _insert(session, fresh)
        results = await _results(session, loads, added=added, keys=keys)
        await waker.lanes(session, [(lane, due) for lane, due in asleep])
        waker.tell(frozenset(lane for load in fresh for lane in load.lanes))
        return results

    return add


def _name(load: AddLoad) -> tuple[str, str] | None:
    given = load.idempotency
    return None if given is None else (given.client, given.key)


def _first_of_each_key(loads: Sequence[AddLoad]) -> dict[tuple[str, str] | None, AddLoad]:
    """Two submissions with one key in one group: the first is kept, the other is its replay."""
    firsts: dict[tuple[str, str] | None, AddLoad] = {}
    for load in loads:
        if load.idempotency is not None:
            firsts.setdefault(_name(load), load)
    return firsts


async def _insert(
    session: Session, loads: Sequence[AddLoad]
) -> tuple[frozenset[int], frozenset[int], Sequence[tuple[int, int]]]:
    rows = [row for load in loads for row in load.rows]
    keys = [_key_row(load) for load in loads if load.idempotency is not None]
    columns = dict(zip(_COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
    key_columns = dict(zip(_KEY_COLUMNS, map(list, zip(*keys, strict=True)), strict=True)) if keys else {}
    lanes = sorted({lane for load in loads for lane in load.lanes})
    values = {name: list[object]() for name in _KEY_COLUMNS} | columns | key_columns | {"lane_ids": lanes}
    row = await session.row("add", **values)
    ids, firsts, asleep = cast("tuple[list[int], list[int], str | None]", tuple(row or ((), (), None)))
    return frozenset(ids), frozenset(firsts), json.loads(asleep or "[]")


def _key_row(load: AddLoad) -> tuple[object, ...]:
    given = load.idempotency
    if given is None:
        raise ValueError("no key")
    last = load.first + len(load.rows) - 1
    return given.client, given.key, given.request_hash, load.answer, load.first, last, load.at + ANSWER_KEPT


async def _results(
    session: Session, loads: Sequence[AddLoad], *, added: frozenset[int], keys: frozenset[int]
) -> list[AddResult]:
    """What became of each: a key that was there before says whose answer it holds, perhaps this very submission's."""
    doubtful = [name for load in loads if load.first not in keys and (name := _name(load)) is not None]
    given: dict[tuple[str, str], tuple[bytes, bytes, int]] = {}
    if doubtful:
        clients, names = zip(*doubtful, strict=True)
        for client, key, known, answer, first in await session.rows(
            "add_known", clients=list(clients), keys=list(names)
        ):
            given[cast("str", client), cast("str", key)] = cast("tuple[bytes, bytes, int]", (known, answer, first))
    return [_result(load, given, added=added, keys=keys) for load in loads]


def _result(
    load: AddLoad,
    given: Mapping[tuple[str, str], tuple[bytes, bytes, int]],
    *,
    added: frozenset[int],
    keys: frozenset[int],
) -> AddResult:
    name = _name(load)
    if name is None or load.idempotency is None or load.first in keys:
        return Added()
    known, answer, first = given[name]
    if first == load.first and first in added:
        return Added()
    return Replayed(answer) if known == load.idempotency.request_hash else KeyReused()
