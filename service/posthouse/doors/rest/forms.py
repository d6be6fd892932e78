"""A message as a form (RFC 7578): its JSON first, then its files, encoded into the spool while they arrive."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from pydantic import TypeAdapter

from posthouse.compose import Arriving, Plan, Slot
from posthouse.doors.http.reading import JSON_LIMIT, LARGER, parsed, too_large
from posthouse.doors.rest.drafts import announced, planned
from posthouse.doors.rest.models import MessageIn
from posthouse.doors.rest.multipart import Form, FormPart
from posthouse.doors.rest.streaming import Arrived, Weighed
from posthouse.lines import SevenBit
from posthouse.message import Body, Bytes, Content
from posthouse.policy import Client
from posthouse.refusal import Condition, FieldError, Refused
from posthouse.submission import DoorStep, Identity

MESSAGE: Final = "message"
"""The name of the part that holds the JSON."""

_ONE: Final = TypeAdapter(MessageIn)


@asynccontextmanager
async def form_message(form: Form, *, client: Client, step: DoorStep) -> AsyncGenerator[Arrived]:
    """A message as multipart/form-data of any size; raises Refused, naming the part at fault."""
    message = await _message(form)
    async with AsyncExitStack() as stack:
        files = _Files(form, message, step=step, stack=stack)
        draft = announced(message, files.contents(), client=client, step=step)
        step.admit(draft)
        plan = await files.plan(draft.identity)
        draft = replace(draft, content=Content(plan.header, Bytes(b"")))
        async with Weighed(draft, step=step).kept(files.fill(plan)) as whole:
            yield Arrived(whole, files.fingerprint())


async def _message(form: Form) -> MessageIn:
    part = await form.next()
    if part is None or part.name != MESSAGE:
        found = "the form has no parts" if part is None else f"this is {part.name!r}"
        raise _refused("", f"the first part of the form is {MESSAGE!r} and holds the JSON; {found}")
    raw = bytearray()
    async for block in part.blocks:
        raw += block
        if len(raw) > JSON_LIMIT:
            raise too_large(JSON_LIMIT, larger=LARGER)
    return parsed(_ONE, bytes(raw), model=MessageIn)


@dataclass(slots=True)
class _Shelved:
    """A part that came before its turn."""

    body: Body
    seven_bit: bool


class _Files:
    """The files of a message: those that come in the order in which the message has them are never kept for themselves."""

    def __init__(self, form: Form, message: MessageIn, *, step: DoorStep, stack: AsyncExitStack) -> None:
        self._form = form
        self._message = message
        self._step = step
        self._stack = stack
        self._index = _wanted(message)
        self._names = {index: name for name, index in self._index.items()}
        self._hashes: dict[str, bytes] = {}
        self._shelf: dict[str, _Shelved] = {}

    def contents(self) -> dict[int, Arriving]:
        """What is known of the contents that are still to come, by the index of their attachment."""
        shelf = self._shelf
        return {
            index: Arriving(seven_bit=name in shelf and shelf[name].seven_bit) for index, name in self._names.items()
        }

    async def plan(self, identity: Identity) -> Plan:
        """How the message is composed; what goes unencoded is awaited first, for its boundary may not stand in it."""
        for index, name in self._names.items():
            if self._message.attachments[index].is_message and name not in self._shelf:
                await self._shelve_up_to(name)
        plan = planned(self._message, identity, self.contents())
        while await self._holds(plan):
            plan = planned(self._message, identity, self.contents(), seed=plan.mark.decode())
        return plan

    async def fill(self, plan: Plan) -> AsyncIterator[bytes]:
        """The body of the message; raises Refused for a part that is missing or that nobody asked for."""
        for piece in plan.body:
            if isinstance(piece, bytes):
                yield piece
                continue
            encoding = piece.encoding()
            async for block in self._content(piece.index):
                if encoded := encoding.feed(block):
                    yield encoded
            if encoded := encoding.end():
                yield encoded
        if (part := await self._form.next()) is not None:
            raise self._unwanted(part)

    def fingerprint(self) -> bytes:
        """SHA-256 of the validated request; boundaries and the order of parts do not matter (PROMISES §2)."""
        digests = (self._hashes[name] for _, name in sorted(self._names.items()))
        return sha256(self._message.fingerprint() + b"".join(digests)).digest()

    async def _content(self, index: int) -> AsyncIterator[bytes]:
        name = self._names[index]
        while name not in self._shelf:
            part = await self._next(name)
            if part.name == name:
                async for block in self._seen(part):
                    yield block
                return
            await self._shelve(part)
        async for block in self._shelf[name].body.blocks():
            yield block

    async def _shelve_up_to(self, name: str) -> None:
        while name not in self._shelf:
            await self._shelve(await self._next(name))

    async def _shelve(self, part: FormPart) -> None:
        seven_bit = SevenBit()
        keeping = self._step.keep(self._seen(part, seven_bit), small=False)
        body = await self._stack.enter_async_context(keeping)
        self._shelf[part.name] = _Shelved(body, seven_bit.clean())

    async def _seen(self, part: FormPart, seven_bit: SevenBit | None = None) -> AsyncIterator[bytes]:
        digest = sha256()
        async for block in part.blocks:
            digest.update(block)
            if seven_bit is not None:
                seven_bit.feed(block)
            yield block
        self._hashes[part.name] = digest.digest()

    async def _next(self, wanted: str) -> FormPart:
        part = await self._form.next()
        if part is None:
            pointer = f"/attachments/{self._index[wanted]}/part"
            raise _refused(pointer, f"the form has no part {wanted!r}", condition=Condition.INVALID_ATTACHMENT)
        if part.name not in self._index or part.name in self._hashes:
            raise self._unwanted(part)
        return part

    def _unwanted(self, part: FormPart) -> Refused:
        twice = part.name in self._hashes or part.name == MESSAGE
        return _refused("", f"the part {part.name!r} {'comes twice' if twice else 'is named by no attachment'}")

    async def _holds(self, plan: Plan) -> bool:
        """Whether a part that goes unencoded holds the mark of the boundaries."""
        plain = [piece for piece in plan.body if isinstance(piece, Slot) and piece.plain]
        return any([await _contains(self._shelf[self._names[slot.index]].body, plan.mark) for slot in plain])


def _wanted(message: MessageIn) -> dict[str, int]:
    """The index of the attachment that each part is for; raises Refused where two ask for one."""
    found: dict[str, int] = {}
    for index, file in enumerate(message.attachments):
        if file.part is None:
            continue
        if file.part in found or file.part == MESSAGE:
            pointer = f"/attachments/{index}/part"
            raise _refused(pointer, "every attachment has a part of its own", condition=Condition.INVALID_ATTACHMENT)
        found[file.part] = index
    return found


async def _contains(body: Body, mark: bytes) -> bool:
    edge = b""
    async for block in body.blocks():
        edge += block
        if mark in edge:
            return True
        edge = edge[-len(mark) :]
    return False


def _refused(pointer: str, detail: str, *, condition: Condition = Condition.VALIDATION_ERROR) -> Refused:
    place = f"{pointer}: " if pointer else ""
    return Refused(condition, f"{place}{detail}", errors=(FieldError(pointer, detail),))
