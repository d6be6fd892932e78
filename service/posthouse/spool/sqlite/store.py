"""The spool on SQLite: every verb of ``ports.Spool``, durable when it returns."""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import apsw

from posthouse.continuity import Anchor, Chain, carried_on
from posthouse.identities import ClientRow, Identities, KeyRow, Refusal, Use
from posthouse.message import Body, Content, Event, Message, MessageId, Millis, Status, id_bytes
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
from posthouse.spool.refused import SpoolRefusedError
from posthouse.spool.sealing import Secrets
from posthouse.spool.sqlite import (
    alerting,
    blocks,
    bounces,
    clocks,
    commands,
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
    settlements,
    sweeping,
)
from posthouse.spool.sqlite import lanes as of_lanes
from posthouse.spool.sqlite.accepting import AddLoad, add_verb, prepare
from posthouse.spool.sqlite.committing import Readers, Writer
from posthouse.spool.sqlite.database import Database, load_verbs, open_reader
from posthouse.spool.sqlite.guard import lock_spool
from posthouse.spool.sqlite.health import Behind
from posthouse.spool.sqlite.opening import Opened, make_room, open_file
from posthouse.spool.sqlite.resealing import Resealing
from posthouse.spool.sqlite.room import FLOOR, Room, taken
from posthouse.spool.sqlite.schema import check_library
from posthouse.spool.sqlite.threads import ReaderThreads, WriterThread

KEY_USE_NOTED: Final[Millis] = 60_000
"""A key's last use is written at most this often."""


class SqliteSpool:
    """One process's spool in one file, bound to the event loop that opened it; made by ``open_spool``.

    ``writer`` and ``readers`` drive its connections: threads, where nobody says otherwise.
    """

    def __init__(
        self,
        opened: Opened,
        *,
        floor: int,
        clock: Clock,
        writer: Callable[[Database, Wake], Writer] = WriterThread,
        readers: Callable[[Sequence[Database]], Readers] = ReaderThreads,
    ) -> None:
        self._opened = opened
        self._next_key = opened.last_key + 1
        self._told: Wake | None = None
        self._committed: Callable[[], None] | None = None
        self._writer = writer(opened.writer, self._wake)
        self._readers = readers(opened.readers)
        self._room = Room(opened.path.parent, floor=floor, monotonic=clock.monotonic, owed=self._writer.owed)
        self._mark = sending.mark_verb(opened.worker)
        self._add = add_verb(opened.keyring)
        self._resealing = Resealing(self._writer, self._readers, opened.keyring)
        self._behind = Behind(open_reader(opened.path, load_verbs()), opened.path) if opened.unchecked else None
        self._used: dict[str, Millis] = {}

    @property
    def token_keys(self) -> Mapping[str, bytes]:
        """What access tokens are signed with, by the id of the master they derive from; the one in force comes first."""
        return self._opened.keyring.token_keys

    def pseudonym(self, address: str) -> str:
        """What stands for an address where it must not: the same for the same one, and only for who has the master."""
        return self._opened.keyring.pseudonym(address)

    def on_wake(self, wake: Wake) -> None:
        """Tell ``wake`` from now on of lanes that got something to do."""
        self._told = wake

    def on_commit(self, told: Callable[[], None]) -> None:
        """Call ``told`` after every commit: the feed may have grown."""
        self._committed = told

    def _wake(self, woken: frozenset[int]) -> None:
        if woken and self._told is not None:
            self._told(woken)
        if self._committed is not None:
            self._committed()

    # --- accepting

    async def add(self, submission: Submission) -> AddResult:
        """Keep it durably, all of it or nothing; raises SpoolUnavailableError, before the disk is full."""
        lacking = self._room.lacks(sum(message.content.size for message in submission.messages))
        if lacking is not None:
            raise SpoolUnavailableError(lacking)
        first = self._first_key(submission)
        small = [stored for message in submission.messages if (stored := contents.inline(message.content))]
        if len(small) == len(submission.messages):
            return await self._keep(prepare(submission, first=first, contents=small))
        async with contents.Storing(self._writer, first, keyring=self._opened.keyring) as storing:
            stored = [await storing.store(message.content) for message in submission.messages]
            return storing.kept(await self._keep(prepare(submission, first=first, contents=stored)))

    @asynccontextmanager
    async def store(self, blocks: AsyncIterator[bytes], *, small: bool) -> AsyncGenerator[Body]:
        """Keep a body while it arrives; after the context only if a message with it was added."""
        seal = self._opened.keyring.new() if self._opened.keyring.seals else None
        blocks = self._within_room(blocks)
        keeping = contents.kept(self._writer, self._readers, self._take_keys(1), blocks, seal=seal, small=small)
        async with keeping as body:
            yield body

    async def _within_room(self, blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Raises SpoolUnavailableError, before the disk is full."""
        async for block in blocks:
            lacking = self._room.lacks(len(block))
            if lacking is not None:
                raise SpoolUnavailableError(lacking)
            yield block

    def _first_key(self, submission: Submission) -> int:
        body = submission.messages[0].content.body
        if not isinstance(body, contents.StoredBody):
            return self._take_keys(len(submission.messages))
        if len(submission.messages) > 1:
            raise ValueError("a stored body belongs to one message alone")
        return body.content

    def _take_keys(self, count: int) -> int:
        first = self._next_key
        self._next_key += count
        return first

    def _keep(self, load: AddLoad) -> asyncio.Future[AddResult]:
        return self._writer.submit(self._add, load, size=load.size)

    # --- sending

    async def lease(
        self,
        *,
        owner: str,
        now: Millis,
        most: int,
        running: Collection[int] = (),  # noqa: ARG002 - no answer to a lease is ever lost here
    ) -> Sequence[Lease]:
        """Take lanes that have something due and no owner."""
        return await self._writer.write(of_lanes.lease(owner=owner, now=now, most=most))

    async def next_due(self) -> Millis | None:
        """When the next lane without an owner has something to do."""
        return await self._readers.read(lambda db: db.number("next_due", {}))

    async def past(self, *, lanes: Sequence[int], now: Millis) -> Mapping[int, Past]:
        """What the accounts of these lanes used up lately."""
        return await self._readers.read(of_lanes.past(lanes=lanes, now=now))

    async def peek(self, *, lane: int, now: Millis, most: int, after: Cursors = NOTHING_READ) -> Sequence[Message]:
        """What is due in a lane, by priority, then age: ``most`` rows shared out to its strands, each at least one."""
        return await self._readers.read(reading.peek(lane=lane, now=now, most=most, after=after))

    async def next_in(self, *, lane: int, after: Millis | None = None) -> Millis | None:
        """When the earliest queued row of a lane is due, or the earliest of those that are due later than ``after``."""
        return await self._readers.read(lambda db: db.number("next_in", {"lane": lane, "after": after}))

    async def content(self, key: int) -> Content | None:
        """The content; None where it was purged; raises ContentUnreadableError."""
        return await contents.read(self._readers, key, keyring=self._opened.keyring)

    async def mark(self, mark: Mark) -> bool:
        """Write ``sending`` and the attempt; False where the row is not queued any more or the fence is old."""
        load = sending.mark_load(mark)
        return await self._writer.submit(self._mark, load, size=len(load[1]))

    async def note_refused(self, *, key: int, number: int, refused: Sequence[RefusedRecipient]) -> None:
        """Write down refused recipients before DATA, so that settling knows them."""
        await self._writer.write(sending.note_refused(key, number, refused))

    async def note_draft(self, *, key: int, number: int, note: DraftNote) -> bool:
        """Write down how far an attempt by draft has come; False where it is not the attempt under way."""
        return await self._writer.write(drafts.note(key, number, note))

    async def finish(self, finish: Finish) -> bool:
        """Write the outcome; False where a later attempt exists or another has settled it: then it is an event."""
        load = sending.finish_load(finish)
        return await self._writer.submit(sending.FINISH, load, size=len(load[1]))

    async def defer(self, *, key: int, lane: int, due_at: Millis, at: Millis, cause: str) -> None:
        """Put a queued row later without an attempt, for a cause that its history names."""
        await self._writer.write(of_lanes.defer(key=key, lane=lane, due_at=due_at, at=at, cause=cause))

    async def hold(self, *, key: int, id: MessageId, at: Millis, cause: str) -> None:  # noqa: A002, ARG002 - the port's
        """Hold a queued row that no transport of its route can carry."""
        await self._writer.write(lambda db: db.run("hold", {"message": key, "at": at, "cause": cause}))

    async def expire(self, *, now: Millis, most: int) -> int:
        """End queued and held rows whose client's own expiry is over; how many."""
        return await self._writer.write(sweeping.expire(now=now, most=most))

    async def holds(self, *, lane: int, fence: int) -> bool:
        """Whether a lease is still good."""
        return await self._readers.read(lambda db: db.row("holds_lane", {"lane": lane, "fence": fence}) is not None)

    def lease_left(self) -> float:
        """Nobody else can take them: the spool is locked for this process."""
        return math.inf

    @property
    def look_every(self) -> float | None:
        """All that happens to a lane happens in this process."""
        return None

    @property
    def hears(self) -> bool:
        """Nobody else wakes lanes."""
        return True

    async def release(self, *, lane: int, fence: int, now: Millis) -> None:  # noqa: ARG002 - the port's
        """Give a lane back; its ``next_at`` is computed from its rows and pauses."""
        await self._writer.write(of_lanes.release(lane=lane, fence=fence))

    async def move(self, move: Move) -> Moved:
        """Put queued rows into the lane of another account."""
        return await self._writer.write(of_lanes.move(move))

    async def pause(self, *, lane: int, pause: Pause) -> None:
        """Pause a lane or one transport of it."""
        await self._writer.write(of_lanes.pause(lane=lane, pause=pause))

    async def resume(self, *, lane: int, transport: str | None, at: Millis) -> None:
        """End a pause; the end of a block is remembered."""
        await self._writer.write(of_lanes.resume(lane=lane, transport=transport, at=at))

    async def tell_lane(self, *, account: str, paused: bool, at: Millis, by: str) -> bool:
        """Write down that a person pauses or resumes a lane, audited; False where there is none to resume."""
        return await self._writer.write(of_lanes.tell(account=account, paused=paused, at=at, by=by))

    async def spoken(self, *, since: Millis) -> Mapping[int, Told]:
        """What people said about lanes since then, by lane."""
        return await self._readers.read(of_lanes.spoken(since=since))

    async def tell_transport(self, *, name: str, paused: bool, at: Millis, by: str) -> None:
        """Write down that a person pauses or resumes a transport, audited."""
        await self._writer.write(registers.tell_transport(name=name, paused=paused, at=at, by=by))

    async def recipient_hours(self, *, since: Millis) -> Sequence[tuple[int, int]]:
        """The recipients of all accounts together by hours since 1970, from the hour of ``since`` on."""
        return await self._readers.read(of_lanes.recipient_hours(since=since))

    async def block_sender(self, block: SenderBlock) -> bool:
        """Hold all queued and future rows of this sender in this mailbox; False where it was blocked before."""
        return await blocks.block(self._writer, self._readers, block)

    async def unblock_sender(self, *, mailbox: str, sender: str, at: Millis) -> None:
        """Delete the block and release its rows in order of age."""
        await blocks.unblock(self._writer, self._readers, mailbox=mailbox, sender=sender, at=at)

    async def probe_senders(self, *, now: Millis, next_probe: Millis) -> int:
        """Release the oldest row of every block whose probe is due; how many."""
        return await self._writer.write(blocks.probe(now=now, next_probe=next_probe))

    async def save_transport(self, row: TransportRow) -> None:
        """Write down a circuit's or a block's state."""
        await self._writer.write(registers.save_transport(row))

    async def transports(self) -> Sequence[TransportRow]:
        """What was written down."""
        return await self._readers.read(registers.transports)

    # --- settling

    async def anchor(self, anchor: Anchor, *, before: Anchor | None, now: Millis) -> Chain:
        """Hold fast how this process's time lies; where nothing is new, nothing is written."""
        if before is None:
            return await self._writer.write(clocks.join(anchor, now=now))
        stands = await self._readers.read(clocks.chain(anchor.boot))
        if stands is not None and carried_on(stands, anchor, before=before, now=now) == stands:
            return stands
        return await self._writer.write(clocks.carry_on(anchor, before=before, now=now))

    async def turn_back(self, *, now: Millis) -> Millis:
        """At start: by how much the clock was set back, after nothing waits for that any more."""
        return await self._writer.write(sweeping.turn_back(now=now))

    async def recover(self, *, now: Millis, grace: float) -> int:
        """At start: what a dead process left in ``sending`` is unconfirmed, or queued where its draft was not sent yet."""
        opened = self._opened
        sweep = sweeping.recover(now=now, grace=grace, worker=opened.worker, owner=opened.owner)
        return await self._writer.write(sweep)

    async def restored(self, *, now: Millis, ways: Mapping[str, Way]) -> int | None:
        """At start of a restored copy: what was due by ``now`` is in doubt before it is sent; None where it is none."""
        return await restoring.restore(self._writer, worker=self._opened.worker, now=now, ways=ways)

    async def mark_restored(self, *, taken_at: Millis | None) -> Millis:
        """Say that this is a copy, made at that moment or when the last thing happened that it knows of."""
        return await self._writer.write(lambda db: restoring.mark(db, taken_at or 0))

    async def recover_lost(self, *, now: Millis, grace: float, live: Collection[int]) -> int:
        """The same in a living process, for rows past their deadline plus ``grace`` that are not in ``live``."""
        return await self._writer.write(sweeping.recover_lost(now=now, grace=grace, live=live))

    async def free_held(self, *, now: Millis, transports: Collection[str], carrying: Collection[str], most: int) -> int:
        """Queue held rows whose cause is gone."""
        sweep = sweeping.free_held(now=now, transports=transports, carrying=carrying, most=most)
        return await self._writer.write(sweep)

    async def wake_sleepers(self) -> int:
        """Wake lanes that have something to do and do not know when; how many."""
        return await self._writer.write(sweeping.wake_sleepers)

    async def unsettled(self, *, now: Millis, most: int, lanes: Collection[int]) -> Sequence[Unsettled]:
        """Rows of these lanes whose next look-up is due."""
        return await self._readers.read(reading.unsettled(now=now, most=most, lanes=lanes))

    async def next_look(self, *, lanes: Collection[int]) -> Millis | None:
        """When the next look-up of these lanes is due, for a doubtful message or a fresh witness."""
        return await self._readers.read(reading.next_look(lanes=lanes))

    async def look_held(self, *, account: str, cause: str, at: Millis) -> int:
        """Look at ``at`` for what is held for this cause and went out through this account; how many."""
        return await self._writer.write(settlements.look_held(account=account, cause=cause, at=at))

    async def asks(self, *, now: Millis, most: int, lanes: Collection[int]) -> Sequence[tuple[int, Presence]]:
        """Where a fresh witness is looked for now, by lane."""
        return await self._readers.read(reading.asks(now=now, most=most, lanes=lanes))

    async def presences(self) -> Sequence[Presence]:
        """Whether copies are found, for every account that was ever asked."""
        return await self._readers.read(reading.presences)

    async def presence(self, *, account: str, kind: TransportKind, own: bool) -> Presence | None:
        """The same for one; None where it was never asked."""
        return await self._readers.read(reading.presence(account=account, kind=kind, own=own))

    async def save_presence(self, presence: Presence) -> None:
        """Write it down; its lane wakes at ``ask_at``."""
        await self._writer.write(settlements.save_presence(presence))

    async def slowest(self, *, after: Millis) -> Millis:
        """The slowest appearance seen since ``after``; 0 where none was."""
        return await self._readers.read(settlements.slowest(after=after))

    async def witnesses(
        self, *, account: str | None, kind: TransportKind, own: bool, before: Millis, after: Millis, most: int
    ) -> Sequence[Witness]:
        """Messages known as sent with that kind and origin of Message-ID, latest first; None asks all accounts."""
        asked = settlements.witnesses(account=account, kind=kind, own=own, before=before, after=after, most=most)
        return await self._readers.read(asked)

    async def proven(self) -> AbstractSet[str]:
        """The accounts that have ever sent something."""
        return await self._readers.read(lambda db: {str(row[0]) for row in db.ask(db.text("proven"), {})})

    async def sharing(self, *, account: str, message_id: str) -> Sequence[Sharer]:
        """Every attempt that went out through this account with this Message-ID, or may have."""
        return await self._readers.read(settlements.sharing(account=account, message_id=message_id))

    async def settle(self, settlement: Settlement) -> bool:
        """Write a conclusion; False where the row is settled already."""
        return await self._writer.write(settlements.settle(settlement))

    async def obey(self, command: Command) -> CommandResult:
        """Do what a person asked, under the rules of PROMISES §5."""
        return await self._writer.write(commands.obey(command))

    async def free_drafts(self, *, now: Millis, before: Millis, most: int) -> int:
        """Queue again what is held because drafts may not be written and was tried last before ``before``; how many."""
        return await self._writer.write(drafts.free(now=now, before=before, most=most))

    async def strays(self, *, now: Millis, after: float, most: int, lanes: Collection[int]) -> Sequence[Stray]:
        """Messages that were final ``after`` seconds ago and may have left drafts, in these lanes."""
        if await self._readers.read(drafts.unplanned):
            await self._writer.write(drafts.plan(after=after))
        return await self._readers.read(drafts.strays(now=now, most=most, lanes=lanes))

    async def next_stray(self, *, lane: int) -> Millis | None:
        """When drafts are looked for in this lane next."""
        return await self._readers.read(lambda db: db.number("next_stray", {"lane": lane}))

    async def swept(self, *, key: int, again_at: Millis | None) -> None:
        """The drafts of a message were looked for: never again, or at ``again_at``."""
        await self._writer.write(drafts.swept(key=key, again_at=again_at))

    async def inboxes(self, ask: InboxAsk) -> Sequence[Inbox]:
        """Mailboxes whose reports are read now."""
        return await self._readers.read(bounces.inboxes(ask))

    async def save_bounces(
        self, inbox: Inbox, *, found: Sequence[Bounce], cursor: str | None, now: Millis, next_at: Millis
    ) -> Sequence[Bounced]:
        """Attach each bounce once to its message, and go on from ``cursor`` at ``next_at``; those that were new."""
        return await self._writer.write(bounces.save(inbox, found=found, cursor=cursor, now=now, next_at=next_at))

    async def tenant_bounces(self, *, since: Millis) -> Sequence[TenantBounce]:
        """The latest reports since then that refuse the tenant, the latest first."""
        return await self._readers.read(bounces.tenant(since=since))

    async def erase(self, erasure: Erasure) -> Erased:
        """Erase what is kept of the final messages to a recipient, but what accounting needs."""
        return await erasing.erase(self._writer, self._readers, self._opened.keyring, erasure)

    # --- asking

    async def find(self, filters: Filters, *, now: Millis) -> Page:
        """A page of records."""
        return await self._readers.read(finding.find(filters, now=now))

    async def get(self, message_id: MessageId, *, now: Millis) -> Record | None:
        """One record."""
        return await self._readers.read(finding.get(message_id, now=now))

    async def key_of(self, message_id: MessageId) -> int | None:
        """The spool's own key of a message."""
        return await self._readers.read(lambda db: db.number("key_of", {"public_id": id_bytes(message_id)}))

    async def ended(self, message_ids: Sequence[MessageId]) -> Mapping[MessageId, Status]:
        """Those of these messages that are final, and how."""
        return await self._readers.read(finding.ended(message_ids))

    async def attempts(self, message_id: MessageId) -> Sequence[AttemptRow]:
        """Every try of a message, oldest first."""
        return await self._readers.read(finding.attempts(message_id))

    async def events(self, message_id: MessageId) -> Sequence[Event]:
        """A message's history, oldest first."""
        return await self._readers.read(finding.events(message_id))

    async def feed(self, *, after: str | None, types: Collection[str], client: str | None, most: int) -> FeedPage:
        """Events behind a cursor; raises ValueError for a cursor that this spool never gave."""
        return await self._readers.read(feeding.feed(after=after, types=types, client=client, most=most))

    async def lanes(self, *, now: Millis, account: str | None = None) -> Sequence[LaneRow]:
        """Every lane that has unfinished rows or a pause, or the one of an account, whatever it has."""
        return await self._readers.read(finding.lanes(now=now, account=account))

    async def counts(self) -> Mapping[Status, int]:
        """Messages by stored status."""
        return await self._readers.read(finding.counts)

    async def oldest(self) -> Mapping[Status, Millis]:
        """When the oldest message of each stored status but ``sent`` was accepted."""
        return await self._readers.read(finding.oldest)

    async def space(self) -> Space:
        """How large the spool is, and how much may still be written."""
        size = await asyncio.to_thread(taken, self._opened.path)
        return Space(size, self._room.free())

    # --- operating

    async def see_alerts(self, seen: Sequence[Alert], *, now: Millis, before: Millis, passing: Collection[str]) -> None:
        """What is wrong now; what nobody has seen since ``before`` has ended."""
        await self._writer.write(alerting.see(seen, now=now, before=before, passing=passing))

    async def claim_alerts(self, *, now: Millis) -> Sequence[AlertRow]:
        """Those that nobody was told of; they are due again after a while."""
        return await self._writer.write(alerting.claim(now=now))

    async def alert_told(self, row: AlertRow, *, at: Millis) -> None:
        """Somebody was told; one that has ended is forgotten."""
        await self._writer.write(alerting.told(row, at=at))

    async def alerts(self) -> Sequence[AlertRow]:
        """Those that stand, the oldest first."""
        return await self._readers.read(alerting.alerts)

    async def unreported(self, *, since: Millis, after: int, client: str, most: int) -> Sequence[Unreported]:
        """Failed mail of the SMTP door since then, behind the key ``after``, that no report of ``client`` is about, the oldest first."""
        return await self._readers.read(finding.unreported(since=since, after=after, client=client, most=most))

    async def audit(self, entry: AuditEntry) -> None:
        """Write down who did something."""
        await self._writer.write(registers.audit(entry))

    async def save_key(self, key: KeyRow, entry: AuditEntry) -> None:
        """Keep a key, audited; the client is made where there is none."""
        await self._writer.write(registers.save_key(key, entry))

    async def revoke_key(self, key_id: str, *, at: Millis, by: str) -> bool:
        """End a key; False where there is none."""
        return await self._writer.write(registers.revoke_key(key_id, at=at, by=by))

    async def identities(self) -> Identities:
        """All keys and all clients that ever had one."""
        return await self._readers.read(registers.identities)

    async def save_client(self, client: ClientRow, entry: AuditEntry) -> None:
        """Keep a client's terms and whether it is paused, audited."""
        await self._writer.write(registers.save_client(client, entry))

    async def share_use(self, uses: Sequence[Use], *, owner: str, since: int) -> Sequence[Use]:
        """Write down what this process took in by client and minute; what others did since that minute."""
        if uses:
            await self._writer.write(registers.share_use(uses, owner=owner, since=since))
        return await self._readers.read(registers.use_of_others(owner=owner, since=since))

    async def save_refusals(self, refusals: Sequence[Refusal]) -> None:
        """Add to the groups of refusals; the latest are kept."""
        await self._writer.write(registers.save_refusals(refusals))

    async def refusals(self, *, most: int) -> Sequence[Refusal]:
        """The groups, the latest first."""
        return await self._readers.read(registers.refusals(most=most))

    async def used(self, *, key_id: str, at: Millis) -> None:
        """Remember a key's last use, to the minute."""
        if at - self._used.get(key_id, 0) >= KEY_USE_NOTED:
            self._used[key_id] = at
            await self._writer.write(lambda db: db.run("key_used", {"id": key_id, "at": at}))

    async def purge(
        self, *, now: Millis, retention: float, content_retention: float, most: int, at_once: Sequence[str] = ()
    ) -> int:
        """Delete finished messages, contents and answers whose time is over; how many rows."""
        purge = purging.Purge(self._writer, self._readers, now=now, at_once=at_once)
        return await purge.run(retention=retention, content_retention=content_retention, most=most)

    async def reseal(self, *, most: int) -> int:
        """After a new master: wrap data keys again that need an earlier one; 0 where nothing is left to do."""
        return await self._resealing.step(most)

    async def writable(self) -> str | None:
        """None where mail can be kept durably, else the reason."""
        if self._behind is not None and self._behind.fault is not None:
            return f"the spool is damaged: {self._behind.fault}; restore a backup."
        try:
            return await self._writer.write(self._try_write)
        except SpoolUnavailableError as fault:
            return str(fault)

    def _try_write(self, db: Database) -> str | None:
        db.run("alive", {"worker": self._opened.worker})
        return self._room.below()

    async def close(self) -> None:
        """Write what waits and close; idempotent."""
        if self._behind is not None:
            await asyncio.to_thread(self._behind.close)
        await self._readers.close()
        await self._writer.close()
        self._opened.lock.release()


async def open_spool(
    path: Path,
    *,
    owner: str,
    clock: Clock,
    create: bool = True,
    wait: float = 10.0,
    secrets: Secrets = Secrets(),  # noqa: B008 - frozen
    floor: int = FLOOR,
    moved: bool = False,
) -> SqliteSpool:
    """Open the spool for this process alone; ``owner`` names the process's life, ``wait`` is in seconds.

    Below ``floor`` free bytes nothing is accepted; ``moved``: also where another spool took its place. Raises SpoolRefusedError where it may not be opened, saying what to do.
    """
    check_library()
    try:
        await asyncio.to_thread(make_room, path, create=create)
        lock = await lock_spool(path, owner=owner, clock=clock, wait=wait)
        try:
            opened = await asyncio.to_thread(
                open_file, path, owner, secrets=secrets, now=clock.now(), lock=lock, moved=moved
            )
            return SqliteSpool(opened, floor=floor, clock=clock)
        except BaseException:
            lock.release()
            raise
    except (OSError, apsw.Error) as fault:
        raise SpoolRefusedError(f"the spool {path} cannot be opened: {fault}", fix="spool.unwritable") from fault
