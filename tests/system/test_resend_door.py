"""Programs that use Resend's SDK change the base URL and the key, nothing else: SDK in, Graph out, with the real program."""

import asyncio

import resend

from posthouse.message import parse_id

SENDER = "noreply@contoso.example"


async def test_what_the_sdk_was_told_arrives_and_is_shown_as_sent(launch, emulator, monkeypatch):
    service = await launch()
    monkeypatch.setattr(resend, "api_url", f"http://127.0.0.1:{service.port}/resend")
    monkeypatch.setattr(resend, "api_key", await service.make_key(SENDER))
    email: resend.Emails.SendParams = {
        "from": f"Shop <{SENDER}>",
        "to": "jo@example.net",
        "subject": "Grüße",
        "html": "<p>Hello</p>",
    }
    answer = await asyncio.to_thread(resend.Emails.send, email)
    await service.until([parse_id(answer["id"])])

    assert (await asyncio.to_thread(resend.Emails.get, answer["id"]))["last_event"] == "sent"
    (arrived,) = emulator.world.received
    assert (arrived.subject, list(arrived.recipients)) == ("Grüße", ["jo@example.net"])
    assert (await service.admin("POST", "/resend/emails", json=email)).status_code == 404
    assert resend.api_key not in service.log.read_text()
