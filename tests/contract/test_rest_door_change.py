"""PATCH /v1/messages/{id}: times and priority, while it waits (CONTRACT §2.1)."""

from datetime import datetime

import httpx
import pytest

from posthouse.message import Priority, Status
from posthouse.outcome import Answer, Outcome, PermanentFailure, Scope
from tests.contract.rest_door import Door
from tests.contract.spools import LATER, LOST, SENT

SIMPLE = {"from": "noreply@contoso.com", "to": "jo@example.org", "subject": "Hi", "text": "Hello"}
DAY = 86_400_000
REFUSED = PermanentFailure(scope=Scope.MESSAGE, answer=Answer(status="5.1.3", text="no such recipient"))
OUTCOMES: dict[Status, Outcome] = {Status.SENT: SENT, Status.UNCONFIRMED: LOST, Status.FAILED: REFUSED}


async def submitted(http: httpx.AsyncClient, **more: object) -> str:
    answer = await http.post("/v1/messages", json=SIMPLE | more)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def millis(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


async def test_its_own_client_sends_it_sooner_later_and_more_urgently(door: Door) -> None:
    http = await door.http("submit")
    message = await submitted(http, send_in="1h")
    later = await http.patch(f"/v1/messages/{message}", json={"send_in": "2h", "expires_in": "3h", "priority": "high"})
    assert later.status_code == 200, later.text
    shown = later.json()
    assert (shown["status"], shown["priority"]) == ("scheduled", "high")
    now = door.clock.now()
    assert now + 7_000_000 < millis(shown["scheduled_at"]) <= now + 7_200_000
    assert now + 10_600_000 < millis(shown["expires_at"]) <= now + 10_800_000
    now_ = await http.patch(f"/v1/messages/{message}", json={"scheduled_at": None, "expires_at": None})
    assert (now_.json()["status"], now_.json()["expires_at"]) == ("queued", None)
    lane = (await door.spool.lease(owner="test", now=door.clock.now(), most=1))[0].lane
    (row,) = await door.spool.peek(lane=lane, now=door.clock.now(), most=9)
    assert row.priority is Priority.HIGH
    assert abs(row.gives_up_at - door.clock.now() - 5 * DAY) < 60_000
    events = (await http.get(f"/v1/messages/{message}/events")).json()["data"]
    assert [event["type"] for event in events] == ["message.accepted", "message.changed", "message.changed"]
    assert events[1]["data"]["priority"] == "high"
    assert events[1]["data"]["scheduled_at"] == shown["scheduled_at"]


@pytest.mark.parametrize(
    ("wish", "pointer"),
    [
        ({}, ""),
        ({"subject": "x"}, "/subject"),
        ({"priority": None}, "/priority"),
        ({"priority": "urgent"}, "/priority"),
        ({"send_in": "1h", "scheduled_at": None}, "/send_in"),
        ({"expires_in": "1m"}, "/expires_at"),
        ({"send_in": "5h"}, "/expires_at"),
        ({"scheduled_at": "tomorrow"}, "/scheduled_at"),
    ],
)
async def test_a_malformed_change_names_its_field_and_changes_nothing(door: Door, wish: object, pointer: str) -> None:
    http = await door.http("submit")
    message = await submitted(http, send_in="1h", expires_in="4h")
    before = (await http.get(f"/v1/messages/{message}")).json()
    answer = await http.patch(f"/v1/messages/{message}", json=wish)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), answer.text
    assert (await http.get(f"/v1/messages/{message}")).json() == before


async def test_others_than_its_client_need_manage_and_unknown_ids_and_foreign_ones_answer_the_same(door: Door) -> None:
    message = await submitted(await door.http("submit"))
    wish = {"priority": "low"}
    path = f"/v1/messages/{message}"
    assert (await (await door.http("submit", client="other")).patch(path, json=wish)).status_code == 404
    assert (await (await door.http("read", client="other")).patch(path, json=wish)).status_code == 403
    ops = await door.http("read", "manage", client="ops")
    assert (await ops.patch(path, json=wish)).json()["priority"] == "low"
    assert (await ops.patch("/v1/messages/msg_00000000000000000000000000", json=wish)).status_code == 404
    assert await audited(door) == ["message.change"]


@pytest.mark.parametrize("status", [Status.SENT, Status.UNCONFIRMED, Status.FAILED])
async def test_what_has_left_or_ended_is_not_changed_any_more(door: Door, status: Status) -> None:
    http = await door.http("submit")
    message = await submitted(http)
    await door.attempt(message, OUTCOMES[status], status=status)
    answer = await http.patch(f"/v1/messages/{message}", json={"priority": "high"})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_changeable")
    assert answer.json()["detail"]


async def test_a_deferred_message_may_be_tried_sooner_and_its_lane_wakes(door: Door) -> None:
    http = await door.http("submit")
    message = await submitted(http)
    await door.attempt(message, LATER, status=Status.QUEUED)
    assert (await http.get(f"/v1/messages/{message}")).json()["status"] == "deferred"
    assert await door.spool.lease(owner="me", now=door.clock.now(), most=9) == ()
    await http.patch(f"/v1/messages/{message}", json={"send_in": 0})
    (lease,) = await door.spool.lease(owner="me", now=door.clock.now(), most=9)
    assert len(await door.spool.peek(lane=lease.lane, now=door.clock.now(), most=9)) == 1


async def test_a_key_that_may_only_read_changes_nothing_of_its_own_client(door: Door) -> None:
    message = await submitted(await door.http("submit"))
    answer = await (await door.http("read")).patch(f"/v1/messages/{message}", json={"priority": "low"})
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")


async def audited(door: Door) -> list[str]:
    return await door.spool._readers.read(
        lambda db: [str(row[0]) for row in db.ask("select action from audit where action like 'message.%'", {})]
    )
