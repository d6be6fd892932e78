"""POST /v1/messages as multipart/form-data: the same message as JSON, its files as parts, nothing of them in memory."""

import asyncio
import base64
import itertools
import json
import random
import re
import tempfile
from collections.abc import AsyncGenerator, Mapping, MutableMapping, Sequence
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posthouse.message import MessageId
from posthouse.records import Filters
from tests.contract.rest_door import Door, rest_door

URL = "/v1/messages"
SIMPLE: dict[str, object] = {"from": "noreply@contoso.com", "to": "jo@example.org", "subject": "Hi", "text": "Hello"}
FIXED = {"Message-ID": "<own.1@contoso.com>", "Date": "Tue, 24 Nov 2026 09:30:00 +0100"}
PROPERTY = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
Parts = Sequence[tuple[str, bytes]]


def encoded(parts: Parts, *, boundary: str = "b0undary") -> bytes:
    """A form as RFC 7578 writes it."""
    written = b""
    for name, content in parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="of the client.bin"\r\n'
        written += head.encode() + b"Content-Type: application/x-unknown\r\n\r\n" + content + b"\r\n"
    return written + f"--{boundary}--\r\n".encode()


def form(message: Mapping[str, object], *files: tuple[str, bytes]) -> Parts:
    return [("message", json.dumps(message).encode()), *files]


async def post(
    door: Door, body: bytes | AsyncGenerator[bytes], *, query: str = "", boundary: str = "b0undary", **headers: str
) -> httpx.Response:
    media = {"content-type": f"multipart/form-data; boundary={boundary}"}
    return await (await door.http("submit", "read")).post(URL + query, content=body, headers=media | headers)


async def slices(body: bytes, size: int) -> AsyncGenerator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


async def kept(door: Door, answer: httpx.Response) -> bytes:
    assert answer.status_code == 202, answer.text
    content = await door.spool.content(await door.spool.key_of(MessageId(answer.json()["id"])) or 0)
    assert content is not None
    return content.header + b"\r\n" + b"".join([block async for block in content.body.blocks()])


def unmarked(mime: bytes) -> bytes:
    """The same without what every message has for itself: the mark of its boundaries."""
    return re.sub(rb"\b([amr])[0-9a-f]{32}\b", rb"\1", mime)


async def chunks(door: Door) -> int:
    rows = await door.spool._readers.read(lambda db: db.ask("select count(*) from chunks", {}))
    count = rows[0][0]
    assert isinstance(count, int)
    return count


async def nothing_kept(door: Door) -> bool:
    page = await door.spool.find(Filters(), now=door.clock.now())
    return page.records == () and not await chunks(door)


file_contents = st.one_of(
    st.binary(max_size=300),
    st.integers(0, 9).map(lambda seed: random.Random(seed).randbytes(300_000)),
    st.sampled_from(
        [b"Subject: x\r\n\r\nplain\r\n", b"Subject: x\n\nbare\n", b"x" * 999, b"a\0b", "ü".encode(), b"x\r"]
    ),
)
attachments = st.fixed_dictionaries(
    {
        "filename": st.sampled_from(["a.pdf", "prüfung „x“.bin", "b.eml", "logo.png"]),
        "content": file_contents,
    },
    optional={
        "content_type": st.sampled_from(["message/rfc822", "Message/Global", "image/png", "text/html; charset=utf-8"]),
        "disposition": st.sampled_from(["inline", "attachment"]),
        "as_part": st.booleans(),
        "shown": st.booleans(),
    },
)
bodies = st.fixed_dictionaries({}, optional={"text": st.text(max_size=50), "html": st.text(max_size=50)})


@PROPERTY
@given(bodies, st.lists(attachments, max_size=4), st.randoms(use_true_random=False), st.integers(1, 5_000))
async def test_the_same_message_as_json_and_as_a_form_is_the_same_mail(
    body: dict[str, str], files: list[dict[str, object]], chance: random.Random, step: int
) -> None:
    """In whatever order the parts come and wherever the network cuts them."""
    whole: list[dict[str, object]] = []
    by_part: list[dict[str, object]] = []
    parts: list[tuple[str, bytes]] = []
    for number, file in enumerate(files):
        content, as_part, shown = file["content"], file.get("as_part", True), file.get("shown", False)
        assert isinstance(content, bytes)
        head = {name: value for name, value in file.items() if name in ("filename", "content_type", "disposition")}
        head |= {"content_id": f"c{number}"} if shown else {}
        inside = {"content": base64.b64encode(content).decode()}
        whole.append(head | inside)
        by_part.append(head | ({"part": f"file {number}"} if as_part else inside))
        parts += [(f"file {number}", content)] if as_part else []
    chance.shuffle(parts)
    message = SIMPLE | {"text": None} | body | {"headers": FIXED}
    with tempfile.TemporaryDirectory() as folder:
        async with rest_door(Path(folder)) as door:
            http = await door.http()
            as_json = await http.post(URL, json=message | {"attachments": whole})
            written = encoded(form(message | {"attachments": by_part}, *parts))
            as_form = await post(door, slices(written, max(step, len(written) // 300)))
            assert unmarked(await kept(door, as_form)) == unmarked(await kept(door, as_json))
            sizes = [(await door.spool.find(Filters(), now=door.clock.now())).records[n].size for n in (0, 1)]
            assert sizes[0] == sizes[1]


@pytest.mark.parametrize("order", list(itertools.permutations("abc")))
async def test_files_in_any_order_leave_nothing_behind_but_their_message(door: Door, order: tuple[str, ...]) -> None:
    files = {name: random.Random(name).randbytes(400_000) for name in "abc"}
    message = SIMPLE | {"attachments": [{"filename": name, "part": name} for name in "abc"]}
    answer = await post(door, encoded(form(message, *((name, files[name]) for name in order))))
    mime = await kept(door, answer)
    found = [mime.index(base64.b64encode(files[name])[:60]) for name in "abc"]
    assert found == sorted(found)
    assert await chunks(door) == -(-len(mime) // (256 * 1024))


async def test_the_files_themselves_are_one_request_whatever_the_boundary_and_the_order(door: Door) -> None:
    message = SIMPLE | {"attachments": [{"filename": "a", "part": "a"}, {"filename": "b", "part": "b"}]}
    one, other, key = ("a", b"1" * 300_000), ("b", b"2"), {"idempotency-key": "k"}
    first = await post(door, encoded(form(message, one, other)), **key)
    again = await post(door, encoded(form(message, other, one), boundary="x"), boundary="x", **key)
    assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")
    for files in (((one[0], other[1]), other), ((one[0], one[1] + b"1"), other)):
        changed = await post(door, encoded(form(message, *files)), **key)
        assert changed.json()["code"] == "idempotency_key_reused"
    assert await chunks(door) == 2
    assert len((await door.spool.find(Filters(), now=door.clock.now())).records) == 1


async def test_a_dry_run_of_a_form_keeps_nothing(door: Door) -> None:
    message = SIMPLE | {"attachments": [{"filename": "a", "part": "a"}]}
    answer = await post(door, encoded(form(message, ("a", b"x" * 4_000_000))), query="?dry_run=true")
    assert (answer.status_code, answer.json()["route"]) == (200, ["smtp"])
    assert await nothing_kept(door)


ONE_FILE = SIMPLE | {"attachments": [{"filename": "a", "part": "a"}]}
LARGE = b"x" * 700_000


@pytest.mark.parametrize(
    ("parts", "code", "pointer", "said"),
    [
        ([("a", LARGE), *form(ONE_FILE)], "validation_error", "", "first part of the form is 'message'"),
        ([], "validation_error", "", "no parts"),
        (form(ONE_FILE), "invalid_attachment", "/attachments/0/part", "no part 'a'"),
        (form(ONE_FILE, ("b", LARGE)), "validation_error", "", "'b' is named by no attachment"),
        (form(ONE_FILE, ("a", LARGE), ("b", b"")), "validation_error", "", "'b' is named by no attachment"),
        (form(ONE_FILE, ("a", LARGE), ("a", LARGE)), "validation_error", "", "'a' comes twice"),
        (form(ONE_FILE, ("a", LARGE), ("message", b"{}")), "validation_error", "", "'message' comes twice"),
        (form(SIMPLE, ("a", LARGE)), "validation_error", "", "'a' is named by no attachment"),
        (
            form(SIMPLE | {"attachments": [{"part": "a"}, {"part": "a"}]}, ("a", LARGE)),
            "invalid_attachment",
            "/attachments/1/part",
            "a part of its own",
        ),
        (form(ONE_FILE | {"bc": "x@example.org"}, ("a", LARGE)), "validation_error", "/bc", "did you mean 'bcc'?"),
        ([("message", b"{"), ("a", LARGE)], "invalid_json", None, ""),
        (
            form(SIMPLE | {"attachments": [{"filename": "a\n", "part": "a"}]}, ("a", LARGE)),
            "invalid_attachment",
            "/attachments/0/filename",
            "line break",
        ),
        (form(ONE_FILE, *((f"p{n}", b"") for n in range(251))), "validation_error", "", "more than 251 parts"),
        (
            form(
                SIMPLE | {"attachments": [{"part": str(n)} for n in range(251)]}, *((str(n), b"") for n in range(251))
            ),
            "validation_error",
            "",
            "more than 251 parts",
        ),
    ],
)
async def test_what_is_wrong_with_a_form_is_named_and_nothing_of_it_stays(
    door: Door, parts: Parts, code: str, pointer: str | None, said: str
) -> None:
    answer = await post(door, slices(encoded(parts), 50_000))
    assert answer.json()["code"] == code, answer.text
    if pointer is not None:
        assert answer.json()["errors"][0]["pointer"] == pointer
    assert said in answer.json()["detail"]
    assert await nothing_kept(door)


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (encoded(form(SIMPLE)), "multipart/form-data"),
        (encoded(form(SIMPLE))[:-20], "multipart/form-data; boundary=b0undary"),
        (b"nothing of the kind", "multipart/form-data; boundary=b0undary"),
        (b"", "multipart/form-data; boundary=b0undary"),
        (encoded(form(SIMPLE)), "multipart/form-data; boundary=" + "b" * 300),
        (b"--b0undary\r\n\r\nno name\r\n--b0undary--\r\n", "multipart/form-data; boundary=b0undary"),
        (
            b"--b0undary\r\nX: " + b"x" * 5_000 + b"\r\n\r\n--b0undary--\r\n",
            "multipart/form-data; boundary=b0undary",
        ),
        (b"--b0undary\r\n" + b"X: y\r\n" * 20 + b"\r\n--b0undary--\r\n", "multipart/form-data; boundary=b0undary"),
    ],
)
async def test_what_is_no_form_is_refused_with_the_reason(door: Door, body: bytes, media: str) -> None:
    answer = await (await door.http()).post(URL, content=body, headers={"content-type": media})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error"), answer.text
    assert "form" in answer.json()["detail"]


class Client:
    """A caller that hands over its body block by block, and tells how much of it was asked for."""

    def __init__(self, door: Door, key: str, media: bytes, *blocks: bytes, gone: bool = False, **more: bytes) -> None:
        self._door = door
        self._blocks = list(blocks)
        self._gone = gone
        headers = {b"authorization": f"Bearer {key}".encode(), b"content-type": media}
        self._headers = [
            *(headers | {name.encode().replace(b"_", b"-"): value for name, value in more.items()}).items()
        ]
        self.asked = 0
        self.sent: list[MutableMapping[str, object]] = []

    async def receive(self) -> MutableMapping[str, object]:
        if not self._blocks:
            assert self._gone
            return {"type": "http.disconnect"}
        self.asked += 1
        block = self._blocks.pop(0)
        return {"type": "http.request", "body": block, "more_body": bool(self._blocks) or self._gone}

    async def send(self, message: MutableMapping[str, object]) -> None:
        self.sent.append(message)

    async def call(self) -> None:
        scope = {"type": "http", "method": "POST", "path": URL, "query_string": b"", "client": None}
        await self._door.app(scope | {"headers": self._headers}, self.receive, self.send)

    @property
    def problem(self) -> dict[str, object]:
        body = self.sent[-1]["body"]
        assert isinstance(body, bytes)
        return json.loads(body)


MEDIA = b"multipart/form-data; boundary=b0undary"
RAW_HEAD = b"From: %s\r\nTo: jo@example.org\r\n\r\n"


async def test_a_client_that_goes_away_in_the_middle_of_a_file_leaves_nothing_behind(door: Door) -> None:
    key = await door.key()
    begun = encoded(form(ONE_FILE, ("a", LARGE)))[:-100_000]
    for media, head in ((MEDIA, begun), (b"message/rfc822", RAW_HEAD % b"a@contoso.com" + b"x\r\n" * 300_000)):
        client = Client(door, key, media, *(head[at : at + 65_536] for at in range(0, len(head), 65_536)), gone=True)
        await client.call()
        assert client.sent == []
        assert await nothing_kept(door)


def of(sender: str, **more: object) -> bytes:
    """A form up to where its file begins."""
    whole = encoded(form(ONE_FILE | {"from": sender, **more}, ("a", b"")))
    return whole[: -len(b"\r\n--b0undary--\r\n")]


@pytest.mark.parametrize(
    ("media", "head", "code"),
    [
        (MEDIA, of("ceo@fabrikam.com"), "sender_not_allowed"),
        (MEDIA, of("a@contoso.com", to="x@elsewhere.org"), "recipient_not_allowed"),
        (MEDIA, of("a@contoso.com", to=[f"a{n}@example.org" for n in range(501)]), "too_many_recipients"),
        (MEDIA, of("a@contoso.com", transport="pigeon"), "validation_error"),
        (MEDIA, of("a@contoso.com", expires_at="2020-01-01T00:00:00Z"), "validation_error"),
        (MEDIA, of("a@contoso.com", headers={"Bcc": "x@example.org"}), "validation_error"),
        (b"message/rfc822", RAW_HEAD % b"ceo@fabrikam.com", "sender_not_allowed"),
        (b"message/rfc822", RAW_HEAD % b"a@contoso.com, b@contoso.com", "invalid_mime"),
    ],
)
async def test_what_the_policy_can_say_before_the_files_it_says_before_they_are_read(
    door: Door, media: bytes, head: bytes, code: str
) -> None:
    key = await door.key(domains=("example.org",))
    client = Client(door, key, media, head, *[b"x" * 65_536] * 50)
    await client.call()
    assert client.problem["code"] == code
    assert client.asked == 1


@pytest.mark.parametrize("media", [MEDIA, b"message/rfc822"])
async def test_a_length_over_the_limit_is_refused_before_anything_is_read(door: Door, media: bytes) -> None:
    client = Client(door, await door.key(), media, b"", content_length=b"99000000")
    await client.call()
    assert (client.problem["code"], client.asked) == ("message_too_large", 0)


@pytest.mark.parametrize("media", [MEDIA, b"message/rfc822"])
async def test_a_body_without_length_is_cut_where_it_passes_the_limit(door: Door, media: bytes) -> None:
    head = of("a@contoso.com") if media == MEDIA else RAW_HEAD % b"a@contoso.com"
    client = Client(door, await door.key(), media, head, *[(b"y" * 62 + b"\r\n") * 1024] * 700)
    await client.call()
    assert (client.problem["code"], client.problem["limit_bytes"]) == ("message_too_large", 36_700_160)
    assert client.asked < 36_700_160 // 65_536 + 5
    assert await nothing_kept(door)


async def test_a_rule_that_breaks_late_in_a_large_raw_message_leaves_nothing_behind(door: Door) -> None:
    body = (b"y" * 62 + b"\r\n") * 20_000
    for broken, said in ((b"x" * 999 + b"\r\n", "998"), (b"\0\r\n", "NUL")):
        client = Client(door, await door.key(), b"message/rfc822", RAW_HEAD % b"a@contoso.com", body, broken, body)
        await client.call()
        assert client.problem["code"] == "invalid_mime"
        assert said in str(client.problem["detail"])
        assert await nothing_kept(door)


async def test_a_raw_message_is_kept_the_same_wherever_the_network_cuts_it(door: Door) -> None:
    key = await door.key("submit", "read")
    raw = (RAW_HEAD % b"a@contoso.com").replace(b"\r\n", b"\n") + b"one\rtwo\r\nthree\n\r\n" * 30
    kept_bodies: set[bytes] = set()
    for step in (1, 2, 3, 7, 50, len(raw)):
        pieces = [raw[at : at + step] for at in range(0, len(raw), step)]
        client = Client(door, key, b"message/rfc822", *pieces)
        await client.call()
        message_id = MessageId(str(client.problem["id"]))
        content = await door.spool.content(await door.spool.key_of(message_id) or 0)
        assert content is not None
        kept_bodies.add(b"".join([block async for block in content.body.blocks()]))
    assert kept_bodies == {b"one\r\ntwo\r\nthree\r\n\r\n" * 30}


async def test_a_full_disk_in_the_middle_of_a_file_is_said_as_such(door: Door) -> None:
    key = await door.key()
    await door.fill_disk()
    client = Client(door, key, MEDIA, of("a@contoso.com"), LARGE + b"\r\n--b0undary--\r\n")
    await client.call()
    assert client.problem["code"] == "spool_full"


async def test_many_forms_at_once_do_not_mix(door: Door) -> None:
    files = [random.Random(n).randbytes(300_000 + n) for n in range(8)]
    answers = await asyncio.gather(
        *(post(door, slices(encoded(form(ONE_FILE, ("a", file))), 30_000)) for file in files)
    )
    for answer, file in zip(answers, files, strict=True):
        mime = await kept(door, answer)
        assert base64.encodebytes(file).replace(b"\n", b"\r\n")[:-2] in mime
