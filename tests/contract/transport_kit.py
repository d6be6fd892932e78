"""What the contract tests of the transports share: messages to send, a clock, and servers that misbehave on purpose."""

import asyncio
import contextlib
import ssl
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from posthouse.message import (
    Body,
    Bytes,
    Content,
    Envelope,
    Kind,
    Message,
    MessageId,
    OnUnconfirmed,
    Priority,
    Recipient,
)
from posthouse.outcome import RefusedRecipient
from posthouse.ports import Clock, Dispatch
from posthouse.records import DraftNote, DraftState
from posthouse.sandbox.emulator import Emulator
from posthouse.transports.graph.transport import GraphTransport
from posthouse.transports.proxies import NO_PROXIES, Proxies
from posthouse.transports.tokens import (
    Certificate,
    ClientSecret,
    DefaultChain,
    EntraOptions,
    ManagedIdentity,
    TokenSource,
    WorkloadIdentity,
    credential_factory,
)

GRAPH_SCOPE = "https://graph.microsoft.com/.default"
SMTP_SCOPE = "https://outlook.office365.com/.default"
ALERTS = "alerts@contoso.com"
CLIENT_TLS_FAULTS = (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, TimeoutError)


class SystemClock:
    """The machine's clocks."""

    def now(self) -> int:
        return int(time.time() * 1000)

    def monotonic(self) -> float:
        return time.monotonic()

    def apart(self) -> int:
        return 0

    def anchor(self) -> None:
        return None


@dataclass
class Notes:
    """Remembers what was noted as refused before DATA, and of drafts; ``taken_at`` is the state at which it is another's."""

    refused: list[RefusedRecipient] = field(default_factory=list)
    drafts: list[DraftNote] = field(default_factory=list)
    taken_at: DraftState | None = None

    async def note(self, refused: Sequence[RefusedRecipient]) -> None:
        self.refused.extend(refused)

    async def note_draft(self, note: DraftNote) -> bool:
        self.drafts.append(note)
        return note.state is not self.taken_at


def message(*, account: str = ALERTS, sender: str = ALERTS, to: Sequence[str] = ("bob@example.org",), number: int = 1):
    return Message(
        key=number,
        id=MessageId(f"msg_{number}"),
        client="shop",
        lane=1,
        account=account,
        mailbox=account,
        sender=sender,
        envelope=Envelope(sender, tuple(Recipient(address, Kind.TO) for address in to)),
        message_id=f"<{number}@posthouse.test>",
        own_message_id=True,
        route=("graph", "smtp"),
        next_transport=None,
        priority=Priority.NORMAL,
        size=1,
        accepted_at=0,
        due_at=0,
        expires_at=None,
        gives_up_at=0,
        attempts=0,
        on_unconfirmed=OnUnconfirmed.SETTLE,
    )


def dispatch(
    one: Message | None = None,
    *,
    body: Body | None = None,
    headers: bytes = b"",
    to: bytes = b"bob@example.org",
    notes: Notes | None = None,
    refuse_deferred: bool = False,
) -> Dispatch:
    one, notes = one or message(), notes or Notes()
    header = b"From: " + one.sender.encode() + b"\r\nTo: " + to + b"\r\nSubject: hello\r\n"
    header += b"Message-ID: " + one.message_id.encode() + b"\r\n" + headers
    return Dispatch(
        message=one,
        content=Content(header, body or Bytes(b"Hello\r\n")),
        attempt_id=str(uuid.uuid4()),
        account=one.account,
        refuse_deferred=refuse_deferred,
        note_refused=notes.note,
        note_draft=notes.note_draft,
    )


def tokens_of(
    emulator: Emulator,
    *,
    secret: Callable[[], str] | None = None,
    credential: Certificate | ManagedIdentity | WorkloadIdentity | DefaultChain | None = None,
    proxies: Proxies = NO_PROXIES,
) -> TokenSource:
    """Tokens of the emulator, by its client secret unless told otherwise."""
    options = EntraOptions(
        tenant_id=emulator.options.tenant_id,
        client_id=emulator.options.client_id,
        credential=credential or ClientSecret(secret or (lambda: emulator.options.client_secret)),
        authority=emulator.authority,
        own_authority=True,
        ca_file=str(emulator.ca_file),
        proxies=proxies,
    )
    return TokenSource(
        factory=credential_factory(options),
        scopes=(GRAPH_SCOPE, SMTP_SCOPE),
        clock=SystemClock(),
        by_proxy=options.by_proxy,
    )


@contextlib.asynccontextmanager
async def graph_to(
    base_url: str,
    tokens: TokenSource,
    ca_file: Path,
    *,
    unproven: bool = False,
    drafts: bool = False,
    connections: int = 64,
    connect_timeout: float = 5.0,
    read_timeout: float = 60.0,
    clock: Clock | None = None,
    proxies: Proxies = NO_PROXIES,
) -> AsyncGenerator[GraphTransport]:
    """A Graph transport to this place, closed at the end; the machine's clock unless told otherwise."""
    transport = GraphTransport(
        name="graph",
        base_url=base_url,
        scope=GRAPH_SCOPE,
        tokens=tokens,
        ssl_context=ssl.create_default_context(cafile=ca_file),
        clock=clock or SystemClock(),
        unproven=lambda _: unproven,
        drafts=drafts,
        connections=connections,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        proxies=proxies,
    )
    try:
        yield transport
    finally:
        await transport.close()


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(talk: Talk, *, context: ssl.SSLContext | None = None) -> AsyncGenerator[int]:
    """A server on a free port of 127.0.0.1 that talks as told; whatever the client breaks off is no error."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(*CLIENT_TLS_FAULTS):
                await talk(reader, writer)
            writer.close()
            with contextlib.suppress(*CLIENT_TLS_FAULTS):
                await writer.wait_closed()
        finally:
            writer.transport.abort()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(3):  # what was aborted is closed in the next turns of the loop
            await asyncio.sleep(0)
