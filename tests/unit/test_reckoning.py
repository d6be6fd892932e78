"""When a message that joins a lane now will be sent, and which of several mailboxes sends it (PROMISES §7)."""

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.limits import Limits
from posthouse.mailboxes import Mailboxes, SenderRule
from posthouse.message import Priority
from posthouse.pace import WINDOW, Pace
from posthouse.reckoning import Backlog, Joiner, Standing, starts
from posthouse.records import Backlogged, LaneRow, Past, Pause, Start, Told

NOW = 1_800_000_000_000
HOUR = 3_600_000
A, B, C = "a@contoso.com", "b@contoso.com", "c@contoso.com"
SENDER = "news@contoso.com"


def lane(account: str = A, *, backlog: tuple[Backlogged, ...] = (), number: int = 1, **changes) -> LaneRow:
    quiet = LaneRow(lane=number, account=account, sending=0, held=0, unconfirmed=0, next_at=None, pauses=())
    return replace(quiet, backlog=backlog, **changes)


def waiting(count: int, *, client: str = "shop", priority: Priority = Priority.NORMAL) -> Backlogged:
    return Backlogged(priority=priority, client=client, count=count, due=count, oldest_due_at=NOW)


def joiner(*, client: str = "shop", priority: Priority = Priority.NORMAL, at: int = NOW) -> Joiner:
    return Joiner(client, priority, at)


def backlog_of(*rows: LaneRow, past: Past | None = None, limits: Limits | None = None) -> Backlog:
    made = Backlog(limits or Limits())
    made.learn(rows, {row.lane: past or Past() for row in rows}, NOW)
    return made


@settings(max_examples=100, deadline=None)
@given(ended=st.lists(st.integers(NOW - 70_000, NOW), max_size=40), room=st.integers(1, 30))
def test_the_reckoned_starts_are_those_that_the_pace_allows(ended, room):
    pace, now, found = Pace(keep=False), NOW, []
    pace.learn([(at, False) for at in ended], NOW)
    while len(found) < room:
        now = max(now, pace.next_at(now, per_minute=room, high=False))
        pace.start(now, high=False)
        pace.end(now, high=False)
        found.append(now)
    assert starts(ended, room=room, now=NOW) == found


def test_in_a_quiet_lane_a_message_leaves_at_once_and_the_thirty_first_of_them_a_minute_later():
    backlog = Backlog(Limits())
    for _ in range(30):
        assert backlog.standing(A, joiner()) == Standing(0, None, NOW)
        backlog.join(A, joiner())
    assert backlog.standing(A, joiner()).estimated_send_at == NOW + WINDOW
    assert backlog.standing(A, joiner(at=NOW + WINDOW)).estimated_send_at == NOW + WINDOW


def test_behind_a_backlog_it_counts_in_minutes_of_the_room_that_is_not_kept_for_high():
    backlog = backlog_of(lane(backlog=(waiting(240),)), past=Past(starts=(Start(NOW, "graph", False, ""),)))
    assert backlog.standing(A, joiner()).estimated_send_at == NOW + 10 * WINDOW
    assert backlog.standing(A, joiner(priority=Priority.HIGH)) == Standing(0, None, NOW)


def test_another_clients_backlog_counts_only_as_many_as_its_own_and_one():
    backlog = backlog_of(lane(backlog=(waiting(100_000, client="bulk"), waiting(2))))
    assert backlog.standing(A, joiner()).ahead == 2 + 3 - 5
    assert backlog.standing(A, joiner(client="new")).estimated_send_at == NOW
    assert backlog.standing(A, joiner(client="bulk")).ahead > 90_000


def test_a_pause_shifts_the_estimate_and_a_block_or_a_person_leaves_none():
    throttled = Pause(None, NOW + 30_000, "graph.throttled", blocked=False, since=NOW)
    assert backlog_of(lane(pauses=(throttled,))).standing(A, joiner()) == Standing(0, "graph.throttled", NOW + 30_000)
    blocked = Pause(None, NOW + 30_000, "graph.mailbox_permission", blocked=True, since=NOW)
    held = backlog_of(lane(pauses=(blocked,))).standing(A, joiner())
    assert (held.held_by, held.estimated_send_at) == ("graph.mailbox_permission", None)
    told = backlog_of(lane(told=Told(at=1, paused=True, by="ann"))).standing(A, joiner())
    assert (told.held_by, told.estimated_send_at) == ("paused_by_person", None)


def test_a_used_day_shifts_the_estimate_to_the_hour_with_room():
    backlog = backlog_of(lane(), past=Past(hours=((NOW // HOUR, 10_000),)))
    assert backlog.standing(A, joiner()).estimated_send_at == (NOW // HOUR + 25) * HOUR


def test_a_scheduled_message_is_sent_when_it_is_due_or_later():
    backlog = backlog_of(lane(backlog=(waiting(3),)))
    assert backlog.standing(A, joiner(at=NOW + HOUR)).estimated_send_at == NOW + HOUR


def test_without_a_pace_nobody_waits_for_it():
    backlog = backlog_of(lane(backlog=(waiting(500),)), limits=Limits(messages_per_minute=0))
    assert backlog.standing(A, joiner()) == Standing(500, None, NOW)


def mailboxes_of(backlog: Backlog, *names: str) -> Mailboxes:
    return Mailboxes([SenderRule(SENDER, names)], backlog)


def chosen(mailboxes: Mailboxes, count: int, **joins) -> Counter[str]:
    return Counter(mailboxes.seat(SENDER, joiner(**joins), login=None, joins=True).mailbox for _ in range(count))


def test_a_sender_with_several_mailboxes_takes_them_evenly_where_they_are_equal():
    assert chosen(mailboxes_of(Backlog(Limits()), A, B, C), 60) == {A: 20, B: 20, C: 20}


def test_it_takes_the_one_that_sends_first_until_that_is_as_long_as_the_others():
    backlog = backlog_of(lane(A, backlog=(waiting(60),)), lane(B, number=2), lane(C, number=3))
    taken = chosen(mailboxes_of(backlog, A, B, C), 60)
    assert taken == {B: 30, C: 30}


def test_one_that_is_blocked_or_paused_by_a_person_is_taken_only_where_there_is_no_other():
    blocked = Pause(None, NOW + 1, "graph.mailbox_permission", blocked=True, since=NOW)
    rows = (lane(A, pauses=(blocked,)), lane(B, number=2, told=Told(at=1, paused=True, by="ann")))
    assert chosen(mailboxes_of(backlog_of(*rows, lane(C, number=3, backlog=(waiting(900),))), A, B, C), 9) == {C: 9}
    assert chosen(mailboxes_of(backlog_of(*rows), A, B), 10) == {A: 5, B: 5}


def test_a_dry_run_takes_no_turn_and_a_login_is_one_lane_for_all():
    mailboxes = mailboxes_of(Backlog(Limits()), A, B)
    for _ in range(3):
        assert mailboxes.seat(SENDER, joiner(), login=None, joins=False).mailbox == A
    seats = [mailboxes.seat(SENDER, joiner(), login="svc", joins=True) for _ in range(2)]
    assert [(seat.mailbox, seat.account) for seat in seats] == [(A, "svc"), (B, "svc")]


def test_other_senders_are_sent_by_their_own_mailbox_however_their_name_is_written():
    seat = mailboxes_of(Backlog(Limits()), A, B).seat("HR@Contoso.com", joiner(), login=None, joins=True)
    assert (seat.mailbox, seat.account) == ("hr@contoso.com", "hr@contoso.com")


def test_a_sender_with_a_pace_of_its_own_is_known_however_its_name_is_written():
    mailboxes = Mailboxes(
        [SenderRule("News@Contoso.com", paced=True), SenderRule("x@contoso.com", (A,))], Backlog(Limits())
    )
    assert mailboxes.paced("NEWS@contoso.com")
    assert not mailboxes.paced("x@contoso.com")
    assert not mailboxes.paced("unknown@contoso.com")


def test_without_mailboxes_of_its_own_a_paced_sender_is_its_own_mailbox():
    mailboxes = Mailboxes([SenderRule(SENDER, paced=True)], Backlog(Limits()))
    assert mailboxes.seat(SENDER, joiner(), login=None, joins=True).mailbox == SENDER


def test_mailboxes_are_one_lane_however_their_names_are_written():
    mailboxes = mailboxes_of(backlog_of(lane(A, backlog=(waiting(60),)), lane(B, number=2)), A.upper(), B.upper())
    assert chosen(mailboxes, 4) == {B: 4}


def test_a_mailbox_that_only_rests_is_taken_when_it_is_first_again():
    resting = Pause(None, NOW + 30_000, "graph.throttled", blocked=False, since=NOW)
    backlog = backlog_of(lane(A, pauses=(resting,)), lane(B, number=2))
    assert chosen(mailboxes_of(backlog, A, B), 31) == {B: 30, A: 1}


def test_a_mailbox_whose_day_is_used_up_is_left_out_as_long_as_another_has_room():
    backlog = Backlog(Limits())
    backlog.learn([lane(A), lane(B, number=2)], {1: Past(hours=((NOW // HOUR, 10_000),))}, NOW)
    assert chosen(mailboxes_of(backlog, A, B), 100) == {B: 100}


def test_a_high_message_takes_the_mailbox_with_room_kept_for_it():
    bulk, start = (waiting(300),), Start(NOW, "graph", False, "")
    rows = (lane(A, backlog=(*bulk, waiting(7, priority=Priority.HIGH))), lane(B, number=2, backlog=bulk))
    backlog = Backlog(Limits())
    backlog.learn(rows, {1: Past(starts=(start,) * 24), 2: Past(starts=(start,) * 24)}, NOW)
    assert chosen(mailboxes_of(backlog, A, B), 6, priority=Priority.HIGH) == {B: 6}


def test_who_joined_is_before_the_next_until_the_spool_is_read_again():
    backlog = backlog_of(lane())
    for _ in range(3):
        backlog.join(A, joiner())
    assert backlog.standing(A, joiner(client="other")).ahead == 0
    assert _ahead(backlog) == 3
    backlog.learn([lane()], {}, NOW)
    assert _ahead(backlog) == 0


def _ahead(backlog: Backlog) -> int:
    slow = replace(joiner(), at=NOW - WINDOW)  # before the schedule begins nobody has gone
    return backlog.standing(A, slow).ahead
