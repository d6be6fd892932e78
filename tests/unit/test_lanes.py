"""When a lane may send: pace, slots, pauses, what a person said (PROMISES §7)."""

import pytest

from posthouse.board import Board
from posthouse.lanes import DAY_USED, PAUSED_BY_PERSON, Lane
from posthouse.limits import PLAIN, Discipline, Limits, Load, Started, Use
from posthouse.pace import NEVER
from posthouse.records import Lease, Past, Pause, Start, Told

NOW = 1_800_000_000_000
MINUTE = 60_000
HOUR = 3_600_000
A = "a@b.example"
USE = Use(pace="", limits=Limits(messages_per_minute=30, concurrent_requests=4), slots=0, uploads=True)
SMTP = Use(pace="", limits=USE.limits, slots=3)
OWN = Use(pace="hve", limits=Limits(messages_per_minute=0, concurrent_requests=4), slots=3)
DISCIPLINE = Discipline(uses={"graph": USE, "smtp": SMTP, "hve": OWN}, senders={"news@b.example": 5})
HIGH = Load(high=True)


def ask(lane: Lane, now: int = NOW, *, transport: str = "graph", use: Use = USE, load: Load = PLAIN) -> int:
    return lane.start_at(now, transport=transport, use=use, load=load)


def start(lane: Lane, now: int = NOW, *, transport: str = "graph", use: Use = USE, load: Load = PLAIN) -> Started:
    return lane.start(now, transport=transport, use=use, load=load)


def leased(*, past: Past | None = None, board: Board | None = None, fence: int = 1, **lease) -> Lane:
    return (board or Board()).open(Lease(lane=1, account=A, fence=fence, **lease), past, DISCIPLINE, NOW)


def past_of(count: int, at: int | None = NOW, *, transport: str = "graph", high: bool = False, sender: str = A) -> Past:
    return Past(starts=(Start(at, transport, high, sender),) * count)


def test_one_of_four_slots_is_kept_for_high_and_look_ups_come_before_sends():
    lane = Lane()
    first, _, _ = (start(lane) for _ in range(3))
    assert ask(lane) == NEVER
    assert ask(lane, load=HIGH) == NOW
    start(lane, load=HIGH)
    assert ask(lane, load=HIGH) == NEVER
    lane.want_look()
    assert not lane.start_look(4, NOW)
    lane.end(first, NOW)
    assert ask(lane) == NEVER
    assert lane.start_look(4, NOW)
    assert ask(lane, load=HIGH) == NEVER
    lane.end_look()
    assert ask(lane) == NOW


def test_a_single_slot_is_everybodys():
    lane, use = Lane(), Use(pace="", limits=Limits(concurrent_requests=1), slots=0)
    assert ask(lane, use=use) == NOW
    start(lane, use=use)
    assert ask(lane, use=use, load=HIGH) == NEVER


def test_smtp_takes_no_more_than_its_connections_and_keeps_one_for_high():
    lane = Lane()
    for _ in range(2):
        start(lane, transport="smtp", use=SMTP)
    assert ask(lane, transport="smtp", use=SMTP) == NEVER
    assert ask(lane, transport="smtp", use=SMTP, load=HIGH) == NOW
    assert ask(lane) == NOW
    start(lane, transport="smtp", use=SMTP, load=HIGH)
    assert ask(lane, transport="smtp", use=SMTP, load=HIGH) == NEVER


def test_smtp_takes_no_more_than_its_connections_when_a_former_owners_requests_are_over():
    lane = leased(past=Past(alive=(NOW + 1_000,)))
    for _ in range(2):
        start(lane, transport="smtp", use=SMTP)
    assert lane.start_at(NOW + 2_000, transport="smtp", use=SMTP, load=PLAIN) == NEVER


def test_what_took_its_room_before_the_day_was_used_up_goes():
    lane = Lane()
    start(lane)
    lane.pause(Pause(None, NOW + 1_000, DAY_USED, blocked=False, since=NOW))
    assert not lane.rests_since(NOW, NOW, "graph")
    lane.pause(Pause("graph", NOW + 1_000, "graph.busy", blocked=False, since=NOW))
    assert lane.rests_since(NOW, NOW, "graph")


def test_a_transport_with_its_own_limits_does_not_use_up_the_lanes_minute():
    lane = leased(past=past_of(30))
    assert ask(lane) > NOW
    assert ask(lane, transport="hve", use=OWN) == NOW
    other = leased(past=past_of(30, transport="hve"))
    assert ask(other) == NOW


def test_a_transport_with_a_pace_of_its_own_keeps_it_whatever_the_lanes_minute_holds():
    own = Use(pace="hve", limits=Limits(messages_per_minute=1, concurrent_requests=4), slots=3)
    lane = leased()
    lane.end(start(lane, transport="hve", use=own, load=HIGH), NOW)
    assert ask(lane, transport="hve", use=own, load=HIGH) == NOW + MINUTE
    assert ask(lane) == NOW


def test_a_new_owner_goes_on_with_the_minute_of_the_old_one_and_counts_as_now_what_may_still_be_under_way():
    assert ask(leased(past=past_of(30, NOW - 10_000))) == NOW + 50_000
    assert ask(leased(past=past_of(30, None))) == NOW + MINUTE
    assert ask(leased(past=past_of(24, NOW - 10_000)), load=HIGH) == NOW


def test_requests_of_a_former_owner_count_as_under_way_until_they_surely_ended():
    lane = leased(past=Past(alive=(NOW + 5_000,) * 4))
    assert ask(lane, load=HIGH) == NOW + 5_000
    assert ask(lane, NOW + 5_000) == NOW + 5_000


def test_a_sender_with_a_pace_of_its_own_waits_for_it_and_leaves_the_others_alone():
    lane = Lane()
    news = Load(sender="news@b.example", sender_per_minute=5)
    for _ in range(5):
        assert ask(lane, load=news) == NOW
        lane.end(start(lane, load=news), NOW)
    assert ask(lane, load=news) == NOW + MINUTE
    assert ask(lane) == NOW
    again = leased(past=past_of(5, NOW - 1_000, sender="news@b.example"))
    assert ask(again, load=news) == NOW + MINUTE - 1_000


def test_uploads_wait_for_room_and_small_messages_pass():
    lane, large = Lane(), Load(wire_bytes=100_000_000)
    lane.end(start(lane, load=large), NOW)
    assert ask(lane, load=large) == NOW + 5 * MINUTE
    assert ask(lane, load=Load(wire_bytes=4_000)) == NOW
    again = leased(past=Past(uploads=((NOW - MINUTE, 100_000_000),)))
    assert ask(again, load=large) == NOW + 4 * MINUTE
    assert USE.wire_bytes(3_000_001) == 4_000_004
    assert SMTP.wire_bytes(3_000_001) == 0


def test_recipients_count_when_they_are_under_way_and_not_when_nothing_was_sent():
    board = Board()
    lane = leased(board=board, past=Past(hours=((NOW // HOUR, 9_000),)))
    started = start(lane, load=Load(recipients=1_000))
    assert lane.day.room_at(NOW, limit=10_000, recipients=1) > NOW
    assert board.tenant.used(NOW) == 1_000
    lane.not_sent(started)
    lane.end(started, NOW)
    assert lane.day.used(NOW) == 9_000
    assert board.tenant.used(NOW) == 0


def test_a_start_that_was_none_gives_its_places_and_its_slot_back():
    lane = leased(past=past_of(29))
    started = start(lane, load=HIGH)
    assert ask(lane, load=HIGH) > NOW
    lane.unstart(started)
    assert (ask(lane, load=HIGH), lane.in_flight, lane.day.used(NOW)) == (NOW, 0, 0)


def test_a_pause_lasts_to_its_end_and_a_block_then_lets_one_message_try_alone():
    lane = Lane()
    lane.pause(Pause(None, NOW + 5000, "throttled", blocked=False, since=NOW))
    assert ask(lane) == NOW + 5000
    assert ask(lane, NOW + 5000) == NOW + 5000
    lane.pause(Pause(None, NOW + 9000, "no_right", blocked=True, since=NOW))
    assert ask(lane, NOW + 8999) == NOW + 9000
    assert ask(lane, NOW + 9000) == NOW + 9000
    started = start(lane, NOW + 9000)
    assert ask(lane, NOW + 9000) == NEVER
    lane.end(started, NOW + 9000)
    lane.resume(NOW + 9000)
    start(lane, NOW + 9000)
    assert ask(lane, NOW + 9000) == NOW + 9000


def test_a_blocked_lane_whose_probe_is_told_to_wait_waits_and_stays_blocked():
    """A block is no excuse for a request before its Retry-After."""
    lane = Lane()
    lane.pause(Pause(None, NOW + 1_000, "no_right", blocked=True, since=NOW))
    stands = lane.pause(Pause(None, NOW + 60_000, "throttled", blocked=False, since=NOW + 1_000))
    assert (stands.until, stands.blocked, stands.reason) == (NOW + 60_000, True, "no_right")
    assert ask(lane, NOW + 59_999) == NOW + 60_000
    other = Lane()
    other.pause(Pause(None, NOW + 60_000, "throttled", blocked=False, since=NOW))
    assert other.pause(Pause(None, NOW + 1_000, "no_right", blocked=True, since=NOW)).until == NOW + 60_000


def test_a_shorter_pause_does_not_end_a_longer_one():
    lane = Lane()
    long = lane.pause(Pause(None, NOW + 9_000, "throttled", blocked=False, since=NOW))
    assert lane.pause(Pause(None, NOW + 5_000, "other", blocked=False, since=NOW)) == long


def test_what_is_not_on_the_wire_when_a_pause_begins_rests_and_a_probe_does_not_stop_itself():
    lane = Lane()
    lane.pause(Pause(None, NOW, "no_right", blocked=True, since=NOW - 1_000))
    start(lane)
    assert not lane.rests_since(NOW, NOW, "graph")
    lane.pause(Pause("smtp", NOW + 5_000, "x", blocked=False, since=NOW + 1))
    assert not lane.rests_since(NOW, NOW + 1, "graph")
    assert lane.rests_since(NOW, NOW + 1, "smtp")
    other = Lane()
    other.pause(Pause(None, NOW + 5_000, "throttled", blocked=False, since=NOW + 1))
    assert other.rests_since(NOW, NOW + 1, "graph")
    assert not other.rests_since(NOW + 2, NOW + 2, "graph")
    other.told(Told(at=NOW + 3, paused=True, by="ann"), NOW + 3)
    assert other.rests_since(NOW + 2, NOW + 3, "graph")


def test_who_watches_is_told_when_a_slot_falls_free():
    lane, told = Lane(), []
    lane.watch(lambda: told.append(1))
    lane.end(start(lane), NOW)
    assert told == [1]


def test_a_person_pauses_until_a_person_resumes_whatever_else_happens():
    lane = Lane()
    assert lane.told(Told(at=NOW, paused=True, by="ann"), NOW)
    pause = lane.paused(NOW)
    assert pause is not None
    assert (pause.reason, ask(lane)) == (PAUSED_BY_PERSON, NEVER)
    lane.pause(Pause(None, NOW + 1_000, "throttled", blocked=False, since=NOW))
    lane.resume(NOW)
    assert ask(lane) == NEVER
    assert not lane.told(Told(at=NOW - 1, paused=False, by="bob"), NOW)
    assert not lane.told(Told(at=NOW, paused=True, by="ann"), NOW)
    assert lane.told(Told(at=NOW + 1, paused=False, by="bob"), NOW)
    assert ask(lane) == NOW


def test_a_persons_resume_ends_blocks_and_reckoned_pauses_that_stood_before_and_never_a_retry_after():
    lane = Lane()
    lane.pause(Pause(None, NOW + HOUR, "no_right", blocked=True, since=NOW))
    lane.pause(Pause("smtp", NOW + HOUR, DAY_USED, blocked=False, since=NOW))
    lane.pause(Pause("graph", NOW + HOUR, "graph.throttled", blocked=False, since=NOW))
    assert lane.told(Told(at=NOW + 5, paused=False, by="ann"), NOW + 5)
    assert lane.paused(NOW + 5) is None
    assert lane.unusable(NOW + 5) == {"graph": NOW + HOUR}
    assert lane.block_ended_at == NOW + 5
    lane.pause(Pause(None, NOW + HOUR, "no_right", blocked=True, since=NOW + 9))
    assert lane.told(Told(at=NOW + 8, paused=False, by="bob"), NOW + 9)
    assert lane.paused(NOW + 9) is not None


@pytest.mark.parametrize("first", ["block", "throttled"])
@pytest.mark.parametrize(("reason", "blocked"), [("no_right", True), (DAY_USED, False)])
def test_look_ups_obey_a_retry_after_also_while_a_block_or_a_used_day_stands_longer(first, reason, blocked):
    lane = Lane()
    longer = Pause(None, NOW + HOUR, reason, blocked=blocked, since=NOW)
    throttled = Pause(None, NOW + 18_000, "graph.throttled", blocked=False, since=NOW)
    for pause in (longer, throttled) if first == "block" else (throttled, longer):
        stands = lane.pause(pause)
    assert (stands.until, stands.blocked) == (NOW + HOUR, blocked)
    assert lane.looks_at(NOW, "graph") == NOW + 18_000
    assert not lane.quiet(NOW, 4)
    assert lane.quiet(NOW + 18_000, 4)
    next_owner = leased(pauses=(stands,))
    assert next_owner.looks_at(NOW, "graph") == NOW + 18_000


def test_a_persons_resume_leaves_a_retry_after_that_came_while_a_block_stood():
    lane = Lane()
    lane.pause(Pause(None, NOW + HOUR, "no_right", blocked=True, since=NOW))
    lane.pause(Pause(None, NOW + 18_000, "graph.throttled", blocked=False, since=NOW))
    assert lane.told(Told(at=NOW + 5, paused=False, by="ann"), NOW + 5)
    assert (ask(lane, NOW + 5), lane.looks_at(NOW + 5, "graph")) == (NOW + 18_000, NOW + 18_000)
    assert lane.blocks("graph") == ()
    assert ask(lane, NOW + 18_000) == NOW + 18_000


def test_a_pause_of_one_transport_leaves_the_others_usable():
    lane = Lane()
    lane.pause(Pause("smtp", NOW + 5000, "smtp.password", blocked=True, since=NOW))
    assert lane.unusable(NOW) == {"smtp": NOW + 5000}
    assert ask(lane) == NOW
    assert lane.unusable(NOW + 5000) == {}
    start(lane, NOW + 5000, transport="smtp", use=SMTP)
    assert "smtp" in lane.unusable(NOW + 5000)
    assert lane.blocks("smtp") == ("smtp",)
    assert lane.blocks("graph") == ()


def test_a_lane_that_a_look_up_made_first_goes_on_from_what_was_written_down():
    board = Board()
    lane = board.lane(A)
    pause = Pause(None, NOW + 5000, "no_right", blocked=True, since=NOW)
    assert leased(board=board, past=past_of(30), pauses=(pause,)) is lane
    assert ask(lane) == NOW + 5000
    assert ask(lane, NOW + 5000) == NOW + MINUTE


def test_a_lease_takes_the_spools_word_for_pauses_but_keeps_one_that_could_not_be_written():
    board = Board()
    lane = board.lane(A)
    lane.pause(Pause("smtp", NOW + HOUR, "x", blocked=True, since=NOW))
    lane.saved("smtp")
    lane.pause(Pause(None, NOW + 5_000, "throttled", blocked=False, since=NOW))
    leased(board=board, past=Past())
    assert lane.unusable(NOW) == {}
    assert ask(lane) == NOW + 5_000


def test_a_process_that_had_the_lane_last_remembers_it_and_no_other_does():
    board = Board()
    lease = Lease(lane=1, account=A, fence=7)
    assert not board.remembers(lease)
    lane = board.open(lease, past_of(30), DISCIPLINE, NOW)
    board.release(lease, NOW)
    again = Lease(lane=1, account=A, fence=8)
    assert board.remembers(again)
    assert board.open(again, None, DISCIPLINE, NOW) is lane
    assert ask(lane) == NOW + MINUTE
    board.release(again, NOW)
    assert not board.remembers(Lease(lane=1, account=A, fence=10))
    assert not Board().remembers(Lease(lane=1, account=A, fence=1))


def test_a_lane_is_let_go_when_its_windows_are_over_but_not_while_somebody_needs_it():
    board = Board()
    lease, other = Lease(lane=1, account=A, fence=1), Lease(lane=2, account="other", fence=1)
    for one in (lease, other):
        board.open(one, Past(), DISCIPLINE, NOW)
    lane = board.lane(A)
    board.release(lease, NOW)
    board.release(other, NOW + 4 * MINUTE)
    assert board.lane(A) is lane
    lane.want_look()
    board.release(other, NOW + 6 * MINUTE)
    assert board.lane(A) is lane
    lane.drop_look()
    board.open(lease, Past(), DISCIPLINE, NOW)
    board.release(lease, NOW + 6 * MINUTE)
    board.release(other, NOW + 12 * MINUTE)
    assert board.lane(A) is not lane
