"""In one word why the first message of a lane does not leave now, and until when (CONTRACT §2.1, /v1/lanes)."""

from dataclasses import replace

import pytest

from posthouse.lanes import DAY_USED, PAUSED_BY_PERSON, TENANT_DAY_USED
from posthouse.limits import Discipline, Limits, Use
from posthouse.message import Envelope, Kind, Message, MessageId, OnUnconfirmed, Priority, Recipient
from posthouse.pace import HOUR, WINDOW, Day
from posthouse.reckoning import PACE, SCHEDULED, SENDER_PACE, SLOTS, TRANSPORT, UPLOAD, Account, WaitsFor, waits_for
from posthouse.records import Backlogged, LaneRow, Past, Pause, Start, Told, TransportRow

NOW = 1_800_000_000_000
A, NEWS = "a@contoso.com", "news@contoso.com"
LIMITS = Limits(messages_per_minute=30, concurrent_requests=4, recipients_per_day=100, upload_bytes_per_5_minutes=8_000)
OWN = replace(LIMITS, messages_per_minute=0)
DISCIPLINE = Discipline(
    uses={
        "graph": Use(pace="", limits=LIMITS, slots=0, uploads=True),
        "smtp": Use(pace="", limits=LIMITS, slots=3),
        "hve": Use(pace="hve", limits=OWN, slots=3),
    },
    senders={NEWS: 5},
    tenant_recipients_per_day=1_000,
)
HEAD = Message(
    key=1,
    id=MessageId("msg_0"),
    client="shop",
    lane=1,
    account=A,
    mailbox=A,
    sender=A,
    envelope=Envelope(A, (Recipient("c@d.example", Kind.TO),)),
    message_id="<1@b.example>",
    own_message_id=True,
    route=("graph", "smtp"),
    next_transport=None,
    priority=Priority.NORMAL,
    size=3_000,
    accepted_at=NOW,
    due_at=NOW,
    expires_at=None,
    gives_up_at=NOW + 24 * HOUR,
    attempts=0,
    on_unconfirmed=OnUnconfirmed.SETTLE,
)
URGENT = replace(HEAD, priority=Priority.HIGH)
WAITING = Backlogged(priority=Priority.NORMAL, client="shop", count=3, due=1, oldest_due_at=NOW)
CLOSED = TransportRow(name="graph", state="closed", until=0, opened=0, reason="", since=0)
DAY_ROOM = (NOW // HOUR + 25) * HOUR


def row(**changes) -> LaneRow:
    quiet = LaneRow(lane=1, account=A, sending=0, held=0, unconfirmed=0, next_at=NOW, pauses=(), backlog=(WAITING,))
    return replace(quiet, **changes)


def why(
    head: Message | None = HEAD,
    *,
    past: Past | None = None,
    tenant: Day | None = None,
    transports: tuple[TransportRow, ...] = (CLOSED,),
    **changes,
) -> WaitsFor | None:
    account = Account(row=row(**changes), past=past or Past(), head=head, at=NOW, tenant=tenant or Day())
    return waits_for(account, DISCIPLINE, transports=transports)


def started(count: int, *, high: bool = False, sender: str = A, transport: str = "graph") -> Past:
    return Past(starts=(Start(NOW - 10_000, transport, high, sender),) * count)


def pause(until: int, reason: str, *, transport: str | None = None, blocked: bool = False) -> tuple[Pause, ...]:
    return (Pause(transport, until, reason, blocked=blocked, since=NOW - 1_000),)


def opened(name: str, until: int) -> TransportRow:
    return replace(CLOSED, name=name, state="open", until=until)


def test_nothing_waits_for_nothing_and_what_leaves_now_neither():
    assert why() is None
    assert why(None, backlog=()) is None
    assert why(None, backlog=(), pauses=pause(NOW + 9, "graph.throttled")) is None


def test_what_is_only_due_later_waits_for_its_time():
    later = replace(WAITING, due=0, oldest_due_at=NOW + HOUR)
    assert why(None, backlog=(later,)) == WaitsFor(SCHEDULED, NOW + HOUR)


def test_a_pause_goes_before_all_else_and_a_person_before_any_pause():
    rest = pause(NOW + 9, "graph.throttled")
    assert why(pauses=rest, past=started(30)) == WaitsFor("graph.throttled", NOW + 9)
    assert why(None, pauses=rest) == WaitsFor("graph.throttled", NOW + 9)
    assert why(pauses=rest, told=Told(at=1, paused=True, by="ann")) == WaitsFor(PAUSED_BY_PERSON, None)


def test_a_pause_of_one_transport_matters_only_where_no_other_is_free():
    shut = pause(NOW + 9, "graph.service", transport="graph")
    assert why(pauses=shut) is None
    assert why(replace(HEAD, route=("graph",)), pauses=shut) == WaitsFor(TRANSPORT, NOW + 9)
    circuits = (opened("graph", NOW + 50), opened("smtp", NOW + 20))
    assert why(transports=circuits) == WaitsFor(TRANSPORT, NOW + 20)
    assert why(transports=(opened("graph", NOW - 5),), pauses=()) is None
    unknown = replace(HEAD, route=("gone",))
    assert why(unknown) == WaitsFor(TRANSPORT, None)


@pytest.mark.parametrize(("used", "expected"), [(23, None), (24, WaitsFor(PACE, NOW + 50_000))])
def test_a_fifth_of_the_minute_is_only_for_high(used, expected):
    assert why(past=started(used)) == expected
    assert why(URGENT, past=started(used)) is None
    assert why(URGENT, past=started(30)) == WaitsFor(PACE, NOW + 50_000)


def test_a_transport_with_a_pace_of_its_own_does_not_wait_for_the_lanes():
    assert why(replace(HEAD, route=("hve",)), past=started(30)) is None


def test_a_minute_that_is_full_of_what_is_under_way_has_no_known_end():
    assert why(past=Past(starts=(Start(None, "graph", False, A),) * 24), sending=1) == WaitsFor(PACE, NOW + WINDOW)


def test_a_sender_waits_for_its_own_minute():
    news = replace(HEAD, sender=NEWS)
    assert why(news, past=started(4, sender=NEWS)) is None
    assert why(news, past=started(5, sender=NEWS)) == WaitsFor(SENDER_PACE, NOW + 50_000)
    assert why(past=started(5, sender=NEWS)) is None


def test_uploads_are_counted_in_the_wire_form_and_only_where_the_transport_uploads():
    past = Past(uploads=((NOW - 60_000, 4_001),))
    assert why(past=past) == WaitsFor(UPLOAD, NOW + 240_000)
    assert why(replace(HEAD, size=2_900), past=past) is None
    assert why(replace(HEAD, route=("smtp",)), past=past) is None


def test_the_longest_wait_is_named():
    uploads = ((NOW - 60_000, 8_000),)
    assert why(past=replace(started(30), uploads=uploads)) == WaitsFor(UPLOAD, NOW + 240_000)
    assert why(past=replace(started(30), uploads=((NOW - 299_000, 8_000),))) == WaitsFor(PACE, NOW + 50_000)


def test_a_used_day_of_the_mailbox_or_of_the_tenant_is_named_with_the_hour_that_brings_room():
    full = Past(hours=((NOW // HOUR, 100),))
    assert why(past=full) == WaitsFor(DAY_USED, DAY_ROOM)
    assert why(past=Past(hours=((NOW // HOUR, 99),))) is None
    tenant = Day()
    tenant.learn([(NOW // HOUR, 1_000)])
    assert why(tenant=tenant) == WaitsFor(TENANT_DAY_USED, DAY_ROOM)


def test_slots_are_named_where_nothing_else_is_and_one_of_four_is_only_for_high():
    assert why(sending=2) is None
    assert why(sending=3) == WaitsFor(SLOTS, None)
    assert why(URGENT, sending=3) is None
    assert why(URGENT, sending=4) == WaitsFor(SLOTS, None)
