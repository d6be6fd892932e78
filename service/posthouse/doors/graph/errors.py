"""How the Graph door refuses: Graph's error object, with Graph's codes (CONTRACT §2.4)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from fastapi import Response
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from posthouse.doors.problems import graph_of
from posthouse.ports import Clock
from posthouse.refusal import Condition, FieldError, Refused

CLIENT_REQUEST_ID: Final = b"client-request-id"
FAULT: Final = (500, "InternalServerError", "a fault of posthouse; its log has more under this request-id")

_SAID: Final = {
    Condition.NOT_FOUND: "Resource not found for the segment; of Microsoft Graph posthouse has sendMail only: ",
    Condition.METHOD_NOT_ALLOWED: "Specified HTTP method is not allowed for the request target: ",
}
"""How Graph begins where the text of the listener knows nothing of Graph."""
_PLACES: Final = {
    "from": "/message/from",
    "to": "/message/toRecipients",
    "cc": "/message/ccRecipients",
    "bcc": "/message/bccRecipients",
    "reply_to": "/message/replyTo",
    "subject": "/message/subject",
    "text": "/message/body/content",
    "html": "/message/body/content",
    "headers": "/message/internetMessageHeaders",
    "attachments": "/message/attachments",
}
_FILE_FIELDS: Final = {"filename": "name", "content_type": "contentType", "content_id": "contentId"}


class GraphRefused(Refused):
    """A refusal for which Graph has a code of its own, beside that of its condition."""

    def __init__(
        self, condition: Condition, detail: str, *, code: str, errors: tuple[FieldError, ...] = (), status: int = 400
    ) -> None:
        super().__init__(condition, detail, errors=errors)
        self.code = code
        self.status = status


class GraphError(Response):
    """An error as Graph writes it; written when it is sent, because it repeats the client-request-id of its request."""

    def __init__(
        self, *, status: int, code: str, message: str, request_id: str, clock: Clock, errors: Sequence[FieldError] = ()
    ) -> None:
        super().__init__(status_code=status)
        self._code = code
        self._message = message
        self._request_id = request_id
        self._at = datetime.fromtimestamp(clock.now() / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        self._errors = errors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        asked = dict(scope["headers"]).get(CLIENT_REQUEST_ID, b"").decode("latin-1")
        theirs = asked or self._request_id
        details = [
            {"code": self._code, "message": error.detail, "target": place_of(error.pointer)} for error in self._errors
        ]
        inner = {"date": self._at, "request-id": self._request_id, "client-request-id": theirs}
        error: dict[str, object] = {"code": self._code, "message": self._message, "innerError": inner}
        if details:
            error["details"] = details
        kept = {name: value for name, value in self.headers.items() if name != "content-length"}
        ids = {"request-id": self._request_id, CLIENT_REQUEST_ID.decode(): theirs}
        body = to_json({"error": error})
        response = Response(body, self.status_code, headers=kept | ids, media_type="application/json")
        await response(scope, receive, send)


def refusal(refused: Refused, request_id: str, *, clock: Clock) -> Response:
    """The answer to a request that is refused."""
    status, code = graph_of(refused.condition)
    message = refused.detail
    if isinstance(refused, GraphRefused):
        status, code = refused.status, refused.code
    else:
        message = _SAID.get(refused.condition, "") + message
    return GraphError(
        status=status, code=code, message=message, request_id=request_id, clock=clock, errors=refused.errors
    )


def fault(request_id: str, *, clock: Clock) -> Response:
    """What a caller sees of a fault of ours."""
    status, code, message = FAULT
    return GraphError(status=status, code=code, message=message, request_id=request_id, clock=clock)


def place_of(pointer: str) -> str:
    """The place in Graph's message of what REST, composing and the door step call otherwise; others stay."""
    _, head, *rest = pointer.split("/") if pointer.startswith("/") else ("", "")
    place = _PLACES.get(head)
    if place is None:
        return pointer
    return "/".join((place, *(_FILE_FIELDS.get(step, step) for step in rest)))
