"""The door step: routes, sizes, expiry, names and what is said in advance."""

import base64
import dataclasses
import os
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest

from posthouse.compose import Letter, Person, compose
from posthouse.headers import fit_to_envelope, is_msg_id
from posthouse.mailboxes import SenderRule
from posthouse.message import Bytes, Content, Envelope, Kind, OnUnconfirmed, Priority, Recipient, Status, parse_id
from posthouse.policy import ADMINISTRATOR, Client
from posthouse.records import Idempotency, Replayed
from posthouse.refusal import Condition, Refused
from posthouse.submission import (
    EXTRA_RECIPIENTS,
    Accepted,
    Carrier,
    DoorStep,
    Draft,
    Notice,
    Receipt,
    RouteRule,
    Rules,
    Wishes,
)
from tests.contract.rest_door import GRAPH_LIMIT, RULES, Door, rest_door

FROM = "noreply@contoso.com"
NO_WISHES = Wishes()
GRAPH_ONLY = dataclasses.replace(RULES, default_route=("graph",))


@pytest.fixture
async def door(tmp_path: Path) -> AsyncGenerator[Door]:
    async with rest_door(tmp_path) as opened:
        yield opened


def step_of(door: Door, rules: Rules) -> DoorStep:
    return DoorStep(
        spool=door.spool,
        rules=rules,
        clock=door.clock,
        chance=os.urandom,
        backlog=door.backlog,
        closed=lambda: door.state.closed,
    )


def draft(
    step: DoorStep,
    *to: str,
    sender: str = FROM,
    client: Client = ADMINISTRATOR,
    bcc: Sequence[str] = (),
    text: str = "hello",
    wishes: Wishes = NO_WISHES,
) -> Draft:
    identity = step.identify(sender)
    people = tuple(Person("", address) for address in to)
    header, body = compose(
        Letter(sender=Person("", sender), to=people, text=text),
        message_id=identity.message_id,
        date=datetime(2026, 11, 24, tzinfo=UTC),
        boundary=identity.id,
    )
    recipients = [Recipient(address, Kind.TO) for address in to] + [Recipient(address, Kind.BCC) for address in bcc]
    return Draft(
        identity=identity,
        client=client,
        door="rest",
        sender=sender,
        envelope=Envelope(sender, tuple(recipients)),
        content=Content(header, Bytes(body)),
        subject="",
        wishes=wishes,
    )


def padded(made: Draft, size: int) -> Draft:
    """The same with a body that makes the whole message ``size`` bytes long."""
    body = Bytes(b"x" * (size - len(made.content.header) - 2))
    return dataclasses.replace(made, content=Content(made.content.header, body))


def render(receipts: Sequence[Receipt]) -> bytes:
    return b",".join(receipt.id.encode() for receipt in receipts)


async def receipt(step: DoorStep, made: Draft) -> Receipt:
    result = await step.accept([made], answer=render, dry_run=True)
    assert isinstance(result, Accepted)
    return result.receipts[0]


async def refusal(step: DoorStep, made: Draft) -> Refused:
    with pytest.raises(Refused) as refused:
        await step.accept([made], answer=render)
    return refused.value


async def test_the_first_rule_that_matches_sender_and_all_recipients_decides_the_route(door: Door) -> None:
    carriers = {name: Carrier(name=name, kind="smtp") for name in ("a", "b", "c", "d")}
    routes = (
        RouteRule(recipients=("*@contoso.com",), transports=("a",)),
        RouteRule(senders=("noreply@contoso.com",), transports=("b", "a")),
        RouteRule(senders=("*@contoso.com",), transports=("c",)),
    )
    step = step_of(door, Rules(carriers=carriers, default_route=("d",), routes=routes))
    assert (await receipt(step, draft(step, "x@contoso.com", "y@CONTOSO.com"))).route == ("a",)
    assert (await receipt(step, draft(step, "x@contoso.com", "y@example.org"))).route == ("b", "a")
    assert (await receipt(step, draft(step, "x@contoso.com", bcc=["y@example.org"]))).route == ("b", "a")
    assert (await receipt(step, draft(step, "y@example.org", sender="hr@contoso.com"))).route == ("c",)
    assert (await receipt(step, draft(step, "y@example.org", sender="hr@fabrikam.com"))).route == ("d",)


async def test_a_pinned_transport_narrows_the_route_and_never_leaves_it(door: Door) -> None:
    step = step_of(door, RULES)
    assert (await receipt(step, draft(step, "x@example.org", wishes=Wishes(transport="smtp")))).route == ("smtp",)
    refused = await refusal(step, draft(step, "x@example.org", wishes=Wishes(transport="hve")))
    assert refused.condition is Condition.VALIDATION_ERROR
    assert refused.errors[0].pointer == "/transport"
    assert "graph, smtp" in refused.detail


@pytest.mark.parametrize("bcc", [(), tuple(f"recipient{i:03}@example.org" for i in range(200))])
async def test_graph_is_left_out_of_the_route_from_exactly_its_wire_limit_on(door: Door, bcc: Sequence[str]) -> None:
    """The wire form holds the Bcc header that the transport will write, to the byte."""
    step = step_of(door, RULES)
    small = draft(step, "x@example.org", bcc=bcc)
    wire = fit_to_envelope(small.content.header, recipients=small.envelope.addresses).header
    room = GRAPH_LIMIT - (len(wire) - len(small.content.header))
    assert (await receipt(step, padded(small, room))).route == ("graph", "smtp")
    assert (await receipt(step, padded(small, room + 1))).route == ("smtp",)


async def test_too_large_for_a_route_without_smtp_names_the_limit_and_what_lifts_it(door: Door) -> None:
    step = step_of(door, GRAPH_ONLY)
    small = draft(step, "x@example.org")
    await receipt(step, padded(small, GRAPH_LIMIT))
    refused = await refusal(step, padded(small, GRAPH_LIMIT + 1))
    assert refused.condition is Condition.MESSAGE_TOO_LARGE
    assert refused.limit_bytes == GRAPH_LIMIT
    assert "SMTP" in refused.detail


async def test_too_large_for_the_settings_is_refused_whatever_the_route(door: Door) -> None:
    step = step_of(door, dataclasses.replace(RULES, max_message_bytes=5000))
    await receipt(step, padded(draft(step, "x@example.org"), 5000))
    refused = await refusal(step, padded(draft(step, "x@example.org"), 5001))
    assert refused.condition is Condition.MESSAGE_TOO_LARGE
    assert refused.limit_bytes == 5000


async def test_recipients_are_counted_over_the_whole_envelope(door: Door) -> None:
    step = step_of(door, dataclasses.replace(RULES, recipients_per_message=3))
    await receipt(step, draft(step, "a@example.org", bcc=["b@example.org", "c@example.org"]))
    refused = await refusal(step, draft(step, "a@example.org", "d@example.org", bcc=["b@x.org", "c@x.org"]))
    assert refused.condition is Condition.TOO_MANY_RECIPIENTS


async def test_policy_holds_for_header_and_envelope_sender_and_every_recipient(door: Door) -> None:
    step = step_of(door, RULES)
    shop = Client(name="shop", senders=(FROM,), recipient_domains=("example.org",))
    good = draft(step, "x@example.org", client=shop)
    await receipt(step, good)
    envelope = Envelope("ceo@contoso.com", good.envelope.recipients)
    other_sender = draft(step, "x@example.org", sender="ceo@contoso.com", client=shop)
    assert (await refusal(step, other_sender)).condition is Condition.SENDER_NOT_ALLOWED
    other_envelope = dataclasses.replace(good, envelope=envelope)
    assert (await refusal(step, other_envelope)).condition is Condition.SENDER_NOT_ALLOWED
    outside = draft(step, "x@example.org", bcc=["y@example.com"], client=shop)
    assert (await refusal(step, outside)).condition is Condition.RECIPIENT_NOT_ALLOWED


async def test_what_expired_or_would_expire_before_it_is_due_is_refused(door: Door) -> None:
    step = step_of(door, RULES)
    now = door.clock.now()
    await receipt(step, draft(step, "x@example.org", wishes=Wishes(due_at=now + 50_000, expires_at=now + 60_000)))
    for wishes in (Wishes(expires_at=now - 1), Wishes(due_at=now + 60_000, expires_at=now + 50_000)):
        refused = await refusal(step, draft(step, "x@example.org", wishes=wishes))
        assert refused.condition is Condition.VALIDATION_ERROR
        assert refused.errors[0].pointer == "/expires_at"


async def test_what_is_kept_is_what_was_resolved(door: Door) -> None:
    rules = dataclasses.replace(
        RULES,
        expire_after=3600.0,
        on_unconfirmed=OnUnconfirmed.HOLD,
        senders=(SenderRule(FROM, ("Relay@contoso.com", "other@contoso.com")),),
    )
    step = step_of(door, rules)
    made = draft(
        step,
        "x@example.org",
        bcc=["y@example.org"],
        sender="NoReply@contoso.com",
        wishes=Wishes(priority=Priority.HIGH),
    )
    await step.accept([made], answer=render)
    lease = (await door.spool.lease(owner="test", now=door.clock.now(), most=1))[0]
    message = (await door.spool.peek(lane=lease.lane, now=door.clock.now(), most=1))[0]
    assert lease.account == "relay@contoso.com"
    assert (message.mailbox, message.sender) == ("relay@contoso.com", "noreply@contoso.com")
    assert message.envelope == made.envelope
    assert message.route == ("graph", "smtp")
    assert message.message_id == made.identity.message_id
    assert message.own_message_id
    assert message.priority is Priority.HIGH
    assert message.on_unconfirmed is OnUnconfirmed.HOLD
    assert message.expires_at is None
    assert message.gives_up_at == message.accepted_at + 3_600_000


async def test_the_default_expiry_counts_from_when_a_scheduled_message_is_due(door: Door) -> None:
    step = step_of(door, dataclasses.replace(RULES, expire_after=3600.0))
    due = door.clock.now() + 86_400_000
    made = draft(step, "x@example.org", wishes=Wishes(due_at=due))
    result = await step.accept([made], answer=render)
    assert isinstance(result, Accepted)
    assert result.receipts[0].status is Status.SCHEDULED
    lease = (await door.spool.lease(owner="test", now=due, most=1))[0]
    message = (await door.spool.peek(lane=lease.lane, now=due, most=1))[0]
    assert message.gives_up_at == due + 3_600_000


async def test_a_lane_is_the_account_of_the_first_transport_that_can_carry_it(door: Door) -> None:
    carriers = {
        "graph": Carrier(name="graph", kind="graph", max_wire_bytes=GRAPH_LIMIT),
        "smtp": Carrier(name="smtp", kind="smtp", account="relay@contoso.com"),
    }
    step = step_of(door, Rules(carriers=carriers, default_route=("graph", "smtp")))
    await step.accept([draft(step, "x@example.org")], answer=render)
    step = step_of(door, Rules(carriers=carriers, default_route=("smtp", "graph")))
    await step.accept([draft(step, "x@example.org")], answer=render)
    leases = await door.spool.lease(owner="test", now=door.clock.now(), most=9)
    assert {lease.account for lease in leases} == {FROM, "relay@contoso.com"}


@pytest.mark.parametrize("sender", [FROM, "büro@bücher.example", "x@[192.0.2.1]", "x@" + "ü" * 63 + ".example"])
async def test_our_message_id_is_valid_and_carries_our_id(door: Door, sender: str) -> None:
    identity = step_of(door, RULES).identify(sender)
    assert parse_id(identity.id) == identity.id
    assert is_msg_id(identity.message_id)
    assert identity.id in identity.message_id


Extra = Literal["smtp_else_drop", "drop", "hold"]


@pytest.mark.parametrize(
    ("extra", "route", "chosen", "held", "said"),
    [
        ("smtp_else_drop", ("graph", "smtp"), ("smtp",), None, False),
        ("smtp_else_drop", ("graph",), ("graph",), None, True),
        ("drop", ("graph", "smtp"), ("graph", "smtp"), None, True),
        ("hold", ("graph", "smtp"), ("smtp",), None, False),
        ("hold", ("graph",), ("graph",), EXTRA_RECIPIENTS, False),
    ],
)
async def test_header_recipients_outside_the_envelope_follow_the_setting(
    door: Door, extra: Extra, route: tuple[str, ...], chosen: tuple[str, ...], held: str | None, *, said: bool
) -> None:
    carriers = {
        "graph": dataclasses.replace(RULES.carriers["graph"], extra_header_recipients=extra),
        "smtp": RULES.carriers["smtp"],
    }
    step = step_of(door, Rules(carriers=carriers, default_route=route))
    both = draft(step, "x@example.org", "stranger@example.org")
    cut = Envelope(FROM, (Recipient("x@example.org", Kind.TO),))
    made = dataclasses.replace(both, envelope=cut, raw=True)
    got = await receipt(step, made)
    assert got.route == chosen
    assert (got.status is Status.HELD) == (held is not None)
    assert any("stranger@example.org" in notice.detail for notice in got.notices) == said


async def test_what_only_graph_changes_is_not_said_of_a_route_without_it(door: Door) -> None:
    step = step_of(door, RULES)
    notices = (Notice("x_header_dropped", ""), Notice("display_name_replaced", ""))
    made = dataclasses.replace(draft(step, "x@example.org"), notices=notices)
    assert len((await receipt(step, made)).notices) == 2
    pinned = dataclasses.replace(made, wishes=Wishes(transport="smtp"))
    assert [notice.code for notice in (await receipt(step, pinned)).notices] == ["display_name_replaced"]


async def test_nothing_is_taken_while_the_service_drains_or_the_disk_is_low(door: Door) -> None:
    step = step_of(door, RULES)
    step.welcome(ADMINISTRATOR)
    for condition in (Condition.DRAINING, Condition.STORAGE_LOW):
        door.state.closed = condition
        with pytest.raises(Refused) as refused:
            step.welcome(ADMINISTRATOR)
        assert refused.value.condition is condition
        assert refused.value.retry_after


async def test_a_spool_that_cannot_keep_it_is_a_refusal_and_not_a_loss(door: Door) -> None:
    step = step_of(door, RULES)
    await door.spool.close()
    refused = await refusal(step, draft(step, "x@example.org"))
    assert refused.condition is Condition.STORAGE_LOW
    assert refused.retry_after


async def test_a_repeated_key_gets_the_first_answer_and_another_request_is_refused(door: Door) -> None:
    step = step_of(door, RULES)
    key = Idempotency("shop", "k-1", b"\1" * 32)
    first = await step.accept([draft(step, "x@example.org")], answer=render, idempotency=key)
    assert isinstance(first, Accepted)
    again = draft(step, "x@example.org")
    assert await step.accept([again], answer=render, idempotency=key) == Replayed(first.answer)
    other = dataclasses.replace(key, request_hash=b"\2" * 32)
    with pytest.raises(Refused) as refused:
        await step.accept([again], answer=render, idempotency=other)
    assert refused.value.condition is Condition.IDEMPOTENCY_KEY_REUSED


def test_base64_is_not_counted_twice() -> None:
    """Graph's limit of 3,145,728 bytes of MIME is its 4 MiB of request, without base64 (issue 3 item 6)."""
    assert len(base64.b64encode(b"x" * GRAPH_LIMIT)) == 4 * 1024 * 1024
