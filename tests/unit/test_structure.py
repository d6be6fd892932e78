"""The structure of a message as two readers see it: ours in blocks, the standard library's at once."""

import email
import email.policy
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from email.message import Message

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.compose import Attachment, Letter, Person, compose
from posthouse.message import Bytes, Content
from posthouse.structure import PARTS, Anatomy, Index, Part, anatomy, decoded, index_of

PROPERTY = settings(max_examples=200, deadline=None)
TEXT = b"Content-Type: text/plain\r\n"
MIXED = b'Content-Type: multipart/mixed; boundary="b"\r\n'


class Blocks(Bytes):
    """A body that comes in blocks of one size."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data)
        object.__setattr__(self, "_step", size)

    async def blocks(self) -> AsyncIterator[bytes]:
        async for block in self.span(0, self.size):
            yield block

    async def span(self, start: int, end: int) -> AsyncIterator[bytes]:
        step: int = object.__getattribute__(self, "_step")
        for at in range(start, end, step):
            yield self.data[at : min(at + step, end)]


def structure(header: bytes, body: bytes, *, step: int = 1 << 20) -> Part:
    index = Index(header)
    for at in range(0, len(body), step):
        index.feed(body[at : at + step])
    return index.end()


def view(header: bytes, body: bytes, *, step: int = 1 << 20) -> Anatomy:
    return anatomy(structure(header, body, step=step))


async def octets(body: bytes, part: Part, *, step: int = 1 << 20) -> bytes:
    return b"".join([piece async for piece in decoded(Blocks(body, step), part)])


def leaves(part: Part) -> list[Part]:
    return [leaf for inner in part.parts for leaf in leaves(inner)] if part.parts else [part]


def library(part: Message) -> list[Message]:
    """The leaves as the standard library sees them; it opens message/rfc822 too, which is a file to a reader."""
    if part.get_content_maintype() != "multipart":
        return [part]
    inner = part.get_payload()
    assert isinstance(inner, list)
    return [leaf for one in inner if isinstance(one, Message) for leaf in library(one)]


files = st.builds(
    Attachment,
    filename=st.sampled_from(["a.pdf", "prüfung „x“.bin", "", "b.eml"]),
    content=st.binary(max_size=400),
    content_type=st.sampled_from(["application/pdf", "image/png", "text/plain", "message/rfc822", "text/html"]),
    content_id=st.none(),
    inline=st.booleans(),
)
letters = st.builds(
    Letter,
    sender=st.just(Person("", "a@contoso.com")),
    to=st.just((Person("", "b@example.org"),)),
    text=st.none() | st.text(st.characters(exclude_categories=("Cs",)), max_size=200),
    html=st.none() | st.text(st.characters(exclude_categories=("Cs",)), max_size=200),
    attachments=st.lists(files, max_size=4).map(
        lambda found: tuple(replace(one, content_id=f"c{n}" if one.inline else None) for n, one in enumerate(found))
    ),
)


@PROPERTY
@given(letters, st.integers(1, 300))
async def test_every_part_of_a_composed_message_is_found_in_any_blocks(letter: Letter, step: int) -> None:
    header, body = compose(letter, message_id="<1@x>", date=datetime(2026, 11, 24, tzinfo=UTC), boundary="seed")
    found = leaves(structure(header, body, step=step))
    known = library(email.message_from_bytes(header + b"\r\n" + body, policy=email.policy.compat32))
    assert [part.type for part in found] == [part.get_content_type() for part in known]
    assert [part.filename for part in found] == [part.get_filename() or "" for part in known]
    for ours, theirs in zip(found, known, strict=True):
        if ours.type != "message/rfc822":
            assert await octets(body, ours, step=step) == theirs.get_payload(decode=True)


@PROPERTY
@given(letters)
async def test_the_texts_and_the_files_of_a_composed_message_are_told_apart(letter: Letter) -> None:
    header, body = compose(letter, message_id="<1@x>", date=datetime(2026, 11, 24, tzinfo=UTC), boundary="seed")
    seen = view(header, body)
    assert seen.odd is None
    assert len(seen.files) == len(letter.attachments)
    text = letter.text if letter.text is not None or letter.html is not None else ""
    for part, known in ((seen.text, text), (seen.html, letter.html)):
        assert (part is None) == (known is None)
        if part is not None and known is not None:
            assert (await octets(body, part)).decode().splitlines() == known.splitlines()


@PROPERTY
@given(
    st.lists(
        st.sampled_from(
            [
                b"--b\r\n",
                b"--b--\r\n",
                b"--c\r\n",
                b"--c--\r\n",
                b"\r\n",
                b"x\r\n",
                b"--b \r\n",
                b"--bc\r\n",
                b"-",
                b"--",
                TEXT,
                b'Content-Type: multipart/alternative; boundary="c"\r\n',
                b"Content-Type: multipart/digest\r\n",
            ]
        ),
        max_size=30,
    ).map(b"".join),
    st.integers(1, 20),
)
def test_blocks_of_any_size_give_the_same_structure_of_any_body(body: bytes, step: int) -> None:
    whole = structure(MIXED, body)
    assert structure(MIXED, body, step=step) == whole
    for leaf in leaves(whole):
        assert 0 <= leaf.start <= leaf.end <= len(body)


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize(
    ("body", "contents"),
    [
        (b"--b\r\n" + TEXT + b"\r\none\r\n--b--\r\n", [b"one"]),
        (b"preamble\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n\r\n--b--\r\nepilogue\r\n--b\r\n", [b"one", b"two\r\n"]),
        (b"--b\r\n\r\n--b\r\n\r\n\r\n--b--", [b"", b""]),
        (b"--b\r\nX: 1\r\n--b\r\n\r\nnever closed", [b"", b"never closed"]),
        (b"--b  \t\r\n\r\npadded\r\n--b-- \r\n", [b"padded"]),
        (b"--b\r\n\r\n--bb\r\n--b x\r\n--b\r\n\r\nend\r\n--b--\r\n", [b"--bb\r\n--b x", b"end"]),
    ],
)
async def test_delimiters_are_read_as_rfc_2046_wants_it(body: bytes, contents: list[bytes], step: int) -> None:
    found = leaves(structure(MIXED, body, step=step))
    assert [await octets(body, part, step=step) for part in found] == contents


@pytest.mark.parametrize(
    ("encoding", "encoded", "content"),
    [
        (b"base64", b"SGVs\r\nbG8h\r\n", b"Hello!"),
        (b"base64", b"SGVsbG8=\r\nignored", b"Hello"),
        (b"BASE64", b"SG Vs*bG8", b"Hello"),
        (b"base64", b"", b""),
        (b"quoted-printable", b"Gr=C3=BC=\r\n=C3=9Fe =3D\r\n", "Grüße =\r\n".encode()),
        (b"8bit", "Grüße".encode(), "Grüße".encode()),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 3, 50])
async def test_transfer_encodings_are_taken_off(encoding: bytes, encoded: bytes, content: bytes, step: int) -> None:
    part = structure(TEXT + b"Content-Transfer-Encoding: " + encoding + b"\r\n", encoded)
    assert await octets(encoded, part, step=step) == content


def inside(header: bytes, body: bytes = b"x") -> bytes:
    return b"--b\r\n" + TEXT + b"\r\ntext\r\n--b\r\n" + header + b"\r\n" + body + b"\r\n--b--\r\n"


@pytest.mark.parametrize(
    ("header", "body", "odd"),
    [
        (b'Content-Type: multipart/signed; boundary="b"\r\n', inside(TEXT), "multipart/signed"),
        (b'Content-Type: multipart/encrypted; boundary="b"\r\n', inside(TEXT), "multipart/encrypted"),
        (b'Content-Type: multipart/report; boundary="b"\r\n', inside(TEXT), "multipart/report"),
        (b"Content-Type: application/pkcs7-mime\r\n", b"x", "application/pkcs7-mime"),
        (MIXED, inside(b"Content-Type: application/x-pkcs7-mime\r\n"), "application/x-pkcs7-mime"),
        (
            b'Content-Type: multipart/alternative; boundary="b"\r\n',
            inside(b"Content-Type: text/calendar\r\n"),
            "calendar",
        ),
        (MIXED, inside(b"Content-Transfer-Encoding: x-uuencode\r\n"), "x-uuencode"),
        (b"Content-Type: multipart/mixed\r\n", inside(TEXT), "multipart/mixed"),
        (MIXED, b"--b\r\n\r\n" * (PARTS + 1), "multipart/mixed"),
    ],
)
def test_what_a_reader_would_not_see_of_it_is_named(header: bytes, body: bytes, odd: str) -> None:
    assert odd in (view(header, body).odd or "")


def test_a_body_of_delimiters_costs_no_more_memory_than_its_limit() -> None:
    index = Index(MIXED)
    for _ in range(200):
        index.feed(b"--b\r\n\r\n" * 1_000)
    assert index.end().parts == ()


def test_names_of_files_are_decoded_whoever_wrote_them() -> None:
    names = [
        b"Content-Disposition: attachment; filename*=utf-8''pr%C3%BCfung.pdf\r\n",
        b'Content-Disposition: attachment; filename="=?utf-8?b?cHLDvGZ1bmcucGRm?="\r\n',
        'Content-Disposition: attachment; filename="prüfung.pdf"\r\n'.encode(),
        b'Content-Type: image/png; name="=?iso-8859-1?q?pr=FCfung.pdf?="\r\n',
    ]
    for header in names:
        (file,) = view(MIXED, inside(header)).files
        assert file.filename == "prüfung.pdf"


async def test_the_index_of_a_content_reads_its_body_once() -> None:
    chance = random.Random(3)
    body = inside(b"Content-Transfer-Encoding: base64\r\n", b"QUJD" * 1000)
    content = Content(MIXED, Blocks(body, chance.randint(10, 99)))
    (file,) = anatomy(await index_of(content)).files
    assert await octets(body, file) == b"ABC" * 1000
