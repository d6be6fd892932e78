"""Looks at the whole spool, beside its processes: our rules, every content opened; the server checks its own files."""

from collections.abc import Sequence
from typing import Final, cast

from posthouse.ports import ContentUnreadableError
from posthouse.spool.filters import parts
from posthouse.spool.postgres.database import Session
from posthouse.spool.postgres.unlocking import at_hand
from posthouse.spool.reports import UNREADABLE, Finding, Report, finding, key_use
from posthouse.spool.rows import ContentTuple, opened_row
from posthouse.spool.sealing import Keyring, Seal, Secrets

_AT_ONCE: Final = 500


async def check(session: Session, secrets: Secrets, *, schema: int) -> Report:
    """The report; only reads, and holds nobody up."""
    keyring = at_hand(secrets)
    findings = [*await _broken_rules(session), *await _unreadable(session, keyring)]
    keys = [
        key_use(cast("str | None", name), cast("int", number), keyring)
        for name, number in await session.rows("contents_by_key")
    ]
    row = await session.row("place")
    place = f"database {row[0]}" if row else "the database"
    return Report(place=place, schema=schema, faults=(), findings=tuple(findings), keys=tuple(keys))


async def _broken_rules(session: Session) -> Sequence[Finding]:
    found: list[Finding] = []
    for rule, question in parts(session.text("check")).items():
        culprits = [row[0] for row in await session.ask(question, {})]
        if culprits:
            found.append(finding(rule, culprits))
    return found


async def _unreadable(session: Session, keyring: Keyring | None) -> Sequence[Finding]:
    culprits: list[int] = []
    after = 0
    while ids := [cast("int", row[0]) for row in await session.rows("content_ids", after=after, most=_AT_ONCE)]:
        culprits += [key for key in ids if not await _opens(session, key, keyring)]
        after = ids[-1]
    return [finding(UNREADABLE, culprits)] if culprits else []


async def _opens(session: Session, key: int, keyring: Keyring | None) -> bool:
    """Whether a content can be read to its end; one that is purged meanwhile can."""
    row = await session.row("content", id=key)
    if row is None:
        return True
    try:
        opened = opened_row(cast("ContentTuple", tuple(row)), keyring)
        size = len(opened.data) + (await _chunked(session, key, opened.seal) if opened.chunked else 0)
        whole = size == opened.header_size + opened.body_size
    except ContentUnreadableError:
        whole = False
    return whole or await session.row("content", id=key) is None


async def _chunked(session: Session, key: int, seal: Seal | None) -> int:
    """Bytes in the chunks of a content; raises ContentUnreadableError."""
    size = n = 0
    while (row := await session.row("chunk", content=key, n=n)) is not None:
        body = cast("bytes", row[0])
        size += len(seal.open(n + 1, body) if seal else body)
        n += 1
    return size
