"""The answers of Graph and Entra in Microsoft's own form, and the ways in which a connection dies instead."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from enum import StrEnum
from http import HTTPStatus
from typing import Final
from uuid import uuid4

Headers = tuple[tuple[bytes, bytes], ...]

_DIAGNOSTIC: Final = (
    b'{"ServerInfo":{"DataCenter":"Sandbox","Slice":"E","Ring":"1","ScaleUnit":"000","RoleInstance":"POSTHOUSE"}}'
)
_JSON: Final = (b"content-type", b"application/json")
# What Graph's 401 carries; without claims, so that no client begins a CAE round (SDK section 2).
_CHALLENGE: Final = (
    b'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", '
    b'client_id="00000003-0000-0000-c000-000000000000"'
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; the content length is added when it is sent."""

    status: int
    headers: Headers = ()
    body: bytes = b""


class Cut(StrEnum):
    """A connection's end in the place of an answer."""

    DROP = "drop"
    RESET = "reset"
    HANG = "hang"


Reply = Answer | Cut


@dataclass(frozen=True, slots=True)
class Ids:
    """What marks one request in its answer: Graph's id, the client's, and the time in seconds since 1970."""

    request_id: str
    client_request_id: str
    at: float

    @property
    def headers(self) -> Headers:
        """The headers that every answer of Graph has (FACTS A1)."""
        return (
            (b"date", formatdate(self.at, usegmt=True).encode()),
            (b"request-id", self.request_id.encode()),
            (b"client-request-id", self.client_request_id.encode()),
            (b"x-ms-ags-diagnostic", _DIAGNOSTIC),
        )


def new_ids(at: float, client_request_id: str | None) -> Ids:
    """Fresh ids; Graph repeats its own id where the client gave none."""
    request_id = str(uuid4())
    return Ids(request_id, client_request_id or request_id, at)


def accepted(ids: Ids, *, retry_after: str | None = None) -> Answer:
    """Graph's 202 with an empty body (FACTS A1)."""
    extra = ((b"retry-after", retry_after.encode()),) if retry_after else ()
    return Answer(202, ids.headers + extra)


def found(ids: Ids, value: object) -> Answer:
    """Graph's 200 with a JSON body."""
    return Answer(200, (*ids.headers, _JSON), json.dumps(value).encode())


def created(ids: Ids, value: object) -> Answer:
    """Graph's 201 with a JSON body."""
    return Answer(201, (*ids.headers, _JSON), json.dumps(value).encode())


def emptied(ids: Ids) -> Answer:
    """Graph's 204."""
    return Answer(204, ids.headers)


def graph_error(ids: Ids, status: int, code: str, message: str, *, retry_after: str | None = None) -> Answer:
    """An error in Graph's form (FACTS A1); a 401 carries its challenge."""
    date = datetime.fromtimestamp(ids.at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    inner = {"date": date, "request-id": ids.request_id, "client-request-id": ids.client_request_id}
    body = {"error": {"code": code, "message": message, "innerError": inner}}
    headers = [*ids.headers, _JSON]
    if retry_after:
        headers.append((b"retry-after", retry_after.encode()))
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", _CHALLENGE))
    return Answer(status, tuple(headers), json.dumps(body).encode())


def json_answer(status: int, value: object, *, headers: Headers = ()) -> Answer:
    """A JSON answer that no cache keeps, as Entra gives it."""
    return Answer(status, (_JSON, (b"cache-control", b"no-store, no-cache"), *headers), json.dumps(value).encode())


def html_answer(status: int, *, headers: Headers = ()) -> Answer:
    """What a proxy or front door says instead of Graph."""
    body = f"<html><head><title>{status}</title></head><body><h1>{status}</h1><hr>Microsoft-Azure-Application-Gateway</body></html>"
    return Answer(status, ((b"content-type", b"text/html"), *headers), body.encode())
