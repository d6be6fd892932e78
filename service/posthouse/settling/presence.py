"""Proof of presence, kept per mailbox, kind of transport and origin of Message-ID: one fresh witness a day (PROMISES §5).

Without such a proof no absence counts, so a mailbox without it would hold its first doubtful message. The look is made
in quiet time, in the lane's slots, under its lease, and never while Graph slows the mailbox down.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Final

from posthouse.message import Message, MessageId, Millis
from posthouse.ports import SpoolUnavailableError
from posthouse.proof import CAUSE_NO_RIGHT, DAY, HOUR, found_again
from posthouse.records import NoSight, Presence, ProofLevel, TransportKind, Witness
from posthouse.settling.looking import DENIED, Eyes, LookUps, Place

WITNESSES: Final = 3
KEPT: Final = 30 * DAY
MINUTE: Final[Millis] = 60_000
VISIBLE_AFTER: Final[Millis] = MINUTE
"""A copy younger than this may not be visible yet."""
FIRST: Final = (2 * MINUTE, 8 * MINUTE)
"""The first witness of a mailbox is looked for after so long, and up to so much later."""
DAILY: Final = (5 * MINUTE, 4 * HOUR)
"""The same for every later one, once a day has passed and something was sent: spread, so that mailboxes do not meet."""
BUSY: Final[Millis] = 10 * MINUTE
NOT_FOUND: Final[Millis] = 6 * HOUR
OUTAGE: Final[Millis] = HOUR
NOTED_AGAIN: Final[Millis] = HOUR
"""A proof that settling finds by the way is written down at most this often."""

Key = tuple[str, TransportKind, bool]


class Proofs:
    """Knows which mailboxes have a proof, arms their next look, and makes it."""

    def __init__(self, eyes: Eyes, look_ups: LookUps, *, chance: Callable[[int], bytes]) -> None:
        self._eyes = eyes
        self._look_ups = look_ups
        self._chance = chance
        self._known: dict[Key, Presence] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def load(self) -> None:
        """Go on from what was written down."""
        self._known |= {_key(one): one for one in await self._eyes.spool.presences()}

    def sent(self, message: Message, *, account: str, kind: TransportKind) -> None:
        """Something left ordinarily: it can be a witness, so arm a look where none was made for a day."""
        key, now = (account, kind, message.own_message_id), self._eyes.clock.now()
        known = self._known.get(key)
        if not self._eyes.evidence or (known is not None and _armed_or_fresh(known, now)):
            return
        least, most = FIRST if known is None else DAILY
        ask_at = now + least + int(most * int.from_bytes(self._chance(2), "big") / 65_536)
        armed = replace(known or Presence(account=account, kind=kind, own=message.own_message_id), ask_at=ask_at)
        self._known[key] = armed
        task = asyncio.create_task(self._arm(armed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def look(self, lane: int, presence: Presence) -> None:
        """Look for a fresh witness whose time has come."""
        now, board = self._eyes.clock.now(), self._eyes.board.lane(presence.account)
        witnesses = await self.witnesses(presence.account, presence.kind, own=presence.own, before=now - VISIBLE_AFTER)
        if not witnesses:
            await self._save(replace(presence, ask_at=None))
            return
        if not board.quiet(now, self._eyes.concurrent):
            await self._save(replace(presence, ask_at=now + BUSY))
            return
        place = Place(presence.account, witnesses[0].transport, lane)
        seen = await self._look_ups.ask(place, [one.message_id for one in witnesses])
        if isinstance(seen, NoSight):
            await self.denied(presence, seen)
            return
        found = found_again(witnesses, seen, own=presence.own)
        await self.answered(presence.account, presence.kind, own=presence.own, witnesses=witnesses, found=found)

    async def answered(
        self,
        account: str,
        kind: TransportKind,
        *,
        own: bool,
        witnesses: Collection[Witness],
        found: Collection[MessageId],
    ) -> None:
        """A look-up of this account was answered: what that proves; what was held for want of the right is looked at now."""
        now = self._eyes.clock.now()
        known = await self.of(account, kind, own=own)
        if known.answer is not None and known.level is ProofLevel.NONE:
            await self._eyes.spool.look_held(account=account, cause=CAUSE_NO_RIGHT, at=now)
        proof = max((one for one in witnesses if one.id in found), key=lambda one: one.sent_at, default=None)
        if proof is not None:
            due = known.ask_at is not None and known.ask_at <= now
            if due or known.level is ProofLevel.NONE or now - (known.proved_at or 0) >= NOTED_AGAIN:
                proved = replace(
                    known,
                    witness=proof,
                    proved_at=now,
                    asked_at=now,
                    ask_at=None,
                    level=ProofLevel.LOOK_UP,
                    answer=None,
                )
                await self._save(proved)
        elif any(one.sent_at < now - VISIBLE_AFTER for one in witnesses):
            again = now + NOT_FOUND
            lost = replace(known, level=ProofLevel.NONE, asked_at=now, ask_at=again, answer="not_found")
            if (known.level, known.answer) != (lost.level, lost.answer) or (known.ask_at or again) <= now:
                await self._save(lost)

    async def denied(self, known: Presence, seen: NoSight) -> None:
        """A look-up had no answer that counts."""
        now, answer = self._eyes.clock.now(), seen.answer
        if answer.reply in DENIED:
            lost = replace(known, level=ProofLevel.NONE, asked_at=now, ask_at=now + NOT_FOUND, answer=answer.code)
            await self._save(lost)
            return
        rest = int((answer.retry_after or 0) * 1000) + BUSY
        await self._save(replace(known, ask_at=now + max(rest, OUTAGE), answer=answer.code))

    async def witnesses(
        self, account: str | None, kind: TransportKind, *, own: bool, before: Millis
    ) -> Sequence[Witness]:
        """The latest messages known as sent before a time; None asks all accounts."""
        now = self._eyes.clock.now()
        return await self._eyes.spool.witnesses(
            account=account, kind=kind, own=own, before=before, after=now - KEPT, most=WITNESSES
        )

    async def of(self, account: str, kind: TransportKind, *, own: bool) -> Presence:
        """What is known of this mailbox."""
        known = await self._eyes.spool.presence(account=account, kind=kind, own=own)
        return known or Presence(account=account, kind=kind, own=own)

    async def close(self) -> None:
        """Wait for what is being written."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _arm(self, presence: Presence) -> None:
        try:
            await self._save(presence)
        except SpoolUnavailableError:
            self._known.pop(_key(presence), None)  # the next send arms it again

    async def _save(self, presence: Presence) -> None:
        self._known[_key(presence)] = presence
        await self._eyes.spool.save_presence(presence)


def _key(presence: Presence) -> Key:
    return presence.account, presence.kind, presence.own


def _armed_or_fresh(known: Presence, now: Millis) -> bool:
    if known.ask_at is not None and known.ask_at > now - DAY:
        return True
    return known.asked_at is not None and now - known.asked_at < DAY - DAILY[1] // 2
