"""A collector of traces: takes OTLP over HTTP and reads it with OpenTelemetry's own schema."""

import asyncio
import gzip
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Collector:
    """What was received so far; ``mute``: it hears and does not answer."""

    endpoint: str = ""
    mute: bool = False
    spans: list[Span] = field(default_factory=list)
    resources: list[dict[str, str]] = field(default_factory=list)
    raw: bytes = b""

    async def named(self, name: str, *, count: int) -> list[Span]:
        """The spans of this name, once there are so many."""
        return await self.until(lambda: [one for one in self.spans if one.name == name], count=count)

    async def until(self, found: Callable[[], list[Span]], *, count: int) -> list[Span]:
        for _ in range(300):
            if len(found()) >= count:
                break
            await asyncio.sleep(0.1)
        assert len(found()) == count, [one.name for one in self.spans]
        return found()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
            body = await reader.readexactly(int(fields[b"content-length"]))
            if self.mute:
                await reader.read()
                return
            assert head.startswith(b"POST /v1/traces HTTP/1.1\r\n")
            self.take(gzip.decompress(body) if fields.get(b"content-encoding") == b"gzip" else body)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()

    def take(self, body: bytes) -> None:
        self.raw += body
        for one in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append({each.key: each.value.string_value for each in one.resource.attributes})
            self.spans += [span for scope in one.scope_spans for span in scope.spans]


def attributes(span: Span) -> dict[str, str | int | list[str]]:
    """What a span says."""
    found: dict[str, str | int | list[str]] = {}
    for one in span.attributes:
        match one.value.WhichOneof("value"):
            case "int_value":
                found[one.key] = one.value.int_value
            case "array_value":
                found[one.key] = [each.string_value for each in one.value.array_value.values]
            case _:
                found[one.key] = one.value.string_value
    return found


@asynccontextmanager
async def collecting() -> AsyncGenerator[Collector]:
    """Listen as long as the context lasts."""
    collector, tasks = Collector(), set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await collector(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    collector.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield collector
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
