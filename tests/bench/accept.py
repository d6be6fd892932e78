"""How many messages a second are accepted durably, as a ratio to a bare web endpoint: ``python -m tests.bench.accept``.

Both run under uvicorn (uvloop, httptools) in a process of their own on one core; the load comes from the other:
32 connections, 4.3 KB of JSON with text and html. The baseline is what FastAPI's tutorial shows: a declared pydantic
body, a dict as answer, 202; it keeps nothing and composes nothing (SPEED.md).
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic import BaseModel

from posthouse.doors.listener import Listener, bind
from tests.contract.rest_door import rest_door

CONNECTIONS = 32
SECONDS = 5.0
ROUNDS = 2
START_SECONDS = 15.0

WORDS = "Your order 4711 was sent today and will be with you tomorrow between nine and twelve. "
MESSAGE = {
    "from": "Shop <noreply@contoso.com>",
    "to": ["Jo Doe <jo@example.org>"],
    "subject": "Your order 4711",
    "text": WORDS * 16,
    "html": "<html><body>" + "<p>" + WORDS * 30 + "</p></body></html>",
    "reference": "order-4711",
}


class Body(BaseModel):
    """The baseline's model."""

    sender: str
    to: list[str]
    subject: str
    text: str
    html: str
    reference: str | None = None


def baseline() -> FastAPI:
    """An idiomatic endpoint."""
    app = FastAPI()

    @app.post("/v1/messages", status_code=202)
    async def submit(message: Body) -> dict[str, str]:
        return {"id": "msg_1", "status": "queued", "subject": message.subject}

    return app


async def serve(name: str, port: int, directory: Path) -> None:
    """One server, alone on its core; the real one is the door with policy, composing and spool, and nothing sends."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if name == "baseline":
        config = uvicorn.Config(baseline(), port=port, http="httptools", log_level="error", access_log=False)
        await uvicorn.Server(config).serve()
        return
    async with rest_door(directory, admin=False) as door:
        (directory / "key").write_text(await door.key())
        listener, ended = Listener(door.app, bind(f"127.0.0.1:{port}")), asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        await listener.start()
        await ended.wait()
        await listener.stop()


class Hammer(asyncio.Protocol):
    """One keep-alive connection that asks again as soon as it is answered."""

    def __init__(self, request: bytes, answered: Callable[[bytes], bool]) -> None:
        self._request = request
        self._answered = answered
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        if len(rest) < length:
            return
        self._buffer = b""
        if self._answered(head):
            self._transport.write(self._request)
        else:
            self._transport.close()


async def load(port: int, request: bytes) -> float:
    """Requests answered 202 per second; anything else ends the reading."""
    until = time.monotonic() + SECONDS
    count = 0

    def answered(head: bytes) -> bool:
        nonlocal count
        if not head.startswith(b"HTTP/1.1 202"):
            raise SystemExit(head.decode())
        count += 1
        return time.monotonic() < until

    loop = asyncio.get_running_loop()
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: Hammer(request, answered), "127.0.0.1", port)
    await asyncio.sleep(SECONDS + 0.2)
    return count / SECONDS


@asynccontextmanager
async def server(name: str, port: int, directory: str) -> AsyncGenerator[None]:
    """A server process that answers."""
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "tests.bench.accept", "--serve", name, "--port", str(port), "--directory", directory]
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)
        yield
    finally:
        process.terminate()
        await process.wait()


def http_request(body: bytes, key: str | None) -> bytes:
    """The bytes of one request."""
    lines = ["POST /v1/messages HTTP/1.1", "Host: bench", "Content-Type: application/json"]
    lines += [f"Authorization: Bearer {key}"] if key else []
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


async def measure(port: int) -> None:
    """Both in turn; prints the readings and their ratio."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    plain = json.dumps(MESSAGE | {"sender": MESSAGE["from"]}).encode()
    readings: dict[str, list[float]] = {"baseline": [], "posthouse": []}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:
        async with server("baseline", port, directory), server("posthouse", port + 1, directory):
            key = (Path(directory) / "key").read_text()
            requests = {
                "baseline": (port, http_request(plain, None)),
                "posthouse": (port + 1, http_request(json.dumps(MESSAGE).encode(), key)),
            }
            for _ in range(ROUNDS):
                for name, (at, request) in requests.items():
                    readings[name].append(await load(at, request))
    for name, values in readings.items():
        print(f"{name:10} {' '.join(f'{value:7.0f}' for value in values)} requests/s")
    ratio = statistics.mean(readings["posthouse"]) / statistics.mean(readings["baseline"])
    print(f"accept ratio {ratio:.2f} (aim 0.6, later 0.8; body {len(plain)} bytes, {CONNECTIONS} connections)")


def main() -> None:
    """The command."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--serve", choices=["baseline", "posthouse"])
    options.add_argument("--port", type=int, default=18480)
    options.add_argument("--directory", type=Path, default=Path())
    given = options.parse_args()
    if given.serve:
        uvloop.run(serve(given.serve, given.port, given.directory))
    else:
        uvloop.run(measure(given.port))


if __name__ == "__main__":
    main()
