"""Graph's drafts: created, given files, sent, deleted; a draft is sent once (FACTS A5, A6)."""

import asyncio
import binascii
from collections.abc import Callable
from email.message import EmailMessage
from typing import Final
from urllib.parse import unquote

import pybase64

from posthouse.sandbox.access import Refusal, access_refusal, concurrency_refusal
from posthouse.sandbox.answers import Answer, Reply, accepted, created, emptied, found
from posthouse.sandbox.chaos import Rule, Situation, Stage, Target
from posthouse.sandbox.drawer import IMMUTABLE, Draft, File
from posthouse.sandbox.faults import graph_fault, strike
from posthouse.sandbox.graph import NOT_BASE64, NOT_MIME, TOO_LARGE, limit_refusal, mail_refusal
from posthouse.sandbox.json_message import JsonMessageError, add_file, file_of, properties, read, written
from posthouse.sandbox.limits import MAX_POSTED_FILE, MAX_SMTP, MIN_SESSION
from posthouse.sandbox.mime import Mail, MalformedError, read_mail, with_message_id
from posthouse.sandbox.requests import Request
from posthouse.sandbox.simulator import simulated
from posthouse.sandbox.world import World

GONE: Final = Refusal(
    status=404,
    code="ErrorItemNotFound",
    message="The specified object was not found in the store., The process failed to get the correct properties.",
)
FILE_TOO_LARGE: Final = Refusal(
    status=413, code="RequestEntityTooLarge", message="The maximum request length supported is 4MB."
)
_MESSAGE_TOO_LARGE: Final = Refusal(
    status=400, code="ErrorMessageSizeExceeded", message="The message exceeds the maximum supported size."
)


async def guarded(
    world: World,
    request: Request,
    process: Callable[[], Answer],
    *,
    target: Target,
    url: str,
    stage: Stage | None = None,
    subject: Draft | None = None,
) -> Reply:
    """What becomes of a request about drafts: latency, too many at once, a fault, else ``process``."""
    gauge, counters = world.graph_gauge, world.counters
    reply: Reply | None = None
    try:
        refusal = concurrency_refusal(gauge.enter(request.mailbox), enforced=world.settings.enforce_limits)
        if refusal is not None:
            reply = refusal.answer(request)
            return reply
        if world.settings.latency:
            await asyncio.sleep(world.settings.latency)
        rule = world.chaos.pick(
            Situation(
                target=target,
                mailbox=request.mailbox,
                subject="" if subject is None else subject.subject,
                recipients=() if subject is None else recipients_of(subject),
                stage=stage,
            )
        )
        rule = rule or (_simulated(world, subject) if target is Target.SEND and subject is not None else None)
        reply = process() if rule is None else await struck(rule, request, process, url=url)
    finally:
        gauge.leave(request.mailbox)
        status = str(reply.status if isinstance(reply, Answer) else reply or "canceled")
        counters.draft_requests[f"{target} {status}"] += 1
    return reply


async def struck(rule: Rule, request: Request, process: Callable[[], Answer], *, url: str) -> Reply:
    """What a fault makes of a request."""
    return await strike(rule, process=process, fault=lambda status: graph_fault(rule, status, ids=request.ids, url=url))


async def create(world: World, request: Request, *, url: str) -> Reply:
    """POST messages: a draft from JSON or MIME; 201 with its id, an immutable one where the client prefers that."""
    draft = _read(world, request)

    def process() -> Answer:
        refusal = access_refusal(world, request, grant="Mail.ReadWrite")
        refusal = refusal or (draft if isinstance(draft, Refusal) else None)
        if refusal is not None or isinstance(draft, Refusal):
            return (refusal or NOT_MIME).answer(request)
        world.drawer.drafts[draft.item_id] = draft
        world.counters.drafts_made += 1
        return created(request.ids, _as_json(draft))

    known = draft if isinstance(draft, Draft) else None
    return await guarded(world, request, process, target=Target.DRAFT, url=url, subject=known)


async def attach(world: World, request: Request, item: str, *, url: str) -> Reply:
    """POST attachments: a file in one request."""
    draft = world.drawer.of(request.mailbox, unquote(item))

    def process() -> Answer:
        refusal = access_refusal(world, request, grant="Mail.ReadWrite")
        if refusal is not None or draft is None:
            return (refusal or GONE).answer(request)
        if request.body is None:
            return FILE_TOO_LARGE.answer(request)
        try:
            file = file_of(read(request.body))
        except JsonMessageError as wrong:
            return Refusal(status=400, code=wrong.code, message=wrong.message).answer(request)
        if file.size > MAX_POSTED_FILE:
            return FILE_TOO_LARGE.answer(request)
        draft.files.append(file)
        world.counters.files_posted += 1
        return created(request.ids, {"@odata.type": "#microsoft.graph.fileAttachment", "name": file.name})

    return await guarded(world, request, process, target=Target.UPLOAD, url=url, stage=Stage.ATTACHMENT, subject=draft)


async def files(world: World, request: Request, item: str, *, url: str) -> Reply:
    """GET attachments: the names and sizes of a draft's files."""
    draft = world.drawer.of(request.mailbox, unquote(item))

    def process() -> Answer:
        refusal = access_refusal(world, request, grant="Mail.Read")
        if refusal is not None or draft is None:
            return (refusal or GONE).answer(request)
        return found(request.ids, {"value": [{"name": file.name, "size": file.size} for file in draft.files]})

    return await guarded(world, request, process, target=Target.UPLOAD, url=url, stage=Stage.FILES, subject=draft)


async def send(world: World, request: Request, item: str, *, url: str) -> Reply:
    """POST send: 202, and the draft is a sent item under the same immutable id; a second time 404."""
    draft = world.drawer.of(request.mailbox, unquote(item))
    world.counters.sends += 1

    def process() -> Answer:
        refusal = access_refusal(world, request, grant="Mail.Send")
        if refusal is not None or draft is None or draft.item_id not in world.drawer.drafts:
            return (refusal or GONE).answer(request)
        return _sent(world, request, draft)

    return await guarded(world, request, process, target=Target.SEND, url=url, subject=draft)


async def delete(world: World, request: Request, item: str, *, url: str) -> Reply:
    """DELETE a draft; a sent item can be deleted by this right too."""
    draft = world.drawer.of(request.mailbox, unquote(item))

    def process() -> Answer:
        refusal = access_refusal(world, request, grant="Mail.ReadWrite")
        if refusal is not None:
            return refusal.answer(request)
        if draft is not None and draft.item_id in world.drawer.drafts:
            world.drawer.drop(draft)
            world.counters.drafts_deleted += 1
        elif not world.delete_item(request.mailbox, unquote(item)):
            return GONE.answer(request)
        return emptied(request.ids)

    return await guarded(world, request, process, target=Target.DRAFT, url=url, stage=Stage.DELETE, subject=draft)


def recipients_of(draft: Draft) -> tuple[str, ...]:
    """Everybody whom the draft names; nobody where it cannot be read."""
    if draft.mime is not None:
        return read_mail(draft.mime).recipients
    try:
        return written(draft.message, mailbox=draft.mailbox, at=draft.created_at)[1]
    except JsonMessageError:
        return ()


def _read(world: World, request: Request) -> Draft | Refusal:
    if request.body is None:
        return TOO_LARGE
    kind = (request.header(b"content-type") or "").partition(";")[0].strip().lower()
    immutable = "immutableid" in (request.header(b"prefer") or "").lower()
    item_id = world.drawer.new_id(immutable=immutable)
    try:
        if kind == "text/plain":
            mail = read_mail(pybase64.b64decode(request.body, validate=True))
            return _draft(request, item_id, message_id=mail.message_id, subject=mail.subject, mime=mail.mime)
        message = read(request.body)
        written(message, mailbox=request.mailbox, at=request.ids.at)
    except JsonMessageError as wrong:
        return Refusal(status=400, code=wrong.code, message=wrong.message)
    except MalformedError:
        return NOT_MIME
    except binascii.Error:
        return NOT_BASE64
    draft = _draft(
        request,
        item_id,
        message_id=str(message.get("internetmessageid") or f"<{item_id[-17:-1]}@sandbox.prod.outlook.test>"),
        subject=str(message.get("subject") or ""),
        message=message,
    )
    draft.properties = properties(message)
    return draft


def _draft(
    request: Request,
    item_id: str,
    *,
    message_id: str,
    subject: str,
    message: dict[str, object] | None = None,
    mime: bytes | None = None,
) -> Draft:
    return Draft(
        item_id=item_id,
        mailbox=request.mailbox,
        created_at=request.ids.at,
        message_id=message_id,
        subject=subject,
        message=message or {},
        mime=mime,
    )


def _sent(world: World, request: Request, draft: Draft) -> Answer:
    mail, files = _mail(draft)
    size = len(mail.mime) + sum(file.size * 4 // 3 for file in draft.files if not _inside(file))
    refusal = _MESSAGE_TOO_LARGE if size > MAX_SMTP else None
    refusal = refusal or mail_refusal(world, request.mailbox, mail) or limit_refusal(world, request.mailbox, mail)
    if refusal is not None:
        return refusal.answer(request)
    keeps_id = draft.item_id.startswith(IMMUTABLE)
    world.accept(
        mail,
        mailbox=request.mailbox,
        recipients=mail.recipients,
        transport="graph",
        files=files,
        own_id=draft.item_id if keeps_id else None,
        drafted_at=draft.created_at,
    )
    world.drawer.drop(draft)
    world.counters.sends_accepted += 1
    return accepted(request.ids)


def _mail(draft: Draft) -> tuple[Mail, tuple[File, ...]]:
    """The mail that Exchange makes of the draft; large files stay beside it, for writing them takes seconds."""
    if draft.mime is not None:
        return read_mail(draft.mime), ()
    made, recipients = written(draft.message, mailbox=draft.mailbox, at=draft.created_at)
    for file in draft.files:
        if _inside(file):
            add_file(made, file)
    return _read_again(made, draft.message_id, recipients), tuple(draft.files)


def _inside(file: File) -> bool:
    return file.content is not None and file.size < MIN_SESSION


def _read_again(made: EmailMessage, message_id: str, recipients: tuple[str, ...]) -> Mail:
    mail = read_mail(with_message_id(made.as_bytes(), message_id))
    return Mail(mime=mail.mime, message_id=message_id, sender=mail.sender, recipients=recipients, subject=mail.subject)


def _simulated(world: World, draft: Draft) -> Rule | None:
    recipients = recipients_of(draft)
    stands_for = Mail(mime=b"", message_id=draft.message_id, sender="", recipients=recipients, subject=draft.subject)
    return simulated(world, stands_for, target=Target.GRAPH, recipients=recipients)


def _as_json(draft: Draft) -> dict[str, object]:
    return {
        "id": draft.item_id,
        "internetMessageId": draft.message_id,
        "subject": draft.subject,
        "isDraft": True,
        "hasAttachments": bool(draft.files),
    }
