"""The spool on SQLite: every verb of ``ports.Spool``, durable when it returns."""

import asyncio
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

import apsw

from posthouse.message import Content, Event, Message, MessageId, Millis, Status, id_bytes
from posthouse.outcome import RefusedRecipient
from posthouse.ports import Clock, SpoolUnavailableError, Wake
from posthouse.records import (
    AddResult,
    AttemptRow,
    Command,
    CommandResult,
    Erased,
    Erasure,
    Filters,
    Finish,
    KeyRow,
    LaneRow,
    Lease,
    Mark,
    Page,
    Pause,
    Record,
    SenderBlock,
    Settlement,
    Submission,
    TransportKind,
    TransportRow,
    Unsettled,
    Way,
    Witness,
)
from posthouse.spool.refused import SpoolRefusedError
from posthouse.spool.sealing import Secrets
from posthouse.spool.sqlite import (
    blocks,
    commands,
    contents,
    erasing,
    finding,
    lanes,
    purging,
    reading,
    registers,
    restoring,
    sending,
    settlements,
    sweeping,
)
from posthouse.spool.sqlite.accepting import AddLoad, add_verb, prepare
from posthouse.spool.sqlite.committing import Readers, Writer
from posthouse.spool.sqlite.database import Database, load_verbs, open_reader
from posthouse.spool.sqlite.guard import lock_spool
from posthouse.spool.sqlite.health import Behind
from posthouse.spool.sqlite.opening import Opened, make_room, open_file
from posthouse.spool.sqlite.resealing import Resealing
from posthouse.spool.sqlite.room import FLOOR, Room
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
        self._writer = writer(opened.writer, self._wake)
        self._readers = readers(opened.readers)
        self._room = Room(opened.path.parent, floor=floor, monotonic=clock.monotonic, owed=self._writer.owed)
        self._mark = sending.mark_verb(opened.worker)
        self._add = add_verb(opened.keyring)
        self._resealing = Resealing(self._writer, self._readers, opened.keyring)
        self._behind = Behind(open_reader(opened.path, load_verbs()), opened.path) if opened.unchecked else None
        self._used: dict[str, Millis] = {}

    def on_wake(self, wake: Wake) -> None:
        """Tell ``wake`` from now on of lanes that got something to do."""
        self._told = wake

    def _wake(self, woken: frozenset[int]) -> None:
        if self._told is not None:
            self._told(woken)

    # --- accepting

    async def add(self, submission: Submission) -> AddResult:
        """Keep it durably, all of it or nothing; raises SpoolUnavailableError, before the disk is full."""
        lacking = self._room.lacks(sum(message.content.size for message in submission.messages))
        if lacking is not None:
            raise SpoolUnavailableError(lacking)
        first = self._next_key
        self._next_key += len(submission.messages)
        small = [stored for message in submission.messages if (stored := contents.inline(message.content))]
        if len(small) == len(submission.messages):
            return await self._keep(prepare(submission, first=first, contents=small))
        async with contents.Storing(self._writer, first, keyring=self._opened.keyring) as storing:
            stored = [await storing.store(message.content) for message in submission.messages]
            return storing.kept(await self._keep(prepare(submission, first=first, contents=stored)))

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
        return await self._writer.write(lanes.lease(owner=owner, now=now, most=most))

    async def next_due(self) -> Millis | None:
        """When the next lane without an owner has something to do."""
        return await self._readers.read(lambda db: db.number("next_due", {}))

    async def peek(
        self, *, lane: int, now: Millis, most: int, without: Collection[tuple[str, ...]] = ()
    ) -> Sequence[Message]:
        """What is due in a lane, by priority, then age; at most ``most``."""
        return await self._readers.read(reading.peek(lane=lane, now=now, most=most, without=without))

    async def next_in(self, *, lane: int) -> Millis | None:
        """When the earliest queued row of a lane is due."""
        return await self._readers.read(lambda db: db.number("next_in", {"lane": lane}))

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

    async def finish(self, finish: Finish) -> bool:
        """Write the outcome; False where a later attempt exists or another has settled it: then it is an event."""
        load = sending.finish_load(finish)
        return await self._writer.submit(sending.FINISH, load, size=len(load[1]))

    async def defer(self, *, key: int, lane: int, due_at: Millis) -> None:
        """Put a queued row later (or earlier) without an attempt."""
        await self._writer.write(lanes.defer(key=key, lane=lane, due_at=due_at))

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

    async def release(self, *, lane: int, fence: int, now: Millis, rest_until: Millis | None = None) -> None:  # noqa: ARG002 - the port's
        """Give a lane back; its ``next_at`` is computed from its rows and pauses."""
        await self._writer.write(lanes.release(lane=lane, fence=fence))

    async def pause(self, *, lane: int, pause: Pause) -> None:
        """Pause a lane or one transport of it."""
        await self._writer.write(lanes.pause(lane=lane, pause=pause))

    async def resume(self, *, lane: int, transport: str | None) -> None:
        """End a pause."""
        await self._writer.write(lanes.resume(lane=lane, transport=transport))

    async def block_sender(self, block: SenderBlock) -> None:
        """Hold all queued and future rows of this sender in this mailbox."""
        await blocks.block(self._writer, self._readers, block)

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

    async def recover(self, *, now: Millis, grace: float) -> int:
        """At start: every row a dead process left in ``sending`` is unconfirmed from its deadline plus ``grace``."""
        opened = self._opened
        sweep = sweeping.recover(now=now, grace=grace, worker=opened.worker, owner=opened.owner)
        return await self._writer.write(sweep)

    async def restored(self, *, now: Millis, ways: Mapping[str, Way]) -> int | None:
        """At start of a restored copy: what was due by ``now`` is in doubt before it is sent; None where it is none."""
        return await restoring.restore(self._writer, worker=self._opened.worker, now=now, ways=ways)

    async def mark_restored(self, *, taken_at: Millis | None) -> Millis:
        """Say that this is a copy, made at that moment or when the last thing happened that it knows of."""
        return await self._writer.write(lambda db: restoring.mark(db, taken_at or 0))

    async def unsettled(self, *, now: Millis, most: int) -> Sequence[Unsettled]:
        """Rows whose next look-up is due."""
        return await self._readers.read(reading.unsettled(now=now, most=most))

    async def next_look(self) -> Millis | None:
        """When the next look-up is due."""
        return await self._readers.read(lambda db: db.number("next_look", {}))

    async def witnesses(
        self, *, account: str | None, kind: TransportKind, own: bool, before: Millis, after: Millis, most: int
    ) -> Sequence[Witness]:
        """Messages known as sent with that kind and origin of Message-ID, latest first; None asks all accounts."""
        asked = settlements.witnesses(account=account, kind=kind, own=own, before=before, after=after, most=most)
        return await self._readers.read(asked)

    async def proven(self) -> AbstractSet[str]:
        """The accounts that have ever sent something."""
        return await self._readers.read(lambda db: {str(row[0]) for row in db.ask(db.text("proven"), {})})

    async def sharing(self, *, account: str, message_id: str) -> Sequence[tuple[MessageId, Status]]:
        """Every message that went out through this account with this Message-ID, and where it stands."""
        return await self._readers.read(settlements.sharing(account=account, message_id=message_id))

    async def settle(self, settlement: Settlement) -> bool:
        """Write a conclusion; False where the row is settled already."""
        return await self._writer.write(settlements.settle(settlement))

    async def obey(self, command: Command) -> CommandResult:
        """Do what a person asked, under the rules of PROMISES §5."""
        return await self._writer.write(commands.obey(command))

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

    async def lanes(self) -> Sequence[LaneRow]:
        """Every lane that has unfinished rows or a pause."""
        return await self._readers.read(finding.lanes)

    async def counts(self) -> Mapping[Status, int]:
        """Messages by stored status."""
        return await self._readers.read(finding.counts)

    # --- operating

    async def save_key(self, key: KeyRow) -> None:
        """Keep a key; the client is made where there is none."""
        await self._writer.write(registers.save_key(key))

    async def revoke_key(self, key_id: str, *, at: Millis, by: str) -> bool:
        """End a key; False where there is none."""
        return await self._writer.write(registers.revoke_key(key_id, at=at, by=by))

    async def keys(self) -> Sequence[KeyRow]:
        """All keys."""
        return await self._readers.read(registers.keys)

    async def used(self, *, key_id: str, at: Millis) -> None:
        """Remember a key's last use, to the minute."""
        if at - self._used.get(key_id, 0) >= KEY_USE_NOTED:
            self._used[key_id] = at
            await self._writer.write(lambda db: db.run("key_used", {"id": key_id, "at": at}))

    async def purge(self, *, now: Millis, retention: float, content_retention: float, most: int) -> int:
        """Delete finished messages, contents and answers whose time is over; how many rows."""
        purge = purging.Purge(self._writer, self._readers, now=now)
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
) -> SqliteSpool:
    """Open the spool for this process alone; ``owner`` names the process's life, ``wait`` is in seconds.

    Below ``floor`` free bytes nothing is accepted. Raises SpoolRefusedError where it may not be opened, saying what to do.
    """
    check_library()
    try:
        await asyncio.to_thread(make_room, path, create=create)
        lock = await lock_spool(path, owner=owner, clock=clock, wait=wait)
        try:
            opened = await asyncio.to_thread(open_file, path, owner, secrets=secrets, now=clock.now(), lock=lock)
            return SqliteSpool(opened, floor=floor, clock=clock)
        except BaseException:
            lock.release()
            raise
    except (OSError, apsw.Error) as fault:
        raise SpoolRefusedError(f"the spool {path} cannot be opened: {fault}") from fault
