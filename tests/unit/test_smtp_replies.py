"""FACTS D4 and PROMISES §4: what a reply of a submission server means, by stage, enhanced code and text."""

import pytest

from posthouse.fixes import FIXES
from posthouse.message import Bytes, Content
from posthouse.outcome import Blocked, PermanentFailure, Scope, TransientFailure, Unconfirmed, name_of, scope_of
from posthouse.transports.smtp.replies import Reply, Stage, concerns_recipient, outcome
from posthouse.transports.smtp.stream import stuffed

AUTH, MAIL, RCPT, END = Stage.AUTH, Stage.MAIL, Stage.RCPT, Stage.END
SENDER, MAILBOX, TRANSPORT, MESSAGE = Scope.SENDER, Scope.MAILBOX, Scope.TRANSPORT, Scope.MESSAGE

ROWS = [
    (AUTH, 535, "5.7.3 Authentication unsuccessful [X.outlook.com]", "blocked", MAILBOX, "smtp.token_refused"),
    (AUTH, 535, "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled", "blocked", TRANSPORT, "smtp.disabled_tenant"),
    (AUTH, 535, "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.", "blocked", MAILBOX, "smtp.disabled_mailbox"),
    (AUTH, 535, "5.7.139 Authentication unsuccessful, the user credentials were incorrect.", "blocked", MAILBOX, "smtp.password"),
    (AUTH, 535, "5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully.", "blocked", MAILBOX, "smtp.conditional_access"),
    (AUTH, 535, "5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy.", "blocked", TRANSPORT, "smtp.security_defaults"),
    (AUTH, 550, "5.7.30 Basic authentication is not supported for Client Submission.", "blocked", TRANSPORT, "smtp.basic_gone"),
    (AUTH, 535, "5.7.30 Basic authentication is not supported", "blocked", TRANSPORT, "smtp.basic_gone"),
    (MAIL, 550, "5.7.30 REQUIRETLS support required", "blocked", MAILBOX, "smtp.mailbox_refused"),
    (MAIL, 530, "5.7.57 Client not authenticated to send mail.", "blocked", MAILBOX, "smtp.not_authenticated"),
    (MAIL, 530, "Must authenticate", "blocked", MAILBOX, "smtp.not_authenticated"),
    (END, 554, "5.2.252 SendAsDenied; a@x not allowed to send as b@x", "blocked", SENDER, "smtp.send_as"),
    (MAIL, 550, "5.7.60 SMTP; Client does not have permissions to send as this sender", "blocked", SENDER, "smtp.send_as"),
    (MAIL, 550, "5.2.252 throttled: continuous send as denied", "blocked", MAILBOX, "smtp.repeated_error"),
    (MAIL, 550, "5.2.251 throttled: continuous mailbox full errors", "blocked", MAILBOX, "smtp.repeated_error"),
    (MAIL, 550, "5.2.253 throttled: continuous invalid licence errors", "blocked", MAILBOX, "smtp.repeated_error"),
    (END, 550, "5.2.254 throttled: too many recipients", "blocked", MAILBOX, "smtp.repeated_error"),
    (END, 550, "5.2.255 throttled: invalid recipients", "blocked", MAILBOX, "smtp.repeated_error"),
    (END, 432, "4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending", "transient_failure", MAILBOX, "smtp.connections"),
    (MAIL, 432, "4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", "transient_failure", MAILBOX, "smtp.connections"),
    (END, 554, "5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed", "blocked", MAILBOX, "smtp.day_quota"),
    (END, 554, "5.2.2 mailbox full", "blocked", MAILBOX, "smtp.mailbox_full"),
    (END, 554, "5.2.0 STOREDRV.Submission.Exception:QuotaExceededException", "blocked", MAILBOX, "smtp.mailbox_full"),
    (MAIL, 550, "5.1.8 Access denied, bad outbound sender", "blocked", MAILBOX, "smtp.restricted"),
    (RCPT, 550, "5.1.8 Access denied, bad outbound sender", "blocked", MAILBOX, "smtp.restricted"),
    (END, 550, "5.7.501 Access denied, spam abuse detected", "blocked", MAILBOX, "smtp.restricted"),
    (END, 550, "5.7.502 Access denied, banned sender", "blocked", MAILBOX, "smtp.restricted"),
    (END, 550, "5.7.503 Access denied, banned sender", "blocked", MAILBOX, "smtp.restricted"),
    (END, 550, "5.7.511 Access denied, banned sender", "blocked", MAILBOX, "smtp.restricted"),
    (END, 550, "5.7.705 Access denied, tenant has exceeded threshold", "blocked", TRANSPORT, "smtp.tenant_blocked"),
    (END, 550, "5.7.708 Service unavailable. Access denied, traffic not accepted from this IP", "blocked", TRANSPORT, "smtp.tenant_blocked"),
    (END, 550, "5.7.232 Your message can't be sent because your trial tenant exceeded its daily limit", "blocked", TRANSPORT, "smtp.tenant_quota"),
    (END, 550, "5.7.233 Your message can't be sent because your tenant exceeded its daily limit", "blocked", TRANSPORT, "smtp.tenant_quota"),
    (MAIL, 451, "4.7.500 Access denied, please try again later", "transient_failure", TRANSPORT, "smtp.grey_listed"),
    (RCPT, 451, "4.7.699 Access denied, please try again later", "transient_failure", TRANSPORT, "smtp.grey_listed"),
    (END, 451, "4.7.0 Temporary server error. Please try again later. PRX2", "transient_failure", MESSAGE, "smtp.busy"),
    (Stage.GREETING, 421, "4.3.2 The maximum number of concurrent connections per resource forest has exceeded a limit", "transient_failure", TRANSPORT, "smtp.busy"),
    (MAIL, 421, "4.4.2 Connection dropped", "transient_failure", TRANSPORT, "smtp.busy"),
    (MAIL, 452, "4.3.1 Insufficient system resources", "transient_failure", TRANSPORT, "smtp.busy"),
    (END, 550, "5.1.90 Your message can't be sent because you've reached your daily limit for message recipients", "blocked", MAILBOX, "smtp.day_quota"),
    (END, 550, "5.1.92 Your message can't be sent because you've reached your daily limit", "blocked", MAILBOX, "smtp.day_quota"),
    (END, 552, "5.3.4 Message size exceeds fixed maximum message size", "permanent_failure", MESSAGE, "smtp.too_large"),
    # unknown ones, by stage
    (Stage.GREETING, 554, "No SMTP service here", "blocked", TRANSPORT, "smtp.server_refuses"),
    (Stage.EHLO, 550, "5.5.0 go away", "blocked", TRANSPORT, "smtp.server_refuses"),
    (Stage.STARTTLS, 454, "TLS not available", "transient_failure", TRANSPORT, "smtp.busy"),
    (AUTH, 535, "5.7.8 bad credentials", "blocked", MAILBOX, "smtp.mailbox_refused"),
    (AUTH, 454, "4.7.0 Temporary authentication failure", "transient_failure", MAILBOX, "smtp.busy"),
    (MAIL, 553, "5.9.9 no", "blocked", MAILBOX, "smtp.mailbox_refused"),
    (MAIL, 451, "4.9.9 later", "transient_failure", MAILBOX, "smtp.busy"),
    (END, 554, "5.6.0 rejected", "permanent_failure", MESSAGE, "smtp.refused_message"),
    (END, 451, "4.6.0 later", "transient_failure", MESSAGE, "smtp.busy"),
    (MAIL, 421, "closing", "transient_failure", TRANSPORT, "smtp.busy"),
    (END, 421, "closing", "transient_failure", TRANSPORT, "smtp.busy"),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0].name}-{row[1]}-{row[2]}")
def test_each_reply_has_its_outcome_scope_and_fix(row):
    stage, code, text, kind, scope, fix = row
    verdict = outcome(Reply(code, text), stage, own_from=False)
    assert (name_of(verdict), scope_of(verdict), verdict.answer.fix) == (kind, scope, fix)
    assert fix in FIXES
    assert verdict.answer.reply == code


def test_a_refused_own_from_is_the_mailboxs_fault():
    verdict = outcome(Reply(554, "5.2.252 SendAsDenied"), END, own_from=True)
    assert isinstance(verdict, Blocked)
    assert verdict.scope is MAILBOX


@pytest.mark.parametrize("code", [-1, 150, 220, 251, 334, 354, 999])
def test_a_reply_that_is_no_refusal_is_doubt_at_the_end_and_certain_before(code):
    assert isinstance(outcome(Reply(code, ""), END, own_from=True), Unconfirmed)
    before = outcome(Reply(code, ""), MAIL, own_from=True)
    assert isinstance(before, TransientFailure)
    assert before.scope is TRANSPORT


@pytest.mark.parametrize(
    ("code", "text", "alone"),
    [
        (550, "5.1.1 no such user", True),
        (550, "5.2.2 mailbox full", True),
        (450, "4.2.0 greylisted", True),
        (452, "4.5.3 too many recipients", True),
        (552, "5.3.4 too large for that user", True),
        (550, "5.1.8 Access denied, bad outbound sender", False),
        (550, "5.7.705 tenant has exceeded threshold", False),
        (421, "4.3.2 shutting down", False),
        (-1, "gibberish", False),
    ],
)
def test_a_reply_to_rcpt_concerns_that_recipient_unless_it_speaks_of_sender_tenant_or_server(code, text, alone):
    assert concerns_recipient(Reply(code, text)) is alone


def test_the_public_text_has_no_hosts_and_keeps_the_enhanced_code():
    reply = Reply(
        535, "5.7.3 Authentication unsuccessful [SN2PR00CA0018.namprd00.prod.outlook.com 2026]\nfor bob@x.org"
    )
    answer = outcome(reply, AUTH, own_from=True).answer
    assert answer.status == "5.7.3"
    assert answer.text == "535 5.7.3 Authentication unsuccessful for …@x.org"


def test_too_large_is_permanent():
    assert isinstance(outcome(Reply(552, "5.3.4 big"), MAIL, own_from=True), PermanentFailure)


# --- the content of DATA -------------------------------------------------------------------------------------------


class Blocks:
    """A body in given pieces."""

    def __init__(self, *pieces: bytes, size: int | None = None) -> None:
        self.pieces = pieces
        self.size = sum(map(len, pieces)) if size is None else size

    async def blocks(self):
        for piece in self.pieces:
            yield piece

    async def span(self, start: int, end: int):
        yield b"".join(self.pieces)[start:end]


async def wire(content: Content) -> bytes:
    return b"".join([piece async for piece in stuffed(content)])


def unstuffed(data: bytes) -> bytes:
    return b"".join(line[1:] if line.startswith(b".") else line for line in data.splitlines(keepends=True))


@pytest.mark.parametrize("cut", range(1, 19))
async def test_dots_are_stuffed_wherever_the_blocks_are_cut(cut):
    body = b".\r\n..a\r\n\r\n.\r\n.b.\r\n"
    sent = await wire(Content(b"A: b\r\n", Blocks(body[:cut], body[cut:])))
    assert sent == b"A: b\r\n\r\n" + b"..\r\n...a\r\n\r\n..\r\n..b.\r\n"
    assert unstuffed(sent) == b"A: b\r\n\r\n" + body


async def test_a_body_without_a_last_line_end_gets_one():
    assert await wire(Content(b"A: b\r\n", Bytes(b"x"))) == b"A: b\r\n\r\nx\r\n"
    assert await wire(Content(b"A: b\r\n", Bytes(b""))) == b"A: b\r\n\r\n"


@pytest.mark.parametrize("size", [2, 4])
async def test_a_content_of_another_size_than_it_says_is_never_completed(size):
    with pytest.raises(ValueError, match="another size"):
        await wire(Content(b"A: b\r\n", Blocks(b"abc", size=size)))
