"""The feed at the REST door: pulled, waited for, streamed; who sees what (CONTRACT §2.1)."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from posthouse.cli.story import WORDS
from posthouse.doors.rest import events
from posthouse.message import Status
from posthouse.telemetry import MESSAGE_EVENTS
from tests.contract.rest_door import Door
from tests.contract.spools import SENT

SIMPLE = {"from": "noreply@contoso.com", "to": "jo@example.org", "subject": "Hi", "text": "Hello"}


class Stream:
    """A reader of the stream, as a server would serve it; ``leave`` closes its connection."""

    def __init__(self, app: FastAPI, key: str, *, query: str = "", last_event_id: str | None = None) -> None:
        headers = [(b"authorization", f"Bearer {key}".encode())]
        if last_event_id is not None:
            headers.append((b"last-event-id", last_event_id.encode()))
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "method": "GET",
            "path": "/v1/events/stream",
            "raw_path": b"/v1/events/stream",
            "query_string": query.encode(),
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("door", 80),
            "scheme": "http",
        }
        self._gone = asyncio.Event()
        self._frames: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._text = ""
        self.status = 0
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        self._text += message.get("body", b"").decode()
        while "\n\n" in self._text:
            frame, _, self._text = self._text.partition("\n\n")
            pairs = (line.partition(": ") for line in frame.split("\n"))
            self._frames.put_nowait({name: value for name, _, value in pairs})

    async def frame(self, *, seconds: float = 10) -> dict[str, str]:
        """The next frame."""
        return await asyncio.wait_for(self._frames.get(), seconds)

    async def event(self) -> dict[str, str]:
        """The next frame that tells an event."""
        while "event" not in (found := await self.frame()):
            continue
        return found

    async def leave(self) -> None:
        self._gone.set()
        await asyncio.wait_for(self.task, 10)


async def test_the_feed_is_pulled_page_by_page_and_its_cursor_goes_on(door: Door) -> None:
    http = await door.http("submit", "read")
    ids = [(await http.post("/v1/messages", json=SIMPLE | {"reference": f"r{n}"})).json()["id"] for n in range(3)]
    first = (await http.get("/v1/events", params={"limit": 2})).json()
    assert [event["message"] for event in first["data"]] == ids[:2]
    assert first["data"][0]["type"] == "message.accepted"
    assert (first["data"][0]["client"], first["data"][0]["reference"]) == ("shop", "r0")
    assert (first["has_more"], first["gap"]) == (True, False)
    rest = (await http.get("/v1/events", params={"after": first["next"]})).json()
    assert ([event["message"] for event in rest["data"]], rest["has_more"]) == (ids[2:], False)
    end = (await http.get("/v1/events", params={"after": rest["next"]})).json()
    assert (end["data"], end["next"]) == ([], rest["next"])


async def test_the_positions_of_a_messages_history_are_cursors_of_the_feed(door: Door) -> None:
    http = await door.http("submit", "read")
    message = (await http.post("/v1/messages", json=SIMPLE)).json()["id"]
    await door.attempt(message, SENT, status=Status.SENT)
    history = (await http.get(f"/v1/messages/{message}/events")).json()["data"]
    after = (await http.get("/v1/events", params={"after": history[0]["position"]})).json()["data"]
    assert [event["position"] for event in after] == [event["position"] for event in history[1:]]
    assert all(isinstance(event["position"], str) for event in history)


async def test_a_client_sees_its_own_events_and_a_reader_all(door: Door) -> None:
    shop, erp = await door.http("submit"), await door.http("submit", client="erp")
    own = (await shop.post("/v1/messages", json=SIMPLE)).json()["id"]
    other = (await erp.post("/v1/messages", json=SIMPLE)).json()["id"]
    assert {event["message"] for event in (await shop.get("/v1/events")).json()["data"]} == {own}
    reader = await door.http("read", client="ops")
    assert {event["message"] for event in (await reader.get("/v1/events")).json()["data"]} == {own, other}
    assert (await (await door.http("content")).get("/v1/events")).status_code == 403
    assert (await door.anonymous().get("/v1/events")).status_code == 401


async def test_types_narrow_the_feed_and_a_mistyped_one_is_refused(door: Door) -> None:
    http = await door.http("submit", "read")
    message = (await http.post("/v1/messages", json=SIMPLE)).json()["id"]
    await door.attempt(message, SENT, status=Status.SENT)
    wanted: list[tuple[str, str | float | None]] = [("type", "message.sent"), ("type", "message.failed")]
    found = (await http.get("/v1/events", params=wanted)).json()["data"]
    assert [event["type"] for event in found] == ["message.sent"]
    wrong = (await http.get("/v1/events", params={"type": "message.snet"})).json()
    assert (wrong["code"], wrong["errors"][0]["pointer"]) == ("validation_error", "/query/type")
    assert "message.sent" in wrong["detail"]


def test_every_type_that_is_written_can_be_asked_for_and_is_told_in_words() -> None:
    spool = Path(events.__file__).parents[2] / "spool"
    texts = [path.read_text("utf-8") for path in (*spool.rglob("*.sql"), *spool.rglob("*.py"))]
    written = {name for text in texts for name in re.findall(r"""["'](message\.[a-z_]+)["']""", text)}
    assert "message.changed" in written
    assert written - MESSAGE_EVENTS == set()
    assert set(WORDS) == MESSAGE_EVENTS


@pytest.mark.parametrize(
    ("query", "pointer"),
    [({"after": "nowhere"}, "/query/after"), ({"limit": "0"}, "/query/limit"), ({"aftr": "1"}, "/query/aftr")],
)
async def test_a_wrong_question_is_refused_by_name(door: Door, query: dict[str, str], pointer: str) -> None:
    answer = await (await door.http("read")).get("/v1/events", params=query)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_a_reader_that_prefers_to_wait_is_answered_when_something_happens(door: Door) -> None:
    http = await door.http("submit", "read")
    end = (await http.get("/v1/events", params={"after": "latest"})).json()["next"]
    waiting = asyncio.create_task(http.get("/v1/events", params={"after": end}, headers={"prefer": "wait=30"}))
    while not door.news._waiting:
        await asyncio.sleep(0.01)
    message = (await http.post("/v1/messages", json=SIMPLE)).json()["id"]
    answer = await asyncio.wait_for(waiting, 10)
    assert [event["message"] for event in answer.json()["data"]] == [message]
    assert answer.headers["preference-applied"] == "wait=30"


async def test_a_reader_that_waits_is_answered_in_the_end_and_when_the_service_stops(door: Door) -> None:
    http = await door.http("read")
    nothing = await http.get("/v1/events", headers={"prefer": "wait=1"})
    assert (nothing.json()["data"], nothing.status_code) == ([], 200)
    waiting = asyncio.create_task(http.get("/v1/events", headers={"prefer": "wait=30"}))
    while not door.news._waiting:
        await asyncio.sleep(0.01)
    door.news.close()
    assert (await asyncio.wait_for(waiting, 5)).json()["data"] == []
    assert (await asyncio.wait_for(http.get("/v1/events", headers={"prefer": "wait=30"}), 5)).json()["data"] == []


async def test_what_happens_is_streamed_and_a_reader_that_comes_back_misses_nothing(door: Door) -> None:
    http, key = await door.http("submit", "read"), await door.key("read")
    await http.post("/v1/messages", json=SIMPLE)
    stream = Stream(door.app, key)
    assert await stream.frame() == {"retry": "2000"}
    while not door.news._waiting:
        await asyncio.sleep(0.01)
    seen = [(await http.post("/v1/messages", json=SIMPLE)).json()["id"] for _ in range(2)]
    told = [await stream.event() for _ in range(2)]
    assert [json.loads(frame["data"])["message"] for frame in told] == seen
    assert {frame["event"] for frame in told} == {"message.accepted"}
    await stream.leave()
    missed = (await http.post("/v1/messages", json=SIMPLE)).json()["id"]
    back = Stream(door.app, key, last_event_id=told[0]["id"])
    assert [json.loads((await back.event())["data"])["message"] for _ in range(2)] == [seen[1], missed]
    await back.leave()


async def test_a_stream_ends_cleanly_with_the_service_after_what_was_told(door: Door) -> None:
    http, key = await door.http("submit"), await door.key("read")
    stream = Stream(door.app, key)
    await stream.frame()
    while not door.news._waiting:
        await asyncio.sleep(0.01)
    message = (await http.post("/v1/messages", json=SIMPLE)).json()["id"]
    door.news.close()
    assert json.loads((await stream.event())["data"])["message"] == message
    await asyncio.wait_for(stream.task, 5)


async def test_a_silent_stream_shows_its_place_and_ends_when_its_key_is_revoked(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT", 0.2)
    key = await door.key("read")
    stream = Stream(door.app, key)
    await stream.frame()
    assert set(await stream.frame()) == {"id"}
    await door.keys.revoke(key.split("_")[2], by="test")
    await asyncio.wait_for(stream.task, 5)


async def test_a_stream_without_a_right_or_a_cursor_does_not_begin(door: Door) -> None:
    refused = Stream(door.app, await door.key("content"))
    wrong = Stream(door.app, await door.key("read"), last_event_id="nowhere")
    await asyncio.gather(refused.task, wrong.task)
    assert (refused.status, wrong.status) == (403, 422)


async def test_a_view_of_the_content_is_audited_before_it_is_shown(door: Door) -> None:
    http = await door.http("submit", "content")
    message = (await http.post("/v1/messages", json=SIMPLE)).json()["id"]
    assert (await http.get(f"/v1/messages/{message}/content")).status_code == 200
    rows = await door.spool._readers.read(
        lambda db: db.ask("select by, action, target from audit where action = 'message.content_viewed'", {})
    )
    ((by, _, target),) = rows
    assert (str(by).startswith("key "), target) == (True, message)
    door.spool._writer._db.connection.pragma("query_only", True)
    assert (await http.get(f"/v1/messages/{message}/content")).status_code == 503
