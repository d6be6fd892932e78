"""The deeds that ``rules`` decides on, as verbs of ``spool/sql`` with their parameters; every engine has these verbs."""

import json
from typing import assert_never

from posthouse.message import Millis
from posthouse.spool import rules

Value = int | float | str | bytes | None


def verb_of(deed: rules.Deed, *, key: int, at: Millis) -> tuple[str, dict[str, Value]]:  # noqa: C901, PLR0911, PLR0912 - one case a deed
    """The verb that writes the deed about a message down, and its parameters."""
    match deed:
        case rules.Tell():
            told = {name: value for name, value in deed.data.items() if value is not None}
            return "event", {"message": key, "at": at, "type": deed.event, "data": json.dumps(told, ensure_ascii=False)}
        case rules.End():
            return "end_message", {"message": key, "status": deed.status.value, "at": at}
        case rules.Requeue():
            return "requeue", {
                "message": key,
                "due_at": deed.due_at,
                "accept_duplicate": deed.accept_duplicate,
                "expires_at": deed.expires_at,
                "gives_up_at": deed.gives_up_at,
            }
        case rules.ForbidResend():
            return "forbid_resend", {"message": key}
        case rules.LookNow():
            return "look_now", {"message": key, "at": at}
        case rules.NoteAppearance():
            return "appeared", {"message": key, "at": at, "took": deed.took}
        case rules.NoteVerdict():
            return "attempt_settled", {"message": key, "number": deed.number, "verdict": deed.verdict.value}
        case rules.NoteDraft():
            return "draft_stays", {"message": key, "stays": deed.stays}
        case rules.LookAgain():
            again = {"looks": deed.looks, "absent_at": deed.absent_at, "look_at": deed.look_at}
            return "look_again", {"message": key, **again}
        case rules.HoldAgain():
            return "hold_again", {"message": key, "cause": deed.cause}
        case rules.HoldUnsettled():
            return "hold_unsettled", {"message": key, "cause": deed.cause}
        case rules.Alter():
            change = deed.change
            return "change", {
                "message": key,
                "due_at": change.due_at,
                "priority": change.priority,
                "expires_at": change.expires_at,
                "never_expires": change.never_expires,
                "gives_up_at": deed.gives_up_at,
            }
        case _:
            assert_never(deed)
