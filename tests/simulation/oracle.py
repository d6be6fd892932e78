"""The judgement after the storm: nothing lost, nothing doubled, nothing stranded, and a spool that makes sense."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from posthouse.message import FINAL, MessageId, Status, id_from_bytes
from tests.simulation.plan import Order, kind_of

if TYPE_CHECKING:
    from tests.simulation.run import Run
    from tests.simulation.world import Truth

DOUBTS: Final = frozenset(
    {
        "unconfirmed",
        "unconfirmed_draft",
        "unconfirmed_shared_message_id",
        "unconfirmed_older_copy",
        "unconfirmed_no_witness",
        "unconfirmed_no_look_up",
        "unconfirmed_no_right",
    }
)
_LEFT: Final = """
select public_id, status, held_cause, attempts from messages
where status not in ('sent', 'failed', 'expired', 'canceled') order by id
"""
_TRIED: Final = """
select distinct m.mailbox, l.account, d.own_message_id from messages m join details d on d.message = m.id
join lanes l on l.id = m.lane where m.attempts > 0 and m.finished_at is null
"""
_INVARIANTS: Final = {
    "an attempt without its message": "select message from attempts where message not in (select id from messages)",
    "details without their message": "select message from details where message not in (select id from messages)",
    "a message without details": "select id from messages where id not in (select message from details)",
    "a message without recipients": "select id from messages where id not in (select message from recipients)",
    "a content without its message": "select id from contents where id not in (select id from messages)",
    "an unfinished message without content":
        "select id from messages where finished_at is null and id not in (select id from contents)",
    "a final message without its time, or the other way round":
        "select id from messages where (finished_at is not null) <> (status in ('sent', 'failed', 'expired', 'canceled'))",
    "a doubt about a message that is in none":
        "select u.message from unsettled u join messages m on m.id = u.message where m.status not in ('unconfirmed', 'held')",
    "a doubt about no attempt":
        "select message from unsettled u where not exists (select 1 from attempts a where a.message = u.message and a.number = u.number)",
    "an unconfirmed message without its doubt":
        "select id from messages where status = 'unconfirmed' and id not in (select message from unsettled)",
    "attempts that are not 1, 2, 3 …":
        "select m.id from messages m where m.attempts <> (select count(*) from attempts a where a.message = m.id)"
        " or m.attempts <> (select coalesce(max(a.number), 0) from attempts a where a.message = m.id)",
    "a key whose messages are missing":
        "select id from idempotency i where not exists (select 1 from messages m where m.id = i.first)"
        " or not exists (select 1 from messages m where m.id = i.last)",
    "two messages of one order":
        "select reference from details where reference is not null group by 1 having count(*) > 1",
}  # fmt: skip
_AT_REST: Final = {
    "an attempt that never ended": "select message from attempts where outcome is null",
    "a lane that is still owned": "select account from lanes where owner is not null",
}
_REFUSED: Final = """
select m.public_id, r.address from messages m join recipients r on r.message = m.id where r.refused is not null
"""
_EVENTS: Final = """
select m.public_id, m.status, group_concat(substr(e.type, 9), ' ' order by e.position)
from messages m join events e on e.message = m.id group by m.id order by m.id
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that is not final."""

    id: MessageId
    status: str
    cause: str | None
    attempts: int


def any_left(run: Run) -> bool:
    """Whether something is not final."""
    return bool(_ask(run, f"select exists ({_LEFT})")[0][0])


def left_at_calm(run: Run) -> set[tuple[str, bool]]:
    """The mailboxes and origins of Message-ID of what was tried and is not final, and those by which it may have gone."""
    rows = _ask(run, _TRIED)
    return {(box, bool(own)) for mailbox, account, own in rows for box in (mailbox, account)}


def unfinished(run: Run) -> list[Waiting]:
    """What is not final, as the spool has it now."""
    rows = _ask(run, _LEFT)
    return [Waiting(id_from_bytes(row[0]), row[1], row[2], row[3]) for row in rows]


def judge_waiting(run: Run, left: list[Waiting]) -> None:
    """After hours of calm only what nobody can prove may wait, and it must say so."""
    for one in left:
        at, life, number = run.world.truth[one.id].told or (0.0, None, 0)
        if one.cause in DOUBTS and number == one.attempts and life is not None and life.outlived(at):
            run.world.complain("unheard", f"{one.id} is in doubt ({one.cause}), and the answer was heard")
        elif not may_wait(run, one):
            run.world.complain("stranded", f"{one.id} is {one.status} ({one.cause}) after hours of calm")


def judge(run: Run) -> None:
    """All of it, when the process has ended in peace."""
    world = run.world
    connection = run.process.disk.file.connection
    for name, question in {**_INVARIANTS, **_AT_REST}.items():
        if rows := connection.execute(question).fetchall():
            world.complain(
                "spool",
                f"{name}: {[row[0] if not isinstance(row[0], bytes) else id_from_bytes(row[0]) for row in rows]}",
            )
    stands = {id_from_bytes(row[0]): (row[1], row[2].split()) for row in connection.execute(_EVENTS)}
    refused = {(id_from_bytes(row[0]), row[1]) for row in connection.execute(_REFUSED)}
    for heard in run.clients.heard.values():
        forgotten = any(world.truth[one].forgotten for answer in heard.answers for one in answer)
        if len(heard.answers) > 1 and not forgotten:
            world.complain("idempotency", f"{heard.order.name} was answered with {heard.answers}")
        for message_id in heard.ids:
            if message_id not in stands and not world.truth[message_id].forgotten:
                world.complain("lost", f"{message_id} of {heard.order.name} was accepted and is not in the spool")
    by_order: defaultdict[str, int] = defaultdict(int)
    for message_id, (status, events) in stands.items():
        _judge_one(run, message_id, status, events)
        truth = world.truth[message_id]
        by_order[truth.order] += 1
        # what the lost machine heard after the copy was taken, nobody knows; nor who was refused of a try whose answer
        # was lost, where its client wants it sent again to all
        known = not truth.restored and not truth.may_double
        if len(truth.taken) == 1 and known and truth.refused is not None and (message_id, truth.refused) not in refused:
            world.complain("refused", f"{message_id} does not say that {truth.refused} was refused")


def _judge_one(run: Run, message_id: MessageId, status: str, events: list[str]) -> None:
    world, truth = run.world, run.world.truth[message_id]
    if Status(status) not in FINAL:
        world.complain("stranded", f"{message_id} is still {status}, although a person said what became of it")
    if status == "sent" and not truth.taken and not _may_be_mistaken(run, truth):
        world.complain("lost", f"{message_id} is called sent, and was never taken")
    if status != "sent" and truth.taken and not truth.may_double:
        world.complain("untrue", f"{message_id} is called {status}, and was taken")
    if events[:1] != ["accepted"]:
        world.complain("events", f"{message_id} begins with {events[:1]}")
    ends = [one for one in events if one in FINAL]
    if len(ends) != 1 and not truth.retried:
        world.complain("events", f"{message_id} has the ends {ends}: {events}")
    if ends and ends[-1] != status:
        world.complain("events", f"{message_id} is {status}, its last end was {ends[-1]}")
    after = events[events.index(ends[0]) + 1 :] if ends else []
    if [one for one in after if one != "late_outcome"] and not truth.retried:
        world.complain("events", f"{message_id} went on after its end: {events}")


def _may_be_mistaken(run: Run, truth: Truth) -> bool:
    """Whether a client gave its Message-ID to another mail too, of whose sends after the copy was taken nobody knows."""
    ids = {order.name: order.message_id for order in run.plan.orders}
    own = ids.get(truth.order)
    others = (
        one for one in run.world.truth.values() if one is not truth and one.taken and (one.forgotten or one.restored)
    )
    return truth.restored and own is not None and any(ids.get(one.order) == own for one in others)


def may_wait(run: Run, one: Waiting) -> bool:
    """Whether it is right that this message waits for a person."""
    world, climate = run.world, run.plan.climate
    order = next((o for o in run.plan.orders if o.name == world.truth[one.id].order), None)
    if one.status != "held" or order is None:
        return False
    match one.cause:
        case "unconfirmed":
            return order.wish == "hold" or (world.truth[one.id].restored and len(_accounts(run, order)) > 1)
        case "unconfirmed_draft":
            return any(copy.drafted_until == math.inf for copy in world.copies)
        case "unconfirmed_shared_message_id" | "unconfirmed_older_copy":
            return order.message_id is not None
        case "unconfirmed_no_witness":
            # where a day has a limit, no witness may be able to go within the day in which it would count
            return climate.keeps_nothing or bool(climate.rewritten) or bool(climate.quota)
        case "unconfirmed_no_right":
            return all(kind_of(name) != "graph" for name in climate.route)
        case _:
            return False


def _accounts(run: Run, order: Order) -> set[str]:
    """The accounts by which an order may go."""
    climate = run.plan.climate
    return {
        climate.account(name, order.mailbox)
        for name in (climate.route if order.transport is None else (order.transport,))
    }


def _ask(run: Run, question: str) -> list[tuple]:
    return run.process.disk.file.connection.execute(question).fetchall()
