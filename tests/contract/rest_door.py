"""The REST door over a real spool, without dispatcher: what its tests and its benchmark stand on."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from fastapi import FastAPI

from posthouse.clients.entra import EntraCallers
from posthouse.clients.keeping import Keeper
from posthouse.clients.keys import Grant, Keys
from posthouse.clients.tokens import Tokens
from posthouse.concurrency import Ceiling
from posthouse.doors.graph import app as graph
from posthouse.doors.graph import entra
from posthouse.doors.http.application import application
from posthouse.doors.http.parts import Parts
from posthouse.doors.resend.app import door as resend
from posthouse.doors.rest.app import door as native
from posthouse.findings import Doctor, Finding, Result, Wish
from posthouse.fixes import Fixes
from posthouse.identities import KeyRow
from posthouse.limits import Discipline, Limits, Use
from posthouse.message import MessageId, Millis, Status
from posthouse.outcome import Outcome
from posthouse.policy import Terms
from posthouse.rates import Rates
from posthouse.reckoning import Joiner, Standing
from posthouse.records import Finish, Mark, TransportRow
from posthouse.refusal import Condition
from posthouse.spool.sqlite.store import SqliteSpool, open_spool
from posthouse.submission import Carrier, DoorStep, Rules
from posthouse.watch import News, Watch

GRAPH_LIMIT = 3_145_728
RULES = Rules(
    carriers={
        "graph": Carrier(name="graph", kind="graph", max_wire_bytes=GRAPH_LIMIT),
        "smtp": Carrier(name="smtp", kind="smtp"),
    },
    default_route=("graph", "smtp"),
)
DISCIPLINE = Discipline(
    uses={"graph": Use(pace="", limits=Limits(), slots=0, uploads=True), "smtp": Use(pace="", limits=Limits(), slots=3)}
)


@dataclass
class Clock:
    """Real time, moved by ``ahead`` milliseconds."""

    ahead: Millis = 0

    def now(self) -> Millis:
        return time.time_ns() // 1_000_000 + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead / 1000

    def apart(self) -> int:
        return 0

    def anchor(self) -> None:
        return None


class WatchedWatch(Watch):
    """Tells the test that somebody waits."""

    def __init__(self) -> None:
        super().__init__()
        self._news: dict[MessageId, asyncio.Event] = {}

    def expect(self, message_id: MessageId) -> asyncio.Future[Status | None]:
        self._news.setdefault(message_id, asyncio.Event()).set()
        return super().expect(message_id)

    async def awaited(self, message_id: MessageId) -> None:
        """Returns when somebody has begun to wait for this message."""
        await self._news.setdefault(message_id, asyncio.Event()).wait()


@dataclass
class Door:
    """A door with its collaborators, open to the test."""

    app: FastAPI
    spool: SqliteSpool
    keys: Keys
    clock: Clock
    watch: WatchedWatch
    news: News
    state: "State"

    backlog: "Quiet"
    step: DoorStep
    keeper: Keeper

    async def key(
        self,
        *scopes: str,
        client: str = "shop",
        senders: tuple[str, ...] = ("*@contoso.com",),
        domains: tuple[str, ...] = (),
        expires_at: Millis | None = None,
    ) -> str:
        """A fresh key with these scopes, or ``submit``."""
        scopes = scopes or ("submit",)
        grant = Grant(client=client, senders=senders, recipient_domains=domains, scopes=scopes, expires_at=expires_at)
        new, _ = await self.keys.create(grant, by="test")
        return new.text

    async def http(
        self,
        *scopes: str,
        client: str = "shop",
        senders: tuple[str, ...] = ("*@contoso.com",),
        domains: tuple[str, ...] = (),
    ) -> httpx.AsyncClient:
        """A caller with such a key; faults of the application become its 500, as under a server."""
        key = await self.key(*scopes, client=client, senders=senders, domains=domains)
        return self.anonymous(authorization=f"Bearer {key}")

    async def attempt(
        self, message_id: str, outcome: Outcome, *, status: Status, held_cause: str | None = None
    ) -> None:
        """What a dispatcher would write of one try by Graph."""
        now = self.clock.now()
        key = await self.spool.key_of(MessageId(message_id))
        assert key is not None
        leases = await self.spool.lease(owner="test", now=now, most=9)
        for lease in leases:
            found = [row for row in await self.spool.peek(lane=lease.lane, now=now, most=99) if row.key == key]
            if found:
                number = found[0].attempts + 1
                await self.spool.mark(
                    Mark(
                        key=key,
                        id=found[0].id,
                        lane=lease.lane,
                        fence=lease.fence,
                        number=number,
                        attempt_id="11111111-2222-4333-8444-555555555555",
                        transport="graph",
                        kind="graph",
                        account=lease.account,
                        started_at=now,
                        deadline_at=now + 60_000,
                    )
                )
                await self.spool.finish(
                    Finish(
                        key=key,
                        id=found[0].id,
                        lane=lease.lane,
                        number=number,
                        ended_at=now + 1,
                        outcome=outcome,
                        status=status,
                        due_at=now + 60_000 if status is Status.QUEUED else None,
                        held_cause=held_cause,
                        look_at=now + 5_000 if status is Status.UNCONFIRMED else None,
                        event=f"message.{'deferred' if status is Status.QUEUED else status.value}",
                    )
                )
            await self.spool.release(lane=lease.lane, fence=lease.fence, now=now)

    async def fill_disk(self) -> None:
        """SQLite's file may not grow any more: what it says then is what it says on a full disk."""
        await self.spool._writer.write(lambda db: db.connection.pragma("max_page_count", 1))

    def anonymous(self, **headers: str) -> httpx.AsyncClient:
        """A caller with these headers only."""
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://door", headers=headers)


async def nobody(_wish: Wish) -> AsyncGenerator[Finding]:
    """A doctor who finds that one step is well."""
    yield Finding(
        step="configuration", mailbox=None, tried="look", why="because", result=Result.PASSED, seconds=0.0, seen="sound"
    )


class Quiet:
    """Lanes in which nobody waits."""

    def standing(self, account: str, joiner: Joiner) -> Standing:  # noqa: ARG002 - the protocol's
        """Nobody ahead."""
        return Standing(0, None, joiner.at)

    def join(self, account: str, joiner: Joiner) -> None:
        """Nobody counts."""


@dataclass
class State:
    """What the application around the door would tell it."""

    closed: Condition | None = None
    not_ready: str | None = None
    transports: list[TransportRow] = field(default_factory=list)
    ceilings: dict[str, Ceiling] = field(default_factory=dict)
    spoken: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def rest_door(
    directory: Path,
    *,
    rules: Rules = RULES,
    fixed: Sequence[KeyRow] = (),
    terms: Mapping[str, Terms] | None = None,
    proxies: Sequence[str] = (),
    owner: str = "test",
    callers: Callable[[Keys, Clock], EntraCallers | None] = lambda _keys, _clock: None,
    discipline: Discipline = DISCIPLINE,
    admin: bool = True,
    trusted: bool = False,
    doctor: Doctor = nobody,
) -> AsyncGenerator[Door]:
    """A door over a new spool in ``directory``."""
    clock, state, watch, news, chance = Clock(), State(), WatchedWatch(), News(), os.urandom
    spool = await open_spool(directory / "spool.db", owner=owner, clock=clock)
    spool.on_commit(news.tell)
    keys = Keys(spool=spool, clock=clock, chance=chance, fixed=fixed, terms=terms)
    rates = Rates()
    keeper = Keeper(spool=spool, clock=clock, owner=owner, rates=rates)
    await keys.load()

    async def ready() -> str | None:
        return state.not_ready

    async def shown() -> Sequence[TransportRow]:
        return state.transports

    step = DoorStep(
        spool=spool,
        rules=rules,
        clock=clock,
        chance=chance,
        backlog=Quiet(),
        closed=lambda: state.closed,
        rates=rates,
        took=keeper.took,
    )
    parts = Parts(
        step=step,
        spool=spool,
        keys=keys,
        clock=clock,
        watch=watch,
        news=news,
        diagnosis=Fixes(),
        ready=ready,
        discipline=discipline,
        transports=shown,
        ceiling=state.ceilings.get,
        spoken=state.spoken.set,
        trusted=trusted,
        keeper=keeper,
        doctor=doctor,
        proxies=proxies,
        callers=callers(keys, clock),
        tokens=Tokens(keys, signing=spool.token_keys, clock=clock),
    )
    doors = [entra.door(clock, public_url=""), graph.door(clock), resend(), native(admin=admin)]
    app = application(parts, doors, documented=admin, chance=chance, version="0")
    try:
        yield Door(app, spool, keys, clock, watch, news, state, Quiet(), step, keeper)
    finally:
        await keeper.close()
        await keys.close()
        await spool.close()
