"""The one table of what Graph's answers to sendMail mean: PROMISES §4, row by row, codes before statuses."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from posthouse.fixes import GRAPH
from posthouse.outcome import (
    UNKNOWN,
    Answer,
    Blocked,
    Outcome,
    PermanentFailure,
    Scope,
    Sent,
    TransientFailure,
    Unconfirmed,
)
from posthouse.transports.faults import public, retry_after

PROMPT: Final = 5.0
"""Seconds after the last request byte within which a 503 says that nothing was done (FACTS B2: slow ones had been)."""

ACCEPTED: Final = 202
"""The only status that is success (FACTS 0.2; the SDK takes redirects and 200 for success, SDK §0.1)."""

_QUOTA: Final = frozenset(
    {
        "ErrorQuotaExceeded",
        "QuotaExceededException",
        "ErrorSubmissionQuotaExceeded",
        "ErrorExceededMessageLimit",
        "ErrorExceededMaxRecipientLimit",
        "ErrorMessageSubmissionBlocked",
        "ErrorAccountSuspend",
    }
)
_MAYBE_DONE: Final = frozenset(
    {"UnknownError", "ErrorInternalServerError", "ErrorServerBusy", "ErrorDirectoryConcurrencyLimit"}
)
_NO_MAILBOX: Final = frozenset({"ErrorInvalidUser", "Request_ResourceNotFound", "MailboxNotEnabledForRESTAPI"})
_CLIENT_ERRORS: Final = range(400, 500)
_DEPTH: Final = 8

_STATUS: Final[Mapping[str, str]] = {
    # RFC 3463 §3: what is wrong, in the words of mail
    "graph.recipients": "5.1.3",
    "graph.too_large": "5.3.4",
    "graph.content_refused": "5.7.1",
}


class Refused(Enum):
    """What a 401 means, judged with the memory of its token (PROMISES §4)."""

    RENEW = auto()
    MAILBOX = auto()
    TRANSPORT = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An HTTP answer; ``waited`` is the seconds since the last byte of the request, ``now`` Unix seconds."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    waited: float
    now: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a verdict needs beside the answer.

    ``own_from``: From is the mailbox. ``unproven``: the mailbox has never sent and only a wildcard allows it.
    """

    own_from: bool
    unproven: bool
    refused: Refused


def outcome(reply: Reply, facts: Facts) -> Outcome:
    """The verdict of PROMISES §4; the first row that fits counts."""
    status, code = reply.status, code_of(reply.body)
    prompt = reply.waited <= PROMPT
    if status == ACCEPTED:
        return Sent(answer=_answer(reply, status="2.0.0", fix=None), receipt=reply.headers.get("request-id"))
    if code in _QUOTA or status == 507:  # noqa: PLR2004 - the row of PROMISES §4
        return _blocked(reply, Scope.MAILBOX, fix="graph.mailbox_full")
    if status == 429 or (status == 503 and prompt and code == "CommandConcurrencyLimitReached"):  # noqa: PLR2004
        return TransientFailure(scope=Scope.MAILBOX, answer=_answer(reply, status="4.4.5", fix="graph.throttled"))
    if status == 401:  # noqa: PLR2004
        return _unauthorized(reply, facts.refused)
    if status in _CLIENT_ERRORS and status != 408:  # noqa: PLR2004
        return _client_error(reply, code, facts)
    if status == 503 and prompt and code not in _MAYBE_DONE:  # noqa: PLR2004
        return TransientFailure(scope=Scope.TRANSPORT, answer=_answer(reply, status="4.3.2", fix="graph.busy"))
    fix = "graph.uncertain" if status >= 500 or status == 408 else "graph.redirect"  # noqa: PLR2004
    return Unconfirmed(answer=_answer(reply, status="4.3.0", fix=fix))


def code_of(body: bytes) -> str | None:
    """The deepest code that is known (errors.md: inner errors nest), else the outermost; None without a Graph error."""
    codes = [code for code, _ in _levels(body)]
    known = [code for code in codes if code in GRAPH]
    return known[-1] if known else next(iter(codes), None)


def failed_answer(reply: Reply, *, fix: str) -> Answer:
    """The public answer for a reply that is no answer to a send."""
    return _answer(reply, status="4.3.0", fix=fix)


def _unauthorized(reply: Reply, refused: Refused) -> Outcome:
    answer = _answer(reply, status="4.7.8", fix="graph.token_refused")
    match refused:
        case Refused.RENEW:
            return TransientFailure(scope=Scope.MESSAGE, answer=answer, at_once=True)
        case Refused.MAILBOX:
            return Blocked(scope=Scope.MAILBOX, answer=answer)
        case Refused.TRANSPORT:
            return Blocked(scope=Scope.TRANSPORT, answer=answer)


def _client_error(reply: Reply, code: str | None, facts: Facts) -> Outcome:
    if code is None:
        return _blocked(reply, Scope.TRANSPORT, fix="graph.proxy")
    if code == "Authorization_RequestDenied":
        return _blocked(reply, Scope.TRANSPORT, fix="graph.app_permission")
    if code == "ErrorSendAsDenied" and not facts.own_from:
        return _blocked(reply, Scope.SENDER, fix="graph.send_as")
    if reply.status == 403 or (reply.status == 404 and code in _NO_MAILBOX):  # noqa: PLR2004
        # a right that is missing is a mistake of the set-up and costs no mail; an unknown mailbox may be a typing error
        if facts.unproven and reply.status == 404 and code != "MailboxNotEnabledForRESTAPI":  # noqa: PLR2004
            answer = _answer(reply, status="5.1.8", fix="graph.mailbox_permission")
            return PermanentFailure(scope=Scope.MESSAGE, answer=answer)
        return _blocked(reply, Scope.MAILBOX, fix="graph.mailbox_permission")
    fix = "graph.too_large" if reply.status == 413 else "graph.refused_message"  # noqa: PLR2004
    status = _STATUS.get(GRAPH.get(code, fix), "5.6.0")
    return PermanentFailure(scope=Scope.MESSAGE, answer=_answer(reply, status=status, fix=fix))


def _blocked(reply: Reply, scope: Scope, *, fix: str) -> Blocked:
    return Blocked(scope=scope, answer=_answer(reply, status="4.3.5", fix=fix))


def _answer(reply: Reply, *, status: str, fix: str | None) -> Answer:
    levels = list(_levels(reply.body))
    code = code_of(reply.body)
    words = next((message for _, message in levels if message), "")
    text = f"HTTP {reply.status}" + (f" {code}" if code else "") + (f": {words}" if words else "")
    return Answer(
        status=status,
        text=public(text),
        code=public(code or UNKNOWN),
        reply=reply.status,
        request_id=reply.headers.get("request-id"),
        retry_after=retry_after(reply.headers.get("retry-after"), now=reply.now),
        fix=fix and GRAPH.get(code or "", fix),
    )


def _levels(body: bytes) -> Iterator[tuple[str, str]]:
    """Code and message of each nested error, outermost first; nothing where the body is no Graph error."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return
    level = parsed.get("error") if isinstance(parsed, dict) else None
    for _ in range(_DEPTH):
        if not isinstance(level, dict):
            return
        code, message = level.get("code"), level.get("message")
        if isinstance(code, str) and code:
            yield code, message if isinstance(message, str) else ""
        level = level.get("innerError") or level.get("innererror")
