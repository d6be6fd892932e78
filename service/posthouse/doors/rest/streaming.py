"""Raw messages of the REST door: in blocks, kept in the spool while they come, never in memory as a whole.

What policy can say of a message before its body has come, it says before the body is read.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from posthouse.doors.raw import Raw, Weighed, draft_of
from posthouse.doors.rest.drafts import DOOR
from posthouse.doors.rest.models import RawOptions
from posthouse.policy import Client
from posthouse.submission import DoorStep, Draft


@dataclass(frozen=True, slots=True)
class Arrived:
    """A draft whose body is kept, and the SHA-256 of its request."""

    draft: Draft
    request_hash: bytes


@asynccontextmanager
async def raw_message(
    body: AsyncIterator[bytes], options: RawOptions, *, to: tuple[str, ...], client: Client, step: DoorStep
) -> AsyncGenerator[Arrived]:
    """A complete message (RFC 5322) of any size; ``to`` overrides the envelope. Raises Refused."""
    raw = Raw(body)
    header = await raw.header()
    draft = draft_of(header, door=DOOR, to=to, wishes=options.wishes, client=client, step=step)
    async with Weighed(draft, step=step).kept(raw.body()) as whole:
        yield Arrived(whole, options.fingerprint(to=to, digest=raw.digest(header)))
