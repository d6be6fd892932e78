"""Nothing can be smuggled into a header: what does not fit is refused, with the place and the rule."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from posthouse.compose import Attachment, Letter, Person, Unfit, compose

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
ANNA = Person("Anna", "anna@example.org")
LETTER = Letter(sender=Person("Shop", "noreply@contoso.com"), to=(ANNA,), subject="Hello", text="Hi")
FILE = Attachment(filename="a.bin", content=b"\x00\xff", content_type="application/octet-stream")


def refused(**changes) -> Unfit:
    with pytest.raises(Unfit) as refusal:
        compose(replace(LETTER, **changes), message_id="<1@contoso.com>", date=NOW, boundary="seed")
    return refusal.value


@pytest.mark.parametrize("control", ["\r", "\n", "\r\n", "\0", "\t", "\x1b", "\x7f", "\x85", "\ud800"])
@pytest.mark.parametrize(
    ("pointer", "inject"),
    [
        ("/subject", lambda evil: {"subject": evil}),
        ("/from", lambda evil: {"sender": Person(evil, "a@b.c")}),
        ("/from", lambda evil: {"sender": Person("", f"a{evil}@b.c")}),
        ("/to/1", lambda evil: {"to": (ANNA, Person(evil, "a@b.c"))}),
        ("/to/0", lambda evil: {"to": (Person("", f"a@b.c{evil}"),)}),
        ("/cc/0", lambda evil: {"cc": (Person(evil, "a@b.c"),)}),
        ("/reply_to/0", lambda evil: {"reply_to": (Person("", f'"{evil}"@b.c'),)}),
        ("/headers/X-Foo", lambda evil: {"headers": (("X-Foo", evil),)}),
        ("/headers/Message-ID", lambda evil: {"headers": (("Message-ID", evil),)}),
        ("/headers/Date", lambda evil: {"headers": (("Date", f"1 Jan 2026 00:00 GMT{evil}"),)}),
        ("/attachments/0/filename", lambda evil: {"attachments": (replace(FILE, filename=evil),)}),
        ("/attachments/0/content_type", lambda evil: {"attachments": (replace(FILE, content_type=f"a/b; c={evil}d"),)}),
        ("/attachments/0/content_id", lambda evil: {"attachments": (replace(FILE, content_id=f"a{evil}"),)}),
    ],
    ids=[
        "subject",
        "from-name",
        "from-address",
        "to-name",
        "to-address",
        "cc-name",
        "reply-to-quoted",
        "custom",
        "message-id",
        "date",
        "filename",
        "content-type",
        "content-id",
    ],
)
def test_control_characters_are_refused_wherever_they_would_reach_a_header(pointer, inject, control):
    refusal = refused(**inject(f"x{control}Bcc: evil@example.net"))
    assert refusal.pointer == pointer
    assert "RFC" in str(refusal)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "@b",
        "a@",
        "a@b, c@d",
        "a@b>, <c@d",
        "a b@c",
        "a..b@c",
        ".a@c",
        "a@b..c",
        "a@b;c@d",
        '"a"b"@c',
        '"a\\"@c',
        "a@[b]c",
        "a@b(c)",
        "a\u2028b@c",
        "a\u202eb@c",
        f"{'a' * 320}@b",
    ],
)
def test_what_is_no_address_is_refused(address):
    refusal = refused(to=(Person("", address),))
    assert refusal.pointer == "/to/0"


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("From", "a@b.c", "field 'from'"),
        ("bCC", "a@b.c", "field 'bcc'"),
        ("Reply-To", "a@b.c", "field 'reply_to'"),
        ("Sender", "a@b.c", "never by a client"),
        ("Content-Type", "text/plain", "never by a client"),
        ("MIME-Version", "1.0", "never by a client"),
        ("Received", "x", "never by a client"),
        ("Resent-Bcc", "a@b.c", "never by a client"),
        ("DKIM-Signature", "v=1", "never by a client"),
        ("Idempotency-Key", "1", "header of the request"),
        ("X-Posthouse-Expires-In", "5m", "header of the request"),
        ("Date", "yesterday", "RFC 5322 §3.3"),
        ("Date", "32 Jan 2026 00:00 GMT", "RFC 5322 §3.3"),
        ("Date", "32 Jan 2026 00:00:00 +9999", "RFC 5322 §3.3"),
        ("", "x", "RFC 5322 §3.6.8"),
        ("X Foo", "x", "RFC 5322 §3.6.8"),
        ("X-Foo:", "x", "RFC 5322 §3.6.8"),
        ("X-Ü", "x", "RFC 5322 §3.6.8"),
        ("X" * 76, "x", "RFC 5322 §3.6.8"),
    ],
)
def test_headers_that_are_not_the_clients_are_refused(name, value, rule):
    refusal = refused(headers=((name, value),))
    assert rule in str(refusal)
    assert refusal.pointer == f"/headers/{name}"


def test_a_pointer_is_escaped():
    refusal = refused(headers=(("X/~", "\n"),))
    assert refusal.pointer == "/headers/X~1~0"


def test_a_header_that_stands_once_is_refused_the_second_time():
    refusal = refused(headers=(("References", "<a@b>"), ("references", "<c@d>")))
    assert "at most once" in str(refusal)


@pytest.mark.parametrize(
    ("changes", "member"),
    [
        ({"content_type": "pdf"}, "content_type"),
        ({"content_type": "a/b/c"}, "content_type"),
        ({"content_type": "multipart/mixed"}, "content_type"),
        ({"content_type": "text/plain; charset"}, "content_type"),
        ({"content_type": "text/plain; a=1; A=2"}, "content_type"),
        ({"content_type": "text/plain; " + "a" * 2000 + "=1"}, "content_type"),
        ({"content_type": "ü/x"}, "content_type"),
        ({"content_id": ""}, "content_id"),
        ({"content_id": "<a"}, "content_id"),
        ({"content_id": "a b"}, "content_id"),
        ({"content_id": "a" * 256}, "content_id"),
    ],
)
def test_attachments_that_no_part_can_describe_are_refused(changes, member):
    refusal = refused(attachments=(FILE, replace(FILE, **changes)))
    assert refusal.pointer == f"/attachments/1/{member}"


def test_two_parts_with_one_content_id_are_refused():
    refusal = refused(attachments=(replace(FILE, content_id="a"), replace(FILE, content_id="<a>")))
    assert refusal.pointer == "/attachments/1/content_id"


@pytest.mark.parametrize("member", ["text", "html"])
def test_a_lone_surrogate_in_a_body_is_refused(member):
    refusal = refused(**{member: "a\udfffb"})
    assert refusal.pointer == f"/{member}"


def test_a_header_block_beyond_what_exchange_takes_is_refused():
    refusal = refused(headers=tuple((f"X-{number}", "x" * 900) for number in range(300)))
    assert "262144" in str(refusal)
