"""Hands the message to the service by HTTP, again and again for a short time where it is away, and never twice.

http.client, because a program that is called for every mail must start quickly.
"""

import contextlib
import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlsplit

from posthouse.cli.sendmail.sysexits import Ended, Exit

PATIENCE: Final = 20.0
"""Seconds for the service to come back, as long as a restart takes."""

TIMEOUT: Final = 60.0
"""Seconds without a byte from a service that was reached."""

_CONNECT: Final = 5.0
_FIRST: Final = 0.25
_LONGEST: Final = 2.0
_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
_ACCEPTED: Final = 202
_CODES: Final = {401: Exit.NOPERM, 403: Exit.NOPERM, 400: Exit.DATAERR, 413: Exit.DATAERR, 422: Exit.DATAERR}


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One message for the service; ``blocks`` gives its bytes, ``size`` of them, as often as it is called."""

    url: str
    key: str = field(repr=False)
    recipients: tuple[str, ...]
    idempotency_key: str
    size: int
    blocks: Callable[[], Iterator[bytes]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    retry_after: float
    body: bytes


class _LostError(Exception):
    """The service was reached, and its answer was not."""


def submit(submission: Submission, *, patience: float = PATIENCE) -> str:
    """The id of the accepted message; raises Ended, with TEMPFAIL where nobody knows of a mistake."""
    end, pause, lost = time.monotonic() + patience, _FIRST, False
    while True:
        try:
            answer = _once(submission)
        except (OSError, _LostError) as error:
            words, wait = f"{submission.url} does not answer: {error or type(error).__name__}", pause
            lost = lost or isinstance(error, _LostError)
        else:
            if answer.status not in _AGAIN:
                return _id(answer, submission)
            words, wait = _words(answer), max(pause, answer.retry_after)
        if time.monotonic() + wait > end:
            known = "it may have been accepted" if lost else "it was not accepted, try again later"
            raise Ended(Exit.TEMPFAIL, f"{words}; {known}")
        time.sleep(wait)
        pause = min(pause * 2, _LONGEST)


def _once(submission: Submission) -> _Answer:
    """One request; an answer that comes before the whole message was read counts."""
    place = urlsplit(submission.url)
    connection = _connection(place.scheme, place.hostname or "", place.port)
    query = "&".join("to=" + quote(one, safe="@") for one in submission.recipients)
    try:
        connection.connect()
        return _exchange(connection, f"{place.path}/v1/messages?{query}", submission)
    except http.client.HTTPException as error:
        raise _LostError(str(error) or type(error).__name__) from error
    finally:
        connection.close()


def _exchange(connection: http.client.HTTPConnection, path: str, submission: Submission) -> _Answer:
    if connection.sock is not None:
        connection.sock.settimeout(TIMEOUT)
    try:
        connection.putrequest("POST", path)
        connection.putheader("Authorization", f"Bearer {submission.key}")
        connection.putheader("Content-Type", "message/rfc822")
        connection.putheader("Content-Length", str(submission.size))
        connection.putheader("Idempotency-Key", submission.idempotency_key)
        connection.endheaders()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for (
                block
            ) in submission.blocks():  # a refusal may come before its end: then it is read, or reading fails too
                connection.send(block)
        answer = connection.getresponse()
        retry_after = answer.getheader("Retry-After", "")
        return _Answer(answer.status, float(retry_after) if retry_after.isdigit() else 0.0, answer.read())
    except OSError as error:
        raise _LostError(str(error) or type(error).__name__) from error


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=_CONNECT, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=_CONNECT)


def _id(answer: _Answer, submission: Submission) -> str:
    if answer.status == _ACCEPTED:
        try:
            return str(json.loads(answer.body)["id"])
        except (ValueError, KeyError, TypeError):
            raise Ended(Exit.UNAVAILABLE, f"{submission.url} is no posthouse") from None
    code = _CODES.get(answer.status, Exit.UNAVAILABLE)
    if code is Exit.DATAERR and _pointer(answer).startswith("/query/to"):
        code = Exit.NOUSER
    raise Ended(code, _words(answer))


def _problem(answer: _Answer) -> dict[str, object]:
    try:
        found = json.loads(answer.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _words(answer: _Answer) -> str:
    problem = _problem(answer)
    return (
        f"{problem['code']}: {problem['detail']}" if {"code", "detail"} <= problem.keys() else f"HTTP {answer.status}"
    )


def _pointer(answer: _Answer) -> str:
    errors = _problem(answer).get("errors")
    first = errors[0] if isinstance(errors, list) and errors else {}
    return str(first.get("pointer", "")) if isinstance(first, dict) else ""
