"""What a draft of Graph can carry of a message, and what it would lose (FACTS A4, A6)."""

import pytest

from posthouse.draftable import Outline, loss, outline
from posthouse.structure import Index, Part

HEAD = (
    b"From: Shop <shop@contoso.com>\r\nTo: Bob <bob@example.org>, carol@example.org\r\nCc: dan@example.org\r\n"
    b"Bcc: eve@example.org\r\nReply-To: desk@contoso.com\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Message-ID: <1@contoso.com>\r\nDate: Tue, 24 Nov 2026 09:30:00 +0100\r\nMIME-Version: 1.0\r\n"
)
PLAIN = b"Content-Type: text/plain; charset=utf-8\r\n"
MIXED = b'Content-Type: multipart/mixed; boundary="b"\r\n'


def part_of(header: bytes, body: bytes = b"Hello\r\n") -> Part:
    index = Index(header)
    index.feed(body)
    return index.end()


def lost(header: bytes, body: bytes = b"Hello\r\n") -> str | None:
    return loss(HEAD + header, part_of(HEAD + header, body))


def taken_apart(header: bytes, body: bytes = b"Hello\r\n") -> Outline:
    return outline(HEAD + header, part_of(HEAD + header, body))


def mixed(*parts: bytes) -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


FILE = b"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\r\nxyz"
TEXT = PLAIN + b"\r\nHello"
HTML = b"Content-Type: text/html; charset=utf-8\r\n\r\n<p>Hello</p>"


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (PLAIN, b"Hello\r\n"),
        (MIXED, mixed(TEXT, FILE, FILE)),
        (MIXED.replace(b"mixed", b"alternative"), mixed(TEXT, HTML)),
        (MIXED.replace(b"mixed", b"related"), mixed(HTML, b"Content-Type: image/png\r\nContent-ID: <i@x>\r\n\r\nx")),
        (PLAIN + b"".join(b"X-Header-%d: x\r\n" % n for n in range(5)), b"Hello\r\n"),
        (PLAIN + b"In-Reply-To: <0@x>\r\nReferences: <0@x>\r\nList-Unsubscribe: <mailto:x@y>\r\n", b"Hello\r\n"),
        (PLAIN + b"Importance: high\r\nAuto-Submitted: auto-generated\r\nSender: shop@contoso.com\r\n", b"Hello\r\n"),
    ],
)
def test_ordinary_mail_loses_nothing(header: bytes, body: bytes) -> None:
    assert lost(header, body) is None


@pytest.mark.parametrize(
    ("header", "body", "said"),
    [
        (MIXED.replace(b"mixed", b"signed"), mixed(TEXT, FILE), "multipart/signed"),
        (MIXED.replace(b"mixed", b"encrypted"), mixed(FILE, FILE), "multipart/encrypted"),
        (b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n", b"xx", "application/pkcs7-mime"),
        (MIXED, mixed(TEXT, b"Content-Type: application/x-pkcs7-mime\r\n\r\nxx"), "application/x-pkcs7-mime"),
        (
            MIXED.replace(b"mixed", b"alternative"),
            mixed(TEXT, b"Content-Type: text/calendar\r\n\r\nx"),
            "text/calendar",
        ),
        (MIXED.replace(b"mixed", b"report"), mixed(TEXT), "multipart/report"),
        (PLAIN + b"".join(b"X-Header-%d: x\r\n" % n for n in range(6)), b"x", "1 of its 6 X- headers"),
        (PLAIN + b"List-Id: <shop.contoso.com>\r\n", b"x", "the header List-Id"),
        (PLAIN + b"DKIM-Signature: v=1\r\n", b"x", "the header DKIM-Signature"),
        (PLAIN.replace(b"utf-8", b"klingon"), b"x", "'klingon'"),
        (PLAIN, b"x" * 1_572_865, "a text of more than 1572864 bytes"),
        (
            MIXED,
            mixed(TEXT, FILE.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: uuencode\r\n\r\n")),
            "'uuencode'",
        ),
    ],
)
def test_what_a_draft_would_lose_is_named(header: bytes, body: bytes, said: str) -> None:
    assert said in (lost(header, body) or "")


def test_the_header_alone_tells_what_it_would_lose_before_the_body_has_come() -> None:
    assert loss(HEAD + b"List-Id: x\r\n", None) == "the header List-Id"
    assert loss(HEAD + PLAIN, None) is None


def test_a_message_is_taken_apart_as_a_draft_says_it() -> None:
    header = MIXED + b"Importance: High\r\nX-Ticket: 4711\r\nIn-Reply-To: <0@x>\r\nReferences: <a@x>\r\n <b@x>\r\n"
    seen = taken_apart(header, mixed(HTML, FILE))
    assert seen.sender == ("Shop", "shop@contoso.com")
    assert seen.to == (("Bob", "bob@example.org"), ("", "carol@example.org"))
    assert (seen.cc, seen.bcc) == ((("", "dan@example.org"),), (("", "eve@example.org"),))
    assert (seen.reply_to, seen.subject, seen.importance) == ((("", "desk@contoso.com"),), "Grüße", "high")
    assert seen.headers == (("X-Ticket", "4711"),)
    assert dict(seen.properties) == {"String 0x1042": "<0@x>", "String 0x1039": "<a@x> <b@x>"}
    assert seen.html
    assert [file.filename for file in seen.files] == ["a.pdf"]


def test_a_draft_shows_the_html_where_there_is_one_and_the_text_else() -> None:
    assert not taken_apart(MIXED, mixed(TEXT, FILE)).html
    both = taken_apart(MIXED.replace(b"mixed", b"alternative"), mixed(TEXT, HTML))
    assert both.html
    assert both.files == ()
