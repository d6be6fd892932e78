"""POST …/sendMail as Graph has it: JSON and base64 MIME, 202 with nothing in it, only after the message is kept."""

import re
from typing import Final

from fastapi import FastAPI, Request, Response

from posthouse.doors.address import is_address
from posthouse.doors.graph.drafts import from_json
from posthouse.doors.graph.errors import CLIENT_REQUEST_ID, GraphRefused
from posthouse.doors.graph.mime import Arrived, mime_message
from posthouse.doors.graph.reading import send_mail
from posthouse.doors.graph.retries import Marks, keep, marks_of
from posthouse.doors.http.allowance import allowance_fields
from posthouse.doors.http.incoming import arriving
from posthouse.doors.http.parts import Endpoint, Parts, RawRoute
from posthouse.doors.http.reading import JSON, Headers, body, in_turn, media_type, refuse_length
from posthouse.policy import Client
from posthouse.refusal import Condition
from posthouse.ways import EXCHANGE_MOST

MIME: Final = b"text/plain"
LARGER: Final = "; larger messages go as base64 MIME, with Content-Type: text/plain"
NO_USER: Final = "ErrorInvalidUser"


class SendMail:
    """Takes messages from clients of Graph."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._step = parts.step

    async def me(self, request: Request) -> Response:
        """POST /me/sendMail: from the client's default sender."""
        return await self._take(request, None)

    async def user(self, request: Request) -> Response:
        """POST /users/{address}/sendMail."""
        return await self._take(request, request.path_params["user"])

    async def _take(self, request: Request, user: str | None) -> Response:
        headers: Headers = dict(request.scope["headers"])
        client = self._parts.caller_of(headers, request.scope)
        self._step.welcome(client)
        media, marks = media_type(headers, (JSON, MIME)), marks_of(headers)
        mailbox = _default_sender(client) if user is None else _mailbox(user)
        if media == JSON:
            raw = await body(request, monotonic=self._parts.clock.monotonic, larger=LARGER)
            arrived = await in_turn(raw, lambda: self._json(raw, mailbox, client))
            return await self._accept(arrived, marks, headers)
        refuse_length(headers, (self._step.rules.max_message_bytes or EXCHANGE_MOST) * 3 // 2)
        blocks = arriving(request.receive, monotonic=self._parts.clock.monotonic)
        async with mime_message(blocks, mailbox, client=client, step=self._step) as arrived:
            return await self._accept(arrived, marks, headers)

    def _json(self, raw: bytes, mailbox: str | None, client: Client) -> Arrived:
        wanted = send_mail(raw)
        if mailbox is None and wanted.message.author is None:
            raise _no_default(client)
        draft = from_json(wanted, mailbox or "", client=client, step=self._step)
        return Arrived(draft, wanted.fingerprint(mailbox or ""))

    async def _accept(self, arrived: Arrived, marks: Marks, headers: Headers) -> Response:
        """Graph's 202: empty; our id where Graph's clients log one."""
        kept = await keep(arrived.draft, marks, arrived.request_hash, step=self._step)
        message_id = kept.id.encode()
        response = Response(status_code=202)
        response.raw_headers += [
            (b"location", b"/v1/messages/" + message_id),
            (b"request-id", message_id),
            (CLIENT_REQUEST_ID, headers.get(CLIENT_REQUEST_ID) or message_id),
            *allowance_fields(self._step.allowance(arrived.draft.client)),
        ]
        if kept.replayed:
            response.raw_headers.append((b"idempotency-replayed", b"true"))
        return response


class AnyCase(RawRoute):
    """A route of Graph, which does not tell cases apart in its addresses."""

    def __init__(self, path: str, endpoint: Endpoint, **options: object) -> None:
        super().__init__(path, endpoint, **options)
        self.path_regex = re.compile(self.path_regex.pattern, re.IGNORECASE)


def install(app: FastAPI, parts: Parts) -> None:
    """Mount the routes; they are no part of the OpenAPI document, Graph's own describes them."""
    takes = SendMail(parts)
    for version in ("v1.0", "beta"):
        for action in ("sendMail", "microsoft.graph.sendMail"):
            for place, endpoint in ((f"me/{action}", takes.me), (f"users/{{user:path}}/{action}", takes.user)):
                app.router.add_api_route(
                    f"/{version}/{place}",
                    endpoint,
                    methods=["POST"],
                    include_in_schema=False,
                    route_class_override=AnyCase,
                )


def _mailbox(user: str) -> str:
    """The address of the URL; an object's id says nothing here."""
    if is_address(user):
        return user
    detail = f"The requested user {user[:100]!r} is invalid: write the mailbox's address, as in /users/a@b/sendMail"
    raise GraphRefused(Condition.NOT_FOUND, detail, code=NO_USER, status=404)


def _default_sender(client: Client) -> str | None:
    """The first of the client's senders that is an address and no pattern."""
    return next((sender for sender in client.senders if not sender.startswith("*")), None)


def _no_default(client: Client) -> GraphRefused:
    senders = ", ".join(client.senders)
    detail = f"/me is the client's first exact sender, and this one has {senders}: write from, or /users/a@b/sendMail"
    return GraphRefused(Condition.VALIDATION_ERROR, detail, code="BadRequest")
