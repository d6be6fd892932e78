"""All clients and what proves them, in memory: who stands behind a key, a password or an address (CONTRACT §3)."""

import asyncio
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from posthouse.clients.failures import Failures
from posthouse.clients.forms import NewKey, hash_key, key_id_of, make_device, make_key
from posthouse.clients.networks import inside
from posthouse.identities import ClientRow, KeyKind, KeyRow
from posthouse.message import Millis
from posthouse.policy import Client, Right, Terms, folded, matches
from posthouse.ports import Clock, Spool, SpoolUnavailableError
from posthouse.records import AuditEntry
from posthouse.refusal import Condition, Refused
from posthouse.telemetry import CLIENT_CHANGED, KEY_CREATED, KEY_REVOKED, KEY_ROTATED, log

USED_EVERY: Final[Millis] = 60_000
"""A key's last use is written down at most once in this time."""

HOW: Final = "send 'Authorization: Bearer ph_live_…'"

Place = Literal["http", "smtp"]
"""By which kind of door somebody comes: a device's password opens the SMTP door only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a key to be made allows; no key is made without at least one sender."""

    client: str
    senders: tuple[str, ...]
    recipient_domains: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ("submit",)
    expires_at: Millis | None = None
    kind: Literal["api", "device"] = "api"


class Keys:
    """All keys; those of the settings (``fixed``, with their clients' ``terms``) beside those of the spool."""

    def __init__(
        self,
        *,
        spool: Spool,
        clock: Clock,
        chance: Callable[[int], bytes],
        fixed: Sequence[KeyRow] = (),
        terms: Mapping[str, Terms] | None = None,
    ) -> None:
        self._spool = spool
        self._clock = clock
        self._chance = chance
        self._fixed = fixed
        self._terms = terms or {}
        self._kept: dict[str, KeyRow] = {}
        self._rows: dict[str, ClientRow] = {}
        self._clients: dict[bytes, tuple[KeyRow, Client]] = {}
        self._others: list[tuple[KeyRow, Client]] = []
        self._noted: dict[str, Millis] = {}
        self._notes: set[asyncio.Task[None]] = set()
        self._failures = Failures()
        self._index()

    async def load(self) -> None:
        """Read the spool's keys and clients; at start, before the first caller."""
        known = await self._spool.identities()
        self._kept = {row.id: row for row in known.keys}
        self._rows = {row.name: row for row in known.clients}
        self._index()

    def authenticate(self, text: str | None, *, source: str, place: Place = "http") -> Client:
        """The client behind a key; raises Refused (MISSING_CREDENTIALS, INVALID_KEY, or QUOTA_EXCEEDED after many)."""
        if text is None:
            raise Refused(Condition.MISSING_CREDENTIALS, f"no key; {HOW}")
        hint = HOW if place == "http" else ""
        digest = hash_key(text)
        row, client = self._clients.get(digest, (None, None))
        if row is None or client is None or not hmac.compare_digest(row.key_hash, digest):
            key_id = key_id_of(text)
            why = "not a key of this service" if key_id is None else "unknown key"
            raise self.refusal(why, key_id, source=source, hint=hint)
        if (why := self._unfit(row, source=source, place=place)) is not None:
            raise self.refusal(why, row.id, source=source, hint=hint)
        self._use(row)
        return client

    def by_network(self, source: str) -> Client | None:
        """The network client that an address belongs to; of several, the one of the smallest network."""
        found = [(inside(source, row.networks), client) for row, client in self._others if row.kind == "network"]
        length, client = max(found, key=lambda one: one[0], default=(-1, None))
        return client if length >= 0 else None

    def by_app(self, app_id: str) -> Client | None:
        """The client whose Entra app this is."""
        wanted = app_id.lower()
        return next((client for row, client in self._others if row.kind == "entra" and row.id == wanted), None)

    def standing(self, key_id: str, *, source: str) -> Client:
        """The client of a key that proved itself before (a token made of it); raises Refused(INVALID_KEY)."""
        row = self.find(key_id)
        if row is None or row.kind != "api":
            raise self.refusal("unknown key", key_id, source=source)
        if (why := self._unfit(row, source=source, place="http")) is not None:
            raise self.refusal(why, key_id, source=source)
        self._use(row)
        return self._clients[row.key_hash][1]

    def refusal(
        self,
        why: str,
        key_id: str | None,
        *,
        source: str,
        condition: Condition = Condition.INVALID_KEY,
        hint: str = "",
    ) -> Refused:
        """Count a failed authentication; what to answer."""
        return self._failures.refusal(
            why, key_id=key_id, source=source, now=self._clock.now(), condition=condition, hint=hint
        )

    def names(self, client: str, address: str) -> bool:
        """Whether a key of this client allows the address by its name, not by a wildcard."""
        rows = (row for row in (*self._kept.values(), *self._fixed) if row.client == client)
        return any(folded(sender) == folded(address) for row in rows for sender in row.senders)

    def may_send_as(self, client: str, address: str) -> bool:
        """Whether any key of this client allows the address."""
        return any(
            matches(row.senders, address) for row in (*self._kept.values(), *self._fixed) if row.client == client
        )

    async def create(self, grant: Grant, *, by: str) -> tuple[NewKey, KeyRow]:
        """Make a key or a device's password and keep its hash durably; the client is made where there is none."""
        new = make_device(self._chance) if grant.kind == "device" else make_key(self._chance)
        row = KeyRow(
            id=new.id,
            client=grant.client,
            key_hash=new.hash,
            kind=grant.kind,
            senders=grant.senders,
            recipient_domains=grant.recipient_domains,
            networks=grant.networks,
            scopes=grant.scopes,
            created_at=self._clock.now(),
            expires_at=grant.expires_at,
        )
        data: dict[str, object] = {"client": row.client, "kind": row.kind, "senders": row.senders, "scopes": row.scopes}
        await self._spool.save_key(row, self._entry("key.create", row.id, by=by, data=data))
        await self.load()
        log(KEY_CREATED, key=row.id, kind=row.kind, client=row.client, senders=row.senders, scopes=row.scopes, by=by)
        return new, row

    async def rotate(self, key_id: str, *, grace: Millis, by: str) -> tuple[NewKey, KeyRow] | None:
        """A new key that allows the same, and an end of the old one after ``grace``; None where the spool has none."""
        old, now = self._kept.get(key_id), self._clock.now()
        if old is None or old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
            return None
        made = await self.create(
            Grant(
                client=old.client,
                senders=old.senders,
                recipient_domains=old.recipient_domains,
                networks=old.networks,
                scopes=old.scopes,
                expires_at=old.expires_at,
                kind="device" if old.kind == "device" else "api",
            ),
            by=by,
        )
        ends = now + grace if old.expires_at is None else min(old.expires_at, now + grace)
        data: dict[str, object] = {"into": made[1].id, "ends_at": ends}
        await self._spool.save_key(replace(old, expires_at=ends), self._entry("key.rotate", key_id, by=by, data=data))
        await self.load()
        log(KEY_ROTATED, key=key_id, into=made[1].id, client=old.client, by=by)
        return made

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
        kept = (await self._spool.identities()).keys
        return sorted((*kept, *self._fixed), key=lambda row: row.created_at, reverse=True)

    async def clients(self) -> Sequence[ClientRow]:
        """All clients by name, those of the settings with the terms that stand there."""
        kept = {row.name: row for row in (await self._spool.identities()).clients}
        for name in {row.client for row in self._fixed}:
            row = kept.get(name) or ClientRow(name=name, created_at=0)
            kept[name] = replace(row, terms=self._terms.get(name, row.terms))
        return [kept[name] for name in sorted(kept)]

    async def client(self, name: str) -> ClientRow | None:
        """One of them."""
        return next((row for row in await self.clients() if row.name == name), None)

    def settled(self, name: str) -> bool:
        """Whether the settings say the terms of this client."""
        return name in self._terms

    async def change(self, row: ClientRow, *, action: str, by: str) -> None:
        """Keep a client's new terms, or that it is paused or resumed; audited."""
        data: dict[str, object] = {"paused": row.paused_at is not None}
        await self._spool.save_client(row, self._entry(action, row.name, by=by, data=data))
        await self.load()
        log(CLIENT_CHANGED, client=row.name, action=action, by=by)

    @property
    def rated(self) -> bool:
        """Whether any client has a rate of its own."""
        terms = [*self._terms.values(), *(row.terms for row in self._rows.values())]
        return any(one.rates for one in terms)

    def content_until_sent(self) -> Sequence[str]:
        """The clients whose content is deleted as soon as it was sent."""
        terms = {name: row.terms for name, row in self._rows.items()} | dict(self._terms)
        return [name for name, one in terms.items() if one.content == "until_sent"]

    def find(self, key_id: str) -> KeyRow | None:
        """One key by its id."""
        fixed = (row for row in self._fixed if row.id == key_id)
        return self._kept.get(key_id) or next(fixed, None)

    async def close(self) -> None:
        """Let notes of last use that are under way end."""
        if self._notes:
            await asyncio.wait(self._notes)

    def _entry(self, action: str, target: str, *, by: str, data: Mapping[str, object]) -> AuditEntry:
        return AuditEntry(at=self._clock.now(), by=by, action=action, target=target, data=data)

    def _index(self) -> None:
        rows = [(row, self._client(row)) for row in (*self._kept.values(), *self._fixed)]
        self._clients = {row.key_hash: (row, client) for row, client in rows if row.kind in _BY_HASH}
        self._others = [(row, client) for row, client in rows if row.kind not in _BY_HASH]

    def _client(self, row: KeyRow) -> Client:
        kept = self._rows.get(row.client)
        terms = self._terms.get(row.client) or (kept.terms if kept else Terms())
        return client_of(row, terms=terms, paused=kept is not None and kept.paused_at is not None)

    def _unfit(self, row: KeyRow, *, source: str, place: Place) -> str | None:
        """Why a key that is known proves nothing here and now."""
        now = self._clock.now()
        if row.revoked_at is not None and row.revoked_at <= now:
            return "the key was revoked"
        if row.expires_at is not None and row.expires_at <= now:
            return "the key has expired"
        if row.kind == "device" and place != "smtp":
            return "a device's password is for the SMTP door only"
        if row.networks and inside(source, row.networks) < 0:
            return f"the key is for other networks than that of {source}"
        return None

    def _use(self, row: KeyRow) -> None:
        now = self._clock.now()
        if now - self._noted.get(row.id, 0) < USED_EVERY or row.id not in self._kept:
            return
        self._noted[row.id] = now
        task = asyncio.create_task(self._used(row.id, now))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def _used(self, key_id: str, now: Millis) -> None:
        try:
            await self._spool.used(key_id=key_id, at=now)
        except SpoolUnavailableError:
            self._noted.pop(key_id, None)


_BY_HASH: Final[frozenset[KeyKind]] = frozenset({"api", "device"})
_PATIENT: Final[frozenset[KeyKind]] = frozenset({"device", "network"})
"""Those that do not send again what was refused: over their rate they wait (CONTRACT §2.4)."""


def client_of(row: KeyRow, *, terms: Terms, paused: bool = False) -> Client:
    """The client that a key stands for."""
    if terms.over_rate is None and row.kind in _PATIENT:
        terms = replace(terms, over_rate="delay")
    return Client(
        name=row.client,
        key_id=row.id,
        senders=row.senders,
        recipient_domains=row.recipient_domains,
        rights=frozenset(Right(scope) for scope in row.scopes),
        terms=terms,
        paused=paused,
    )
