"""Requests made from the OpenAPI document by schemathesis, sound and broken: the real program never answers with a fault."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok

from posthouse.sandbox.emulator import Emulator, Options
from tests.system.harness import Service

EACH = 12
"""Requests of one operation, sound ones and as many broken ones."""
ENDLESS = "/v1/events/stream"


async def started(home: Path) -> tuple[Emulator, Service, str]:
    """The program beside an emulator, the address of its document, and a key that may do everything."""
    emulator = Emulator(Options(directory=home / "microsoft"))
    await emulator.__aenter__()
    service = Service(home, emulator)
    await service.start()
    scopes = ["submit", "read", "content", "manage", "admin"]
    made = await service.admin(
        "POST", "/v1/keys", json={"client": "robot", "senders": ["*@contoso.example"], "scopes": scopes}
    )
    # a connection that is being made while the emulator stops would be nobody's
    while not await has_its_tokens(service):
        await asyncio.sleep(0.05)
    # it stands still while schemathesis asks: the doctor shall be refused at once, not wait for it
    await asyncio.gather(emulator.stop_graph(), emulator.stop_entra(), emulator.stop_smtp())
    return emulator, service, made.json()["key"]


async def has_its_tokens(service: Service) -> bool:
    """Whether the service has asked Entra ID all that it asks at its start."""
    status = (await service.admin("GET", "/v1/status")).json()
    return all(one["expires_at"] for one in status["credentials"] if one["kind"] == "token")


async def stopped(emulator: Emulator, service: Service) -> None:
    await service.close()
    await emulator.__aexit__(None, None, None)


@pytest.mark.timeout(400)
def test_whatever_the_document_allows_or_forbids_is_answered_without_a_fault(tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        emulator, service, key = runner.run(started(tmp_path))
        try:
            answers = asked(f"http://{service.admin_listen}/openapi.json", key)
        finally:
            runner.run(stopped(emulator, service))
    assert sum(answers.values()) > 300
    assert {status for status in answers if status >= 500} == set(), answers
    assert {200, 400, 404, 422} <= answers.keys(), answers


def asked(document: str, key: str) -> Counter[int]:
    """What was answered, by status."""
    answers: Counter[int] = Counter()
    schema = schemathesis.openapi.from_url(document)
    for result in schema.get_all_operations():
        operation = result.ok() if isinstance(result, Ok) else pytest.fail(str(result))
        if operation.path == ENDLESS:
            continue
        # any text is an id: only a body can be said wrongly
        modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE) if operation.body else (GenerationMode.POSITIVE,)
        for mode in modes:

            @settings(
                max_examples=EACH,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Case) -> None:
                answer = case.call(headers={"authorization": f"Bearer {key}"}, timeout=30)
                answers[answer.status_code] += 1
                assert answer.status_code < 500 or "retry-after" in answer.headers, answer.text

            ask()
    return answers
