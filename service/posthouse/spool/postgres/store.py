"""The spool on PostgreSQL: every verb of ``ports.Spool``, for any number of processes (SPOOL §6, §8)."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from typing import Concatenate, Final, ParamSpec, TypeVar

from posthouse.continuity import Anchor, Chain
from posthouse.identities import ClientRow, Identities, KeyRow, Refusal, Use
from posthouse.message import Body, Content, Event, Message, MessageId, Millis, Status
from posthouse.outcome import RefusedRecipient
from posthouse.ports import NOTHING_READ, Clock, Cursors, SpoolUnavailableError, Wake
from posthouse.records import (
    AddResult,
    Alert,
    AlertRow,
    AttemptRow,
    AuditEntry,
    Bounce,
    Bounced,
    Command,
    CommandResult,
    DraftNote,
    Erased,
    Erasure,
    FeedPage,
    Filters,
    Finish,
    Inbox,
    InboxAsk,
    LaneRow,
    Lease,
    Mark,
    Move,
    Moved,
    Page,
    Past,
    Pause,
    Presence,
    Record,
    SenderBlock,
    Settlement,
    Sharer,
    Space,
    Stray,
    Submission,
    TenantBounce,
    Told,
    TransportKind,
    TransportRow,
    Unreported,
    Unsettled,
    Way,
    Witness,
)
from posthouse.spool.postgres import (
    alerting,
    blocks,
    bounces,
    clocks,
    contents,
    drafts,
    erasing,
    feeding,
    finding,
    purging,
    reading,
    registers,
    restoring,
    sending,
    standing,
    sweeping,
)
from posthouse.spool.postgres import lanes as of_lanes
from posthouse.spool.postgres.accepting import AddLoad, adding, prepare
from posthouse.spool.postgres.committer import Committer
from posthouse.spool.postgres.database import Address, Database, Session, drop
from posthouse.spool.postgres.heart import Heart
from posthouse.spool.postgres.known import Keys, Lanes
from posthouse.spool.postgres.listening import Listener
from posthouse.spool.postgres.resealing import Resealing
from posthouse.spool.postgres.schema import check_server, migrate
from posthouse.spool.postgres.unlocking import unlock
from posthouse.spool.postgres.waking import Waker
from posthouse.spool.sealing import Keyring, Secrets

SESSIONS: Final = 6
"""Connections that verbs share, beside one for each of the three committers, one that beats and one that listens."""
LOOK_EVERY: Final = 1.0
"""Seconds after which the owner of a lane looks at it again: other processes add to it, and tell only sleepers."""
KEY_USE_NOTED: Final[Millis] = 60_000
"""A key's last use is written at most this often."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


class PostgresSpool:
    """One process's part in the spool; made by ``open_spool``. ``sends``: it may lease lanes."""

    def __init__(self, database: Database, *, owner: str, clock: Clock, sends: bool, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring
        self._resealing = Resealing(database, keyring)
        self._sends = sends
        self._clock = clock
        self._heart = Heart(database, boot=owner, clock=clock)
        self._waker = Waker()
        self._lanes = Lanes(database)
        self._keys = Keys(database)
        self._listener = Listener(database, self._waker)
        self._committed: Callable[[], None] | None = None
        self._adds: Committer[AddLoad, AddResult] = Committer(
            database, adding(self._waker), apart=None, clock=clock, told=self._tell
        )
        marking = sending.marking(lambda: self._heart.worker)
        self._marks: Committer[sending.MarkLoad, bool] = Committer(
            database, marking, apart=lambda load: load[0].key, clock=clock, told=self._tell
        )
        finishing = sending.finishing(lambda: self._heart.worker, self._waker)
        self._ends: Committer[Finish, bool] = Committer(
            database, finishing, apart=lambda end: end.key, clock=clock, told=self._tell
        )
        self._used: dict[str, Millis] = {}
        self._in_doubt: set[int] = set()
        """First keys of submissions whose commit was asked for and not answered."""
        self._closed = False

    async def start(self) -> None:
        """Take part: beat and listen."""
        if self._sends:
            await self._heart.start(sends=True)
            self._listener.start()

    @property
    def token_keys(self) -> Mapping[str, bytes]:
        """What access tokens are signed with, by the id of the master they derive from; the one in force comes first."""
        return self._keyring.token_keys

    def pseudonym(self, address: str) -> str:
        """What stands for an address where it must not: the same for the same one, and only for who has the master."""
        return self._keyring.pseudonym(address)

    def on_wake(self, wake: Wake) -> None:
        """Tell ``wake`` from now on of lanes that got something to do."""
        self._waker.on_wake(wake)

    def on_commit(self, told: Callable[[], None]) -> None:
        """Call ``told`` after the commits of this process that most often make the feed grow."""
        self._committed = told

    def _tell(self) -> None:
        if self._committed is not None:
            self._committed()

    @property
    def look_every(self) -> float | None:
        """Other processes add to lanes that this one owns, and do not tell it."""
        return LOOK_EVERY

    @property
    def hears(self) -> bool:
        """Whether other processes are heard when they wake a lane; else somebody looks each second."""
        return self._listener.hears

    def lease_left(self) -> float:
        """Seconds for which this process's leases hold at least."""
        return self._heart.left()

    # --- accepting

    async def add(self, submission: Submission) -> AddResult:
        """Keep it durably, all of it or nothing; raises SpoolUnavailableError."""
        messages = submission.messages
        lanes_of = await self._lanes.ids(message.account for message in messages)
        stored_key = contents.stored_key(submission)
        first = await self._keys.take(len(messages)) if stored_key is None else stored_key
        small = [stored for message in messages if (stored := contents.inline(message.content))]
        if len(small) == len(messages):
            load = prepare(submission, first=first, contents=small, lanes=lanes_of, keyring=self._keyring)
            return await self._adds.submit(load, size=load.size)
        keyring = self._keyring
        async with contents.Storing(self._database, first=first, clock=self._clock, keyring=keyring) as storing:
            stored = [await storing.store(message.content) for message in messages]
            load = prepare(submission, first=first, contents=stored, lanes=lanes_of, keyring=keyring)
            storing.asked = True
            self._in_doubt.add(first)
            result = storing.kept(await self._adds.submit(load, size=load.size))
            self._in_doubt.discard(first)
            return result

    @asynccontextmanager
    async def store(self, blocks: AsyncIterator[bytes], *, small: bool) -> AsyncGenerator[Body]:
        """Keep a body while it arrives; after the context only if a message with it was added."""
        key = await self._keys.take(1)
        keeping = contents.Keeping(self._database, key, keyring=self._keyring, clock=self._clock)
        try:
            async with keeping.run(blocks, small=small, in_doubt=self._in_doubt) as body:
                yield body
        finally:
            self._in_doubt.discard(key)

    # --- sending

    async def lease(self, *, owner: str, now: Millis, most: int, running: Collection[int] = ()) -> Sequence[Lease]:  # noqa: ARG002 - the heartbeat's row stands for the owner
        """Take lanes that have something due and no living owner."""
        return await self._ask(of_lanes.lease, worker=self._heart.worker, now=now, most=most, running=running)

    async def holds(self, *, lane: int, fence: int) -> bool:
        """Whether the lease is still this one."""
        return await self._ask(of_lanes.holds, lane=lane, fence=fence, worker=self._heart.worker)

    async def next_due(self) -> Millis | None:
        """When the next lane without a living owner has something to do, or when an owner may be known to be dead."""
        async with self._database.session() as session:
            return await session.number("next_due", now=self._clock.now(), worker=self._heart.worker)

    async def past(self, *, lanes: Sequence[int], now: Millis) -> Mapping[int, Past]:
        """What the accounts of these lanes used up lately."""
        return await self._ask(of_lanes.past, lanes=lanes, now=now, worker=self._heart.worker)

    async def peek(self, *, lane: int, now: Millis, most: int, after: Cursors = NOTHING_READ) -> Sequence[Message]:
        """What is due in a lane, by priority, then age: ``most`` rows shared out to its strands, each at least one."""
        return await self._ask(reading.peek, lane=lane, now=now, most=most, after=after)

    async def next_in(self, *, lane: int, after: Millis | None = None) -> Millis | None:
        """When the earliest queued row of a lane is due, or the earliest of those that are due later than ``after``."""
        async with self._database.session() as session:
            return await session.number("next_in", lane=lane, after=after)

    async def content(self, key: int) -> Content | None:
        """The content; None where it was purged; raises ContentUnreadableError."""
        return await contents.read(self._database, key, keyring=self._keyring)

    async def mark(self, mark: Mark) -> bool:
        """Write ``sending`` and the attempt; False where the row is not queued any more or the fence is old."""
        account = self._lanes.known(mark.account)
        if account is None:
            account = (await self._lanes.ids([mark.account]))[mark.account.lower()]
        return await self._marks.submit((mark, account))

    async def note_refused(self, *, key: int, number: int, refused: Sequence[RefusedRecipient]) -> None:
        """Write down refused recipients before DATA, so that settling knows them."""
        await self._ask(sending.note_refused, key, number, refused)

    async def note_draft(self, *, key: int, number: int, note: DraftNote) -> bool:
        """Write down how far an attempt by draft has come; False where it is not the attempt under way."""
        return await self._ask(drafts.note, key, number, note)

    async def finish(self, finish: Finish) -> bool:
        """Write the outcome; False where a later attempt exists or another has settled it: then it is an event."""
        if finish.next_account is not None:
            await self._lanes.ids([finish.next_account])
        return await self._ends.submit(finish)

    async def defer(self, *, key: int, lane: int, due_at: Millis, at: Millis, cause: str) -> None:
        """Put a queued row later without an attempt, for a cause that its history names."""
        await self._ask(of_lanes.defer, key=key, lane=lane, due_at=due_at, at=at, cause=cause)
        self._waker.tell(frozenset({lane}))

    async def hold(self, *, key: int, id: MessageId, at: Millis, cause: str) -> None:  # noqa: A002, ARG002 - the port's
        """Hold a queued row that no transport of its route can carry."""
        async with self._database.session() as session:
            await session.run("hold", message=key, at=at, cause=cause)

    async def expire(self, *, now: Millis, most: int) -> int:
        """End queued and held rows whose client's own expiry is over; how many."""
        async with self._database.session() as session:
            return await session.number("expire", now=now, most=most) or 0

    async def release(self, *, lane: int, fence: int, now: Millis) -> None:  # noqa: ARG002 - the port's
        """Give a lane back; its ``next_at`` is computed from its rows and pauses."""
        await self._ask(of_lanes.release, lane=lane, fence=fence, worker=self._heart.worker)

    async def move(self, move: Move) -> Moved:
        """Put queued rows into the lane of another account."""
        (target,) = (await self._lanes.ids([move.account])).values()
        async with self._database.session() as session:
            moved = await of_lanes.move(session, move, target=target, worker=self._heart.worker)
            await self._waker.messages(session, moved.keys)
        return moved

    async def pause(self, *, lane: int, pause: Pause) -> None:
        """Pause a lane or one transport of it."""
        await self._ask(of_lanes.pause, lane=lane, pause=pause)
        self._waker.tell(frozenset({lane}))

    async def resume(self, *, lane: int, transport: str | None, at: Millis) -> None:
        """End a pause; the end of a block is remembered."""
        await self._ask(of_lanes.resume, lane=lane, transport=transport, at=at)
        self._waker.tell(frozenset({lane}))

    async def tell_lane(self, *, account: str, paused: bool, at: Millis, by: str) -> bool:
        """Write down that a person pauses or resumes a lane, audited; False where there is none to resume."""
        async with self._database.session() as session:
            lane = await session.number("lane_of", account=account.lower())
        if lane is None:
            if not paused:
                return False
            (lane,) = (await self._lanes.ids([account])).values()
        await self._ask(of_lanes.tell, lane=lane, account=account, paused=paused, at=at, by=by)
        self._waker.tell(frozenset({lane}))
        return True

    async def spoken(self, *, since: Millis) -> Mapping[int, Told]:
        """What people said about lanes since then, by lane."""
        return await self._ask(of_lanes.spoken, since=since)

    async def tell_transport(self, *, name: str, paused: bool, at: Millis, by: str) -> None:
        """Write down that a person pauses or resumes a transport, audited."""
        await self._ask(registers.tell_transport, name=name, paused=paused, at=at, by=by)

    async def recipient_hours(self, *, since: Millis) -> Sequence[tuple[int, int]]:
        """The recipients of all accounts together by hours since 1970, from the hour of ``since`` on."""
        return await self._ask(of_lanes.recipient_hours, since=since)

    async def block_sender(self, block: SenderBlock) -> bool:
        """Hold all queued and future rows of this sender in this mailbox; False where it was blocked before."""
        return await self._ask(blocks.block, block)

    async def unblock_sender(self, *, mailbox: str, sender: str, at: Millis) -> None:
        """Delete the block and release its rows in order of age."""
        await self._ask(blocks.unblock, self._waker, mailbox=mailbox, sender=sender, at=at)

    async def probe_senders(self, *, now: Millis, next_probe: Millis) -> int:
        """Release the oldest row of every block whose probe is due; how many."""
        return await self._ask(blocks.probe, self._waker, now=now, next_probe=next_probe)

    async def save_transport(self, row: TransportRow) -> None:
        """Write down a circuit's or a block's state."""
        await self._ask(registers.save_transport, row)

    async def transports(self) -> Sequence[TransportRow]:
        """What was written down."""
        return await self._ask(registers.transports)

    # --- settling

    async def anchor(self, anchor: Anchor, *, before: Anchor | None, now: Millis) -> Chain:
        """Hold fast how this process's time lies; where nothing is new, nothing is written."""
        return await self._ask(clocks.anchor, anchor, before=before, now=now)

    async def turn_back(self, *, now: Millis) -> Millis:
        """By how much the clock was set back, after nothing waits for that any more; 0 while other workers live."""
        return await self._ask(sweeping.turn_back, now=now, worker=self._heart.worker)

    async def recover(self, *, now: Millis, grace: float) -> int:
        """Every row a dead worker left in ``sending`` is unconfirmed from its deadline plus ``grace``; how many."""
        return await self._ask(sweeping.recover, self._waker, now=now, grace=grace, worker=self._heart.worker)

    async def restored(self, *, now: Millis, ways: Mapping[str, Way]) -> int | None:
        """At start of a restored copy: what was due by ``now`` is in doubt before it is sent; None where it is none."""
        restoring_ = restoring.Restoring(self._database, self._lanes, self._waker, worker=self._heart.worker)
        return await restoring_.run(now=now, ways=ways)

    async def mark_restored(self, *, taken_at: Millis | None) -> Millis:
        """Say that this is a copy, made at that moment or when the last thing happened that it knows of."""
        return await self._ask(restoring.mark, taken_at or 0)

    async def recover_lost(self, *, now: Millis, grace: float, live: Collection[int]) -> int:
        """The same for rows of this process past their deadline plus ``grace`` that are not in ``live``."""
        worker = self._heart.worker
        return await self._ask(sweeping.recover_lost, self._waker, now=now, grace=grace, live=live, worker=worker)

    async def free_held(self, *, now: Millis, transports: Collection[str], carrying: Collection[str], most: int) -> int:
        """Queue held rows whose cause is gone."""
        return await self._ask(
            sweeping.free_held, self._waker, now=now, transports=transports, carrying=carrying, most=most
        )

    async def free_drafts(self, *, now: Millis, before: Millis, most: int) -> int:
        """Queue again what is held because drafts may not be written and was tried last before ``before``; how many."""
        return await self._ask(drafts.free, self._waker, now=now, before=before, most=most)

    async def strays(self, *, now: Millis, after: float, most: int, lanes: Collection[int]) -> Sequence[Stray]:
        """Messages that were final ``after`` seconds ago and may have left drafts, in those of these lanes that it holds."""
        worker = self._heart.worker
        return await self._ask(drafts.strays, self._waker, now=now, after=after, most=most, lanes=lanes, worker=worker)

    async def next_stray(self, *, lane: int) -> Millis | None:
        """When drafts are looked for in this lane next."""
        async with self._database.session() as session:
            return await session.number("next_stray", lane=lane)

    async def swept(self, *, key: int, again_at: Millis | None) -> None:
        """The drafts of a message were looked for: never again, or at ``again_at``."""
        await self._ask(drafts.swept, key=key, again_at=again_at)

    async def inboxes(self, ask: InboxAsk) -> Sequence[Inbox]:
        """Mailboxes whose reports this worker reads now, in lanes that it holds or nobody does."""
        return await self._ask(bounces.inboxes, ask, worker=self._heart.worker)

    async def save_bounces(
        self, inbox: Inbox, *, found: Sequence[Bounce], cursor: str | None, now: Millis, next_at: Millis
    ) -> Sequence[Bounced]:
        """Attach each bounce once to its message, and go on from ``cursor`` at ``next_at``; those that were new."""
        return await self._ask(bounces.save, inbox, found=found, cursor=cursor, now=now, next_at=next_at)

    async def tenant_bounces(self, *, since: Millis) -> Sequence[TenantBounce]:
        """The latest reports since then that refuse the tenant, the latest first."""
        return await self._ask(bounces.tenant, since=since)

    async def wake_sleepers(self) -> int:
        """Wake lanes that have something to do and do not know when; how many."""
        return await self._ask(sweeping.wake_sleepers)

    async def unsettled(self, *, now: Millis, most: int, lanes: Collection[int]) -> Sequence[Unsettled]:
        """Rows whose next look-up is due, in those of these lanes that this process holds."""
        return await self._ask(reading.unsettled, now=now, most=most, lanes=lanes, worker=self._heart.worker)

    async def next_look(self, *, lanes: Collection[int]) -> Millis | None:
        """When the next look-up is due in those of these lanes that this process holds."""
        async with self._database.session() as session:
            return await session.number("next_look", lanes=list(lanes), worker=self._heart.worker)

    async def look_held(self, *, account: str, cause: str, at: Millis) -> int:
        """Look at ``at`` for what is held for this cause and went out through this account; how many."""
        async with self._database.session() as session:
            keys = await standing.look_held(session, account=account, cause=cause, at=at)
            await self._waker.messages(session, keys)
        return len(keys)

    async def asks(self, *, now: Millis, most: int, lanes: Collection[int]) -> Sequence[tuple[int, Presence]]:
        """Where a fresh witness is looked for now, by lane."""
        return await self._ask(reading.asks, now=now, most=most, lanes=lanes, worker=self._heart.worker)

    async def presences(self) -> Sequence[Presence]:
        """Whether copies are found, for every account that was ever asked."""
        return await self._ask(reading.presences)

    async def presence(self, *, account: str, kind: TransportKind, own: bool) -> Presence | None:
        """The same for one; None where it was never asked."""
        return await self._ask(reading.presence, account=account, kind=kind, own=own)

    async def save_presence(self, presence: Presence) -> None:
        """Write it down; its lane wakes at ``ask_at``."""
        (lane,) = (await self._lanes.ids([presence.account])).values()
        async with self._database.session() as session:
            await standing.save_presence(session, presence, lane=lane)
            if presence.ask_at is not None:
                await self._waker.lane_at(session, lane, presence.ask_at)

    async def slowest(self, *, after: Millis) -> Millis:
        """The slowest appearance seen since ``after``; 0 where none was."""
        async with self._database.session() as session:
            return await session.number("slowest", after=after) or 0

    async def witnesses(
        self, *, account: str | None, kind: TransportKind, own: bool, before: Millis, after: Millis, most: int
    ) -> Sequence[Witness]:
        """Messages known as sent with that kind and origin of Message-ID, latest first; None asks all accounts."""
        asked = {"kind": kind, "own": own, "before": before, "after": after, "most": most}
        return await self._ask(reading.witnesses, account=account, **asked)

    async def proven(self) -> AbstractSet[str]:
        """The accounts that have ever sent something."""
        async with self._database.session() as session:
            return {str(row[0]) for row in await session.rows("proven")}

    async def sharing(self, *, account: str, message_id: str) -> Sequence[Sharer]:
        """Every attempt that went out through this account with this Message-ID, or may have."""
        return await self._ask(reading.sharing, account=account, message_id=message_id)

    async def settle(self, settlement: Settlement) -> bool:
        """Write a conclusion; False where the row is settled already."""
        async with self._database.session() as session:
            key = await standing.settle(session, settlement)
            if key is not None:
                await self._waker.messages(session, [key])
                self._tell()
        return key is not None

    async def obey(self, command: Command) -> CommandResult:
        """Do what a person asked, under the rules of PROMISES §5."""
        async with self._database.session() as session:
            result, key = await standing.obey(session, command)
            if key is not None:
                await self._waker.messages(session, [key])
                self._tell()
        return result

    async def erase(self, erasure: Erasure) -> Erased:
        """Erase what is kept of the final messages to a recipient, but what accounting needs."""
        return await self._ask(erasing.erase, self._keyring, erasure)

    # --- asking

    async def find(self, filters: Filters, *, now: Millis) -> Page:
        """A page of records."""
        return await self._ask(finding.find, filters, now=now)

    async def get(self, message_id: MessageId, *, now: Millis) -> Record | None:
        """One record."""
        return await self._ask(finding.get, message_id, now=now)

    async def key_of(self, message_id: MessageId) -> int | None:
        """The spool's own key of a message."""
        async with self._database.session() as session:
            return await session.number("key_of", public_id=finding.public(message_id))

    async def ended(self, message_ids: Sequence[MessageId]) -> Mapping[MessageId, Status]:
        """Those of these messages that are final, and how."""
        return await self._ask(finding.ended, message_ids)

    async def attempts(self, message_id: MessageId) -> Sequence[AttemptRow]:
        """Every try of a message, oldest first."""
        return await self._ask(finding.attempts, message_id)

    async def events(self, message_id: MessageId) -> Sequence[Event]:
        """A message's history, oldest first."""
        return await self._ask(finding.events, message_id)

    async def feed(self, *, after: str | None, types: Collection[str], client: str | None, most: int) -> FeedPage:
        """Events behind a cursor; raises ValueError for a cursor that this spool never gave."""
        return await self._ask(feeding.feed, after=after, types=types, client=client, most=most)

    async def lanes(self, *, now: Millis, account: str | None = None) -> Sequence[LaneRow]:
        """Every lane that has unfinished rows or a pause, or the one of an account, whatever it has."""
        return await self._ask(finding.lanes, now=now, account=account)

    async def counts(self) -> Mapping[Status, int]:
        """Messages by stored status."""
        return await self._ask(finding.counts)

    async def oldest(self) -> Mapping[Status, Millis]:
        """When the oldest message of each stored status but ``sent`` was accepted."""
        return await self._ask(finding.oldest)

    async def space(self) -> Space:
        """How large the spool is, and how much may still be written."""
        return Space(await self._ask(finding.taken), None)

    # --- operating

    async def see_alerts(self, seen: Sequence[Alert], *, now: Millis, before: Millis, passing: Collection[str]) -> None:
        """What is wrong now; what nobody has seen since ``before`` has ended."""
        await self._ask(alerting.see, seen, now=now, before=before, passing=passing)

    async def claim_alerts(self, *, now: Millis) -> Sequence[AlertRow]:
        """Those that nobody was told of; they are due again after a while."""
        return await self._ask(alerting.claim, now=now)

    async def alert_told(self, row: AlertRow, *, at: Millis) -> None:
        """Somebody was told; one that has ended is forgotten."""
        await self._ask(alerting.told, row, at=at)

    async def alerts(self) -> Sequence[AlertRow]:
        """Those that stand, the oldest first."""
        return await self._ask(alerting.alerts)

    async def unreported(self, *, since: Millis, after: int, client: str, most: int) -> Sequence[Unreported]:
        """Failed mail of the SMTP door since then, behind the key ``after``, that no report of ``client`` is about, the oldest first."""
        return await self._ask(finding.unreported, since=since, after=after, client=client, most=most)

    async def audit(self, entry: AuditEntry) -> None:
        """Write down who did something."""
        values = {"by": entry.by, "action": entry.action, "target": entry.target, "data": entry.data}
        await self._ask(standing.audit, entry.at, **values)

    async def save_key(self, key: KeyRow, entry: AuditEntry) -> None:
        """Keep a key, audited; the client is made where there is none."""
        await self._ask(registers.save_key, key, entry)

    async def revoke_key(self, key_id: str, *, at: Millis, by: str) -> bool:
        """End a key; False where there is none."""
        return await self._ask(registers.revoke_key, key_id, at=at, by=by)

    async def identities(self) -> Identities:
        """All keys and all clients that ever had one."""
        return await self._ask(registers.identities)

    async def save_client(self, client: ClientRow, entry: AuditEntry) -> None:
        """Keep a client's terms and whether it is paused, audited."""
        await self._ask(registers.save_client, client, entry)

    async def share_use(self, uses: Sequence[Use], *, owner: str, since: int) -> Sequence[Use]:
        """Write down what this process took in by client and minute; what others did since that minute."""
        if uses:
            await self._ask(registers.share_use, uses, owner=owner, since=since)
        return await self._ask(registers.use_of_others, owner=owner, since=since)

    async def save_refusals(self, refusals: Sequence[Refusal]) -> None:
        """Add to the groups of refusals; the latest are kept."""
        await self._ask(registers.save_refusals, refusals)

    async def refusals(self, *, most: int) -> Sequence[Refusal]:
        """The groups, the latest first."""
        return await self._ask(registers.refusals, most=most)

    async def used(self, *, key_id: str, at: Millis) -> None:
        """Remember a key's last use, to the minute."""
        if at - self._used.get(key_id, 0) >= KEY_USE_NOTED:
            self._used[key_id] = at
            async with self._database.session() as session:
                await session.run("key_used", id=key_id, at=at)

    async def purge(
        self, *, now: Millis, retention: float, content_retention: float, most: int, at_once: Sequence[str] = ()
    ) -> int:
        """Delete finished messages, contents and answers whose time is over; how many rows."""
        kept = {"retention": retention, "content_retention": content_retention}
        return await self._ask(purging.purge, now=now, **kept, most=most, at_once=at_once)

    async def reseal(self, *, most: int) -> int:
        """After a new master: wrap data keys again that need an earlier one; 0 where nothing is left to do."""
        return await self._resealing.step(most)

    async def writable(self) -> str | None:
        """None where mail can be kept durably, else the reason."""
        try:
            async with self._database.session() as session:
                row = await session.row("writable")
        except SpoolUnavailableError as fault:
            return str(fault)
        standby = row is None or bool(row[0])
        return "the database takes no writes: it is a standby now" if standby else None

    async def close(self) -> None:
        """Write what waits, leave, and close the connections; idempotent."""
        if self._closed:
            return
        self._closed = True
        await self._listener.stop()
        for committer in (self._adds, self._marks, self._ends):
            await committer.close()
        await self._heart.stop()
        await self._database.close()

    async def _ask(
        self, verb: Callable[Concatenate[Session, _P], Awaitable[_R]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        async with self._database.session() as session:
            return await verb(session, *args, **kwargs)


async def open_spool(
    address: Address, *, owner: str, clock: Clock, secrets: Secrets, sends: bool = True
) -> PostgresSpool:
    """Take part in the spool of this database, which is brought to the schema of this version first.

    Raises SpoolRefusedError where it may not be used, SpoolUnavailableError where it cannot be reached.
    """
    database = Database(address, most=SESSIONS)
    session = await database.connect(direct=True)
    try:
        await check_server(session)
        await migrate(session)
        keyring = await unlock(session, secrets, now=clock.now())
    finally:
        await drop(session)
    if address.pooler:  # what answers through it is set up by others
        async with database.session() as pooled:
            await check_server(pooled)
    spool = PostgresSpool(database, owner=owner, clock=clock, sends=sends, keyring=keyring)
    try:
        await spool.start()
    except BaseException:
        await spool.close()
        raise
    return spool
