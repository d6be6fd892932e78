"""What a mail says, whatever bytes say it: people and subject decoded, the MIME tree, every part's decoded content."""

import email
from collections.abc import Iterator
from dataclasses import dataclass
from email.headerregistry import AddressHeader
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP


@dataclass(frozen=True, slots=True)
class Leaf:
    """A part that holds no others; text is without regard to its charset, its line ends and empty lines behind it."""

    type: str
    disposition: str | None
    filename: str | None
    content: str | bytes


@dataclass(frozen=True, slots=True)
class Likeness:
    """Two mails with the same one are the same to their readers."""

    people: dict[str, list[tuple[str, str]]]
    subject: str
    tree: str
    leaves: list[Leaf]


def likeness(raw: bytes) -> Likeness:
    """Of a complete message."""
    mail = email.message_from_bytes(raw, policy=SMTP)
    return Likeness(
        {name: people(mail, name) for name in ("From", "Sender", "To", "Cc", "Bcc", "Reply-To") if name in mail},
        str(mail["Subject"]).strip(),  # Django folds before the first word
        tree(mail),
        leaves(raw),
    )


def leaves(raw: bytes) -> list[Leaf]:
    """Every part that holds no others, in order."""
    mail = email.message_from_bytes(raw, policy=SMTP)
    return [leaf(part) for part in mail.walk() if not part.is_multipart()]


def leaf(part: EmailMessage) -> Leaf:
    """One part."""
    content = part.get_content()
    same = "\n".join(content.rstrip().splitlines()) if isinstance(content, str) else content
    return Leaf(part.get_content_type(), part.get_content_disposition(), part.get_filename(), same)


def people(mail: EmailMessage, name: str) -> list[tuple[str, str]]:
    """Display name and address of everybody in a field."""
    return list(_people(mail, name))


def _people(mail: EmailMessage, name: str) -> Iterator[tuple[str, str]]:
    for field in mail.get_all(name, []):
        assert isinstance(field, AddressHeader)
        yield from ((one.display_name, one.addr_spec) for one in field.addresses)


def tree(part: MIMEPart) -> str:
    """The types of all parts, as they hold each other."""
    inside = ", ".join(tree(one) for one in part.iter_parts()) if part.is_multipart() else ""
    return f"{part.get_content_type()}({inside})" if inside else part.get_content_type()
