"""Traces from the real program, as a collector receives them: an attempt links to the submission, whoever took it and when."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from posthouse.sandbox.chaos import Rule, Target
from posthouse.sandbox.emulator import Emulator
from tests.system.collector import Collector, attributes, collecting
from tests.system.harness import Service, letter

SENDER = "app@contoso.com"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"
SUBMIT, ATTEMPT = "submission", "attempt"
QUICKLY = {"OTEL_BSP_SCHEDULE_DELAY": "100"}


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as running:
        yield running


@pytest.fixture
async def traced(tmp_path: Path, emulator: Emulator, collector: Collector) -> AsyncIterator[Service]:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, **QUICKLY}
    service = Service(tmp_path, emulator, environ=environ)
    yield service
    await service.close()


async def test_an_attempt_links_to_its_submission_which_stands_below_the_caller(
    traced: Service, collector: Collector
) -> None:
    await traced.start()
    await traced.make_key(SENDER)
    sent = await traced.submit(letter(SENDER, 1), traceparent=TRACEPARENT)
    (submitted,) = await collector.named(SUBMIT, count=1)
    (tried,) = await collector.named(ATTEMPT, count=1)
    assert (submitted.trace_id.hex(), submitted.parent_span_id.hex()) == (TRACE, SPAN)
    assert attributes(submitted) == {
        "posthouse.door": "rest",
        "posthouse.result": "accepted",
        "posthouse.message.id": sent,
    }
    assert [(one.trace_id, one.span_id) for one in tried.links] == [(submitted.trace_id, submitted.span_id)]
    assert tried.trace_id != submitted.trace_id
    said = attributes(tried)
    request_id = said.pop("posthouse.request_id")
    events = (await traced.http.get(f"/v1/messages/{sent}/events")).text
    assert str(request_id) in events
    assert said == {
        "posthouse.message.id": sent,
        "posthouse.transport": "graph",
        "posthouse.attempt": 1,
        "posthouse.outcome": "sent",
    }
    assert 0 < tried.end_time_unix_nano - tried.start_time_unix_nano < 60e9
    assert collector.resources[0]["service.name"] == "posthouse"
    assert not [word for word in (b"contoso", b"example.net", b"number 1") if word in collector.raw]


async def test_the_link_outlives_the_process_that_took_the_message(
    traced: Service, emulator: Emulator, collector: Collector
) -> None:
    emulator.world.faults = (Rule(target=Target.GRAPH, fault="503"), Rule(target=Target.SMTP, fault="421"))
    await traced.start()
    await traced.make_key(SENDER)
    kept = await traced.submit(letter(SENDER, 1), traceparent=TRACEPARENT)
    await collector.until(lambda: tries(collector, "transient_failure")[:1], count=1)
    await traced.kill()
    emulator.world.faults = ()
    await traced.start()
    await traced.until([kept])
    (sent,) = await collector.until(lambda: tries(collector, "sent"), count=1)
    assert [one.trace_id.hex() for one in sent.links] == [TRACE]
    failed = tries(collector, "transient_failure")[0]
    assert failed.links[0].span_id == sent.links[0].span_id
    assert attributes(failed)["posthouse.scope"] == "transport"


def tries(collector: Collector, outcome: str) -> list:
    attempts = [one for one in collector.spans if one.name == ATTEMPT]
    return [one for one in attempts if attributes(one)["posthouse.outcome"] == outcome]


async def test_what_is_refused_or_replayed_or_many_at_once_says_so(traced: Service, collector: Collector) -> None:
    await traced.start()
    await traced.make_key(SENDER)
    key = {"idempotency-key": "order-7"}
    await traced.submit(letter(SENDER, 1), **key)
    await traced.submit(letter(SENDER, 1), **key)
    assert (await traced.post(letter("somebody@else.example", 1))).status_code == 403
    batch = await traced.http.post("/v1/messages/batch", json=[letter(SENDER, number) for number in (2, 3)])
    submitted = await collector.named(SUBMIT, count=4)
    said = [attributes(one) for one in submitted]
    assert [one["posthouse.result"] for one in said] == ["accepted", "replayed", "sender_not_allowed", "accepted"]
    assert said[3]["posthouse.message.ids"] == [one["id"] for one in batch.json()["data"]]
    assert not submitted[0].parent_span_id  # nobody said in which trace it stands


async def test_whoever_is_not_sampled_is_not_followed(traced: Service, collector: Collector) -> None:
    await traced.start()
    await traced.make_key(SENDER)
    quiet = await traced.submit(letter(SENDER, 1), traceparent=f"00-{TRACE}-{SPAN}-00")
    await traced.until([quiet])
    loud = await traced.submit(letter(SENDER, 2))
    await traced.until([loud])
    (tried,) = await collector.named(ATTEMPT, count=1)
    assert attributes(tried)["posthouse.message.id"] == loud


async def test_a_service_that_stops_tells_the_rest(tmp_path: Path, emulator: Emulator, collector: Collector) -> None:
    service = Service(tmp_path, emulator, environ={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint})
    try:
        await service.start()
        await service.make_key(SENDER)
        await service.until([await service.submit(letter(SENDER, 1))])
        assert await service.stop() == 0
    finally:
        await service.close()
    assert {one.name for one in collector.spans} == {SUBMIT, ATTEMPT}


async def test_a_collector_that_does_not_answer_holds_up_neither_mail_nor_the_end(
    traced: Service, collector: Collector
) -> None:
    collector.mute = True
    await traced.start()
    await traced.make_key(SENDER)
    sent = await traced.submit(letter(SENDER, 1))
    assert await traced.until([sent]) == {sent: "sent"}
    assert await traced.stop() == 0


async def test_without_the_extra_it_goes_on_and_says_so(tmp_path: Path, emulator: Emulator) -> None:
    absent = tmp_path / "absent" / "opentelemetry" / "exporter" / "otlp" / "proto" / "http"
    absent.mkdir(parents=True)
    (absent / "__init__.py").write_text("raise ModuleNotFoundError('no such package', name='opentelemetry.exporter')")
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "PYTHONPATH": str(tmp_path / "absent")}
    service = Service(tmp_path, emulator, environ=environ)
    try:
        await service.start()
        await service.make_key(SENDER)
        sent = await service.submit(letter(SENDER, 1))
        assert await service.until([sent]) == {sent: "sent"}
        assert await service.stop() == 0
    finally:
        await service.close()
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    (line,) = [one for one in lines if one["event"] == "traces.missing"]
    assert line["detail"] == "pip install 'posthouse[otel]' (opentelemetry.exporter is missing)"


async def test_a_service_that_nobody_asks_imports_none_of_it() -> None:
    look = (
        "import sys, posthouse.app; print([one for one in sys.modules if 'otlp' in one or one == 'posthouse.traces'])"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", look, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert out == b"[]\n"
