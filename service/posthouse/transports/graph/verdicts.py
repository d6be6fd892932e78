"""What answers mean while a draft is made and filled: nothing was sent, whatever they say (PROMISES §4, FACTS A6)."""

from dataclasses import replace
from typing import Final

from posthouse.outcome import (
    Blocked,
    Outcome,
    PermanentFailure,
    Scope,
    Sent,
    TransientFailure,
    Unconfirmed,
)
from posthouse.transports.graph.replies import Facts, Refused, Reply, code_of, outcome

DRAFT_PERMISSION: Final = "draft_permission"
"""Why a message is held whose drafts the app may not write; a key of fixes."""
ITEM_GONE: Final = "ErrorItemNotFound"
SEND_AS: Final = "ErrorSendAsDenied"

_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_TOO_LARGE: Final = 413
_WORN: Final = frozenset({401, 403, 404})
_SIZES: Final = frozenset({"ErrorMessageSizeExceeded", "ErrorAttachmentSizeLimitExceeded"})


class Over(Exception):
    """The attempt ends here, before the draft was about to be sent."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.answer.text)
        self.outcome = outcome


def unsent(reply: Reply, refused: Refused, *, own_from: bool) -> Outcome:
    """The table of PROMISES §4 where doubt is none: what would be uncertain of a send is a failure of Graph here.

    A missing right to drafts holds this message alone: what needs no draft goes on; a missing Send As is no such right.
    """
    verdict = outcome(reply, Facts(own_from=own_from, unproven=False, refused=refused))
    if reply.status == _FORBIDDEN and code_of(reply.body) != SEND_AS:
        answer = replace(verdict.answer, code=DRAFT_PERMISSION, fix=DRAFT_PERMISSION)
        return Blocked(scope=Scope.MESSAGE, answer=answer)
    if isinstance(verdict, Sent | Unconfirmed):
        return TransientFailure(scope=Scope.TRANSPORT, answer=replace(verdict.answer, status="4.4.2", fix="graph.busy"))
    if reply.status == _NOT_FOUND and code_of(reply.body) == ITEM_GONE:
        return TransientFailure(scope=Scope.MESSAGE, answer=verdict.answer)
    return verdict


def unsent_range(reply: Reply) -> Outcome:
    """The same of an answer to a range of a file: it comes from another host, which says nothing of Graph itself."""
    verdict = outcome(reply, Facts(own_from=True, unproven=False, refused=Refused.MAILBOX))
    if reply.status == _TOO_LARGE or code_of(reply.body) in _SIZES:
        return PermanentFailure(scope=Scope.MESSAGE, answer=verdict.answer)
    if isinstance(verdict, Blocked | TransientFailure) and verdict.scope is Scope.MAILBOX:
        # throttled or full; a URL that is refused is worn out, and a new draft gets a new one
        return verdict if reply.status not in _WORN else _anew(verdict)
    return _anew(verdict)


def _anew(verdict: Outcome) -> TransientFailure:
    return TransientFailure(scope=Scope.MESSAGE, answer=replace(verdict.answer, fix="graph.upload"))
