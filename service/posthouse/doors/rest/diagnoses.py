"""Why a message is not sent: class, cause and fix, with Microsoft's code and request id, the same wherever it is shown."""

from collections.abc import Mapping
from typing import Final

from posthouse.fixes import Fix, filled
from posthouse.message import Event, Status
from posthouse.ports import Diagnosis
from posthouse.records import Record, Report
from posthouse.telemetry import (
    MESSAGE_BOUNCED,
    MESSAGE_DEFERRED,
    MESSAGE_EXPIRED,
    MESSAGE_FAILED,
    MESSAGE_FELL_BACK,
    MESSAGE_HELD,
    MESSAGE_UNCONFIRMED,
)

Json = dict[str, object]

TOLD: Final = frozenset({Status.DEFERRED, Status.HELD, Status.UNCONFIRMED, Status.FAILED, Status.EXPIRED})
"""The statuses that somebody asks the reason of."""
EVENTS: Final = frozenset(
    {MESSAGE_DEFERRED, MESSAGE_FELL_BACK, MESSAGE_HELD, MESSAGE_UNCONFIRMED, MESSAGE_FAILED, MESSAGE_EXPIRED}
    | {MESSAGE_BOUNCED}
)
UNSEEN: Final = "nobody saw the end of its attempt: the service died meanwhile, or a backup was restored"
UNKNOWN: Final = "See the answer's own text and code; where it says nothing, the log says more under the message's id."


def of_record(one: Record, diagnosis: Diagnosis) -> Json | None:
    """The reason for where it stands, from its last attempt or from what holds it; None where nothing is wrong."""
    if one.status not in TOLD:
        return None
    last = one.last
    held = one.held_cause if one.status is Status.HELD else None
    key = held if held is not None and diagnosis.fix(held) is not None else (last.fix if last else None) or held
    words = {"id": one.id, "mailbox": one.mailbox, "from address": one.sender, "client": one.client}
    return {
        **explained(key, diagnosis.fix(key) if key else None, words, text=last.text if last else UNSEEN),
        "code": None if last is None else last.code,
        "reply": None if last is None else last.reply,
        "text": None if last is None else last.text,
        "request_id": None if last is None else last.request_id,
        "transport": one.transport,
    }


def of_event(one: Event, diagnosis: Diagnosis) -> Json | None:
    """The same for a line of its history."""
    if one.type not in EVENTS:
        return None
    data = {name: value for name in ("fix", "cause", "code", "text", "request_id") if (value := one.data.get(name))}
    keys = [str(data[name]) for name in ("cause", "fix") if name in data]
    if not keys and "code" not in data:
        return None
    key = next((one for one in keys if diagnosis.fix(one) is not None), keys[0] if keys else None)
    text = str(data["text"]) if "text" in data else None
    shown = explained(key, diagnosis.fix(key) if key else None, _words(one), text=text)
    return {
        **shown,
        "code": data.get("code"),
        "reply": one.data.get("reply"),
        "text": text,
        "request_id": data.get("request_id"),
    }


def of_report(one: Report, message: Record, diagnosis: Diagnosis) -> Json:
    """Whom a sent message did not reach, as was reported later, and why."""
    words = {"id": message.id, "recipient": one.recipient, "mailbox": message.mailbox}
    return {
        **explained(one.fix, diagnosis.fix(one.fix), words, text=one.text),
        "code": one.code,
        "reply": one.reply,
        "text": one.text,
        "request_id": None,
    }


def _words(one: Event) -> Mapping[str, str]:
    recipient = one.data.get("recipient")
    return {"id": one.message_id} | ({"recipient": recipient} if isinstance(recipient, str) else {})


def explained(key: str | None, fix: Fix | None, words: Mapping[str, str], *, text: str | None) -> Json:
    """Class, cause and fix; where no advice is known the cause is what was answered.

    Where the fix says ``<mailbox>`` and the like, the message's own stands there, if it can be pasted without harm.
    """
    if fix is None:
        return {"key": key, "class": None, "cause": text or key, "fix": UNKNOWN}
    return {"key": key, "class": fix.kind.value, "cause": fix.cause, "fix": filled(fix.remedy, words)}
