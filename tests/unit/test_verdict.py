"""One sentence says whether mail flows, what stands in its way, why, and what to do."""

from dataclasses import replace

import pytest

from posthouse.fixes import Fixes
from posthouse.message import Priority, Status
from posthouse.records import Backlogged, LaneRow, Past, Pause, Start, Told, TransportRow
from posthouse.verdict import STILL, Standing, Verdict, judge

NOW = 1_800_000_000_000
A, B = "a@contoso.com", "b@contoso.com"
WAITING = Backlogged(priority=Priority.NORMAL, client="shop", count=3, due=1, oldest_due_at=NOW - 1)
LANE = LaneRow(lane=1, account=A, sending=0, held=0, unconfirmed=0, next_at=NOW, pauses=(), backlog=(WAITING,))
OTHER = replace(LANE, lane=2, account=B)
GRAPH = TransportRow(name="graph", state="closed", until=0, opened=0, reason="", since=0)
SMTP = replace(GRAPH, name="smtp")
LATELY = {1: Past(starts=(Start(NOW - 1, "graph", high=False, sender=A),))}
GOOD = Standing(now=NOW, ready=None, counts={Status.SENT: 9}, lanes=(LANE,), transports=(GRAPH, SMTP), pasts=LATELY)
EXPIRED = replace(GRAPH, state="blocked", until=NOW + 1, reason="entra.secret_expired")
FULL = Pause(None, NOW + 60_000, "graph.mailbox_full", blocked=True, since=NOW)
SLOW = replace(FULL, reason="graph.throttled", blocked=False)


def verdict(**changes) -> Verdict:
    return judge(replace(GOOD, **changes), Fixes())


def test_without_trouble_mail_flows_and_nothing_else_is_said():
    assert verdict() == Verdict(flows=True, sentence="Mail flows.")


def test_what_cannot_be_kept_goes_before_all_else():
    found = verdict(ready="only 3 MB are free", transports=(EXPIRED,), counts={Status.HELD: 2})
    assert not found.flows
    assert found.sentence == "Mail is not taken: only 3 MB are free."
    assert len(found.also) == 2


def test_a_blocked_transport_beside_a_good_one_leaves_mail_flowing_and_names_cause_and_command():
    found = verdict(transports=(EXPIRED, SMTP))
    assert found.flows
    assert found.sentence.startswith(
        "Mail flows, but transport graph is blocked, because the client secret has expired; az ad app credential reset"
    )


def test_where_every_transport_is_shut_mail_waits():
    found = verdict(transports=(EXPIRED, replace(SMTP, state="open", reason="network.refused")))
    assert not found.flows
    assert found.sentence.startswith("Mail waits: transport graph is blocked")
    assert found.also[0].startswith("Transport smtp is down, because the connection is refused; allow the host")


def test_a_transport_that_a_person_paused_says_how_it_is_resumed():
    found = verdict(transports=(replace(GRAPH, told=Told(at=NOW, paused=True, by="ops")), SMTP))
    assert "transport graph is paused, because somebody paused it; resume it:" in found.sentence
    assert "posthouse transports resume graph" in found.sentence


def test_the_name_of_a_transport_never_stands_for_that_of_an_app():
    found = verdict(transports=(replace(EXPIRED, reason="entra.app_unknown"), SMTP))
    assert "--display-name <name>" in found.sentence


@pytest.mark.parametrize(
    ("lanes", "flows"), [((replace(LANE, pauses=(FULL,)),), False), ((replace(LANE, pauses=(FULL,)), OTHER), True)]
)
def test_mail_waits_where_all_that_waits_lies_in_blocked_lanes(lanes, flows):
    found = verdict(lanes=lanes)
    assert found.flows is flows
    assert (
        "a@contoso.com sends nothing now, because the sending mailbox is full; empty its Sent Items" in found.sentence
    )


def test_lanes_with_the_same_trouble_are_told_together():
    found = verdict(
        lanes=(replace(LANE, pauses=(FULL,)), replace(OTHER, pauses=(FULL,)), replace(OTHER, account="c@d.e"))
    )
    assert "a@contoso.com and 1 more send nothing now" in found.sentence
    assert found.also == ()


def test_a_pause_of_one_transport_leaves_the_lane_flowing():
    found = verdict(lanes=(replace(LANE, pauses=(replace(FULL, transport="smtp"),)),))
    assert found.flows
    assert "a@contoso.com sends nothing by smtp now" in found.sentence


def test_a_throttled_mailbox_beside_others_is_only_a_remark():
    found = verdict(lanes=(replace(LANE, pauses=(SLOW,)), OTHER), counts={Status.UNCONFIRMED: 1})
    assert found.flows
    assert found.sentence.startswith("Mail flows; ")


def test_a_pause_that_is_over_is_not_told():
    assert verdict(lanes=(replace(LANE, pauses=(replace(SLOW, until=NOW),)),)).sentence == "Mail flows."


@pytest.mark.parametrize(
    ("since", "moving", "flows"), [(NOW - STILL - 1, False, False), (NOW - STILL - 1, True, True), (NOW, False, True)]
)
def test_mail_that_is_due_and_that_nobody_sends_asks_for_a_worker(since, moving, flows):
    found = verdict(
        lanes=(replace(LANE, backlog=(replace(WAITING, oldest_due_at=since),)),), pasts=LATELY if moving else {}
    )
    assert found.flows is flows
    assert ("posthouse serve" in found.sentence) is not flows


def test_held_messages_are_named_with_the_commands_that_say_why():
    found = verdict(counts={Status.HELD: 1, Status.UNCONFIRMED: 2})
    assert found.sentence.startswith("Mail flows; 1 message is held; posthouse messages list --status held")
    assert found.also == ("2 messages are looked for, because nobody knows yet whether they were sent.",)
