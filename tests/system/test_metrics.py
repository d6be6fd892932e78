"""What Prometheus reads of the real program is what happened, in a form that its own tool accepts."""

import asyncio
import shutil
import time
from collections.abc import Callable

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from posthouse.sandbox.chaos import Rule, Stage, Target
from tests.system.harness import free_port, letter

SENDER = "app0@contoso.example"
STRANGER = "app1@contoso.example"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scraped(service) -> str:
    """What the admin listener answers to Prometheus on this machine, without a credential."""
    async with httpx.AsyncClient(base_url=f"http://{service.admin_listen}") as http:
        answer = await http.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return answer.text


async def measured(service) -> Callable[..., float | None]:
    """Reads one sample by its name without the prefix and its labels; None where there is none."""
    text = await scraped(service)
    samples: Samples = {
        (one.name.removeprefix("posthouse_"), frozenset(one.labels.items())): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }

    def value(sample: str, /, **labels: str) -> float | None:
        return samples.get((sample, frozenset(labels.items())))

    return value


async def until(service, sample: str, value: float, /, **labels: str) -> None:
    """Returns when a sample has this value; the sweep tells how lanes stand every few seconds."""
    deadline = time.monotonic() + 20
    while (await measured(service))(sample, **labels) != value:
        assert time.monotonic() < deadline, await scraped(service)
        await asyncio.sleep(0.2)


async def test_what_was_sent_is_counted_with_its_transport_its_outcome_and_its_time(launch, emulator):
    service = await launch()
    await service.make_key(SENDER)
    emulator.world.faults = [Rule(target=Target.GRAPH, fault="503", code="serviceNotAvailable", times=1)]
    ids = [await service.submit(letter(SENDER, number)) for number in range(2)]
    assert set((await service.until(ids)).values()) == {"sent"}
    assert (await service.post(letter(STRANGER, 9))).status_code == 403
    later = await service.submit(letter(SENDER, 10, send_in="1h"))
    assert (await service.http.post(f"/v1/messages/{later}/cancel")).status_code in (200, 403)
    await service.admin("POST", f"/v1/messages/{later}/cancel")
    value = await measured(service)
    assert value("messages_accepted_total", door="rest") == 3
    assert value("attempts_total", transport="graph", outcome="transient_failure", scope="transport") == 1
    by_smtp = value("messages_finished_total", status="sent", transport="smtp")
    by_graph = value("messages_finished_total", status="sent", transport="graph")
    assert (by_smtp or 0) + (by_graph or 0) == 2
    assert by_smtp == value("attempts_total", transport="smtp", outcome="sent", scope="none")
    assert value("attempt_seconds_count", transport="graph") == 1 + (by_graph or 0)
    assert value("accept_to_sent_seconds_count", transport="smtp") == by_smtp
    assert value("messages_finished_total", status="canceled", transport="none") == 1
    assert value("refusals_total", door="rest", code="sender_not_allowed") == 1
    assert value("http_requests_total", door="rest", status="202") == 3
    assert value("messages", status="sent") == 2
    assert value("messages", status="canceled") == 1
    assert value("messages", status="queued") == 0


async def test_what_waits_is_seen_with_its_reason_its_age_and_the_state_of_its_way(launch, emulator):
    service = await launch(delivery={"route": ["smtp"], "blocked_probe": "60s"})
    await service.make_key(SENDER, STRANGER)
    text = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox."
    emulator.world.faults = [Rule(target=Target.SMTP, fault=text, stage=Stage.AUTH)]
    await service.submit(letter(SENDER, 1))
    await service.admin("POST", f"/v1/lanes/{STRANGER}/pause")
    await until(service, "lanes_paused", 1, why="blocked")
    await until(service, "lanes_paused", 1, why="person")
    value = await measured(service)
    assert value("lanes_paused", why="asked") == 0
    assert value("messages_due") == 1
    assert value("lanes_waiting") == 1
    assert value("messages", status="queued") == 1
    age = value("oldest_seconds", status="queued")
    assert age is not None
    assert 0 < age < 60
    assert value("oldest_seconds", status="held") == 0
    states = {state: value("transport_state", transport="smtp", state=state) for state in ("closed", "open", "paused")}
    assert states == {"closed": 1, "open": 0, "paused": 0}
    await service.admin("POST", "/v1/transports/smtp/pause")
    await until(service, "transport_state", 1, transport="smtp", state="paused")


async def test_who_comes_by_a_proxy_of_this_machine_needs_a_credential_for_the_metrics(launch):
    service = await launch()
    async with httpx.AsyncClient(base_url=f"http://{service.admin_listen}") as http:
        for header in ("x-forwarded-for", "forwarded", "x-real-ip", "via"):
            assert (await http.get("/metrics", headers={header: "203.0.113.9"})).status_code == 401, header


async def test_the_service_shows_its_progress_its_room_and_when_its_credentials_end(launch):
    service = await launch()
    await until(service, "ready", 1)
    value = await measured(service)
    now = time.time()
    for known, least, most in (
        ("worker_progress_timestamp_seconds", now - 60, now + 1),
        ("spool_bytes", 4096, 1e9),
        ("spool_free_bytes", 1, 1e18),
        ("process_resident_memory_bytes", 1e6, 1e10),
    ):
        found = value(known)
        assert found is not None
        assert least < found < most, known
    token = value("credential_expiry_timestamp_seconds", kind="token", name="graph")
    assert token is not None
    assert now < token < now + 90_000


async def test_what_smtp_clients_hear_is_counted(launch):
    port = free_port()
    service = await launch(smtp_door={"listeners": [{"listen": f"127.0.0.1:{port}"}]})
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"EHLO test\r\nMAIL FROM:<app0@contoso.example>\r\nQUIT\r\n")
    await writer.drain()
    said = await asyncio.wait_for(reader.read(), 10)
    assert b"530 5.7.0" in said
    writer.close()
    value = await measured(service)
    assert value("smtp_connections_total") == 1
    assert value("smtp_replies_total", code="530") == 1
    assert value("refusals_total", door="smtp", code="missing_credentials") == 1


async def test_metrics_name_no_address_no_client_and_no_message(launch):
    service = await launch()
    await service.make_key(SENDER)
    sent = await service.submit(letter(SENDER, 1, reference="order-17"))
    await service.until([sent])
    text = await scraped(service)
    for secret in ("@", "contoso", "shop", sent, "order-17", service.key):
        assert secret not in text


@pytest.mark.apt
async def test_promtool_has_nothing_to_say_about_the_metrics(launch):
    promtool = shutil.which("promtool") or shutil.which("/opt/posthouse-tests/promtool")
    if promtool is None:
        pytest.fail("promtool is missing: .ci/run takes it from Debian's package prometheus")
    service = await launch()
    await service.make_key(SENDER)
    await service.until([await service.submit(letter(SENDER, 1))])
    page = (await scraped(service)).encode()
    pipe = asyncio.subprocess.PIPE
    checked = await asyncio.create_subprocess_exec(promtool, "check", "metrics", stdin=pipe, stdout=pipe, stderr=pipe)
    out, err = await checked.communicate(page)
    assert (checked.returncode, out, err) == (0, b"", b"")
