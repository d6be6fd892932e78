"""Graph's sendMail, JSON and MIME: checks as Graph does, then takes the mail (FACTS A)."""

import asyncio
import binascii
from dataclasses import replace
from typing import Final

import pybase64

from posthouse.sandbox.access import Refusal, access_refusal, concurrency_refusal
from posthouse.sandbox.answers import Answer, Reply, accepted
from posthouse.sandbox.chaos import Rule, Situation, Target
from posthouse.sandbox.faults import graph_fault, strike
from posthouse.sandbox.json_message import JsonMessageError, render
from posthouse.sandbox.mime import Mail, MalformedError, is_address, read_mail
from posthouse.sandbox.requests import Request
from posthouse.sandbox.simulator import simulated
from posthouse.sandbox.world import Post, World

TOO_LARGE: Final = Refusal(
    status=413, code="RequestEntityTooLarge", message="The maximum request length supported is 4MB."
)
NOT_BASE64: Final = Refusal(
    status=400, code="ErrorMimeContentInvalidBase64String", message="Invalid base64 string for MIME content."
)
NOT_MIME: Final = Refusal(status=400, code="ErrorMimeContentInvalid", message="The MIME content is invalid.")
_SEND_AS_DENIED: Final = Refusal(
    status=403,
    code="ErrorSendAsDenied",
    message=(
        "The user account which was used to submit this request does not have the right to send mail "
        "on behalf of the specified sending account."
    ),
)
_NO_RECIPIENTS: Final = Refusal(
    status=400,
    code="ErrorInvalidRecipients",
    message="A message can't be sent because it contains no recipients.",
)
_NOT_RESOLVED: Final = (
    "At least one recipient is not valid., Recipient '{}' is not resolved. "
    "All recipients must be resolved before a message can be submitted."
)
_QUOTA: Final = Refusal(status=429, code="ErrorSubmissionQuotaExceeded", message="The submission quota was exceeded.")


async def send_mail(world: World, request: Request, *, url: str) -> Reply:
    """Answer one sendMail request; ``url`` is where a redirecting fault points."""
    counters, gauge = world.counters, world.graph_gauge
    counters.posts += 1
    counters.posts_by_mailbox[request.mailbox] += 1
    sending = _Sending(world, request)
    reply: Reply | None = None
    try:
        refusal = concurrency_refusal(gauge.enter(request.mailbox), enforced=world.settings.enforce_limits)
        reply = refusal.answer(request) if refusal else await sending.reply(url)
    finally:
        gauge.leave(request.mailbox)
        status = str(reply.status if isinstance(reply, Answer) else reply or "canceled")
        counters.posts_by_status[status] += 1
        world.posts.append(sending.post(status))
    return reply


class _Sending:
    """One sendMail request under way."""

    __slots__ = ("_done", "_mail", "_request", "_saved", "_trouble", "_world")

    def __init__(self, world: World, request: Request) -> None:
        self._world = world
        self._request = request
        self._mail: Mail | None = None
        self._saved = True
        self._done = False
        self._trouble = self._read()

    def post(self, status: str) -> Post:
        """The line about this request."""
        message_id = self._mail.message_id if self._mail else ""
        ids = self._request.ids
        return Post(ids.at, self._request.mailbox, message_id, ids.client_request_id, status, self._done)

    async def reply(self, url: str) -> Reply:
        """What a fault makes of it, else what Graph says."""
        latency = self._world.settings.latency
        if latency:
            await asyncio.sleep(latency)
        rule = self._rule()
        if rule is None:
            return self._process()
        ids = self._request.ids
        return await strike(
            rule, process=self._process, fault=lambda status: graph_fault(rule, status, ids=ids, url=url)
        )

    def _rule(self) -> Rule | None:
        world, mail = self._world, self._mail
        if mail is None:
            return world.chaos.pick(Situation(target=Target.GRAPH, mailbox=self._request.mailbox))
        rule = None
        if world.chaos:
            situation = Situation(
                target=Target.GRAPH, mailbox=self._request.mailbox, recipients=mail.recipients, subject=mail.subject
            )
            rule = world.chaos.pick(situation)
        return rule or simulated(world, mail, target=Target.GRAPH, recipients=mail.recipients)

    def _read(self) -> Refusal | None:
        """Decode the body; gives what is wrong with it."""
        body = self._request.body
        if body is None:
            return TOO_LARGE
        kind = (self._request.header(b"content-type") or "").partition(";")[0].strip().lower()
        try:
            if kind == "application/json":
                mime, recipients, self._saved = render(body, mailbox=self._request.mailbox, at=self._request.ids.at)
                self._mail = replace(read_mail(mime), recipients=recipients)
            elif kind == "text/plain":
                self._mail = read_mail(_decoded(body))
            else:
                return Refusal(status=415, code="RequestBodyRead", message=f"Content-Type '{kind}' is not supported.")
        except JsonMessageError as wrong:
            return Refusal(status=400, code=wrong.code, message=wrong.message)
        except MalformedError:
            return NOT_MIME
        except binascii.Error:
            return NOT_BASE64
        return None

    def _process(self) -> Answer:
        """Check and take the mail."""
        world, request, mail = self._world, self._request, self._mail
        refusal = access_refusal(world, request, grant="Mail.Send") or self._trouble
        if refusal is None and mail is not None:
            refusal = mail_refusal(world, request.mailbox, mail) or limit_refusal(world, request.mailbox, mail)
        if refusal is not None or mail is None:
            return (refusal or NOT_MIME).answer(request)
        world.accept(mail, mailbox=request.mailbox, recipients=mail.recipients, transport="graph", saved=self._saved)
        world.counters.accepted += 1
        self._done = True
        return accepted(request.ids)


def _decoded(body: bytes) -> bytes:
    try:
        return pybase64.b64decode(body, validate=True)
    except binascii.Error:
        # Lines are allowed in base64 (RFC 2045 section 6.8); the quick way without them comes first.
        return pybase64.b64decode(body.translate(None, b"\r\n"), validate=True)


def mail_refusal(world: World, mailbox: str, mail: Mail) -> Refusal | None:
    """Why Exchange would not take this mail from this mailbox, or None."""
    if mail.sender and not world.settings.may_send_as(mailbox, mail.sender):
        return _SEND_AS_DENIED
    if not mail.recipients:
        return _NO_RECIPIENTS
    for recipient in mail.recipients:
        if not is_address(recipient):
            return Refusal(status=400, code="ErrorInvalidRecipients", message=_NOT_RESOLVED.format(recipient))
    return None


def limit_refusal(world: World, mailbox: str, mail: Mail) -> Refusal | None:
    """The 429 of a mailbox that is over its rate or its day, where limits are enforced; else its budget is spent."""
    if not world.settings.enforce_limits:
        return None
    now, count = world.clock(), len(mail.recipients)
    wait = world.budget.wait(mailbox, now)
    if wait is not None:
        text = "Application is over its MailboxMessageRate limit."
        return Refusal(status=429, code="ApplicationThrottled", message=text, retry_after=str(int(wait) + 1))
    if world.budget.exhausted(mailbox, now, recipients=count):
        return _QUOTA
    world.budget.spend(mailbox, now, recipients=count)
    return None
