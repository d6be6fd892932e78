"""Accepting: prepares submissions on the event loop's thread and keeps a whole group of them with a few statements."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple, cast

from posthouse.message import Millis, id_bytes
from posthouse.records import Added, AddResult, Idempotency, KeyReused, Replayed, Submission
from posthouse.spool.loads import ANSWER_KEPT, ENTRY_OVERHEAD, Stored, new_message, sealed
from posthouse.spool.sealing import Keyring
from posthouse.spool.sqlite.committing import Verb
from posthouse.spool.sqlite.database import Database, array, to_json


class AddLoad(NamedTuple):
    """A submission as the writer takes it: the rows as JSON text, the contents as bytes, ``size`` in bytes, about.

    A named tuple, because one is made for every submission on the event loop, at a third of a dataclass's price.
    """

    first: int
    ids: list[bytes]
    rows: list[str]
    accounts: list[str]
    contents: Sequence[Stored]
    tags: list[str]
    at: Millis
    answer: bytes
    idempotency: Idempotency | None
    size: int


def prepare(submission: Submission, *, first: int, contents: Sequence[Stored]) -> AddLoad:
    """The load of a submission whose messages get the keys from ``first`` on."""
    messages = submission.messages
    return AddLoad(
        first,
        [id_bytes(message.id) for message in messages],
        [to_json(new_message(key, message)) for key, message in enumerate(messages, first)],
        [message.account for message in messages],
        contents,
        [to_json([key, dict(message.tags)]) for key, message in enumerate(messages, first) if message.tags],
        messages[0].accepted_at,
        submission.answer,
        submission.idempotency,
        sum([len(stored.data) for stored in contents]) + ENTRY_OVERHEAD * len(messages) + len(submission.answer),
    )


def add_verb(keyring: Keyring) -> Verb[AddLoad, AddResult]:
    """Keeps submissions; their contents are sealed on the writer's thread, where nobody waits for the processor."""
    return Verb(rank=0, many=lambda db, loads: _add_many(db, loads, keyring))


def _add_many(db: Database, loads: Sequence[AddLoad], keyring: Keyring) -> Sequence[AddResult]:
    given = _given(db, loads)
    fresh: list[AddLoad] = []
    results: list[AddResult] = []
    for load in loads:
        name = None if load.idempotency is None else (load.idempotency.client, load.idempotency.key)
        known = None if name is None else given.get(name)
        if load.idempotency is None or name is None or known is None:
            fresh.append(load)
            results.append(Added())
            if load.idempotency is not None and name is not None:
                given[name] = (load.idempotency.request_hash, load.answer)
        else:
            same = known[0] == load.idempotency.request_hash
            results.append(Replayed(known[1]) if same else KeyReused())
    if fresh:
        _insert(db, fresh, keyring)
    return results


def _given(db: Database, loads: Sequence[AddLoad]) -> dict[tuple[str, str], tuple[bytes, bytes]]:
    """What was answered before to the keys of this group, by client and key: hash and answer."""
    keys = [(load.idempotency.client, load.idempotency.key) for load in loads if load.idempotency is not None]
    if not keys:
        return {}
    rows = db.rows("add_known", {"keys": to_json(keys)})
    return {(cast("str", r[0]), cast("str", r[1])): (cast("bytes", r[2]), cast("bytes", r[3])) for r in rows}


def _insert(db: Database, loads: Sequence[AddLoad], keyring: Keyring) -> None:
    contents: list[str] = []
    pieces: list[bytes] = []
    offset = 1
    for load in loads:
        for key, id_, stored in zip(itertools.count(load.first), load.ids, load.contents, strict=False):
            row = sealed(stored, id_, keyring)
            wrapped = row.data_key or b""
            name = f'"{row.key_id}"' if row.key_id else "null"
            size, length = len(wrapped), len(row.body)
            contents.append(
                f'[{key},{stored.header_size},{stored.body_size},"{stored.location}",{name},{offset},{size},{length}]'
            )
            pieces += (wrapped, row.body)
            offset += size + length
    db.run(
        "add",
        {
            "contents": array(contents),
            "bytes": b"".join(pieces),
            "messages": db.binary(array([row for load in loads for row in load.rows])),
        },
    )
    tags = [tag for load in loads for tag in load.tags]
    if tags:
        db.run("add_tags", {"tags": array(tags)})
    _insert_keys(db, loads)
    db.woken |= db.lanes_of(account for load in loads for account in load.accounts)


def _insert_keys(db: Database, loads: Sequence[AddLoad]) -> None:
    keys: list[list[object]] = []
    answers: list[bytes] = []
    offset = 1
    for load in loads:
        given = load.idempotency
        if given is None:
            continue
        last, check = load.first + len(load.rows) - 1, load.at + ANSWER_KEPT
        length = len(load.answer)
        keys.append([given.client, given.key, given.request_hash.hex(), load.first, last, check, offset, length])
        answers.append(load.answer)
        offset += length
    if keys:
        db.run("add_keys", {"keys": to_json(keys), "answers": b"".join(answers)})
