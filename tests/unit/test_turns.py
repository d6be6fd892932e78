"""Clients of one mailbox take turns inside a priority, however many messages each has (PROMISES §7)."""

from collections import defaultdict
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.message import Envelope, Message, MessageId, OnUnconfirmed, Priority
from posthouse.turns import Turns

ROW = Message(
    key=0,
    id=MessageId("msg_"),
    client="shop",
    lane=1,
    account="a@contoso.com",
    mailbox="a@contoso.com",
    sender="a@contoso.com",
    envelope=Envelope(None, ()),
    message_id="<1@contoso.com>",
    own_message_id=True,
    route=("graph",),
    next_transport=None,
    priority=Priority.NORMAL,
    size=1,
    accepted_at=0,
    due_at=0,
    expires_at=None,
    gives_up_at=0,
    attempts=0,
    on_unconfirmed=OnUnconfirmed.SETTLE,
)


def row(key: int, client: str, *, due_at: int = 0, priority: Priority = Priority.NORMAL) -> Message:
    return replace(ROW, key=key, client=client, due_at=due_at, priority=priority)


def serve(turns: Turns, waiting: list[Message], *, read: int = 16) -> Message:
    """One step of a lane: it reads some rows of each client, serves the first."""
    by_client: defaultdict[tuple[int, str], list[Message]] = defaultdict(list)
    for one in sorted(waiting, key=lambda one: (one.due_at, one.key)):
        by_client[one.priority, one.client].append(one)
    first = turns.order(one for rows in by_client.values() for one in rows[: max(1, read // len(by_client))])[0]
    turns.took(first)
    waiting.remove(first)
    return first


def test_a_client_with_very_many_messages_delays_anothers_single_one_by_one():
    turns, waiting = Turns(), [row(key, "bulk") for key in range(1_000)]
    for _ in range(100):
        serve(turns, waiting)
    waiting.append(row(5_000, "codes", due_at=99))
    served = [serve(turns, waiting).client for _ in range(2)]
    assert "codes" in served


def test_inside_a_client_age_decides_and_priority_goes_before_turns():
    turns = Turns()
    rows = [
        row(1, "a", due_at=5),
        row(2, "a", due_at=3),
        row(3, "b", due_at=9),
        row(4, "a", due_at=7, priority=Priority.HIGH),
        row(5, "a", priority=Priority.LOW),
    ]
    assert [one.key for one in turns.order(rows)] == [4, 2, 3, 1, 5]


@settings(max_examples=60, deadline=None)
@given(
    backlog=st.lists(st.integers(0, 40), min_size=2, max_size=6),
    joins=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5)), max_size=10),
)
def test_while_two_clients_wait_neither_is_ever_served_two_more_than_the_other(backlog, joins):
    """The fairness bound of start-time fair queueing with equal weights and a message as the unit."""
    turns, keys = Turns(), iter(range(10_000))
    waiting = [row(next(keys), f"c{client}") for client, count in enumerate(backlog) for _ in range(count)]
    since: dict[tuple[str, str], int] = {}
    for step in range(200):
        waiting += [row(next(keys), f"c{client}", due_at=step) for at, client in joins if at == step]
        clients = {one.client for one in waiting}
        if not waiting:
            return
        served = serve(turns, waiting).client
        for a in clients:
            for b in clients:
                if a != b:
                    since.setdefault((a, b), 0)
                    since[a, b] += (served == a) - (served == b)
                    assert abs(since[a, b]) <= 2
        since = {pair: lead for pair, lead in since.items() if set(pair) <= {one.client for one in waiting}}


def test_the_memory_of_turns_stays_bounded():
    turns = Turns()
    for key in range(5_000):
        turns.took(row(key, "steady"))
        turns.took(row(key, f"client {key}"))
    assert len(turns._next) <= 1_001
