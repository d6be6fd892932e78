"""The log tells each change of state of a message to machines, and nobody whom it went to."""

import json

from posthouse.sandbox.chaos import Rule, Target
from tests.system.harness import letter

SENDER = "app0@contoso.example"
PRIVATE = ("jo.private", "kim.private", "the secret subject", "the secret text")


async def test_each_change_of_state_is_a_line_with_its_ids_and_recipients_are_masked_beside_a_keyed_hash(
    launch, emulator
):
    service = await launch(delivery={"route": ["graph"]})
    await service.make_key(SENDER)
    emulator.world.faults = [Rule(target=Target.GRAPH, fault="503", code="serviceNotAvailable", times=1)]
    told = {"to": ["Jo.Private@example.net", "kim.private@example.net"], "subject": PRIVATE[2], "text": PRIVATE[3]}
    sent = await service.submit(letter(SENDER, 1, **told))
    await service.until([sent])
    again = await service.submit(letter(SENDER, 2, send_in="1h", **told | {"to": "jo.private@example.net"}))
    await service.admin("POST", f"/v1/messages/{again}/cancel")
    await service.stop()

    text = service.log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [one for one in (*PRIVATE, service.key) if one in text.lower()] == []
    of_sent = [one for one in lines if one.get("message") == sent]
    assert [one["event"] for one in of_sent] == [
        "message.accepted",
        "message.sending",
        "message.deferred",
        "message.sending",
        "message.sent",
    ]
    accepted, _, deferred, _, last = of_sent
    assert {"client": "shop", "door": "rest", "recipient_count": 2}.items() <= accepted.items()
    assert [one["address"] for one in accepted["recipients"]] == ["J…@example.net", "k…@example.net"]
    expected = {
        "transport": "graph",
        "attempt": 1,
        "outcome": "transient_failure",
        "scope": "transport",
        "level": "info",
    }
    assert expected.items() <= deferred.items()
    answered = [one["request_id"] for one in (deferred, last)]
    assert all(answered)
    assert len(set(answered)) == 2
    assert {"client": "shop", "transport": "graph", "attempt": 2, "outcome": "sent"}.items() <= last.items()
    hashes = [one["hash"] for one in accepted["recipients"]]
    (other,) = [one for one in lines if one.get("message") == again and one["event"] == "message.accepted"]
    assert [one["hash"] for one in other["recipients"]] == hashes[:1]
    assert hashes[0] != hashes[1]
    canceled = next(one for one in lines if one["event"] == "message.canceled")
    assert (canceled["message"], canceled["status"]) == (again, "canceled")
    assert canceled["by"]
