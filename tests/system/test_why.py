"""From a recipient's address to the reason of its failure: one command; one sentence says how all of it stands."""

from posthouse.sandbox.chaos import Rule, Target
from tests.system.harness import letter

SENDER = "app@contoso.example"


async def test_why_leads_from_an_address_to_the_reason_the_codes_and_the_fix(launch, emulator):
    service = await launch(delivery={"route": ["graph"], "blocked_probe": "60s"})
    await service.make_key(SENDER)
    emulator.world.faults = [
        Rule(target=Target.GRAPH, fault="400", code="ErrorInvalidRecipients", match="r1@example.net"),
        Rule(target=Target.GRAPH, fault="403", code="ErrorSendAsDenied", match="r2@example.net"),
    ]
    failed, waiting = [await service.submit(letter(SENDER, number, reference=f"order-{number}")) for number in (1, 2)]
    await service.until([failed, waiting], wanted=frozenset({"failed", "deferred"}))

    code, out, _ = await service.run("why", "r1@example.net")
    (attempt,) = (await service.get(failed))["attempts"]
    assert code == 0
    assert out.splitlines()[0].startswith(f"{failed}  failed  'number 1' from {SENDER}")
    assert "why      message: a recipient's address is refused" in out
    assert f"code ErrorInvalidRecipients, request id {attempt['request_id']}" in out
    assert f"fix      Correct the recipients: posthouse messages show {failed} lists them." in out
    assert waiting not in out

    _, out, _ = await service.run("why", "order-2")
    assert f"{waiting}  deferred" in out
    assert "why      licence or policy: the mailbox may not send as this From address" in out
    assert f"Add-RecipientPermission {SENDER} -Trustee {SENDER} -AccessRights SendAs" in out

    code, out, errors = await service.run("why", "nobody@example.net")
    assert (code, out) == (6, "")
    assert "posthouse refusals" in errors


async def test_status_begins_with_one_sentence_that_names_what_stands_in_the_way(launch):
    service = await launch()
    await service.make_key(SENDER)
    code, out, _ = await service.run("status")
    first, empty, *rest = out.splitlines()
    assert (code, first, empty) == (0, "Mail flows.", "")
    assert any(line.startswith("transport   graph (graph) is in use") for line in rest)
    assert any(line.startswith("credential  token of graph: until 20") for line in rest)

    await service.admin("POST", f"/v1/lanes/{SENDER}/pause")
    waiting = await service.submit(letter(SENDER, 1))
    _, out, _ = await service.run("status")
    assert out.startswith(f"Mail waits: {SENDER} sends nothing now, because somebody paused it; resume it:")
    assert "messages    queued 1\n" in out
    _, out, _ = await service.run("why", waiting)
    assert f"posthouse lanes list says what {SENDER} waits for" in out
