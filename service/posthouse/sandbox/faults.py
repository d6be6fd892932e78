"""Turns a fault rule into what the client of Graph, of a look-up or of Entra sees."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from posthouse.sandbox.answers import Answer, Cut, Ids, Reply, accepted, graph_error, html_answer
from posthouse.sandbox.chaos import Rule

_SLOW: Final = 5.0  # seconds of "slow" where the rule names none
_LATE: Final = 1.0  # seconds until a late one is done where the rule names none

# status: code, message (FACTS B2; status without an entry: UnknownError with an empty message)
_CODES: Final = {
    400: ("BadRequest", "The request is malformed or incorrect."),
    401: ("InvalidAuthenticationToken", "Access token is empty."),
    403: ("ErrorAccessDenied", "Access is denied. Check credentials and try again."),
    404: ("ErrorInvalidUser", "The requested user is invalid."),
    408: ("RequestTimeout", "The request timed out."),
    413: ("RequestEntityTooLarge", "The request entity is too large."),
    429: ("ApplicationThrottled", "Application is over its MailboxConcurrency limit."),
    500: ("ErrorInternalServerError", "An internal server error occurred. The operation failed., Try again later."),
    503: ("ServiceUnavailable", "The service is temporarily unavailable. Please try again."),
    507: ("ErrorQuotaExceeded", "The mailbox has exceeded its quota."),
}


def retry_after(rule: Rule, status: int) -> str | None:
    """The header's value: as the rule says, else 1 for a 429, else none."""
    if rule.retry_after is None:
        return "1" if status == HTTPStatus.TOO_MANY_REQUESTS else None
    if isinstance(rule.retry_after, str):
        return rule.retry_after or None
    return f"{rule.retry_after:g}"


async def delay(rule: Rule) -> None:
    """Wait as long as the rule says before it strikes."""
    seconds = rule.seconds if rule.seconds is not None else (_SLOW if rule.kind == "slow" else 0.0)
    if seconds:
        await asyncio.sleep(seconds)


async def strike(rule: Rule, *, process: Callable[[], Answer], fault: Callable[[int], Answer]) -> Reply:
    """What the client gets; ``process`` does the real work, ``fault`` words a status.

    A real refusal goes before an ``-after-send`` fault: nothing was accepted that could be followed by it.
    """
    done = process() if rule.after_send else None
    if done is not None and done.status >= HTTPStatus.MULTIPLE_CHOICES:
        return done
    if rule.late:
        asyncio.get_running_loop().call_later(_LATE if rule.seconds is None else rule.seconds, process)
    else:
        await delay(rule)
    match rule.kind:
        case "slow":
            return done or process()
        case "drop":
            return Cut.RESET if rule.after_send else Cut.DROP
        case "reset":
            return Cut.RESET
        case "hang":
            return Cut.HANG
        case status:
            return fault(int(status))


def graph_fault(rule: Rule, status: int, *, ids: Ids, url: str) -> Answer:
    """The answer of this status as Graph, or what stands before it, would give it."""
    pause = retry_after(rule, status)
    extra = ((b"retry-after", pause.encode()),) if pause else ()
    if status == HTTPStatus.ACCEPTED:
        return accepted(ids, retry_after=pause)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return Answer(status, (*ids.headers, *extra, (b"location", url.encode())))
    if status < HTTPStatus.BAD_REQUEST or rule.body == "empty":
        return Answer(status, (*ids.headers, *extra))
    if rule.body == "html" or (rule.body is None and rule.code is None and status == HTTPStatus.BAD_GATEWAY):
        return html_answer(status, headers=extra)
    code, message = _CODES.get(status, ("UnknownError", ""))
    return graph_error(ids, status, rule.code or code, message, retry_after=pause)
