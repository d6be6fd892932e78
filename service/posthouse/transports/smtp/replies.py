"""The one table of what SMTP replies mean, by stage, enhanced code and text: FACTS D4 and PROMISES §4."""

import re
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Final

from posthouse.outcome import Answer, Blocked, Outcome, PermanentFailure, Scope, TransientFailure, Unconfirmed
from posthouse.transports.faults import public

_ENHANCED: Final = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})(?!\d)")
_GREY: Final = re.compile(r"4\.7\.(?:5|6)\d\d")
_CLOSING: Final = 421
_PAUSE: Final = 432
_NO_AUTH: Final = 530


class Stage(StrEnum):
    """How far a dialogue has come."""

    GREETING = "greeting"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL FROM"
    RCPT = "RCPT TO"
    DATA = "DATA"
    END = "the end of the content"


class _Verdict(Enum):
    BLOCKED = auto()
    TRANSIENT = auto()
    PERMANENT = auto()


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply code (RFC 5321 §4.2) and its text, the enhanced code (RFC 2034) included."""

    code: int
    text: str

    @property
    def enhanced(self) -> str | None:
        """The enhanced status code at the beginning of the text."""
        match = _ENHANCED.match(self.text)
        return match[1] if match else None

    @property
    def refuses(self) -> bool:
        """Whether it is a 4xx or 5xx: a definite no."""
        return self.code // 100 in {4, 5}


@dataclass(frozen=True, slots=True)
class _Row:
    enhanced: str
    fragment: str
    verdict: _Verdict
    scope: Scope
    fix: str

    def fits(self, reply: Reply) -> bool:
        return self.enhanced in {reply.enhanced, ""} and self.fragment in reply.text.lower()


_B, _T, _P = _Verdict.BLOCKED, _Verdict.TRANSIENT, _Verdict.PERMANENT

_ROWS: Final = (
    # --- logging in
    _Row("5.7.139", "disabled for the tenant", _B, Scope.TRANSPORT, "smtp.disabled_tenant"),
    _Row("5.7.139", "disabled for the mailbox", _B, Scope.MAILBOX, "smtp.disabled_mailbox"),
    _Row("5.7.139", "credentials were incorrect", _B, Scope.MAILBOX, "smtp.password"),
    _Row("5.7.139", "security defaults", _B, Scope.TRANSPORT, "smtp.security_defaults"),
    _Row("5.7.139", "", _B, Scope.MAILBOX, "smtp.conditional_access"),
    # the registered meaning of X.7.30 is another one, so the text decides (FACTS D3)
    _Row("5.7.30", "basic authentication", _B, Scope.TRANSPORT, "smtp.basic_gone"),
    _Row("5.7.3", "", _B, Scope.MAILBOX, "smtp.token_refused"),
    _Row("5.7.57", "", _B, Scope.MAILBOX, "smtp.not_authenticated"),
    # --- the sender; 5.2.252 has two meanings
    _Row("5.2.252", "continuous", _B, Scope.MAILBOX, "smtp.repeated_error"),
    _Row("5.2.252", "", _B, Scope.SENDER, "smtp.send_as"),
    _Row("5.7.60", "", _B, Scope.SENDER, "smtp.send_as"),
    _Row("5.2.251", "", _B, Scope.MAILBOX, "smtp.repeated_error"),
    _Row("5.2.253", "", _B, Scope.MAILBOX, "smtp.repeated_error"),
    _Row("5.2.254", "", _B, Scope.MAILBOX, "smtp.repeated_error"),
    _Row("5.2.255", "", _B, Scope.MAILBOX, "smtp.repeated_error"),
    _Row("", "submissionquotaexceeded", _B, Scope.MAILBOX, "smtp.day_quota"),
    _Row("5.1.90", "", _B, Scope.MAILBOX, "smtp.day_quota"),
    _Row("5.1.92", "", _B, Scope.MAILBOX, "smtp.day_quota"),
    _Row("", "quotaexceededexception", _B, Scope.MAILBOX, "smtp.mailbox_full"),
    _Row("5.1.8", "bad outbound sender", _B, Scope.MAILBOX, "smtp.restricted"),
    _Row("5.7.501", "", _B, Scope.MAILBOX, "smtp.restricted"),
    _Row("5.7.502", "", _B, Scope.MAILBOX, "smtp.restricted"),
    _Row("5.7.503", "", _B, Scope.MAILBOX, "smtp.restricted"),
    _Row("5.7.511", "", _B, Scope.MAILBOX, "smtp.restricted"),
    # --- the tenant
    _Row("5.7.705", "", _B, Scope.TRANSPORT, "smtp.tenant_blocked"),
    _Row("5.7.708", "", _B, Scope.TRANSPORT, "smtp.tenant_blocked"),
    _Row("5.7.232", "", _B, Scope.TRANSPORT, "smtp.tenant_quota"),
    _Row("5.7.233", "", _B, Scope.TRANSPORT, "smtp.tenant_quota"),
    # --- what passes
    _Row("4.3.2", "resource forest", _T, Scope.TRANSPORT, "smtp.busy"),
    _Row("4.3.2", "concurrent connections limit", _T, Scope.MAILBOX, "smtp.connections"),
    _Row("4.3.2", "storedrv.clientsubmit", _T, Scope.MAILBOX, "smtp.connections"),
    _Row("4.3.1", "", _T, Scope.TRANSPORT, "smtp.busy"),
    _Row("4.3.2", "", _T, Scope.TRANSPORT, "smtp.busy"),
    _Row("4.4.2", "", _T, Scope.TRANSPORT, "smtp.busy"),
    _Row("4.7.0", "temporary server error", _T, Scope.MESSAGE, "smtp.busy"),
    # --- the message
    _Row("5.3.4", "", _P, Scope.MESSAGE, "smtp.too_large"),
)
_FULL: Final = _Row("5.2.2", "", _B, Scope.MAILBOX, "smtp.mailbox_full")
"""At RCPT the full mailbox would be a recipient's."""


def outcome(reply: Reply, stage: Stage, *, own_from: bool) -> Outcome:
    """What a reply that refuses, or cannot be understood, means for the message.

    ``own_from``: From is the mailbox, so that a refused From is the mailbox's fault.
    """
    if not reply.refuses:
        text = f"an unexpected reply to {stage}"
        answer = Answer(status="4.5.0", text=text, code="unexpected_reply", reply=reply.code, fix="network.path")
        if stage is Stage.END:
            return Unconfirmed(answer=answer)
        return TransientFailure(scope=Scope.TRANSPORT, answer=answer)
    row = _known(reply, stage) or _unknown(reply, stage)
    scope = Scope.MAILBOX if row.scope is Scope.SENDER and own_from else row.scope
    answer = answer_of(reply, fix=row.fix)
    match row.verdict:
        case _Verdict.BLOCKED:
            return Blocked(scope=scope, answer=answer)
        case _Verdict.TRANSIENT:
            return TransientFailure(scope=scope, answer=answer)
        case _Verdict.PERMANENT:
            return PermanentFailure(scope=scope, answer=answer)


def concerns_recipient(reply: Reply) -> bool:
    """Whether a reply to RCPT is about that recipient alone, not about the sender, the tenant or the server."""
    if not reply.refuses:
        return False
    row = _known(reply, Stage.RCPT)
    return row is None or row.scope is Scope.MESSAGE


def answer_of(reply: Reply, *, fix: str | None) -> Answer:
    """The public form of a reply."""
    return Answer(
        status=reply.enhanced or f"{reply.code // 100}.0.0",
        text=public(f"{reply.code} {reply.text}"),
        code=reply.enhanced or str(reply.code),
        reply=reply.code,
        fix=fix,
    )


def _known(reply: Reply, stage: Stage) -> _Row | None:
    for row in _ROWS:
        if row.fits(reply):
            return row
    if stage is not Stage.RCPT and _FULL.fits(reply):
        return _FULL
    if _GREY.fullmatch(reply.enhanced or ""):
        return _Row("", "", _T, Scope.TRANSPORT, "smtp.grey_listed")
    if reply.code == _CLOSING:
        return _Row("", "", _T, Scope.TRANSPORT, "smtp.busy")
    if reply.code == _PAUSE:
        return _Row("", "", _T, Scope.MAILBOX, "smtp.connections")
    if reply.code == _NO_AUTH:
        return _Row("", "", _B, Scope.MAILBOX, "smtp.not_authenticated")
    return None


def _unknown(reply: Reply, stage: Stage) -> _Row:
    passing = reply.code // 100 == 4  # noqa: PLR2004 - RFC 5321 §4.2.1
    match stage:
        case Stage.GREETING | Stage.EHLO | Stage.STARTTLS:
            scope, lasting, fix = Scope.TRANSPORT, _B, "smtp.server_refuses"
        case Stage.AUTH | Stage.MAIL:
            scope, lasting, fix = Scope.MAILBOX, _B, "smtp.mailbox_refused"
        case Stage.RCPT:
            scope, lasting, fix = Scope.MESSAGE, _P, "smtp.recipient_refused"
        case Stage.DATA | Stage.END:
            scope, lasting, fix = Scope.MESSAGE, _P, "smtp.refused_message"
    return _Row("", "", _T if passing else lasting, scope, "smtp.busy" if passing else fix)
