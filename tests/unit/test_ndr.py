"""Reports that mail did not arrive, as Exchange, Postfix and Gmail word them; what is mutilated harms nobody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.fixes import FIXES, TENANT_CODES, Kind, bounce_fix
from posthouse.ndr import MOST, TEXT_LIMIT, Failure, Ndr, parsed

EXCHANGE = b"""From: Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@contoso.com>\r
To: <alerts@contoso.com>\r
Subject: Undeliverable: Order 7\r
MIME-Version: 1.0\r
Content-Type: multipart/report; report-type=delivery-status;\r
\tboundary="b1"\r
\r
--b1\r
Content-Type: multipart/alternative; differences=Content-Type; boundary="b2"\r
\r
--b2\r
Content-Type: text/plain; charset="us-ascii"\r
Content-Transfer-Encoding: quoted-printable\r
\r
Your message to nobody@fabrikam.com couldn't be delivered.\r
--b2--\r
\r
--b1\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns;AM0PR01MB0001.eurprd01.prod.exchangelabs.example\r
Received-From-MTA: dns;AM0PR01MB0002.eurprd01.prod.exchangelabs.example\r
Arrival-Date: Thu, 26 Nov 2026 09:00:00 +0000\r
\r
Final-Recipient: rfc822;nobody@fabrikam.com\r
Action: failed\r
Status: 5.1.10\r
Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not\r
 found by SMTP address lookup\r
\r
Original-Recipient: rfc822;old@fabrikam.com\r
Final-Recipient: rfc822;new@fabrikam.com\r
Action: FAILED\r
Status: 5.0.0\r
Diagnostic-Code: smtp;550 5.7.232 Your message can't be sent\r
\r
Final-Recipient: rfc822;later@fabrikam.com\r
Action: delayed\r
Status: 4.4.7\r
\r
--b1\r
Content-Type: message/rfc822\r
\r
Message-ID: <order-7@contoso.com>\r
From: <alerts@contoso.com>\r
Content-Type: text/plain\r
\r
Hello\r
--b1--\r
"""
POSTFIX = b"""From: MAILER-DAEMON@mail.fabrikam.example (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
Content-Type: multipart/report; report-type=delivery-status; boundary="9B/mail"
MIME-Version: 1.0

--9B/mail
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not be delivered.
--9B/mail
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.fabrikam.example
X-Postfix-Queue-ID: 9B

Final-Recipient: rfc822; full@fabrikam.example
Original-Recipient: rfc822;full@fabrikam.example
Action: failed
Status: 5.2.2
Remote-MTA: dns; store.fabrikam.example
Diagnostic-Code: smtp; 552 5.2.2 Mailbox full

--9B/mail
Content-Description: Undelivered Message Headers
Content-Type: text/rfc822-headers

Message-Id: <order-8@contoso.com>
Subject: Order 8

--9B/mail--
"""
GMAIL = b"""From: Mail Delivery Subsystem <mailer-daemon@googlemail.example>
Subject: Delivery Status Notification (Failure)
Content-Type: multipart/report; boundary="000"; report-type=delivery-status

--000
Content-Type: multipart/related; boundary="001"

--001
Content-Type: text/html; charset="UTF-8"

<p>blocked</p>
--001
Content-Type: image/png; name="icon.png"
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--001--
--000
Content-Type: message/delivery-status
Content-Transfer-Encoding: base64

UmVwb3J0aW5nLU1UQTogZG5zOyBnb29nbGVtYWlsLmV4YW1wbGUKCkZpbmFsLVJlY2lwaWVudDog
cmZjODIyOyBhbm5AZ21haWwuZXhhbXBsZQpBY3Rpb246IGZhaWxlZApTdGF0dXM6IDUuNy4yNgpE
aWFnbm9zdGljLUNvZGU6IHNtdHA7IDU1MC01LjcuMjYgVGhpcyBtYWlsIGhhcyBiZWVuIGJsb2Nr
ZWQgYmVjYXVzZQogNTUwIDUuNy4yNiB0aGUgc2VuZGVyIGlzIHVuYXV0aGVudGljYXRlZC4K
--000
Content-Type: message/rfc822

From: alerts@contoso.com
Message-ID: <order-9@contoso.com>

Hello
--000--
"""
REPORTS = (EXCHANGE, POSTFIX, GMAIL)


def test_exchange_names_each_failed_recipient_with_its_code_and_words_and_no_delayed_one() -> None:
    words = "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"
    assert parsed(EXCHANGE) == Ndr(
        "<order-7@contoso.com>",
        (
            Failure(addresses=("nobody@fabrikam.com",), code="5.1.10", reply=550, text=words),
            Failure(
                addresses=("old@fabrikam.com", "new@fabrikam.com"),
                code="5.7.232",
                reply=550,
                text="550 5.7.232 Your message can't be sent",
            ),
        ),
    )


@pytest.mark.parametrize(
    ("report", "message_id", "address", "code", "reply"),
    [
        (POSTFIX, "<order-8@contoso.com>", "full@fabrikam.example", "5.2.2", 552),
        (GMAIL, "<order-9@contoso.com>", "ann@gmail.example", "5.7.26", 550),
    ],
)
def test_other_servers_are_understood_too(report: bytes, message_id: str, address: str, code: str, reply: int) -> None:
    found = parsed(report)
    assert found is not None
    (failure,) = found.failures
    assert (found.message_id, failure.addresses, failure.code, failure.reply) == (message_id, (address,), code, reply)


@pytest.mark.parametrize("action", [b"delayed", b"delivered", b"relayed", b"expanded"])
def test_what_did_not_fail_is_no_bounce(action: bytes) -> None:
    assert parsed(POSTFIX.replace(b"Action: failed", b"Action: " + action)) is None


@pytest.mark.parametrize(
    "mail",
    [
        b"",
        b"Subject: hello\r\n\r\nAction: failed\r\nFinal-Recipient: rfc822; a@b.example\r\n",
        POSTFIX.replace(b"Message-Id: <order-8@contoso.com>\n", b""),
        POSTFIX.replace(b"full@fabrikam.example", b"nobody in particular"),
        b"Content-Type: message/rfc822\n\n" + POSTFIX,
    ],
    ids=["nothing", "a mail", "no Message-ID", "no address", "a report that somebody forwarded"],
)
def test_what_is_no_report_says_nothing(mail: bytes) -> None:
    assert parsed(mail) is None


def test_what_a_report_says_is_bounded_and_is_one_line_of_text() -> None:
    block = b"Final-Recipient: rfc822; a%d@b.example\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; %s\n\n"
    many = b"".join(block % (number, b"550 \x1b[31m" + b"x" * 5_000) for number in range(MOST + 50))
    found = parsed(POSTFIX.replace(b"Final-Recipient: rfc822; full", many + b"Final-Recipient: rfc822; full"))
    assert found is not None
    assert len(found.failures) == MOST
    assert all(len(one.text or "") <= TEXT_LIMIT and (one.text or "").isprintable() for one in found.failures)


@given(st.sampled_from(REPORTS), st.lists(st.tuples(st.integers(0, 2_000), st.binary(max_size=12)), max_size=8))
def test_no_mutilation_of_a_report_is_a_fault(report: bytes, edits: list[tuple[int, bytes]]) -> None:
    for at, bytes_ in edits:
        report = report[:at] + bytes_ + report[at + len(bytes_) // 2 :]
    found = parsed(report)
    for failure in () if found is None else found.failures:
        assert all("@" in one and one.isprintable() for one in failure.addresses)
        assert len(failure.text or "") <= TEXT_LIMIT


@given(st.binary(max_size=400))
def test_no_bytes_are_a_fault(mail: bytes) -> None:
    parsed(mail)


@given(st.sampled_from(REPORTS), st.integers(0, 3_000))
def test_a_report_that_was_cut_is_no_fault(report: bytes, at: int) -> None:
    parsed(report[:at])


@pytest.mark.parametrize(
    ("code", "fix"),
    [
        ("5.1.1", "bounce.recipient_unknown"),
        ("5.1.10", "bounce.recipient_unknown"),
        ("5.4.1", "bounce.recipient_domain"),
        ("5.2.2", "bounce.recipient_full"),
        ("5.7.1", "bounce.restricted"),
        ("5.7.133", "bounce.restricted"),
        ("4.4.7", "bounce.unreachable"),
        ("5.4.300", "bounce.unreachable"),
        ("5.4.14", "bounce.loop"),
        ("5.7.26", "bounce.unauthenticated"),
        ("5.7.509", "bounce.unauthenticated"),
        ("5.7.501", "smtp.restricted"),
        ("5.7.705", "smtp.tenant_blocked"),
        ("5.7.232", "smtp.tenant_quota"),
        ("5.3.0", "bounce.other"),
        ("nonsense", "bounce.other"),
        (None, "bounce.other"),
    ],
)
def test_each_code_has_its_fix(code: str | None, fix: str) -> None:
    assert bounce_fix(code) == fix
    assert fix in FIXES


def test_codes_about_the_tenant_are_throttling() -> None:
    assert {FIXES[bounce_fix(code)].kind for code in TENANT_CODES} == {Kind.THROTTLING}


def test_the_narrower_code_of_the_words_counts_where_the_field_says_only_its_kind():
    """Otherwise the limit of the tenant would look like a recipient's policy, and nobody would be told."""
    mime = EXCHANGE.replace(b"Status: 5.0.0", b"Status: 5.7.1")
    report = parsed(mime)
    assert report is not None
    assert report.failures[1].code == "5.7.232"
    other = parsed(EXCHANGE.replace(b"Status: 5.1.10", b"Status: 5.2.2"))
    assert other is not None
    assert other.failures[0].code == "5.2.2"


def test_a_report_about_mail_in_utf8_is_read():
    report = parsed(EXCHANGE.replace(b"message/delivery-status", b"message/global-delivery-status"))
    assert report == parsed(EXCHANGE)


def test_a_report_without_the_mail_is_known_by_what_it_answers():
    mime = EXCHANGE[: EXCHANGE.index(b"--b1\r\nContent-Type: message/rfc822")] + b"--b1--\r\n"
    assert parsed(mime) is None
    report = parsed(b"In-Reply-To: <order-7@contoso.com>\r\n" + mime)
    assert report is not None
    assert report.message_id == "<order-7@contoso.com>"


@pytest.mark.parametrize(
    ("code", "text", "fix"),
    [
        ("5.1.8", "Access denied, bad outbound sender AS(123)", "smtp.restricted"),
        ("5.1.8", "Sender address rejected: Domain not found", "bounce.unauthenticated"),
        ("5.2.252", "SendAsDenied; a not allowed to send as b", "smtp.send_as"),
        ("5.2.252", "throttled: continuous send as denied", "smtp.repeated_error"),
        ("5.7.60", "Client does not have permissions to send as this sender", "smtp.send_as"),
    ],
)
def test_a_code_that_says_two_things_is_told_by_its_words(code: str, text: str, fix: str) -> None:
    assert bounce_fix(code, text) == fix
