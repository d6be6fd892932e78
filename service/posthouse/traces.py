"""Submissions and attempts as OpenTelemetry spans, sent by OTLP where the standard environment variables say.

Imported only where they ask for it and the extra ``otel`` is installed. The provider is our own and not the process's,
so that the SDKs in this process, which would put addresses into their spans, go on without one.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Receive, Scope, Send

from posthouse.message import Event, MessageId
from posthouse.outcome import Outcome, Sent, name_of, scope_of
from posthouse.ports import SpoolUnavailableError
from posthouse.tracer import Passage, Tracer

SUBMIT: Final = "submission"
ATTEMPT: Final = "attempt"
MOST_WAITING: Final = 10_000
"""Attempts whose submission has not been looked for yet; more are not told of."""
CLOSING_SECONDS: Final = 3.0
"""For what is left to be sent when the service stops."""

_App = TypeVar("_App")
_W3C: Final = TraceContextTextMapPropagator()
_NOWHERE: Final = Context()
"""The parent of what has none: never what happens to be current in the process."""
_FAULT: Final = "fault"


@dataclass(frozen=True, slots=True)
class _Try:
    message_id: MessageId
    transport: str
    number: int
    outcome: Outcome
    seconds: float
    ended_at: int


class _Submission(Passage):
    """A span that ends with the submission."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, trace.set_span_in_context(span, _NOWHERE))
        self._traceparent = carrier.get("traceparent")

    @property
    def traceparent(self) -> str | None:
        """The span's own name."""
        return self._traceparent

    def ended(self, result: str, ids: Sequence[MessageId] = ()) -> None:
        """End the span."""
        self._span.set_attribute("posthouse.result", result)
        if len(ids) == 1:
            self._span.set_attribute("posthouse.message.id", ids[0])
        elif ids:
            self._span.set_attribute("posthouse.message.ids", tuple(ids))
        if result == _FAULT:
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()


class Traces(Tracer):
    """A tracer that sends spans; ``events`` is the history of a message, whose first line names its submission."""

    def __init__(self, *, events: Callable[[MessageId], Awaitable[Sequence[Event]]], version: str) -> None:
        told = {"service.name": "posthouse", "service.version": version}
        resource = Resource.create(told | dict(OTELResourceDetector().detect().attributes))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("posthouse", version)
        self._events = events
        self._incoming: ContextVar[str | None] = ContextVar("traceparent", default=None)
        self._tries: asyncio.Queue[_Try] = asyncio.Queue(MOST_WAITING)
        self._telling: asyncio.Task[None] | None = None

    def around(self, app: _App) -> _App:
        """The same, with the ``traceparent`` of each request at hand."""
        return cast("_App", self._remembering(cast("ASGIApp", app)))

    def submitting(self, door: str) -> Passage:
        """A span that ends with the submission, below the caller's where the request named one."""
        traceparent = self._incoming.get()
        parent = _W3C.extract({"traceparent": traceparent}, _NOWHERE) if traceparent else _NOWHERE
        kind, told = trace.SpanKind.SERVER, {"posthouse.door": door}
        return _Submission(self._tracer.start_span(SUBMIT, parent, kind, told))

    def attempted(
        self, message_id: MessageId, *, transport: str, number: int, outcome: Outcome, seconds: float
    ) -> None:
        """A span of its own, which links to that of the submission."""
        with suppress(asyncio.QueueFull):
            self._tries.put_nowait(_Try(message_id, transport, number, outcome, seconds, time.time_ns()))
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell_all(), name="traces")

    async def close(self) -> None:
        """Tell the rest; what cannot be sent in time is lost."""
        telling, self._telling = self._telling, None
        if telling is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSING_SECONDS):  # wait_for swallows a cancellation before Python 3.12
                    await self._tries.join()
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
        # a thread of its own: nobody waits at the process's end for a collector that does not answer
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        await asyncio.to_thread(sending.join, CLOSING_SECONDS)

    async def _tell_all(self) -> None:
        while True:
            one = await self._tries.get()
            try:
                self._tell(one, await self._submission(one.message_id))
            finally:
                self._tries.task_done()

    def _tell(self, one: _Try, submission: trace.SpanContext | None) -> None:
        if submission is not None and not submission.trace_flags.sampled:
            return  # whoever submitted it decided that nobody follows it
        answer, scope = one.outcome.answer, scope_of(one.outcome)
        told = {
            "posthouse.message.id": one.message_id,
            "posthouse.transport": one.transport,
            "posthouse.attempt": one.number,
            "posthouse.outcome": name_of(one.outcome),
            "posthouse.scope": None if scope is None else scope.value,
            "posthouse.code": None if isinstance(one.outcome, Sent) else answer.code,
            "posthouse.request_id": answer.request_id,
        }
        span = self._tracer.start_span(
            ATTEMPT,
            _NOWHERE,
            trace.SpanKind.CLIENT,
            {name: value for name, value in told.items() if value is not None},
            links=[] if submission is None else [trace.Link(submission)],
            start_time=one.ended_at - int(one.seconds * 1e9),
        )
        if not isinstance(one.outcome, Sent):
            span.set_status(trace.StatusCode.ERROR, answer.code)
        span.end(one.ended_at)

    async def _submission(self, message_id: MessageId) -> trace.SpanContext | None:
        """The span of the process that took the message, this one or another, now or long ago."""
        try:
            events = await self._events(message_id)
        except SpoolUnavailableError:
            return None
        traceparent = next((event.data.get("traceparent") for event in events), None)
        if not isinstance(traceparent, str):
            return None
        found = trace.get_current_span(_W3C.extract({"traceparent": traceparent}, _NOWHERE)).get_span_context()
        return found if found.is_valid else None

    def _remembering(self, app: ASGIApp) -> ASGIApp:
        async def remembering(scope: Scope, receive: Receive, send: Send) -> None:
            found = [value for name, value in scope.get("headers", ()) if name == b"traceparent"]
            token = self._incoming.set(found[0].decode("latin-1") if len(found) == 1 else None)
            try:
                await app(scope, receive, send)
            finally:
                self._incoming.reset(token)

        return remembering
