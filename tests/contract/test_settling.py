"""What settling makes of doubtful sends, in every corner of PROMISES §5."""

import asyncio
from pathlib import Path

import pytest

from posthouse.lanes import DAY_USED
from posthouse.limits import Limits, Load, Use
from posthouse.message import Status
from posthouse.records import Action, Pause, ProofLevel, Way
from posthouse.sandbox.chaos import Rule, Target
from tests.contract.settling_kit import LAST, Bench, bench
from tests.contract.spools import DAY, HOUR, SECOND, SHOP

pytestmark = pytest.mark.usefixtures("engine")

MINUTE = 60 * SECOND
OTHER = "other@contoso.com"
SENT = (Status.SENT, None)
AGAIN = (Status.DEFERRED, None)
USE = Use(pace="", limits=Limits(), slots=0)
NO_WITNESS = (Status.HELD, "unconfirmed_no_witness")
NO_RIGHT = (Status.HELD, "unconfirmed_no_right")
SHARED = (Status.HELD, "unconfirmed_shared_message_id")
DRAFT = (Status.HELD, "unconfirmed_draft")


async def witness(on: Bench, **changes) -> None:
    """Something that the mailbox sent before, visible by now."""
    await on.send(**changes)
    on.clock.at += 2 * MINUTE


async def test_a_copy_found_is_sent_and_no_copy_beside_a_witness_goes_again(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        await witness(on)
        arrived, refused = await on.arrived(), await on.refused()
        await on.looks((5, 30))
        assert (await on.stands(arrived), (await on.stands(refused))[0]) == (SENT, Status.UNCONFIRMED)
        ended = {"status": "sent", "transport": "graph"}
        assert on.metrics.registry.get_sample_value("posthouse_messages_finished_total", ended) == 1
        await on.looks((95,))
        assert await on.stands(refused) == AGAIN
        (again,) = await on.house.due(refused.lane)
        assert again.message_id == refused.message_id
        assert again.gives_up_at == on.clock.at + 5 * DAY
        (told,) = [event for event in await on.house.spool.events(arrived.id) if event.type == "message.settled"]
        assert told.data == {"verdict": "sent", "copies": 1, "account": SHOP, "look": 1}


async def test_a_first_message_that_did_not_arrive_is_held_until_something_testifies(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        refused = await on.refused()
        await on.look(after=LAST)
        assert await on.stands(refused) == NO_WITNESS
        await on.send()
        await on.look(after=6 * MINUTE)
        assert await on.stands(refused) == AGAIN


async def test_a_mailbox_whose_copies_a_rule_removes_proves_nothing_by_absence(tmp_path: Path) -> None:
    """The witness is gone too: held, never sent again."""
    async with bench(tmp_path) as on:
        await witness(on)
        arrived = await on.arrived()
        on.emulator.world.forget_mail()
        await on.look(after=LAST)
        assert await on.stands(arrived) == NO_WITNESS
        for _ in range(30):
            await on.look(after=HOUR)
        assert await on.stands(arrived) == NO_WITNESS
        assert on.emulator.world.counters.posts == 2


async def test_a_graph_that_rewrites_message_ids_holds_and_never_doubles(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        on.setting(rewrite_message_ids=True)
        await witness(on)
        arrived = await on.arrived()
        for _ in range(5):
            await on.look(after=HOUR)
        assert await on.stands(arrived) == NO_WITNESS
        assert len(on.emulator.world.received) == 2


async def test_a_draft_is_on_its_way_and_held_while_it_stays_one_then_found(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        await witness(on)
        on.setting(draft_for=2 * 3600.0)
        arrived = await on.arrived()
        await on.looks((5, 30))
        assert (await on.stands(arrived))[0] is Status.UNCONFIRMED
        await on.look(after=LAST)
        assert await on.stands(arrived) == DRAFT
        await on.look(after=HOUR)
        assert await on.stands(arrived) == DRAFT
        await on.look(after=HOUR)
        assert await on.stands(arrived) == SENT


# --- witnesses


async def test_days_later_only_what_was_sent_before_the_doubt_testifies(tmp_path: Path) -> None:
    """The latest messages are asked first, but those say nothing about a mailbox of days ago."""
    async with bench(tmp_path) as on:
        await witness(on)
        on.may_look(may=False)
        refused = await on.refused()
        await on.look(after=LAST)
        assert await on.stands(refused) == NO_RIGHT
        on.clock.at += 3 * DAY
        for _ in range(4):
            await on.send()
        on.may_look(may=True)
        await on.look(after=HOUR)
        assert await on.stands(refused) == AGAIN


async def test_days_later_a_mailbox_without_an_older_witness_stays_held(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        on.may_look(may=False)
        refused = await on.refused()
        await on.look(after=LAST)
        on.clock.at += 2 * DAY
        for _ in range(4):
            await on.send()
        on.may_look(may=True)
        await on.look(after=HOUR)
        assert await on.stands(refused) == NO_WITNESS


async def test_a_witness_survives_the_purge_of_its_message(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        await on.send()
        await on.look(after=10 * MINUTE)
        on.clock.at += 40 * DAY
        await on.house.spool.purge(now=on.clock.at, retention=30 * 86_400.0, content_retention=0.0, most=99)
        refused = await on.refused()
        await on.look(after=LAST)
        assert await on.stands(refused) == AGAIN


async def test_another_mailbox_testifies_for_one_hour_only_where_this_one_has_nobody(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        await witness(on, account=OTHER)
        soon = await on.refused()
        await on.look(after=LAST)
        assert await on.stands(soon) == AGAIN
        on.may_look(may=False)
        late = await on.refused(account="third@contoso.com")
        await on.look(after=LAST)
        on.may_look(may=True)
        await on.look(after=HOUR)
        assert await on.stands(late) == NO_WITNESS


async def test_a_mailbox_of_another_tenant_does_not_testify(tmp_path: Path) -> None:
    """Its copy is found, there: that says nothing about the mailboxes here."""
    async with bench(tmp_path) as on, bench(tmp_path / "abroad") as abroad:
        here, on.graph = on.graph, abroad.graph
        await witness(on, account=OTHER)
        on.graph = here
        await on.house.plant("update attempts set transport = 'abroad'")
        on.evidence["abroad"] = abroad.graph
        refused = await on.refused()
        await on.look(after=LAST)
        assert len(abroad.emulator.world.received) == 1
        assert await on.stands(refused) == NO_WITNESS


# --- one Message-ID in several messages


async def test_copies_enough_for_all_messages_of_one_message_id_settle_all_of_them(tmp_path: Path) -> None:
    """A smart host splits a mail, and the parts come by two clients: each has the same Message-ID."""
    same: dict = {"message_id": "<same@relay>", "own_message_id": False}
    async with bench(tmp_path) as on:
        first = await on.arrived(**same, client="relay-1")
        second = await on.arrived(**same, client="relay-2")
        await on.look(after=5 * SECOND)
        assert (await on.stands(first), await on.stands(second)) == (SENT, SENT)


async def test_no_copy_and_none_sent_is_absence_for_all_messages_of_one_message_id(tmp_path: Path) -> None:
    same: dict = {"message_id": "<same@relay>", "own_message_id": False}
    async with bench(tmp_path) as on:
        await witness(on, own_message_id=False)
        first, second = await on.refused(**same, client="relay-1"), await on.refused(**same, client="relay-2")
        await on.look(after=LAST)
        assert (await on.stands(first), await on.stands(second)) == (AGAIN, AGAIN)


async def test_fewer_copies_than_messages_of_one_message_id_say_nothing_about_any(tmp_path: Path) -> None:
    same: dict = {"message_id": "<same@relay>", "own_message_id": False}
    async with bench(tmp_path) as on:
        await witness(on, own_message_id=False)
        await on.send(**same, client="relay-1")
        refused = await on.refused(**same, client="relay-2")
        await on.looks((5, 30))
        assert (await on.stands(refused))[0] is Status.UNCONFIRMED
        await on.look(after=LAST)
        assert await on.stands(refused) == SHARED
        assert on.emulator.world.counters.accepted == 2


async def test_copies_of_a_message_that_was_sent_twice_on_purpose_are_no_proof_for_another(tmp_path: Path) -> None:
    same: dict = {"message_id": "<same@relay>", "own_message_id": False}
    async with bench(tmp_path) as on:
        await witness(on, own_message_id=False)
        code = await on.arrived(**same, client="relay-1")
        await on.house.obey(Action.RETRY, code.id, accept_duplicate=True)
        await on.again(code)
        refused = await on.refused(**same, client="relay-2")
        await on.looks((5, 30, 120))
        assert await on.stands(refused) == SHARED
        assert on.emulator.world.counters.accepted == 3


# --- look-ups that fail


async def test_without_the_right_it_is_held_with_the_command_and_settled_at_once_when_it_is_granted(
    tmp_path: Path,
) -> None:
    """Whichever look-up of the mailbox is answered first, all that was held for want of the right is looked at then."""
    async with bench(tmp_path) as on:
        await witness(on)
        arrived, refused = await on.arrived(), await on.refused()
        await on.look(after=5 * SECOND)
        on.may_look(may=False)
        later = await on.arrived()
        await on.look(after=LAST)
        assert (await on.stands(arrived), await on.stands(refused)) == (SENT, NO_RIGHT)
        assert await on.stands(later) == NO_RIGHT
        on.may_look(may=True)
        await on.arrived()
        await on.look(after=5 * SECOND)
        assert (await on.stands(refused), await on.stands(later)) == (AGAIN, SENT)


async def test_without_any_other_mail_it_is_looked_at_again_within_the_hour(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        await witness(on)
        on.may_look(may=False)
        arrived = await on.arrived()
        await on.look(after=LAST)
        assert await on.stands(arrived) == NO_RIGHT
        on.may_look(may=True)
        await on.look(after=HOUR)
        assert await on.stands(arrived) == SENT


@pytest.mark.parametrize("fault", ["429", "503"])
async def test_retry_after_of_a_look_up_is_obeyed_by_look_ups_and_sends_of_that_mailbox(
    tmp_path: Path, fault: str
) -> None:
    async with bench(tmp_path) as on:
        await witness(on)
        await on.look(after=HOUR)
        arrived = await on.arrived()
        on.emulator.world.faults = (Rule(target=Target.LOOKUP, fault=fault, retry_after=40, times=1),)
        before = on.emulator.world.counters.lookups
        await on.looks((5, 20, 44))
        assert on.emulator.world.counters.lookups == before + 1
        lane = on.board.lane(SHOP)
        assert (lane.paused(on.clock.at) is not None) == (fault == "429")
        assert lane.unusable(on.clock.at).keys() == (set() if fault == "429" else {"graph"})
        (written,) = [row.pauses for row in await on.house.spool.lanes(now=on.clock.at) if row.account == SHOP]
        assert [pause.until - on.clock.at for pause in written] == [SECOND]
        await on.looks((1,))
        assert await on.stands(arrived) == SENT
        assert lane.paused(on.clock.at) is None
        assert not lane.unusable(on.clock.at)
        assert on.emulator.world.violations.early == 0


async def test_a_retry_after_that_comes_while_a_look_up_waits_for_its_slot_is_obeyed(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        await witness(on)
        await on.refused()
        lane, now = on.board.lane(SHOP), on.clock.now()
        slots = [lane.start(now, transport="graph", use=USE) for _ in range(4)]
        looking = asyncio.ensure_future(on.look(after=5 * SECOND))
        while not lane.looking:
            await asyncio.sleep(0.01)
        until = on.clock.now() + MINUTE
        lane.pause(Pause(None, until, "graph.throttled", blocked=False, since=on.clock.now(), length=MINUTE))
        for slot in slots:
            lane.end(slot, on.clock.now())
        await looking
        assert on.emulator.world.counters.lookups == 0
        (item,) = await on.house.looks(at=until, most=9)
        assert item.looks == 1


async def test_what_a_restored_copy_put_in_doubt_goes_not_before_its_time(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        await witness(on)
        due_at = on.clock.now() + DAY
        later = await on.house.put(due_at=due_at, route=("graph",))
        await on.house.spool.mark_restored(taken_at=on.clock.now() + HOUR)
        assert await on.house.spool.restored(now=on.clock.now(), ways={"graph": Way("graph")}) == 1
        await on.looks((5, 30, 120))
        record = await on.house.record(later)
        assert (record.status, record.due_at) == (Status.DEFERRED, due_at)


async def test_what_a_restored_copy_put_in_doubt_needs_a_witness_of_each_transport_of_its_route(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        await witness(on)
        queued = await on.house.put(route=("graph", "smtp"))
        graph_only = await on.house.put(route=("graph",), due_at=on.clock.now() + DAY)
        await on.house.spool.mark_restored(taken_at=on.clock.now() + HOUR)
        assert await on.house.spool.restored(now=on.clock.now(), ways={"graph": Way("graph"), "smtp": Way("smtp")}) == 2
        await on.looks((5, 30, 120))
        assert (await on.house.record(graph_only)).status is Status.DEFERRED
        record = await on.house.record(queued)
        assert (record.status, record.held_cause) == NO_WITNESS
        await witness(on, by="smtp")
        await on.look(after=HOUR)
        assert (await on.house.record(queued)).status is Status.DEFERRED


async def test_a_doubt_of_before_the_restore_may_have_gone_by_any_transport_since(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        await witness(on)
        doubt = await on.refused(route=("graph", "smtp"))
        await on.house.spool.mark_restored(taken_at=on.clock.now() + HOUR)
        await on.house.spool.restored(now=on.clock.now(), ways={"graph": Way("graph"), "smtp": Way("smtp")})
        await on.looks((5, 30, 120))
        assert await on.stands(doubt) == NO_WITNESS


@pytest.mark.parametrize("transport", [None, "graph"])
async def test_retry_after_of_a_send_is_obeyed_by_look_ups_too_a_block_or_a_used_day_is_not_waited_for(
    tmp_path: Path, transport: str | None
) -> None:
    async with bench(tmp_path) as on:
        await witness(on)
        arrived = await on.arrived()
        lane = on.board.lane(SHOP)
        lane.pause(Pause(transport, on.clock.at + 20 * SECOND, "graph.throttled", blocked=False, since=on.clock.at))
        before = on.emulator.world.counters.lookups
        await on.looks((5, 19))
        assert on.emulator.world.counters.lookups == before
        lane.resume(on.clock.at, transport)
        reason, blocked = (DAY_USED, False) if transport is None else ("graph.mailbox_full", True)
        lane.pause(Pause(transport, on.clock.at + HOUR, reason, blocked=blocked, since=on.clock.at))
        await on.looks((20,))
        assert await on.stands(arrived) == SENT


@pytest.mark.parametrize("fault", ["500", "502", "503", "504", "drop", "reset"])
async def test_a_look_up_that_fails_is_no_absence(tmp_path: Path, fault: str) -> None:
    async with bench(tmp_path) as on:
        await witness(on)
        refused = await on.refused()
        on.emulator.world.faults = (Rule(target=Target.LOOKUP, fault=fault),)
        await on.look(after=LAST)
        assert await on.stands(refused) == (Status.HELD, "unconfirmed_no_look_up")
        on.emulator.world.faults = ()
        await on.look(after=2 * MINUTE)
        assert await on.stands(refused) == AGAIN


async def test_a_look_up_that_hangs_keeps_no_other_mailbox_waiting(tmp_path: Path) -> None:
    async with bench(tmp_path, look_seconds=30.0) as on:
        await witness(on)
        hanging, prompt = await on.arrived(), await on.arrived(account=OTHER)
        on.emulator.world.faults = (Rule(target=Target.LOOKUP, fault="hang", mailbox=SHOP),)
        on.clock.at += 5 * SECOND
        await on.hold()
        await on.settling._round()
        looks = {task.get_name(): task for task in on.settling._busy.values()}
        await asyncio.wait_for(looks[f"looks of lane {prompt.lane}"], 20)
        assert await on.stands(prompt) == SENT
        assert not looks[f"looks of lane {hanging.lane}"].done()
        assert on.board.lane(SHOP).in_flight == 1
        await on.settling.stop()
        assert on.board.lane(SHOP).in_flight == 0


async def test_a_look_up_that_hangs_is_given_up_and_made_again(tmp_path: Path) -> None:
    async with bench(tmp_path, look_seconds=0.2) as on:
        await witness(on)
        arrived = await on.arrived()
        on.emulator.world.faults = (Rule(target=Target.LOOKUP, fault="hang", times=1),)
        await on.look(after=5 * SECOND)
        (told,) = [event for event in await on.house.spool.events(arrived.id) if event.type == "message.looked_up"]
        assert told.data["look_up"] == "no_answer"
        await on.look(after=25 * SECOND)
        assert await on.stands(arrived) == SENT


async def test_only_lanes_that_this_process_holds_are_looked_for(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        arrived = await on.arrived()
        on.clock.at += LAST
        (lease,) = await on.hold()
        on.board.give_back(lease.lane)
        await on.settling._round()
        assert not on.settling._busy
        await on.house.release(lease)
        await on.look()
        assert await on.stands(arrived) == SENT


async def test_four_requests_at_once_are_the_lanes_whoever_makes_them(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        arrived = await on.arrived()
        lane = on.board.lane(SHOP)
        starts = [lane.start(on.clock.at, transport="graph", use=USE, load=Load(high=True)) for _ in range(4)]
        on.clock.at += 5 * SECOND
        await on.hold()
        await on.settling._round()
        (look,) = on.settling._busy.values()
        done, _ = await asyncio.wait({look}, timeout=0.5)
        assert not done
        assert (await on.stands(arrived))[0] is Status.UNCONFIRMED
        lane.end(starts[0], on.clock.at)
        await asyncio.wait_for(look, 20)
        assert await on.stands(arrived) == SENT


# --- the slowest appearance


async def test_absence_waits_for_three_times_the_slowest_appearance_also_after_a_restart(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        await witness(on)
        on.setting(appear_after=100.0)
        slow = await on.arrived()
        await on.looks((5, 30, 120))
        assert await on.stands(slow) == SENT
        on.setting(appear_after=0.0)
        on.settling = on.start()
        refused = await on.refused()
        await on.looks((120, 300))
        assert (await on.stands(refused))[0] is Status.UNCONFIRMED
        await on.looks((60,))
        assert await on.stands(refused) == AGAIN


async def test_after_a_start_absence_counts_only_when_the_process_has_watched_for_itself(tmp_path: Path) -> None:
    """An hour by the machine's clock may have been no time at all: somebody set it while nobody ran."""
    async with bench(tmp_path) as on:
        await witness(on)
        refused = await on.refused()
        on.clock.at += HOUR
        on.settling = on.start()
        await on.look()
        assert (await on.stands(refused))[0] is Status.UNCONFIRMED
        await on.look(after=LAST)
        assert await on.stands(refused) == AGAIN


async def test_a_process_that_is_killed_again_and_again_settles_where_nobody_set_the_clock(tmp_path: Path) -> None:
    """Each process proves by a clock that nobody can set that its time is that of the ones before."""
    async with bench(tmp_path) as on:
        on.clock.boot = "this run of the machine"
        await on.restart()
        await witness(on)
        refused = await on.refused()
        for _ in range(24):
            on.clock.at += LAST // 24
            await on.restart()
        await on.look()
        assert await on.stands(refused) == AGAIN


async def test_times_of_before_the_clock_was_set_prove_nothing_however_often_it_starts(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        on.clock.boot = "this run of the machine"
        await on.restart()
        await witness(on)
        refused = await on.refused()
        on.clock.put(HOUR)
        await on.restart()
        await on.restart()  # the first of those with the new time had seen that it is new
        await on.look()
        assert (await on.stands(refused))[0] is Status.UNCONFIRMED
        await on.look(after=LAST)
        assert await on.stands(refused) == AGAIN


async def test_on_another_run_of_the_machine_the_times_of_before_prove_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        on.clock.boot = "one run of the machine"
        await on.restart()
        await witness(on)
        refused = await on.refused()
        on.clock.at += HOUR
        on.clock.boot = "the next run of the machine"
        await on.restart()
        await on.look()
        assert (await on.stands(refused))[0] is Status.UNCONFIRMED


async def test_an_appearance_counts_only_where_an_earlier_look_did_not_find_the_copy(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        await witness(on)
        await on.arrived()
        await on.look(after=100 * SECOND)
        assert await on.house.spool.slowest(after=0) == 0


# --- what a person or the client wants


async def test_a_canceled_doubt_is_settled_and_never_sent_again(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        await witness(on)
        arrived, refused = await on.arrived(), await on.refused()
        for row in (arrived, refused):
            await on.house.obey(Action.CANCEL, row.id)
            assert (await on.stands(row))[0] is Status.UNCONFIRMED
        await on.look(after=LAST)
        assert (await on.stands(arrived), await on.stands(refused)) == (SENT, (Status.CANCELED, None))


async def test_a_doubt_that_expires_is_settled_and_never_sent_again(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        await witness(on)
        over: dict = {"expires_at": on.clock.at + 10 * SECOND}
        arrived, refused = await on.arrived(**over), await on.refused(**over)
        on.clock.at += 10 * SECOND
        await on.house.spool.expire(now=on.clock.at, most=9)
        assert (await on.stands(refused))[0] is Status.UNCONFIRMED
        await on.look(after=LAST)
        assert (await on.stands(arrived), await on.stands(refused)) == (SENT, (Status.EXPIRED, None))


async def test_release_looks_again_at_once_but_makes_no_absence_count_sooner(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        await witness(on)
        arrived, refused = await on.arrived(), await on.refused()
        for row in (arrived, refused):
            await on.house.obey(Action.RELEASE, row.id)
        await on.look()
        assert (await on.stands(arrived), (await on.stands(refused))[0]) == (SENT, Status.UNCONFIRMED)


# --- proof of presence


async def test_a_mailbox_is_asked_for_a_fresh_witness_once_a_day_while_it_sends(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        await on.send()
        await on.look(after=10 * MINUTE)
        assert on.emulator.world.counters.lookups == 1
        (proof,) = await on.house.spool.presences()
        assert (proof.level, proof.proved_at, proof.ask_at) == (ProofLevel.LOOK_UP, on.clock.at, None)
        for _ in range(20):
            await on.send()
            await on.look(after=HOUR)
        assert on.emulator.world.counters.lookups == 1
        for _ in range(10):
            await on.send()
            await on.look(after=HOUR)
        assert on.emulator.world.counters.lookups == 2
        on.clock.at += 10 * DAY
        await on.look()
        assert on.emulator.world.counters.lookups == 2


async def test_a_mailbox_without_the_right_or_without_its_message_ids_has_no_proof_and_says_why(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        on.may_look(may=False)
        await on.send()
        await on.look(after=10 * MINUTE)
        (proof,) = await on.house.spool.presences()
        assert (proof.level, proof.answer) == (ProofLevel.NONE, "ErrorAccessDenied")
        on.may_look(may=True)
        on.setting(rewrite_message_ids=True)
        await on.send(account=OTHER)
        await on.look(after=10 * MINUTE)
        (proof,) = [one for one in await on.house.spool.presences() if one.account == OTHER]
        assert (proof.level, proof.answer) == (ProofLevel.NONE, "not_found")
        on.setting(rewrite_message_ids=False)
        await on.send(account=OTHER)
        await on.look(after=7 * HOUR)
        (proof,) = [one for one in await on.house.spool.presences() if one.account == OTHER]
        assert (proof.level, proof.answer) == (ProofLevel.LOOK_UP, None)


async def test_a_fresh_witness_is_never_looked_for_while_graph_slows_the_mailbox_down_or_it_is_busy(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as on:
        await on.send()
        lane = on.board.lane(SHOP)
        on.clock.at += 10 * MINUTE
        lane.pause(Pause(None, on.clock.at + MINUTE, "graph.throttled", blocked=False, since=on.clock.at))
        await on.look()
        starts = [lane.start(on.clock.at, transport="graph", use=USE) for _ in range(3)]
        await on.look(after=12 * MINUTE)
        assert on.emulator.world.counters.lookups == 0
        lane.end(starts[0], on.clock.at)
        await on.look(after=12 * MINUTE)
        assert on.emulator.world.counters.lookups == 1


async def test_what_settling_sees_by_the_way_is_proof_enough_for_the_day(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        arrived = await on.arrived()
        await on.look(after=5 * SECOND)
        assert await on.stands(arrived) == SENT
        (proof,) = await on.house.spool.presences()
        assert proof.level is ProofLevel.LOOK_UP
        assert proof.witness is not None
        assert proof.witness.id == arrived.id


async def test_where_nothing_can_be_looked_up_nothing_is_asked(tmp_path: Path) -> None:
    """SMTP alone: what is in doubt is held, and says why."""
    async with bench(tmp_path) as on:
        on.evidence.clear()
        await on.send()
        arrived = await on.arrived()
        await on.look(after=LAST)
        assert await on.stands(arrived) == NO_RIGHT
        (proof,) = await on.house.spool.presences()
        assert (proof.level, proof.answer) == (ProofLevel.NONE, "no_look_up")
        assert on.emulator.world.counters.lookups == 0


async def test_many_doubtful_messages_of_a_mailbox_are_looked_for_in_few_questions(tmp_path: Path) -> None:
    async with bench(tmp_path) as on:
        await witness(on)
        doubtful = [await on.arrived() for _ in range(24)]
        before = on.emulator.world.counters.lookups
        await on.look(after=5 * SECOND)
        assert [await on.stands(row) for row in doubtful] == [SENT] * 24
        assert on.emulator.world.counters.lookups - before <= 3
