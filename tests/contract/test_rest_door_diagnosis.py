"""Every message that is not sent says class, cause and fix, with Microsoft's code and request id, wherever it is shown."""

import httpx
import pytest

from posthouse.fixes import FIXES
from posthouse.message import Status
from posthouse.outcome import Answer, Blocked, Outcome, PermanentFailure, Scope, Sent, TransientFailure, Unconfirmed
from posthouse.records import TransportRow
from tests.contract.rest_door import Door

SIMPLE = {"from": "noreply@contoso.com", "to": "jo@example.org", "subject": "Hi", "text": "Hello"}
DENIED = Answer(
    status="5.7.60", text="SendAsDenied", code="ErrorSendAsDenied", reply=403, request_id="r-7", fix="graph.send_as"
)
CASES = [
    (TransientFailure(scope=Scope.MESSAGE, answer=DENIED), Status.QUEUED, "deferred"),
    (Unconfirmed(answer=DENIED), Status.UNCONFIRMED, "unconfirmed"),
    (PermanentFailure(scope=Scope.MESSAGE, answer=DENIED), Status.FAILED, "failed"),
    (PermanentFailure(scope=Scope.MESSAGE, answer=DENIED), Status.EXPIRED, "expired"),
]


async def submitted(http: httpx.AsyncClient, **changes: object) -> str:
    answer = await http.post("/v1/messages", json=SIMPLE | changes)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


@pytest.mark.parametrize(("outcome", "status", "shown"), CASES, ids=[case[2] for case in CASES])
async def test_a_message_carries_the_diagnosis_of_its_last_attempt(
    door: Door, outcome: Outcome, status: Status, shown: str
) -> None:
    http = await door.http()
    message = await submitted(http)
    await door.attempt(message, outcome, status=status)
    one = (await http.get(f"/v1/messages/{message}")).json()
    assert one["status"] == shown
    diagnosis = one["diagnosis"]
    assert (diagnosis["class"], diagnosis["cause"]) == ("licence or policy", FIXES["graph.send_as"].cause)
    assert (diagnosis["code"], diagnosis["request_id"], diagnosis["reply"]) == ("ErrorSendAsDenied", "r-7", 403)
    listed = (await http.get("/v1/messages")).json()["data"][0]
    assert listed["diagnosis"] == diagnosis
    event = (await http.get(f"/v1/messages/{message}/events")).json()["data"][-1]["diagnosis"]
    fed = (await http.get("/v1/events")).json()["data"][-1]["diagnosis"]
    assert event == fed
    assert {name: event[name] for name in ("class", "cause", "code", "request_id")} == {
        name: diagnosis[name] for name in ("class", "cause", "code", "request_id")
    }


async def test_a_fix_names_the_mailbox_and_the_sender_so_that_it_can_be_pasted(door: Door) -> None:
    http = await door.http()
    message = await submitted(http)
    await door.attempt(message, PermanentFailure(scope=Scope.MESSAGE, answer=DENIED), status=Status.FAILED)
    fix = (await http.get(f"/v1/messages/{message}")).json()["diagnosis"]["fix"]
    assert fix.startswith(
        "Add-RecipientPermission noreply@contoso.com -Trustee noreply@contoso.com -AccessRights SendAs"
    )


async def test_an_address_that_a_shell_would_read_is_not_put_into_a_command(door: Door) -> None:
    http = await door.http()
    message = await submitted(http, **{"from": "`id`$x@contoso.com"})
    await door.attempt(message, PermanentFailure(scope=Scope.MESSAGE, answer=DENIED), status=Status.FAILED)
    fix = (await http.get(f"/v1/messages/{message}")).json()["diagnosis"]["fix"]
    assert fix.startswith("Add-RecipientPermission <from address> -Trustee <mailbox>")


async def test_a_held_message_says_what_holds_it_and_not_only_what_its_last_attempt_was_answered(door: Door) -> None:
    http = await door.http()
    message = await submitted(http)
    await door.attempt(
        message,
        Blocked(scope=Scope.SENDER, answer=DENIED),
        status=Status.HELD,
        held_cause="unconfirmed_no_right",
    )
    diagnosis = (await http.get(f"/v1/messages/{message}")).json()["diagnosis"]
    assert (diagnosis["key"], diagnosis["code"]) == ("unconfirmed_no_right", "ErrorSendAsDenied")
    assert f"posthouse messages settle {message} --as sent" in diagnosis["fix"]


async def test_an_answer_that_nobody_knows_is_shown_in_its_own_words(door: Door) -> None:
    http = await door.http()
    message = await submitted(http)
    answer = Answer(status="5.0.0", text="The moon is full", code="ErrorLunar", reply=400, request_id="r-8")
    await door.attempt(message, PermanentFailure(scope=Scope.MESSAGE, answer=answer), status=Status.FAILED)
    diagnosis = (await http.get(f"/v1/messages/{message}")).json()["diagnosis"]
    assert (diagnosis["class"], diagnosis["cause"]) == (None, "The moon is full")
    assert (diagnosis["code"], diagnosis["request_id"]) == ("ErrorLunar", "r-8")


@pytest.mark.parametrize("status", [Status.SENT, None])
async def test_a_message_with_which_nothing_is_wrong_has_no_diagnosis(door: Door, status: Status | None) -> None:
    http = await door.http()
    message = await submitted(http)
    if status is not None:
        await door.attempt(message, Sent(answer=Answer(status="2.0.0", text="ok", reply=202)), status=status)
    assert (await http.get(f"/v1/messages/{message}")).json()["diagnosis"] is None


async def test_the_address_of_a_recipient_leads_to_the_reason_in_one_request(door: Door) -> None:
    http = await door.http()
    message = await submitted(http, to=["jo@example.org", "kim@example.org"])
    await submitted(http)
    await door.attempt(message, PermanentFailure(scope=Scope.MESSAGE, answer=DENIED), status=Status.FAILED)
    (found,) = (await http.get("/v1/messages", params={"to": "kim@example.org"})).json()["data"]
    assert (found["id"], found["diagnosis"]["code"]) == (message, "ErrorSendAsDenied")


async def test_the_status_is_for_who_may_read_and_names_what_is_shut(door: Door) -> None:
    assert (await (await door.http()).get("/v1/status")).status_code == 403
    ops = await door.http("read", "submit")
    await submitted(ops)
    found = (await ops.get("/v1/status")).json()
    assert found["verdict"] == {"flows": True, "sentence": "Mail flows.", "also": []}
    assert (found["messages"], found["lanes"]) == ({"queued": 1}, {"waiting": 1, "due": 1, "paused": 0})
    door.state.transports = [
        TransportRow(name="graph", state="blocked", until=0, opened=0, reason="entra.secret_expired", since=0)
    ]
    found = (await ops.get("/v1/status")).json()
    assert "because the client secret has expired" in found["verdict"]["sentence"]
    assert found["transports"][0]["reason"]["diagnosis"]["class"] == "credentials"


async def test_metrics_are_for_who_may_read_where_they_are_reached_from_elsewhere(door: Door) -> None:
    assert (await door.anonymous().get("/metrics")).status_code == 401
    assert (await (await door.http()).get("/metrics")).status_code == 403
    assert (await (await door.http("read")).get("/metrics")).status_code == 200
