"""The door step: who may send it, how it goes, what it is called; then the spool, and only then the answer (HOUSE)."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple

from posthouse.draftable import loss
from posthouse.headers import fit_to_envelope
from posthouse.lanes import TENANT_DAY_USED
from posthouse.mailboxes import Mailboxes, Queues, SenderRule
from posthouse.message import Body, Content, Envelope, MessageId, Millis, OnUnconfirmed, Priority, Status, new_id
from posthouse.meter import UNHEARD, Meter
from posthouse.policy import Client, Right, Terms, folded, matches, may_send_as, may_send_to, must_have
from posthouse.ports import Clock, Spool, SpoolUnavailableError
from posthouse.rates import Rates
from posthouse.receipt import Accepted, Notice, Receipt
from posthouse.reckoning import Joiner
from posthouse.records import Added, Idempotency, KeyReused, NewMessage, Replayed, Submission, TransportKind
from posthouse.refusal import Allowance, Condition, FieldError, Refused
from posthouse.structure import Part
from posthouse.telemetry import MESSAGE_ACCEPTED, Addresses, log
from posthouse.tracer import UNFOLLOWED, UNTRACED, Tracer
from posthouse.ways import EXCHANGE_MOST, Load, Way, by_graph, by_smtp, in_order, load_of, most, too_large

RETRY_AFTER: Final = 10
"""Seconds after which a caller tries again when mail cannot be kept now."""

EXTRA_RECIPIENTS: Final = "extra_header_recipients"
"""The held cause of mail whose header names recipients that its envelope does not, where settings say hold."""

CLIENT_PAUSED: Final = "client_paused"
"""The held cause of mail of a client that an operator paused."""

_NO_TERMS: Final = Terms()
_DRAFT: Final = Notice(
    "sent_as_draft", "Graph may get it as a draft: Exchange then writes its MIME, and the text beside an html, anew"
)
_GRAPH_ONLY: Final = frozenset({"x_header_dropped", "auto_submitted_dropped"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """What the door step must know of a transport; ``account`` is the SMTP login where that is the lane.

    ``drafts``: what is over ``max_wire_bytes`` goes as a draft with upload sessions, where nothing is lost.
    ``recipients_per_day`` of one account by it; 0 means no limit.
    """

    name: str
    kind: TransportKind
    account: str | None = None
    max_wire_bytes: int | None = None
    drafts: bool = False
    extra_header_recipients: Literal["smtp_else_drop", "drop", "hold"] = "smtp_else_drop"
    recipients_per_day: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRule:
    """The transports for senders and, where given, for mail whose recipients all match."""

    senders: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    transports: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings that every submission is held against (CONTRACT §4); sizes in bytes, times in seconds."""

    carriers: Mapping[str, Carrier]
    default_route: tuple[str, ...]
    routes: tuple[RouteRule, ...] = ()
    senders: tuple[SenderRule, ...] = ()
    recipients_per_message: int = 500
    tenant_recipients_per_day: int = 0
    max_message_bytes: int = 36_700_160
    expire_after: float = 432_000.0
    on_unconfirmed: OnUnconfirmed = OnUnconfirmed.SETTLE

    def route(self, sender: str, recipients: Sequence[str]) -> tuple[str, ...]:
        """First match wins; a rule's recipients match when all recipients do (CONTRACT §4)."""
        for rule in self.routes:
            if rule.senders and not matches(rule.senders, sender):
                continue
            if rule.recipients and not all(matches(rule.recipients, to) for to in recipients):
                continue
            return rule.transports
        return self.default_route


@dataclass(frozen=True, slots=True)
class Identity:
    """What a message is called before it is composed: our id, the Message-ID we would give it, the time."""

    id: MessageId
    message_id: str
    at: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a client asks of the way a message goes; None leaves it to the settings."""

    reference: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, object] = field(default_factory=dict)
    priority: Priority | None = None
    due_at: Millis | None = None
    expires_at: Millis | None = None
    transport: str | None = None
    on_unconfirmed: OnUnconfirmed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A decoded submission; ``raw`` says that the client wrote the header, so that it may differ from the envelope."""

    identity: Identity
    client: Client
    door: str
    sender: str
    envelope: Envelope
    content: Content
    subject: str
    own_message_id: str | None = None
    """The client's valid Message-ID, None where ours stands in the content."""
    wishes: Wishes
    notices: tuple[Notice, ...] = ()
    raw: bool = False
    root: str = ""
    """Where the draft stands in its request, as a JSON pointer."""
    structure: Part | None = None
    """The MIME structure of a body that does not lie in memory, for the case that only a draft of Graph can carry it."""


class _Place(NamedTuple):
    """Where a submission counts in its client's rate, and until when it is delayed for it (0: it is not)."""

    at: Millis
    not_before: Millis


Render = Callable[[Sequence[Receipt]], bytes]
"""Writes the answer that is kept for replays."""
Closed = Callable[[], Condition | None]
"""DRAINING or STORAGE_LOW where nothing more is taken."""
Offered = Callable[[str], int | None]
"""The SIZE that the server of an SMTP transport offered last; None where it has not been asked yet."""


def _never_asked(_transport: str) -> None:
    return None


def _nobody_counts() -> None:
    return None


class DoorStep:
    """What all doors call; knows no protocol."""

    def __init__(
        self,
        *,
        spool: Spool,
        rules: Rules,
        clock: Clock,
        chance: Callable[[int], bytes],
        backlog: Queues,
        closed: Closed,
        offered: Offered = _never_asked,
        rates: Rates | None = None,
        took: Callable[[], None] = _nobody_counts,
        meter: Meter = UNHEARD,
        tracer: Tracer = UNTRACED,
    ) -> None:
        self._spool = spool
        self.rules = rules
        self._clock = clock
        self._chance = chance
        self._mailboxes = Mailboxes(rules.senders, backlog)
        self._closed = closed
        self._offered = offered
        self._rates = rates or Rates()
        self._took = took
        self._meter = meter
        self._tracer = tracer

    def now(self) -> Millis:
        """The time that messages are accepted at."""
        return self._clock.now()

    def identify(self, sender: str) -> Identity:
        """A new id and the Message-ID that belongs to it, in the sender's domain (RFC 5322 §3.6.4)."""
        now = self._clock.now()
        id_ = new_id(now=now, chance=self._chance(10))
        return Identity(id_, f"<{id_}@{_ascii_domain(sender)}>", now)

    def welcome(self, client: Client) -> None:
        """Raises Refused where this client may not submit or nothing is taken now; called before the body is read."""
        must_have(client, Right.SUBMIT)
        if (condition := self._closed()) is not None:
            detail = "the service is stopping" if condition is Condition.DRAINING else "the disk is almost full"
            raise Refused(condition, f"{detail}; nothing was accepted, try again later", retry_after=RETRY_AFTER)

    def admit(self, draft: Draft) -> int:
        """Raises Refused for what is known before the body has come; else the bytes that its route could carry at most."""
        self._permit(draft)
        _check_expiry(draft, due_at=max(draft.wishes.due_at or 0, draft.identity.at))
        ways = self._ways(draft, Load(size=0, wire=EXCHANGE_MOST + 1, loss=lambda: loss(draft.content.header, None)))
        limits = (self.rules.max_message_bytes, draft.client.terms.max_message_bytes, most(ways) or EXCHANGE_MOST)
        return min(limit or EXCHANGE_MOST for limit in limits)

    def refuse_size(self, draft: Draft, size: int) -> None:
        """Raises Refused for a message that is still coming and has more than ``admit`` allowed."""
        self._check_size(draft, size)
        load = Load(size=size, wire=size, loss=lambda: loss(draft.content.header, None))
        raise too_large(self._ways(draft, load), load, complete=False)

    @asynccontextmanager
    async def keep(self, blocks: AsyncIterator[bytes], *, small: bool = True) -> AsyncGenerator[Body]:
        """A body kept durably while it comes, for a draft that is accepted inside; raises Refused. See Spool.store."""
        keeping = self._spool.store(blocks, small=small)
        try:
            body = await keeping.__aenter__()
        except SpoolUnavailableError as fault:
            raise _unavailable(fault) from fault
        try:
            yield body
        finally:
            await keeping.__aexit__(None, None, None)

    async def accept(
        self,
        drafts: Sequence[Draft],
        *,
        answer: Render,
        idempotency: Idempotency | None = None,
        dry_run: bool = False,
    ) -> Accepted | Replayed:
        """Keep all drafts or none; raises Refused. Answers only after the commit."""
        passage = UNFOLLOWED if dry_run else self._tracer.submitting(drafts[0].door)
        try:
            result = await self._accept(
                drafts, answer=answer, idempotency=idempotency, dry_run=dry_run, traceparent=passage.traceparent
            )
        except BaseException as fault:
            passage.ended(fault.condition.value if isinstance(fault, Refused) else "fault")
            raise
        accepted = isinstance(result, Accepted)
        passage.ended("accepted" if accepted else "replayed", [one.identity.id for one in drafts] if accepted else ())
        return result

    async def _accept(
        self,
        drafts: Sequence[Draft],
        *,
        answer: Render,
        idempotency: Idempotency | None,
        dry_run: bool,
        traceparent: str | None,
    ) -> Accepted | Replayed:
        drafts = [_with_terms(draft) for draft in drafts]
        place = _Place(0, 0) if dry_run else self._take(drafts)
        try:
            pairs = [self._resolve(draft, joins=not dry_run, not_before=place.not_before) for draft in drafts]
            receipts = tuple(receipt for _, receipt in pairs)
            rendered = answer(receipts)
            if dry_run:
                return Accepted(receipts, rendered)
            messages = tuple(message for message, _ in pairs)
            if traceparent is not None:
                messages = tuple(replace(message, traceparent=traceparent) for message in messages)
            result = await self._spool.add(Submission(messages=messages, answer=rendered, idempotency=idempotency))
        except SpoolUnavailableError as fault:
            self._give_back(drafts, place)
            raise _unavailable(fault) from fault
        except Refused:
            self._give_back(drafts, place)
            raise
        match result:
            case Added():
                self._tell(messages)
                return Accepted(receipts, rendered)
            case Replayed():
                self._give_back(drafts, place)
                return result
            case KeyReused():
                self._give_back(drafts, place)
                detail = "this Idempotency-Key came before with another request; use a new key for a new message"
                raise Refused(Condition.IDEMPOTENCY_KEY_REUSED, detail)

    def _tell(self, messages: Sequence[NewMessage]) -> None:
        self._meter.accepted(messages[0].door, len(messages))
        for message in messages:
            log(
                MESSAGE_ACCEPTED,
                message=message.id,
                client=message.client,
                door=message.door,
                size=message.content.size,
                recipients=Addresses(message.envelope.addresses),
                recipient_count=len(message.envelope.recipients),
                held=message.held_cause,
            )

    def allowance(self, client: Client) -> tuple[Allowance, ...]:
        """What is left of the client's own rate; nothing where it has none."""
        return self._rates.left(client.name, client.terms, now=self._clock.now())

    def _take(self, drafts: Sequence[Draft]) -> "_Place":
        """Raises Refused where the client is over its own rate."""
        client, now = drafts[0].client, self._clock.now()
        at = self._rates.take(client.name, client.terms, count=len(drafts), now=now)
        if client.terms.rates:
            self._took()
        return _Place(at, at if at > now else 0)

    def _give_back(self, drafts: Sequence[Draft], place: "_Place") -> None:
        self._rates.give_back(drafts[0].client.name, count=len(drafts), at=place.at)

    def _resolve(self, draft: Draft, *, joins: bool, not_before: Millis) -> tuple[NewMessage, Receipt]:
        self._permit(draft)
        identity, wishes = draft.identity, draft.wishes
        priority = Priority.NORMAL if wishes.priority is None else wishes.priority
        due_at = max(wishes.due_at or 0, identity.at, not_before)
        _check_expiry(draft, due_at=due_at)
        size = draft.content.size
        ways = self._ways(draft, self._load(draft))
        route, held, notices = self._route(draft, ways)
        held = CLIENT_PAUSED if draft.client.paused else held
        self._within_a_day(draft, route)
        joiner = Joiner(draft.client.name, priority, due_at)
        seat = self._mailboxes.seat(draft.sender, joiner, login=self.rules.carriers[route[0]].account, joins=joins)
        message = NewMessage(
            id=identity.id,
            client=draft.client.name,
            key_id=draft.client.key_id,
            door=draft.door,
            mailbox=seat.mailbox,
            account=seat.account,
            sender=folded(draft.sender),
            envelope=draft.envelope,
            subject=draft.subject,
            reference=wishes.reference,
            tags=wishes.tags,
            metadata=wishes.metadata,
            message_id=draft.own_message_id or identity.message_id,
            own_message_id=draft.own_message_id is None,
            route=route,
            content=draft.content,
            priority=priority,
            accepted_at=identity.at,
            due_at=due_at,
            expires_at=wishes.expires_at,
            gives_up_at=due_at + int(self.rules.expire_after * 1000),
            on_unconfirmed=wishes.on_unconfirmed or self.rules.on_unconfirmed,
            held_cause=held,
            paced=self._mailboxes.paced(draft.sender),
        )
        waiting = Status.SCHEDULED if due_at > identity.at else Status.QUEUED
        receipt = Receipt(
            id=identity.id,
            status=Status.HELD if held else waiting,
            created_at=identity.at,
            reference=wishes.reference,
            mailbox=seat.mailbox,
            route=route,
            ways=ways,
            size=size,
            standing=seat.standing,
            notices=notices,
        )
        return message, receipt

    def _permit(self, draft: Draft) -> None:
        rules, envelope = self.rules, draft.envelope
        may_send_as(draft.client, draft.sender, pointer="" if draft.raw else f"{draft.root}/from")
        if envelope.sender is not None and envelope.sender != draft.sender:
            may_send_as(draft.client, envelope.sender, pointer="")
        count = len(envelope.recipients)
        if rules.recipients_per_message and count > rules.recipients_per_message:
            detail = f"a message has at most {rules.recipients_per_message} recipients, this one has {count}"
            raise Refused(Condition.TOO_MANY_RECIPIENTS, detail, errors=(FieldError(f"{draft.root}/to", detail),))
        if draft.client.recipient_domains:
            may_send_to(draft.client, envelope.addresses)
        self._check_size(draft, draft.content.size)

    def _check_size(self, draft: Draft, size: int) -> None:
        own, limit, whose = (
            draft.client.terms.max_message_bytes,
            self.rules.max_message_bytes,
            "[limits] max_message_bytes",
        )
        if own and (not limit or own < limit):
            limit, whose = own, f"that of client {draft.client.name!r}"
        if limit and size > limit:
            detail = f"the message has {size} bytes, the limit is {limit} ({whose})"
            raise Refused(Condition.MESSAGE_TOO_LARGE, detail, limit_bytes=limit)

    def _within_a_day(self, draft: Draft, route: Sequence[str]) -> None:
        """More recipients than a day takes would never leave; a group of the org's address book counts one (FACTS B1)."""
        count = len(draft.envelope.recipients)
        limits = [self.rules.carriers[name].recipients_per_day for name in route]
        mailbox = max(limits) if all(limits) else 0
        for limit, name in ((mailbox, "recipients_per_day"), (self.rules.tenant_recipients_per_day, TENANT_DAY_USED)):
            if limit and count > limit:
                detail = f"{count} recipients are more than a day takes: {limit} ([limits] {name}); split the message"
                raise Refused(Condition.TOO_MANY_RECIPIENTS, detail, errors=(FieldError(f"{draft.root}/to", detail),))

    def _ways(self, draft: Draft, load: Load) -> tuple[Way, ...]:
        """How each transport of the route stands to a message of this weight."""
        carriers = (self.rules.carriers[name] for name in self._transports(draft))
        return tuple(
            by_smtp(carrier.name, load, offered=self._offered(carrier.name))
            if carrier.kind == "smtp"
            else by_graph(carrier.name, load, limit=carrier.max_wire_bytes, drafts=carrier.drafts)
            for carrier in carriers
        )

    def _load(self, draft: Draft) -> Load:
        return load_of(draft.content, recipients=draft.envelope.addresses, structure=draft.structure)

    def _route(self, draft: Draft, ways: tuple[Way, ...]) -> tuple[tuple[str, ...], str | None, tuple[Notice, ...]]:
        """The transports that can carry it, why it must wait (if so), and what will be changed."""
        names = in_order(ways)
        if not names:
            raise too_large(ways, self._load(draft), complete=True)
        able = [self.rules.carriers[name] for name in names]
        notices = draft.notices
        if notices and all(carrier.kind != "graph" for carrier in able):
            notices = tuple(notice for notice in notices if notice.code not in _GRAPH_ONLY)
        if any(way.able and way.form == "draft" for way in ways):
            notices += (_DRAFT,)
        held = None
        if strangers := _strangers(draft):
            able, held, notice = _without_strangers(able, strangers)
            notices += notice
        return tuple(carrier.name for carrier in able), held, notices

    def _transports(self, draft: Draft) -> tuple[str, ...]:
        names = self.rules.route(draft.sender, draft.envelope.addresses)
        pinned = draft.wishes.transport
        if pinned is None:
            return names
        if pinned not in names:
            detail = f"the route of {draft.sender} has {', '.join(names)}, not {pinned}"
            raise Refused(Condition.VALIDATION_ERROR, detail, errors=(FieldError(f"{draft.root}/transport", detail),))
        return (pinned,)


def _with_terms(draft: Draft) -> Draft:
    """What the client's terms set where the request says nothing (CONTRACT §3)."""
    terms, wishes = draft.client.terms, draft.wishes
    if terms == _NO_TERMS:
        return draft
    expires_at = wishes.expires_at
    if expires_at is None and terms.expire_after:
        expires_at = max(wishes.due_at or 0, draft.identity.at) + int(terms.expire_after * 1000)
    wishes = replace(
        wishes,
        tags={**terms.tags, **wishes.tags},
        priority=terms.priority if wishes.priority is None else wishes.priority,
        on_unconfirmed=wishes.on_unconfirmed or terms.on_unconfirmed,
        expires_at=expires_at,
    )
    return replace(draft, wishes=wishes)


def _check_expiry(draft: Draft, *, due_at: Millis) -> None:
    expires_at = draft.wishes.expires_at
    if expires_at is None or expires_at > due_at:
        return
    passed = expires_at <= draft.identity.at
    detail = "expires_at has passed" if passed else "it would expire before it is due (scheduled_at, send_in)"
    raise Refused(Condition.VALIDATION_ERROR, detail, errors=(FieldError(f"{draft.root}/expires_at", detail),))


def _unavailable(fault: SpoolUnavailableError) -> Refused:
    condition = Condition.SPOOL_FULL if fault.full else Condition.STORAGE_LOW
    detail = f"the message cannot be kept durably now ({'no space left' if fault.full else 'spool unavailable'})"
    return Refused(condition, detail, retry_after=RETRY_AFTER)


def _strangers(draft: Draft) -> tuple[str, ...]:
    """Addresses of the header that the envelope does not have (PROMISES §8); composed headers have none."""
    if not draft.raw:
        return ()
    return fit_to_envelope(draft.content.header, recipients=draft.envelope.addresses).dropped


def _without_strangers(
    able: Sequence[Carrier], strangers: tuple[str, ...]
) -> tuple[list[Carrier], str | None, tuple[Notice, ...]]:
    """Graph takes To and Cc for the delivery list, so such mail goes by SMTP, or cut, or waits (PROMISES §6, §8)."""
    smtp = [carrier for carrier in able if carrier.kind == "smtp"]
    graph = [carrier for carrier in able if carrier.kind == "graph"]
    keep = [
        carrier
        for carrier in able
        if carrier.kind == "smtp"
        or carrier.extra_header_recipients == "drop"
        or (carrier.extra_header_recipients == "smtp_else_drop" and not smtp)
    ]
    if not keep:
        return graph, EXTRA_RECIPIENTS, ()
    if any(carrier.kind == "graph" for carrier in keep):
        detail = f"through Graph the copy will not name {', '.join(strangers)}: the envelope does not have them"
        return keep, None, (Notice("header_recipients_dropped", detail),)
    return keep, None, ()


def _ascii_domain(address: str) -> str:
    domain = address.rpartition("@")[2]
    if domain.isascii():
        return domain
    try:
        return domain.encode("idna").decode()
    except UnicodeError:
        return "posthouse.invalid"  # RFC 6761 §6.4: a name that nobody has
