"""What compose writes is what two parsers that we did not write read back, and nothing can be smuggled into it."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email import policy
from email.header import decode_header
from email.headerregistry import ContentDispositionHeader, ContentTypeHeader
from email.message import EmailMessage, Message
from email.parser import BytesParser, Parser
from email.utils import collapse_rfc2231_value, getaddresses

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posthouse.compose import Attachment, Letter, Person, client_message_id, compose

PROPERTY = settings(max_examples=150, deadline=None)

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
ANNA = Person("Anna", "anna@example.org")
SHOP = Person("Shop", "noreply@contoso.com")


def letter(**changes) -> Letter:
    return replace(Letter(sender=SHOP, to=(ANNA,), subject="Hello", text="Hi"), **changes)


def made(wanted: Letter, *, seed: str = "seed", message_id: str = "<1@contoso.com>") -> bytes:
    header, body = compose(wanted, message_id=message_id, date=NOW, boundary=seed)
    return header + b"\r\n" + body


def read(raw: bytes) -> EmailMessage:
    """The message as the library's present parser sees it; as text, so that it knows UTF-8 in headers (RFC 6532)."""
    message = Parser(policy=policy.SMTPUTF8).parsestr(raw.decode())
    assert isinstance(message, EmailMessage)
    for part in message.walk():
        assert not part.defects
    return message


def decoded(value: str) -> str:
    return "".join(
        piece if isinstance(piece, str) else piece.decode(charset or "ascii") for piece, charset in decode_header(value)
    )


def second_opinion(raw: bytes, name: str) -> str:
    """The value as the library's old parser unfolds it and its old decoder decodes it."""
    return decoded(Parser(policy=policy.compat32).parsestr(raw.decode())[name].replace("\r\n", ""))


def old_addresses(raw: bytes, name: str) -> list[tuple[str, str]]:
    """Names and addresses as the old address parser takes them apart."""
    value = Parser(policy=policy.compat32).parsestr(raw.decode())[name]
    return [(decoded(shown), address) for shown, address in getaddresses([value.replace("\r\n", "")] if value else [])]


def child(part: Message, *path: int) -> Message:
    """The part that one reaches by these numbers."""
    for number in path:
        inner = part.get_payload(number)
        assert isinstance(inner, Message)
        part = inner
    return part


def tree(part: Message) -> object:
    if part.is_multipart():
        return [part.get_content_subtype(), *(tree(child(part, n)) for n in range(len(part.get_payload())))]
    return part.get_content_type()


def parameters(part: Message, name: str) -> dict[str, str]:
    header = part[name]
    return dict(header.params) if isinstance(header, ContentDispositionHeader | ContentTypeHeader) else {}


def octets(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload


def crlf(text: str) -> str:
    return re.sub(r"\r\n|\r|\n", "\r\n", text)


def leaves(message: Message) -> list[Message]:
    return [part for part in message.walk() if not part.is_multipart()]


visible = st.characters(exclude_categories=("Cc", "Cs"))
lines = st.text(visible, max_size=200)
ascii_lines = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=400)
values = st.one_of(lines, ascii_lines, st.text(st.sampled_from(' ab,"\\@<>()=?_ü€😀.:;'), max_size=120))
names = st.text(st.one_of(visible, st.sampled_from(' ,"\\@<>()=?ü')), max_size=80)
atom = st.text(st.sampled_from("abcXYZ019!#$%&'*+-/=?^_`{|}~"), min_size=1, max_size=12)
unicode_atom = st.text(st.sampled_from("abüñ学校я"), min_size=1, max_size=12)
quoted = st.text(st.sampled_from("ab .@,<>;:"), min_size=1, max_size=8).map(lambda inner: f'"{inner}"')
locals_ = st.one_of(st.lists(atom, min_size=1, max_size=3).map(".".join), unicode_atom, quoted)
domains = st.one_of(
    st.lists(st.from_regex(r"[a-z0-9]{1,9}", fullmatch=True), min_size=1, max_size=3).map(".".join),
    unicode_atom.map(lambda label: f"{label}.example"),
)
mailboxes = st.builds("{}@{}".format, locals_, domains)
people = st.builds(Person, names, mailboxes)
bodies = st.text(st.characters(exclude_categories=("Cs",)), max_size=2500)
files = st.builds(
    Attachment,
    filename=st.text(visible, max_size=60),
    content=st.binary(max_size=3000),
    content_type=st.sampled_from(["application/pdf", "image/png", "text/plain", "application/x-y; a=b"]),
    inline=st.booleans(),
)


@PROPERTY
@given(values)
def test_any_subject_reads_back_literally(subject):
    raw = made(letter(subject=subject))
    assert second_opinion(raw, "Subject") == subject
    assert read(raw)["Subject"] == subject


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "  two before and after  ",
        "=?utf-8?q?literal?=",
        "a =?utf-8?b?w7w=?= b",
        "Donaudampfschifffahrtsgesellschaftskapitän " * 9,
        "ご注文の発送が完了しましたのでお知らせいたします。" * 6,
        "🎉👩\u200d👩\u200d👧" * 30,
        "a" * 5000,
        "a" + " " * 3000 + "b",
        "word " * 400 + "end",
    ],
)
def test_subjects_of_every_shape_read_back_literally(subject):
    raw = made(letter(subject=subject))
    assert second_opinion(raw, "Subject") == subject
    assert read(raw)["Subject"] == subject
    assert max(map(len, raw.split(b"\r\n"))) <= 998


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Doe, John",
        "a@b",
        "evil@example.net>, <x",
        'Jürgen "X"',
        'John "The \\ Man" Doe',
        "=?utf-8?q?x?=",
        "😀 Grinsen",
        "n" * 300,
        "Wort " * 59 + "Ende",
        "ü" * 300,
        '"' * 70,
    ],
)
def test_display_names_read_back_and_never_add_a_recipient(name):
    raw = made(letter(sender=Person(name, "a@example.org"), to=(Person(name, "b@example.org"), ANNA)))
    message = read(raw)
    assert old_addresses(raw, "From") == [(name, "a@example.org")]
    assert old_addresses(raw, "To") == [(name, "b@example.org"), ("Anna", "anna@example.org")]
    assert [one.addr_spec for one in message["To"].addresses] == ["b@example.org", "anna@example.org"]
    assert solid(message["To"].addresses[0].display_name) == solid(name)


@PROPERTY
@given(people, st.lists(people, max_size=6), st.lists(people, max_size=3), st.lists(people, max_size=2))
def test_any_person_reads_back_in_every_field(sender, to, cc, reply_to):
    raw = made(letter(sender=sender, to=tuple(to), cc=tuple(cc), reply_to=tuple(reply_to)))
    message = read(raw)
    for name, wanted in (("From", [sender]), ("To", to), ("Cc", cc), ("Reply-To", reply_to)):
        found = message[name].addresses if message[name] is not None else ()
        assert [unquoted(one.addr_spec) for one in found] == [unquoted(one.address) for one in wanted]
        assert [solid(one.display_name) for one in found] == [solid(one.name) for one in wanted]
        assert [shown for shown, _ in old_addresses(raw, name)] == [one.name for one in wanted]


def solid(name: str) -> str:
    """Without white space: until 3.12 the library's parser keeps the space between two encoded words of a phrase."""
    return "".join(name.split())


def unquoted(address: str) -> str:
    """The address without quotes around its local part, which the library leaves out where it can."""
    local, _, domain = address.rpartition("@")
    return f"{local.strip(chr(34))}@{domain}"


@PROPERTY
@given(st.lists(files, max_size=3), st.one_of(st.none(), bodies), st.one_of(st.none(), bodies))
def test_any_bodies_and_files_arrive_as_they_were(attachments, text, html):
    raw = made(letter(text=text, html=html, attachments=tuple(attachments)))
    message = read(raw)
    found = leaves(message)
    expected = [part for part in (text, html) if part is not None] or [""]
    for part, wanted in zip(found, expected, strict=False):
        arrived = octets(part).decode()
        assert arrived == crlf(wanted) or (len(found) == 1 and arrived == crlf(wanted) + "\r\n")
    for part, wanted in zip(found[len(expected) :], attachments, strict=True):
        assert octets(part) == wanted.content
        assert parameters(part, "Content-Disposition").get("filename", "") == wanted.filename
        assert part.get_content_disposition() == ("inline" if wanted.inline else "attachment")
        assert part.get_content_type() == wanted.content_type.partition(";")[0]


@PROPERTY
@given(st.text(visible, min_size=1, max_size=200))
@example("<x>")
@example("=?utf-8?q?x?=")
@example('100% "quoted" \\ .pdf')
@example("ü" * 400)
def test_any_file_name_reads_back_in_both_parsers(filename):
    raw = made(letter(attachments=(file(filename=filename),)))
    assert max(map(len, raw.split(b"\r\n"))) <= 78
    new = child(read(raw), 1)
    old = child(BytesParser(policy=policy.compat32).parsebytes(raw), 1)
    assert parameters(new, "Content-Disposition")["filename"] == filename
    assert collapse_rfc2231_value(old.get_param("filename", "", header="content-disposition")) == filename


@PROPERTY
@given(
    values,
    names,
    st.lists(st.tuples(st.from_regex(r"X-[A-Za-z0-9-]{1,60}", fullmatch=True), values), max_size=4),
    bodies,
)
def test_no_line_is_too_long_and_every_line_ends_with_crlf(subject, name, headers, text):
    attachments = (file(filename=name or "x"),)
    raw = made(
        letter(
            sender=Person(name, "a@b.c"), subject=subject, headers=tuple(headers), text=text, attachments=attachments
        )
    )
    assert raw.count(b"\n") == raw.count(b"\r") == raw.count(b"\r\n")
    assert raw.endswith(b"\r\n")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    header = raw[: raw.index(b"\r\n\r\n")]
    assert all(len(line) <= 78 or b" " not in line.partition(b": ")[2].strip() for line in header.split(b"\r\n"))
    assert all(line.strip() for line in header.split(b"\r\n"))
    header.decode("ascii")


@PROPERTY
@given(st.from_regex(r"X-[A-Za-z0-9-]{1,60}", fullmatch=True), values)
def test_custom_headers_read_back_without_the_white_space_around_them(name, value):
    raw = made(letter(headers=((name, value),)))
    assert second_opinion(raw, name) == value.strip(" ")
    assert read(raw)[name] == value.strip(" ")


def file(**changes) -> Attachment:
    return replace(
        Attachment(filename="a.bin", content=b"\x00\xff", content_type="application/octet-stream"), **changes
    )


IMAGE = file(filename="logo.png", content_type="image/png", content_id="logo@shop", inline=True)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "text/plain"),
        ({"text": None, "html": "<p>"}, "text/html"),
        ({"html": "<p>"}, ["alternative", "text/plain", "text/html"]),
        (
            {"html": "<p>", "attachments": (IMAGE,)},
            ["alternative", "text/plain", ["related", "text/html", "image/png"]],
        ),
        ({"text": None, "html": "<p>", "attachments": (IMAGE,)}, ["related", "text/html", "image/png"]),
        ({"attachments": (IMAGE,)}, ["mixed", "text/plain", "image/png"]),
        ({"text": None, "attachments": (file(),)}, ["mixed", "text/plain", "application/octet-stream"]),
        (
            {"html": "<p>", "attachments": (file(), IMAGE, file(content_id="plain"))},
            [
                "mixed",
                ["alternative", "text/plain", ["related", "text/html", "image/png"]],
                "application/octet-stream",
                "application/octet-stream",
            ],
        ),
    ],
)
def test_the_tree_is_the_one_that_mail_programs_expect(changes, expected):
    assert tree(read(made(letter(**changes)))) == expected


def test_inline_images_carry_the_id_that_the_html_names():
    image = child(read(made(letter(html='<img src="cid:logo@shop">', attachments=(IMAGE,)))), 1, 1)
    assert image["Content-ID"] == "<logo@shop>"
    assert image.get_content_disposition() == "inline"


def test_a_boundary_occurs_in_no_part_even_if_the_text_holds_the_first_choice():
    first = made(letter(html="<p>"))
    mark = read(first).get_boundary()
    raw = made(letter(text=f"--{mark}\n--{mark}--\n", html="<p>"))
    assert tree(read(raw)) == ["alternative", "text/plain", "text/html"]
    assert octets(leaves(read(raw))[0]).decode() == f"--{mark}\r\n--{mark}--\r\n"


def test_an_attached_message_stays_one_where_7bit_carries_it_and_is_a_file_otherwise():
    inner = made(letter(html="<p>", subject="inside"))
    attached = child(read(made(letter(attachments=(file(content=inner, content_type="message/rfc822"),)))), 1)
    assert attached.get_content_type() == "message/rfc822"
    assert child(attached, 0).as_bytes(policy=policy.SMTP) == inner
    for odd in (inner.replace(b"\r\n", b"\n"), inner + b"\xff", inner + b"a" * 999):
        part = child(read(made(letter(attachments=(file(content=odd, content_type="message/rfc822"),)))), 1)
        assert part.get_content_type() == "application/octet-stream"
        assert octets(part) == odd


def test_parameters_of_a_content_type_are_kept():
    attachment = file(content_type='Text/Calendar; method=REQUEST; charset="utf-8"')
    part = child(read(made(letter(attachments=(attachment,)))), 1)
    assert part.get_content_type() == "text/calendar"
    assert parameters(part, "Content-Type") == {"method": "REQUEST", "charset": "utf-8"}


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain\nlines\r\nof\rall kinds", "7bit"),
        ("x" * 998 + "\n" + "y" * 998, "7bit"),
        ("x" * 999, "base64"),
        ("ok\n" * 400 + "x" * 999 + "\nok", "base64"),
        ("nul\0", "base64"),
        ("größer", "base64"),
        ("", "7bit"),
    ],
)
def test_text_travels_as_it_is_only_where_7bit_can_carry_it(text, encoding):
    message = read(made(letter(text=text)))
    assert message["Content-Transfer-Encoding"] == encoding
    assert octets(message).decode().removesuffix("\r\n") == crlf(text).removesuffix("\r\n")


def test_the_same_arguments_make_the_same_bytes_and_another_seed_another_boundary():
    wanted = letter(html="<p>", attachments=(IMAGE, file()))
    assert made(wanted) == made(wanted)
    assert made(wanted, seed="other") != made(wanted)


def test_the_header_says_when_and_what_and_how_important():
    message = read(made(letter(importance="high")))
    assert message["Date"] == "Tue, 24 Nov 2026 09:30:00 +0000"
    assert message["Message-ID"] == "<1@contoso.com>"
    assert message["MIME-Version"] == "1.0"
    assert message["Importance"] == "high"


def test_without_visible_recipients_there_is_no_to_and_no_cc():
    assert not {"To", "Cc"} & set(read(made(letter(to=()))).keys())


@pytest.mark.parametrize(
    ("given_date", "expected"),
    [
        ("Tue, 24 Nov 2026 10:30:00 +0100", datetime(2026, 11, 24, 10, 30, tzinfo=timezone(timedelta(hours=1)))),
        ("1 Jan 2026 00:00 GMT", datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_clients_date_is_kept(given_date, expected):
    message = read(made(letter(headers=(("Date", given_date),))))
    assert message.get_all("Date") == [message["Date"]]
    assert message["Date"].datetime == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        ([("message-id", " <a.b@c> ")], "<a.b@c>"),
        ([("Message-ID", "<a@[1.2.3.4]>")], "<a@[1.2.3.4]>"),
        ([("Message-ID", "a@b")], None),
        ([("Message-ID", "<a@b> <c@d>")], None),
        ([("Message-ID", "<ü@b>")], None),
        ([("Message-ID", f"<{'a' * 990}@b>")], None),
        ([("Message-ID", "<a@b>"), ("message-id", "<a@b>")], None),
    ],
)
def test_a_clients_message_id_counts_if_it_is_single_and_valid(headers, expected):
    assert client_message_id(headers) == expected


def test_a_clients_message_id_is_written_once():
    headers = (("Message-Id", "<own@contoso.com>"),)
    message = read(made(letter(headers=headers), message_id=client_message_id(headers) or ""))
    assert message.get_all("Message-ID") == ["<own@contoso.com>"]
