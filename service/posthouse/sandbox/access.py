"""May this request do that: token, grant, mailbox, and how many are in flight (FACTS B1, B2)."""

from dataclasses import dataclass
from typing import Final

from posthouse.sandbox.answers import Answer, graph_error
from posthouse.sandbox.entra import GRAPH
from posthouse.sandbox.limits import CONCURRENT_REQUESTS
from posthouse.sandbox.requests import Request
from posthouse.sandbox.world import World

_WIDER: Final = {
    "Mail.ReadBasic": frozenset({"Mail.Read", "Mail.ReadWrite"}),
    "Mail.Read": frozenset({"Mail.ReadWrite"}),
}
"""Grants that hold another one too (FACTS A5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error of Graph before it is worded for one request; ``retry_after`` in seconds."""

    status: int
    code: str
    message: str
    retry_after: str | None = None

    def answer(self, request: Request) -> Answer:
        """The refusal as the request's answer."""
        return graph_error(request.ids, self.status, self.code, self.message, retry_after=self.retry_after)


def access_refusal(world: World, request: Request, *, grant: str) -> Refusal | None:
    """Why the request may not reach its mailbox with this grant, or None where it may."""
    trouble = _token_trouble(world, request)
    if trouble is not None:
        return Refusal(status=401, code="InvalidAuthenticationToken", message=trouble)
    granted = world.settings.grants & (_WIDER.get(grant, frozenset()) | {grant})
    if not granted or (world.settings.knows(request.mailbox) and not world.settings.covers(request.mailbox)):
        text = "Access is denied. Check credentials and try again."
        return Refusal(status=403, code="ErrorAccessDenied", message=text)
    if not world.settings.knows(request.mailbox):
        return Refusal(
            status=404, code="ErrorInvalidUser", message=f"The requested user '{request.mailbox}' is invalid."
        )
    if request.mailbox in world.settings.unlicensed:
        text = "The mailbox is either inactive, soft-deleted, or is hosted on-premise."
        return Refusal(status=404, code="MailboxNotEnabledForRESTAPI", message=text)
    return None


def concurrency_refusal(in_flight: int, *, enforced: bool) -> Refusal | None:
    """The 429 for the fifth request in flight of one app and mailbox."""
    if not enforced or in_flight <= CONCURRENT_REQUESTS:
        return None
    text = "Application is over its MailboxConcurrency limit."
    return Refusal(status=429, code="ApplicationThrottled", message=text, retry_after="1")


def _token_trouble(world: World, request: Request) -> str | None:
    scheme, _, text = (request.header(b"authorization") or "").partition(" ")
    if scheme.lower() != "bearer" or not text:
        return "Access token is empty."
    token = world.tokens.get(text)
    if token is None:
        return "IDX14100: JWT is not well formed, or not issued here."
    if token.resource != GRAPH:
        return "Access token validation failure. Invalid audience."
    return "Lifetime validation failed, the token is expired." if token.expires_at <= world.clock() else None
