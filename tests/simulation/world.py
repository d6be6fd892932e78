"""The world that the service sends into, and the truth about it: which mails were taken, what can be found, what was broken.

It watches each request as Microsoft would and notes every promise that it saw broken.
"""

import asyncio
import contextvars
import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from posthouse import records
from posthouse.continuity import OtherClock
from posthouse.message import Message, MessageId, Millis
from posthouse.outcome import Outcome, Unconfirmed
from tests.simulation.chance import Chance
from tests.simulation.clock import START, VirtualClock
from tests.simulation.fates import Answer, Broken, Fate, Http, Said, Silence, Unreached, fate_of, taken
from tests.simulation.life import Life
from tests.simulation.limits import Limits
from tests.simulation.loop import VirtualLoop
from tests.simulation.plan import Plan, Trouble
from tests.simulation.trace import Trace

HEARD = 20.0
"""Seconds after which a person's word is certainly heard, on a slow disk too."""


@dataclass(slots=True)
class Copy:
    """A mail that Exchange has taken, and what a look-up finds of it."""

    message_id: str
    account: str
    at: float
    appears: float
    drafted_until: float
    gone: bool = False


@dataclass(slots=True, eq=False)
class Call:
    """One request on the wire; ``ended`` when the process heard the answer, gave up or died."""

    number: int
    transport: str
    kind: str
    account: str
    message: Message | None
    life: Life
    fate: Fate
    began: float
    answer: asyncio.Future[Answer]
    token_at: float
    arrived: float = 0.0
    ended: float | None = None

    def cut_off(self) -> bool:
        """Whether its process was killed while it was under way."""
        return self.ended is None and self.life.dead

    def busy(self) -> bool:
        """Whether the server is at work on it: until it answered, or saw the connection end, as all of a process do that dies."""
        return self.ended is None and not self.life.dead


@dataclass(slots=True)
class Truth:
    """What really became of one message."""

    order: str
    due_at: Millis
    expires_at: Millis | None = None
    taken: list[float] = field(default_factory=list)
    refused: str | None = None
    begun: list[float] = field(default_factory=list)
    may_double: bool = False
    canceled_at: float | None = None
    retried: bool = False
    revived: bool = False
    settled_by_hand: bool = False
    restored: bool = False
    """It lay in a copy that took the spool's place."""
    forgotten: bool = False
    """It was accepted after the copy was taken that took the spool's place."""
    told: tuple[float, Life, int] | None = None
    """When, and which life, heard for certain what became of which attempt."""


Memory = dict[MessageId, Truth]
"""What was true of each message when a copy was taken."""


class World:
    """Everything outside of the process."""

    def __init__(self, plan: Plan, loop: VirtualLoop, clock: VirtualClock, trace: Trace) -> None:
        self.plan = plan
        self.loop = loop
        self.clock = clock
        self.trace = trace
        self.truth: dict[MessageId, Truth] = {}
        self.copies: list[Copy] = []
        self.broken: list[str] = []
        self.troubles: list[Trouble] = []
        self.calm = False
        self.limits = Limits(plan.climate, self.complain)
        self.paused: dict[str, float] = {}
        """When a person was told that an account or a transport sends nothing any more."""
        self.context = contextvars.copy_context()
        self._count = 0

    # --- what is wrong

    def complain(self, what: str, text: str) -> None:
        """A promise was broken."""
        line = f"{what}: {text} (at {self.loop.time():.3f} s)"
        self.broken.append(line)
        self.trace.note("BROKEN", line)

    def trouble(self, what: str, of: str = "") -> Trouble | None:
        """The trouble of this kind that is on now."""
        now = self.loop.time()
        for one in self.troubles:
            if one.what == what and one.of == of and one.at <= now < one.until:
                return one
        return None

    # --- copies

    def remember(self, kept: AbstractSet[MessageId]) -> Memory:
        """What is true now of the messages that are kept; one that is only about to be kept is in no copy."""
        return {message_id: replace(truth) for message_id, truth in self.truth.items() if message_id in kept}

    def recall(self, memory: Memory) -> None:
        """The service knows again only what was true then; what was sent since stays sent."""
        self.limits.forget()
        self.paused.clear()
        for message_id, truth in self.truth.items():
            then = memory.get(message_id)
            truth.told = None
            if then is None:
                truth.forgotten = True
                continue
            truth.restored = True
            truth.due_at, truth.expires_at, truth.canceled_at = then.due_at, then.expires_at, then.canceled_at

    def forgive(self, *, now: Millis) -> None:
        """A copy was restored whose machine's clock says ``now``: what it says is not due, nobody can know to be sent."""
        for truth in self.truth.values():
            truth.may_double |= truth.restored and bool(truth.taken) and truth.due_at > now

    # --- requests

    def begin(
        self, transport: str, kind: str, account: str, *, message: Message | None, life: Life, token_at: float = 0.0
    ) -> Call:
        """A request leaves; the process waits for ``answer``."""
        self._count += 1
        call = Call(
            number=self._count,
            transport=transport,
            kind=kind,
            account=account,
            message=message,
            life=life,
            fate=self._fate(kind, message),
            began=self.loop.time(),
            answer=self.loop.create_future(),
            token_at=token_at,
        )
        if life.dead or life.dies("on_wire"):
            return call
        if self.trouble("outage", transport):
            call.fate = replace(call.fate, answer=Unreached("refused"))
        what = "look-up" if message is None else f"{message.id} attempt {message.attempts + 1}: {call.fate.name}"
        self.trace.note("wire", f"{call.number} {transport} {account} {what}")
        self.limits.begins(call, self.loop.time())
        if message is not None:
            self._watch(call, message)
        return call

    def serve(self, call: Call) -> None:
        """The other side gets it, whatever becomes of the process from now on."""
        if not call.life.dead:
            self.spawn(self._serve(call))

    def end(self, call: Call) -> None:
        """The process has its answer, or closed the connection."""
        if call.ended is None and not call.life.dead:
            call.ended = self.loop.time()
            self.trace.note("wire", f"{call.number} ended")

    def concluded(self, call: Call, outcome: Outcome) -> None:
        """The process knows what its request led to."""
        if call.message is not None and not call.life.dead and not isinstance(outcome, Unconfirmed):
            self.truth[call.message.id].told = self.loop.time(), call.life, call.message.attempts + 1

    def spawn(self, coroutine) -> None:
        """Something that goes on whatever becomes of the process."""
        self.loop.create_task(coroutine, context=self.context)

    async def _serve(self, call: Call) -> None:
        fate = call.fate
        if isinstance(fate.answer, Unreached):
            await asyncio.sleep(fate.after)
            self._answer(call, fate.answer)
            return
        await asyncio.sleep(fate.travel)
        if call.life.dead and call.number % 2:
            return  # it never left the machine that died
        if call.ended is not None and call.number % 2:
            return  # the process closed the connection before
        call.arrived = self.loop.time()
        if call.ended is None:
            self.limits.arrived(call, call.arrived)
        refusal = self._refusal(call)
        swallowed = self.trouble("black_hole", call.transport) and not self.trouble("busy", call.transport)
        if swallowed and call.message is not None and call.number % 2:
            self.spawn(self._take(call, 0.05))
        if refusal is not None:
            await asyncio.sleep(0.1)
            self._answer(call, refusal)
            return
        if fate.work is not None:
            self.spawn(self._take(call, fate.work))
        elif fate.left_draft and call.message is not None:
            self._keep(call, call.message, self.loop.time(), sent=False)
        await asyncio.sleep(fate.after)
        if not isinstance(fate.answer, Silence):
            self._answer(call, fate.answer)

    def _answer(self, call: Call, answer: Answer) -> None:
        if not call.answer.done() and call.ended is None:
            self.trace.note("wire", f"{call.number} answered {answer}")
            if call.life.dead or call.life.dies("answered"):
                return
            self.limits.answered(call, answer, self.loop.time())
            call.answer.set_result(answer)

    async def _take(self, call: Call, after: float) -> None:
        """Exchange takes responsibility: from now on this mail is sent."""
        await asyncio.sleep(after)
        message, now = call.message, self.loop.time()
        assert message is not None
        truth = self.truth[message.id]
        truth.taken.append(now)
        truth.refused = message.envelope.addresses[0] if call.kind == "smtp" and call.fate.refused else None
        self.trace.note("taken", f"{call.number} {message.id}")
        refused = call.fate.refused is not None and call.kind == "smtp"
        self.limits.took(call, now, recipients=len(message.envelope.addresses) - refused)
        if len(truth.taken) > 1 and not truth.may_double:
            self.complain("doubled", f"{message.id} was taken {len(truth.taken)} times")
        self._keep(call, message, now)

    def _keep(self, call: Call, message: Message, now: float, *, sent: bool = True) -> None:
        climate, fate = self.plan.climate, call.fate
        if climate.keeps_nothing:
            return
        message_id = message.message_id
        if (call.kind, message.own_message_id) in climate.rewritten:
            message_id = f"<{call.number}@rewritten.example>"
        appears = now + fate.appears
        drafted_until = appears + fate.drafted if sent else math.inf
        self.copies.append(Copy(message_id, call.account, now, appears, drafted_until))

    def _fate(self, kind: str, message: Message | None) -> Fate:
        climate = self.plan.climate
        if message is None:
            chance = Chance(self.plan.seed, "look", self._count)
            lost = not self.calm and chance.happens(climate.blind)
            answer = chance.one(Http(504), Http(429, None, 5.0), Broken("reset"), Silence()) if lost else Http(200)
            return Fate(name="look-up", answer=answer, travel=chance.often_short(2.0) + 0.01)
        if self.calm:
            return taken(kind)
        chance = Chance(self.plan.seed, "fate", self.name_of(message), message.attempts, kind)
        return fate_of(kind, climate.fates, chance, storminess=climate.storminess, slowest_copy=climate.slowest_copy)

    def name_of(self, message: Message) -> str:
        """The name of the order's message, which is the same however ids are drawn."""
        return message.envelope.addresses[0].partition("@")[0]

    def _refusal(self, call: Call) -> Answer | None:
        """What the state of the world answers, whatever the request's own fate was."""
        graph, now = call.kind == "graph", self.loop.time()
        if self.trouble("busy", call.transport):
            return Http(503, "ServiceUnavailable") if graph else Said("greeting", 421, "4.3.2 Service not available")
        if self.trouble("black_hole", call.transport):
            return Http(504) if graph else Broken("closed")
        if graph and (refused := self.trouble("token_refused", call.transport)) and call.token_at < refused.at:
            return Http(401, "InvalidAuthenticationToken")
        if call.message is None and self.trouble("no_right", call.account):
            return Http(403, "ErrorAccessDenied")
        if call.message is None and self.trouble("no_look_up", call.account):
            return Http(503, "ErrorServerBusy")
        if self.trouble("transport_blocked", call.transport):
            return Http(403, "Authorization_RequestDenied") if graph else Said("greeting", 554, "5.7.1 Go away")
        if self.trouble("mailbox_blocked", call.account):
            return Http(403, "ErrorAccessDenied") if graph else Said("AUTH", 535, "5.7.3 Authentication unsuccessful")
        if call.message is not None and self.trouble("sender_blocked", f"{call.message.mailbox} {call.message.sender}"):
            return Http(403, "ErrorSendAsDenied") if graph else Said("MAIL FROM", 550, "5.7.60 SMTP; may not send as")
        throttled = self.trouble("throttled", call.account)
        if throttled and graph:
            return Http(429, "ApplicationThrottled", float(int(min(throttled.amount, throttled.until - now + 1.0))))
        return None

    # --- looking

    def find(self, account: str, message_ids: Sequence[str], *, ours: Millis) -> dict[str, tuple[records.Copy, ...]]:
        """What a look-up sees now: for each Message-ID the copies, told to one whose clock shows ``ours``."""
        now, found = self.loop.time(), {}
        clock = OtherClock(START + 1000 * int(now), ours)  # HTTP and Graph tell the time in whole seconds
        for message_id in message_ids:
            found[message_id] = tuple(
                records.Copy(now < copy.drafted_until, clock.between(START + 1000 * int(copy.at)))
                for copy in self.copies
                if copy.message_id == message_id and copy.account == account and copy.appears <= now and not copy.gone
            )
        return found

    # --- promises that only the other side can see

    def _watch(self, call: Call, message: Message) -> None:
        truth, now, wall = self.truth[message.id], call.began, self.clock.earliest
        if truth.canceled_at is not None and now > truth.canceled_at:
            self.complain("canceled", f"{message.id} was sent after its cancel")
        if truth.expires_at is not None and wall >= truth.expires_at + self.slack:
            self.complain("expired", f"{message.id} was sent {wall - truth.expires_at} ms after its expiry")
        if not truth.retried and self.clock.latest < truth.due_at:
            self.complain("early", f"{message.id} was sent before its time")
        for name in (call.account, call.transport):
            if now > self.paused.get(name, math.inf) + HEARD:
                self.complain("paused", f"{message.id} was sent although a person had paused {name}")
        truth.begun.append(now)
        truth.told = None

    @property
    def slack(self) -> Millis:
        """A send that was right when its mark was queued may begin once the disk has kept it."""
        return 20_000
