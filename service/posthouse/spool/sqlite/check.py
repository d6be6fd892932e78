"""Looks at the whole spool, beside a service or without one: SQLite's own check, our rules, every content opened."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

import apsw

from posthouse.ports import ContentUnreadableError
from posthouse.spool.filters import parts
from posthouse.spool.refused import SpoolRefusedError
from posthouse.spool.reports import UNREADABLE, Finding, KeyUse, Report, finding, key_use
from posthouse.spool.rows import ContentTuple, opened_row
from posthouse.spool.sealing import Keyring, Seal, Secrets
from posthouse.spool.sqlite.database import Database, load_verbs, open_reader
from posthouse.spool.sqlite.schema import FACTS_SINCE, check_file, schema_of
from posthouse.spool.sqlite.unlocking import at_hand

_AT_ONCE: Final = 500
_DAMAGE: Final = (apsw.CorruptError, apsw.NotADBError, apsw.FormatError, apsw.IOError)


def check(path: Path, secrets: Secrets) -> Report:
    """The report; only reads, and holds no service up. Raises SpoolRefusedError where there is nothing to look at."""
    if not path.exists():
        raise SpoolRefusedError(f"there is no spool at {path}.")
    try:
        db = open_reader(path, load_verbs())
        try:
            check_file(db, path)
            return _report(db, path, at_hand(path, secrets))
        finally:
            db.connection.close()
    except _DAMAGE as fault:
        return Report(place=str(path), schema=0, faults=(str(fault),), findings=(), keys=())


def _report(db: Database, path: Path, keyring: Keyring | None) -> Report:
    schema = schema_of(db)
    rows = db.connection.execute("pragma integrity_check(20)").fetchall()
    faults = tuple(str(row[0]) for row in rows if row[0] != "ok")
    findings: tuple[Finding, ...] = ()
    keys: tuple[KeyUse, ...] = ()
    try:
        findings = tuple(_broken_rules(db))
        if schema >= FACTS_SINCE:
            keys = tuple(_keys(db, keyring))
            findings += tuple(_unreadable(db, keyring))
    except _DAMAGE as fault:
        faults += (str(fault),)
    return Report(place=str(path), schema=schema, faults=faults, findings=findings, keys=keys)


def _broken_rules(db: Database) -> Iterator[Finding]:
    for rule, question in parts(db.text("check")).items():
        culprits = [row[0] for row in db.ask(question, {})]
        if culprits:
            yield finding(rule, culprits)


def _keys(db: Database, keyring: Keyring | None) -> Iterator[KeyUse]:
    for name, number in cast("list[tuple[str | None, int]]", db.rows("contents_by_key", {})):
        yield key_use(name, number, keyring)


def _unreadable(db: Database, keyring: Keyring | None) -> Iterator[Finding]:
    culprits: list[int] = []
    after = 0
    while ids := [cast("int", row[0]) for row in db.rows("content_ids", {"after": after, "most": _AT_ONCE})]:
        culprits += [key for key in ids if not _opens(db, key, keyring)]
        after = ids[-1]
    if culprits:
        yield finding(UNREADABLE, culprits)


def _opens(db: Database, key: int, keyring: Keyring | None) -> bool:
    """Whether a content can be read to its end; one that is purged meanwhile can."""
    row = db.row("content", {"id": key})
    if row is None:
        return True
    try:
        opened = opened_row(cast("ContentTuple", row), keyring)
        size = len(opened.data) + (_chunked(db, key, opened.seal) if opened.chunked else 0)
        whole = size == opened.header_size + opened.body_size
    except ContentUnreadableError:
        whole = False
    return whole or db.row("content", {"id": key}) is None


def _chunked(db: Database, key: int, seal: Seal | None) -> int:
    """Bytes in the chunks of a content; raises ContentUnreadableError."""
    size = n = 0
    while (row := db.row("chunk", {"content": key, "n": n})) is not None:
        body = cast("bytes", row[0])
        size += len(seal.open(n + 1, body) if seal else body)
        n += 1
    return size
