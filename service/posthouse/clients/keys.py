"""API keys: their form, how they are kept, who stands behind one (CONTRACT §3)."""

import asyncio
import hmac
import logging
import string
import zlib
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final

from posthouse.message import Millis
from posthouse.policy import Client, Right, folded
from posthouse.ports import Clock, Spool, SpoolUnavailableError
from posthouse.records import KeyRow
from posthouse.refusal import Condition, Refused
from posthouse.telemetry import AUTHENTICATION_REFUSED, KEY_CREATED, KEY_REVOKED, log

PREFIX: Final = "ph_live_"
ID_LETTERS: Final = 10
SECRET_LETTERS: Final = 32
CHECK_LETTERS: Final = 6

USED_EVERY: Final[Millis] = 60_000
"""A key's last use is written down at most once in this time."""

FAILURES_PER_MINUTE: Final = 20
"""Failed authentications of one source after which further ones are answered 429; good keys are never slowed."""

HOW: Final = "send 'Authorization: Bearer ph_live_…'"

_SOURCES: Final = 4096
_MINUTE: Final[Millis] = 60_000
_BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_LENGTH: Final = len(PREFIX) + ID_LETTERS + 1 + SECRET_LETTERS + CHECK_LETTERS


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment when it is known; what is kept are ``id`` and ``hash``."""

    id: str
    text: str = field(repr=False)
    hash: bytes = field(repr=False)


def make_key(chance: Callable[[int], bytes]) -> NewKey:
    """A new key: 190 random bits need no pepper."""
    key_id = _letters(chance, ID_LETTERS)
    stem = f"{PREFIX}{key_id}_{_letters(chance, SECRET_LETTERS)}"
    text = stem + _check(stem)
    return NewKey(key_id, text, hash_key(text))


def key_id_of(text: str) -> str | None:
    """The id inside a key; None where the text is none or mistyped (its CRC32 does not fit)."""
    if len(text) != _LENGTH or not text.startswith(PREFIX) or not text.isascii():
        return None
    stem, check = text[:-CHECK_LETTERS], text[-CHECK_LETTERS:]
    key_id, separator, secret = stem[len(PREFIX) :].partition("_")
    sound = separator and len(key_id) == ID_LETTERS and secret.isalnum() and key_id.isalnum()
    return key_id if sound and check == _check(stem) else None


def hash_key(text: str) -> bytes:
    """What is kept of a key: its SHA-256."""
    return sha256(text.encode()).digest()


class Keys:
    """All keys, in memory; those of the settings (``fixed``) beside those of the spool."""

    def __init__(
        self, *, spool: Spool, clock: Clock, chance: Callable[[int], bytes], fixed: Sequence[KeyRow] = ()
    ) -> None:
        self._spool = spool
        self._clock = clock
        self._chance = chance
        self._fixed = {row.key_hash: row for row in fixed}
        self._kept: dict[str, KeyRow] = {}
        self._clients: dict[bytes, tuple[KeyRow, Client]] = {}
        self._noted: dict[str, Millis] = {}
        self._notes: set[asyncio.Task[None]] = set()
        self._failures: OrderedDict[str, deque[Millis]] = OrderedDict()
        self._index()

    async def load(self) -> None:
        """Read the spool's keys; at start, before the first caller."""
        self._kept = {row.id: row for row in await self._spool.keys()}
        self._index()

    def authenticate(self, text: str | None, *, source: str) -> Client:
        """The client behind a key; raises Refused (MISSING_CREDENTIALS, INVALID_KEY, or QUOTA_EXCEEDED after many)."""
        if text is None:
            raise Refused(Condition.MISSING_CREDENTIALS, f"no key; {HOW}")
        digest = hash_key(text)
        row, client = self._clients.get(digest, (None, None))
        if row is None or client is None or not hmac.compare_digest(row.key_hash, digest):
            key_id = key_id_of(text)
            why = "not a key of this service" if key_id is None else "unknown key"
            raise self._refusal(why, key_id=key_id, source=source)
        now = self._clock.now()
        if row.revoked_at is not None and row.revoked_at <= now:
            raise self._refusal("the key was revoked", key_id=row.id, source=source)
        if row.expires_at is not None and row.expires_at <= now:
            raise self._refusal("the key has expired", key_id=row.id, source=source)
        if now - self._noted.get(row.id, 0) >= USED_EVERY and row.id in self._kept:
            self._note(row, now)
        return client

    def names(self, client: str, address: str) -> bool:
        """Whether a key of this client allows the address by its name, not by a wildcard."""
        rows = (row for row, _ in self._clients.values() if row.client == client)
        return any(folded(sender) == folded(address) for row in rows for sender in row.senders)

    async def create(
        self,
        *,
        client: str,
        senders: tuple[str, ...],
        recipient_domains: tuple[str, ...],
        scopes: tuple[str, ...],
        expires_at: Millis | None,
        by: str,
    ) -> tuple[NewKey, KeyRow]:
        """Make a key and keep its hash durably; the client is made where there is none."""
        new = make_key(self._chance)
        row = KeyRow(
            id=new.id,
            client=client,
            key_hash=new.hash,
            senders=senders,
            recipient_domains=recipient_domains,
            scopes=scopes,
            created_at=self._clock.now(),
            expires_at=expires_at,
            revoked_at=None,
            last_used_at=None,
        )
        await self._spool.save_key(row)
        self._kept[row.id] = row
        self._index()
        log(KEY_CREATED, key=row.id, client=client, senders=senders, scopes=scopes, by=by)
        return new, row

    async def revoke(self, key_id: str, *, by: str) -> KeyRow | None:
        """End a key at once; None where the spool has none of that id."""
        now = self._clock.now()
        if key_id not in self._kept or not await self._spool.revoke_key(key_id, at=now, by=by):
            return None
        row = self._kept[key_id]
        if row.revoked_at is None:
            row = self._kept[key_id] = replace(row, revoked_at=now)
            self._index()
            log(KEY_REVOKED, key=key_id, client=row.client, by=by)
        return row

    async def rows(self) -> Sequence[KeyRow]:
        """All keys as they are kept, newest first."""
        kept = await self._spool.keys()
        return sorted((*kept, *self._fixed.values()), key=lambda row: row.created_at, reverse=True)

    def find(self, key_id: str) -> KeyRow | None:
        """One key by its id."""
        fixed = (row for row in self._fixed.values() if row.id == key_id)
        return self._kept.get(key_id) or next(fixed, None)

    async def close(self) -> None:
        """Let notes of last use that are under way end."""
        if self._notes:
            await asyncio.wait(self._notes)

    def _index(self) -> None:
        rows = {row.key_hash: row for row in self._kept.values()} | self._fixed
        self._clients = {digest: (row, client_of(row)) for digest, row in rows.items()}

    def _note(self, row: KeyRow, now: Millis) -> None:
        self._noted[row.id] = now
        task = asyncio.create_task(self._used(row.id, now))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def _used(self, key_id: str, now: Millis) -> None:
        try:
            await self._spool.used(key_id=key_id, at=now)
        except SpoolUnavailableError:
            self._noted.pop(key_id, None)

    def _refusal(self, why: str, *, key_id: str | None, source: str) -> Refused:
        """Counts, logs without the key, and slows whoever fails often."""
        now = self._clock.now()
        failures = self._failures.setdefault(source, deque(maxlen=FAILURES_PER_MINUTE))
        self._failures.move_to_end(source)
        if len(self._failures) > _SOURCES:
            self._failures.popitem(last=False)
        if len(failures) == FAILURES_PER_MINUTE and failures[0] > now - _MINUTE:
            wait = -(-(failures[0] + _MINUTE - now) // 1000)
            detail = f"{why}; more than {FAILURES_PER_MINUTE} failed authentications within a minute"
            return Refused(Condition.QUOTA_EXCEEDED, detail, retry_after=wait)
        log(AUTHENTICATION_REFUSED, level=logging.WARNING, source=source, key=key_id, reason=why)
        failures.append(now)
        return Refused(Condition.INVALID_KEY, f"{why}; {HOW}")


def client_of(row: KeyRow) -> Client:
    """The client that a key stands for."""
    return Client(
        name=row.client,
        key_id=row.id,
        senders=row.senders,
        recipient_domains=row.recipient_domains,
        rights=frozenset(Right(scope) for scope in row.scopes),
    )


def _letters(chance: Callable[[int], bytes], count: int) -> str:
    letters = ""
    while len(letters) < count:
        # 248 = 4 * 62: a larger byte would make some letters likelier
        letters += "".join(_BASE62[byte % 62] for byte in chance(count) if byte < 248)  # noqa: PLR2004
    return letters[:count]


def _check(stem: str) -> str:
    number = zlib.crc32(stem.encode())
    letters = ""
    for _ in range(CHECK_LETTERS):
        number, rest = divmod(number, len(_BASE62))
        letters = _BASE62[rest] + letters
    return letters
