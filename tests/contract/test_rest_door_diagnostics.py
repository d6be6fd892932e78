"""POST /v1/diagnostics: who may ask, what may be asked, and that the answer keeps to its published schema."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from pathlib import Path

import jsonschema_rs
import pytest

from posthouse.doors.rest.checkups import schema
from posthouse.findings import Finding, Result, UnknownStepError, Wish, trouble
from tests.contract.rest_door import Door, rest_door

ASKED: list[Wish] = []


async def doctor(wish: Wish) -> AsyncGenerator[Finding]:
    """One step fails, one is skipped for it."""
    ASKED.append(wish)
    if wish.step == "nowhere":
        raise UnknownStepError("there is no step 'nowhere'; there are graph.token, graph.send")
    what = trouble("entra.secret_expired", said="AADSTS7000222", code="AADSTS7000222", request_id="trace")
    failed = Finding(
        step="graph.token",
        mailbox=None,
        tried="ask",
        why="because",
        result=Result.FAILED,
        seconds=0.25,
        seen="no",
        trouble=what,
    )
    yield failed
    yield replace(
        failed,
        step="graph.send",
        mailbox="a@contoso.com",
        result=Result.SKIPPED,
        seen="",
        trouble=None,
        because_of="graph.token",
    )


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    ASKED.clear()
    async with rest_door(tmp_path, doctor=doctor) as opened:
        yield opened


async def test_it_demands_manage(door: Door) -> None:
    for scope, status in (("submit", 403), ("read", 403), ("manage", 200)):
        answer = await (await door.http(scope)).post("/v1/diagnostics", json={})
        assert answer.status_code == status, scope
    assert (await door.anonymous().post("/v1/diagnostics")).status_code == 401
    assert len(ASKED) == 1


async def test_a_real_message_is_for_administrators_and_audited_without_its_recipient(door: Door) -> None:
    wish = {"sender": "noreply@contoso.com", "send_to": "me@example.org"}
    refused = await (await door.http("manage")).post("/v1/diagnostics", json=wish)
    assert (refused.status_code, ASKED) == (403, [])
    assert (
        await (await door.http("admin", "manage", client="boss")).post("/v1/diagnostics", json=wish)
    ).status_code == 200
    entries = await audited(door)
    assert [(action, target) for action, target, _ in entries] == [("diagnostics.message", "noreply@contoso.com")]
    assert "example.org" not in entries[0][2]


async def audited(door: Door) -> list[tuple[str, str, str]]:
    asked = "select action, target, data from audit where action like 'diagnostics%'"
    return await door.spool._readers.read(lambda db: list(db.connection.execute(asked)))


async def test_the_answer_is_whole_and_keeps_to_the_published_schema(door: Door) -> None:
    answer = await (await door.http("manage")).post("/v1/diagnostics")
    found = answer.json()
    assert (found["result"], found["first_failure"]) == ("failed", "graph.token")
    assert found["verdict"] == "graph.token fails: the client secret has expired."
    first, second = found["steps"]
    assert first["trouble"]["class"] == "credentials"
    assert "az ad app credential reset" in first["trouble"]["fix"]
    assert (first["trouble"]["code"], first["trouble"]["request_id"]) == ("AADSTS7000222", "trace")
    assert (second["result"], second["because_of"], second["trouble"]) == ("skipped", "graph.token", None)
    published = jsonschema_rs.Draft202012Validator(schema())
    assert published.is_valid(found)
    assert not published.is_valid(found | {"more": 1})


@pytest.mark.parametrize(
    ("asked", "wish"),
    [
        ({"step": "tls"}, Wish(step="tls")),
        (
            {"sender": "a@contoso.com", "send_to": "b@example.com"},
            Wish(sender="a@contoso.com", send_to="b@example.com"),
        ),
        ({"sender": "all"}, Wish(every_sender=True)),
    ],
)
async def test_what_is_asked_reaches_the_doctor(door: Door, asked: dict[str, str], wish: Wish) -> None:
    await (await door.http("manage", "admin")).post("/v1/diagnostics", json=asked)
    assert [wish] == ASKED


@pytest.mark.parametrize(
    ("asked", "pointer", "detail"),
    [
        ({"step": "nowhere"}, "/step", "there are graph.token, graph.send"),
        ({"sender": "nobody"}, "/sender", "one address"),
        ({"send_to": "a@b.example, c@d.example"}, "/send_to", "one address"),
        ({"send_too": "a@b.example"}, "/send_too", "did you mean 'send_to'?"),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_its_field(
    door: Door, asked: dict[str, str], pointer: str, detail: str
) -> None:
    answer = await (await door.http("manage")).post("/v1/diagnostics", json=asked)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer
    assert detail in error["detail"]


async def test_the_document_has_both_models(door: Door) -> None:
    document = door.app.openapi()
    route = document["paths"]["/v1/diagnostics"]["post"]
    assert route["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/DiagnoseIn")
    assert route["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/DiagnosisOut")
    assert {"DiagnoseIn", "DiagnosisOut", "StepOut", "TroubleOut"} <= document["components"]["schemas"].keys()


async def test_a_reader_who_wants_it_hears_of_each_step_as_it_ends(door: Door) -> None:
    operator = await door.http("manage")
    answer = await operator.post("/v1/diagnostics", json={}, headers={"accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    frames = [frame.split("\ndata: ") for frame in answer.text.strip().split("\n\n")]
    assert [name for name, _ in frames] == ["event: step", "event: step", "event: diagnosis"]
    steps = [json.loads(data) for _, data in frames]
    assert steps[2]["steps"] == steps[:2]
    wrong = await operator.post("/v1/diagnostics", json={"step": "nowhere"}, headers={"accept": "text/event-stream"})
    assert wrong.status_code == 422
