"""The delivery list is the envelope, on both ways out (PROMISES §8)."""

from email import message_from_bytes

import pytest

SENDER = "app@contoso.example"
RAW = (
    b"From: App <app@contoso.example>\r\nTo: Named <named@example.net>, Outsider <outsider@example.net>\r\n"
    b"Subject: envelope\r\n\r\nHello.\r\n"
)


@pytest.mark.parametrize("transport", ["graph", "smtp"])
async def test_header_recipients_outside_the_envelope_get_nothing_and_envelope_only_ones_are_blind(
    transport, launch, emulator
):
    service = await launch(delivery={"route": [transport]}, transports__graph={"extra_header_recipients": "drop"})
    await service.make_key(SENDER)
    answer = await service.http.post(
        "/v1/messages?to=named@example.net&to=blind@example.net",
        content=RAW,
        headers={"content-type": "message/rfc822"},
    )
    assert answer.status_code == 202, answer.text
    statuses = await service.until([answer.json()["id"]])
    assert set(statuses.values()) == {"sent"}
    (received,) = emulator.world.received
    assert received.transport == transport
    assert sorted(received.recipients) == ["blind@example.net", "named@example.net"]
    assert b"blind@" not in received.mime
    assert message_from_bytes(received.mime)["Bcc"] is None  # an id may hold these letters: no look at the bytes
    assert (b"outsider@" in received.mime) is (transport == "smtp")


async def test_where_smtp_can_carry_it_a_message_with_outside_header_recipients_goes_by_smtp_unchanged(
    launch, emulator
):
    service = await launch()
    await service.make_key(SENDER)
    answer = await service.http.post(
        "/v1/messages?to=named@example.net", content=RAW, headers={"content-type": "message/rfc822"}
    )
    statuses = await service.until([answer.json()["id"]])
    assert set(statuses.values()) == {"sent"}
    (received,) = emulator.world.received
    assert (received.transport, received.recipients) == ("smtp", ("named@example.net",))


async def test_bcc_of_a_json_message_reaches_its_address_and_stands_in_no_header(launch, emulator):
    service = await launch()
    await service.make_key(SENDER)
    message = {"from": SENDER, "to": "a@example.net", "bcc": ["b@example.net"], "subject": "s", "text": "t"}
    await service.until([await service.submit(message)])
    (received,) = emulator.world.received
    assert (received.transport, sorted(received.recipients)) == ("graph", ["a@example.net", "b@example.net"])
    assert b"b@example.net" not in received.mime
