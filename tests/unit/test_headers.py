"""Edits touch only what they are asked to touch, and after the fit no parser finds a recipient beyond the envelope."""

import re
from collections.abc import Sequence
from email import policy
from email.headerregistry import AddressHeader, HeaderRegistry
from email.parser import Parser
from email.utils import getaddresses
from inspect import signature

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posthouse.encoded import Unfit
from posthouse.headers import (
    addresses,
    canonical,
    fields,
    fit_to_envelope,
    is_msg_id,
    malformed,
    problems,
    split,
    values,
    with_field,
    without,
)

LENIENT = {"strict": False} if "strict" in signature(getaddresses).parameters else {}  # strict came with 3.11.10
PROPERTY = settings(max_examples=150, deadline=None)

BLOCK = (
    b"Received: from a\r\n\tby b;\r\n  Tue, 24 Nov 2026 09:30:00 +0000\r\n"
    b"FROM : Shop <noreply@contoso.com>\r\n"
    b'To: Anna <anna@example.org>,\r\n  "Doe, John" <john@example.org>\r\n'
    b"Cc: carl@example.org\r\n"
    b"Subject:  =?iso-8859-1?Q?gr=FC=DFe?=\r\n"
    b"X-Odd:\r\n"
    b"To: third@example.org\r\n"
)
ALL = ("anna@example.org", "john@example.org", "carl@example.org", "third@example.org")

loose = st.text(st.sampled_from('ab@.,;:<>()[]"\\ \té=?\r'), max_size=60)
locals_ = st.from_regex(r"[a-c]{1,2}(\.[a-c]{1,2})?", fullmatch=True)
mailboxes = st.builds("{}@{}".format, locals_, st.sampled_from(["x.org", "y.org", "ü.example"]))
shown = st.sampled_from(
    [
        "{}",
        "<{}>",
        "Anna <{}>",
        '"Doe, John" <{}>',
        '"a@b" <{}>',
        "{} (Anna (of) x)",
        "=?utf-8?q?a?=\r\n =?utf-8?q?b?= <{}>",
        "J. R. <{}>",
        "Büro <{}>",
        " \r\n\t<{}>",
    ]
)
elements = st.builds(lambda form, address: (form.format(address), address), shown, mailboxes)


def to_field(items: Sequence[tuple[str, str]], name: str = "To") -> bytes:
    return f"{name}: {', '.join(text for text, _ in items)}\r\n".encode()


@PROPERTY
@given(st.one_of(st.binary(max_size=200), st.text(st.sampled_from("aB: \t\r\n-"), max_size=80).map(str.encode)))
def test_the_spans_of_the_fields_cover_any_block_without_a_gap(block):
    found = fields(block)
    assert b"".join(one.raw for one in found) == block
    assert [block[one.start : one.end] for one in found] == [one.raw for one in found]


def test_fields_are_read_unfolded_by_any_spelling_of_their_name():
    names = [one.name for one in fields(BLOCK)]
    assert names == ["Received", "FROM", "To", "Cc", "Subject", "X-Odd", "To"]
    assert fields(BLOCK)[0].value == b"from a\tby b;  Tue, 24 Nov 2026 09:30:00 +0000"
    assert values(BLOCK, "subject") == ["grüße"]
    assert values(BLOCK, "x-odd") == [""]
    assert values(BLOCK, "from") == ["Shop <noreply@contoso.com>"]
    assert len(values(BLOCK, "to")) == 2


def test_a_line_that_is_no_field_has_no_name_and_stays():
    block = b"From me Tue Nov 24 09:30:00 2026\r\n folded\r\nSubject: x\r\nnonsense\r\n"
    assert [one.name for one in fields(block)] == ["", "Subject", ""]
    assert without(block, "Subject") == b"From me Tue Nov 24 09:30:00 2026\r\n folded\r\nnonsense\r\n"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"plain", "plain"),
        ("roh ü".encode(), "roh ü"),
        (b"latin \xfc", "latin ü"),
        (b"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        (b"=?utf-8?q?a?=\r\n =?iso-8859-1?b?/A==?= c", "aü c"),
        (b"x =?utf-8?q?a?= y", "x a y"),
        (b"=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"),
        (b"=?utf-8*de?q?a_b?=", "a b"),
        (b"=?nonsense?q?=C3=BC?=", "ü"),
        (b"=?utf-8?b?w7w?=", "ü"),
        (b"=?utf-8?b?w?=", ""),
        (b"=?utf-8?x?a?=", "=?utf-8?x?a?="),
        (b"=?unicode_escape?q?=5Cud800?=", "?"),
        (b"=?idna?q?xn--a?=", None),
    ],
)
def test_values_are_decoded_as_far_as_they_can_be(raw, expected):
    (value,) = values(b"Subject: " + raw + b"\r\n", "Subject")
    value.encode()
    assert expected is None or value == expected


@PROPERTY
@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=200))
def test_a_field_that_was_added_reads_back_and_leaves_the_rest_as_it_was(value):
    block = with_field(BLOCK, "X-New", value)
    assert block.startswith(BLOCK)
    assert values(block, "X-New") == [value] or values(block, "X-New") == [value.strip(" ")]
    assert Parser(policy=policy.default).parsestr(block[len(BLOCK) :].decode())["X-New"].strip(" ") == value.strip(" ")
    assert without(block, "x-new") == BLOCK


@pytest.mark.parametrize(
    ("name", "value"), [("X-A", "b\r\nBcc: c@d"), ("X-A", "\n"), ("X-A: b\r\nX-B", "c"), ("", "c")]
)
def test_an_added_field_cannot_begin_another_one(name, value):
    with pytest.raises(Unfit):
        with_field(BLOCK, name, value)


def test_fields_are_taken_out_whole_and_by_any_spelling():
    assert without(BLOCK, "to", "RECEIVED") == (
        b"FROM : Shop <noreply@contoso.com>\r\nCc: carl@example.org\r\n"
        b"Subject:  =?iso-8859-1?Q?gr=FC=DFe?=\r\nX-Odd:\r\n"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" , ,", ()),
        ("a@b", ("a@b",)),
        ("a@b, c@d", ("a@b", "c@d")),
        ('"Doe, John" <a@b>', ("a@b",)),
        ('"x@y>, <z@w" <a@b>', ("a@b",)),
        ("Team: a@b, Anna <c@d>;", ("a@b", "c@d")),
        ("Team: a@b;, Rest:;, e@f", ("a@b", "e@f")),
        ("undisclosed-recipients:;", ()),
        ("a@b (Doe, John \\) (x))", ("a@b",)),
        ("(c) a (d) @ (e) b . org", ("a@b.org",)),
        ('"a b"@c', ('"a b"@c',)),
        ('"a\\"b,"@c', ('"a\\"b,"@c',)),
        ("a@[1.2.3.4]", ("a@[1.2.3.4]",)),
        ("=?utf-8?q?Doe=2C_John?= <a@b>", ("a@b",)),
        ("Büro <ü@ü.example>", ("ü@ü.example",)),
        ("x@y <a@b>", ("a@b",)),
        ("mailto:a@b", ("a@b",)),
    ],
)
def test_addresses_are_found_in_every_form(text, expected):
    block = f"To: {text}\r\n".encode()
    assert addresses(block, "to") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("John Doe", ("John Doe",)),
        ("a@b, John Doe, c@d", ("John Doe",)),
        ("John a@b", ("John a@b",)),
        ("a@b c@d", ("a@b c@d",)),
        ("<a@b", ("<a@b",)),
        ("a@b>", ("a@b>",)),
        ("<a@b> c", ("<a@b> c",)),
        ("<a@b> <c@d>", ("<a@b> <c@d>",)),
        ("<a@b, c@d>", ("<a@b, c@d>",)),
        ("a@b (open", ("a@b (open",)),
        ('a@b, "open <c@d>, e@f', ('"open <c@d>, e@f',)),
        ("a\\@b", ("a\\@b",)),
        ("a..b@c", ("a..b@c",)),
    ],
)
def test_what_is_no_mailbox_is_told_as_written(text, expected):
    assert malformed(f"To: {text}\r\n".encode(), "To") == expected


@PROPERTY
@given(st.lists(elements, max_size=6))
def test_any_list_of_mailboxes_is_read_as_the_library_reads_it(items):
    block = to_field(items)
    text = block.decode().partition(":")[2].replace("\r\n", "")
    known = HeaderRegistry()("To", text)
    assert isinstance(known, AddressHeader)
    assert list(addresses(block, "To")) == [one.addr_spec for one in known.addresses] == [spec for _, spec in items]
    assert malformed(block, "To") == ()


def test_headers_that_name_the_envelope_stay_byte_for_byte():
    edit = fit_to_envelope(BLOCK, recipients=[address.upper() for address in reversed(ALL)])
    assert (edit.header, edit.added_bcc, edit.dropped) == (BLOCK, (), ())


def test_recipients_of_the_envelope_alone_become_one_blind_copy_field():
    more = [f"person-{number}@example.net" for number in range(20)]
    edit = fit_to_envelope(BLOCK, recipients=[*ALL, *more, more[0].upper()])
    assert edit.header.startswith(BLOCK)
    assert edit.dropped == ()
    assert edit.added_bcc == (more[0].upper(), *more[1:])
    assert addresses(edit.header, "Bcc") == edit.added_bcc
    assert max(map(len, edit.header.split(b"\r\n"))) <= 78


def test_an_address_outside_the_envelope_leaves_only_its_own_field_rewritten():
    edit = fit_to_envelope(BLOCK, recipients=[ALL[1], ALL[2], ALL[3]])
    assert edit.dropped == ("anna@example.org",)
    assert edit.added_bcc == ()
    assert edit.header == BLOCK.replace(b"Anna <anna@example.org>,\r\n  ", b"")


def test_a_field_that_loses_everybody_goes():
    edit = fit_to_envelope(BLOCK, recipients=["anna@example.org", "john@example.org"])
    assert edit.header == BLOCK.replace(b"Cc: carl@example.org\r\n", b"").replace(b"To: third@example.org\r\n", b"")
    assert edit.dropped == ("carl@example.org", "third@example.org")


def test_a_stored_blind_copy_field_never_leaves_as_it_was():
    block = BLOCK + b"Bcc: secret@example.org, gone@example.org\r\nBcc: hidden:;\r\n"
    edit = fit_to_envelope(block, recipients=[*ALL, "secret@example.org"])
    assert edit.header == BLOCK + b"Bcc: secret@example.org\r\n"
    assert edit.added_bcc == ("secret@example.org",)
    assert edit.dropped == ("gone@example.org",)


@pytest.mark.parametrize(
    ("header", "envelope"),
    [
        ('"anna"@example.org', "anna@example.org"),
        ("anna@EXAMPLE.org", "Anna@example.ORG"),
        ("a@xn--bcher-kva.example", "a@bücher.example"),
        ("a@BÜCHER.example", "a@xn--bcher-kva.example"),
        ("u\u0308@example.org", "ü@example.org"),
        ('"a b"@c', '"a\\ b"@c'),
    ],
)
def test_one_address_written_in_two_ways_is_one_recipient(header, envelope):
    block = f"To: {header}\r\n".encode()
    edit = fit_to_envelope(block, recipients=[envelope])
    assert (edit.header, edit.added_bcc, edit.dropped) == (block, (), ())


def test_two_addresses_that_only_look_alike_stay_two():
    edit = fit_to_envelope("To: a@straße.example\r\n".encode(), recipients=["a@strasse.example"])
    assert edit.header == b"Bcc: a@strasse.example\r\n"
    assert edit.dropped == ("a@straße.example",)


@pytest.mark.parametrize(
    ("text", "header", "dropped"),
    [
        ("John Doe, anna@example.org", b"To: anna@example.org\r\n", ("John Doe",)),
        ("evil@x.org <anna@example.org>", b"To: <anna@example.org>\r\n", ()),
        ("Team: anna@example.org, b@x.org;", b"To: anna@example.org\r\n", ("b@x.org",)),
        ("mailto:anna@example.org", b"To: anna@example.org\r\n", ()),
        ("T: anna@example.org; b@x.org", b"To: anna@example.org\r\n", ("b@x.org",)),
        ("T: anna@example.org; anna@example.org", b"To: anna@example.org, anna@example.org\r\n", ()),
        ("anna@example.org;", b"To: anna@example.org\r\n", ()),
        ("evil@x.org: anna@example.org;", b"To: anna@example.org\r\n", ()),
        ('anna@example.org, "open <b@x.org>', b"To: anna@example.org\r\n", ('"open <b@x.org>',)),
        ("\x1b$B <anna@example.org>", b"To: anna@example.org\r\n", ()),
        ("Team: anna@example.org;", b"To: Team: anna@example.org;\r\n", ()),
    ],
)
def test_a_field_that_cannot_be_read_for_certain_is_written_anew(text, header, dropped):
    edit = fit_to_envelope(f"To: {text}\r\n".encode(), recipients=["anna@example.org"])
    assert (edit.header, edit.dropped, edit.added_bcc) == (header, dropped, ())


def test_names_in_an_unknown_charset_do_not_stop_the_fit():
    edit = fit_to_envelope(b"To: B\xfcro <anna@example.org>\r\n", recipients=["anna@example.org"])
    assert edit.header == b"To: anna@example.org\r\n"


def test_what_is_no_address_cannot_become_a_blind_copy():
    with pytest.raises(Unfit):
        fit_to_envelope(BLOCK, recipients=["a@b\r\nX-Evil: c"])


def everybody(block: bytes) -> set[str]:
    """All recipients that the library's lenient address parser finds."""
    message = Parser(policy=policy.compat32).parsestr(block.decode())
    found = [message.get_all(name, []) for name in ("To", "Cc", "Bcc")]
    lines = [re.sub(r"\r\n", "", str(value)) for every in found for value in every]
    bare = (re.sub(r'^"([^"]*)"@', r"\1@", address) for _, address in getaddresses(lines, **LENIENT))
    return {address.lower() for address in bare if "@" in address}


@PROPERTY
@given(st.lists(elements, max_size=6), st.lists(elements, max_size=3), st.sets(mailboxes, min_size=1, max_size=6))
def test_after_the_fit_the_header_names_exactly_the_envelope(to, cc, envelope):
    kept = b"Subject: untouched \r\n\t folded\r\n"
    block = to_field(to) + kept + to_field(cc, "cc")
    edit = fit_to_envelope(block, recipients=sorted(envelope))
    assert everybody(edit.header) == envelope
    assert set(addresses(edit.header, "to")) | set(addresses(edit.header, "cc")) | set(edit.added_bcc) == envelope
    assert set(edit.dropped) == {address for _, address in (*to, *cc)} - envelope
    assert kept in edit.header
    if not edit.dropped:
        assert edit.header.startswith(block)


@settings(max_examples=400, deadline=None)
@given(loose, st.sets(st.sampled_from(["a@b", "b@a", "a@a"]), min_size=1))
@example('a@b, "b@a', {"a@b"})
@example("<a@b>, <@x,b@a:c@d>", {"a@b"})
def test_after_the_fit_of_any_nonsense_nobody_beyond_the_envelope_is_named(text, envelope):
    block = f"To: {text}\r\n".encode()
    edit = fit_to_envelope(block, recipients=sorted(envelope))
    again = fit_to_envelope(edit.header, recipients=sorted(envelope))
    assert everybody(edit.header) == envelope
    assert again.dropped == ()
    assert again.added_bcc == edit.added_bcc


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("<a@b>", True),
        ("<a.b$c%d@e-f.g>", True),
        ("<a@[1.2.3.4]>", True),
        ('<"a,b"@c>', True),
        (f"<{'a' * 982}@b>", True),
        (f"<{'a' * 983}@b>", False),
        ("", False),
        ("a@b", False),
        ("<a>", False),
        ("<a@b@c>", False),
        ("<a b@c>", False),
        ("<a@b> ", False),
        ("<a@b><c@d>", False),
        ("<a..b@c>", False),
        ("<ü@b>", False),
        ("<a@>", False),
    ],
)
def test_a_message_id_is_valid_only_by_the_grammar(text, valid):
    assert is_msg_id(text) is valid


@pytest.mark.parametrize(
    ("raw", "header", "body"),
    [
        (b"A: b\r\n\r\nbody\r\n\r\nmore", b"A: b\r\n", b"body\r\n\r\nmore"),
        (b"A: b\r\n", b"A: b\r\n", b""),
        (b"\r\nbody", b"", b"body"),
        (b"", b"", b""),
    ],
)
def test_a_message_is_split_at_its_first_blank_line(raw, header, body):
    assert split(raw) == (header, body)


@PROPERTY
@given(st.text(st.sampled_from("a\r\n"), max_size=20).map(str.encode))
def test_every_kind_of_line_end_becomes_crlf_and_stays_it(raw):
    assert canonical(raw) == re.sub(rb"\r\n|\r|\n", b"\r\n", raw)
    assert canonical(canonical(raw)) == canonical(raw)


SOUND = BLOCK + b"\r\nbody\r\n"


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (BLOCK, "blank line"),
        (b"", "blank line"),
        (SOUND + b"\0", "NUL"),
        (SOUND + b"a\nb", "CRLF"),
        (SOUND + b"a\rb", "CRLF"),
        (SOUND + b"a" * 999, "998"),
        (b"X: " + b"a" * 996 + b"\r\n" + SOUND, "998"),
        (b"X: a\r\n" * 44_000 + SOUND, "262144"),
        (b"X: \xfc\r\n" + SOUND, "UTF-8"),
        (without(BLOCK, "From") + b"\r\n", "one From"),
        (b"From: a@b\r\n" + SOUND, "one From"),
        (b"From me Tue\r\n" + SOUND, "field"),
        (b" folded\r\n" + SOUND, "field"),
    ],
)
def test_each_broken_rule_of_a_message_is_named(raw, word):
    assert any(word in rule for rule in problems(raw))


@pytest.mark.parametrize("raw", [SOUND, BLOCK + b"\r\n", "X: ü\r\n".encode() + SOUND, SOUND + b"a" * 998])
def test_a_sound_message_has_no_problems(raw):
    assert problems(raw) == []
