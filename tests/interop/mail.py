"""The mail that every program sends: all that programs write in ways of their own."""

from base64 import b64encode
from dataclasses import dataclass
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formataddr

SENDER = "shop@contoso.example"
FOREIGN = "ceo@fabrikam.example"
"""An address that the programs' key may not send as."""
BLIND = "blind@example.com"

Person = tuple[str, str]
"""Display name and address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An attachment."""

    name: str
    type: str
    content: bytes

    @property
    def base64(self) -> str:
        """For JSON."""
        return b64encode(self.content).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail as its user thinks of it; ``text`` is None where a program has no place for it beside html.

    ``key`` is its Idempotency-Key, where one is to be said.
    """

    tag: str
    sender: Person = ("Zoë Ångström", SENDER)
    to: tuple[Person, ...] = (("Groß, Jürgen", "jurgen@example.net"), ("木村 花", "hana@example.org"))
    blind: tuple[str, ...] = (BLIND,)
    text: str | None = ".\n..\n.a line that begins with a dot\nViele Grüße\n.\nThe last line.\n"
    html: str = "<p>Viele Grüße</p>\n.\n<p>..</p>\n"
    file: File = File(name="Übersicht 2026 – 表.pdf", type="application/pdf", content=bytes(range(256)) * 40)
    key: str | None = None

    @property
    def subject(self) -> str:
        """Long enough to be folded."""
        return f"Grüße aus Zürich – ご注文の確認 – und noch einige Wörter mehr, damit die Zeile lang wird ({self.tag})"

    @property
    def recipients(self) -> list[str]:
        """The envelope."""
        return [address for _, address in self.to] + list(self.blind)

    def complete(self, *, blind: bool = False) -> bytes:
        """The same bytes each time: a complete message, its blind recipients in it where that is asked for."""
        fields = {
            "From": formataddr(self.sender),
            "To": ", ".join(formataddr(one) for one in self.to),
            # not by EmailMessage: in Python 3.11 it loses a space between the encoded words of a long subject
            "Subject": Header(self.subject, "utf-8", header_name="Subject").encode(linesep="\r\n"),
            "Date": "Thu, 26 Nov 2026 09:30:00 +0000",
            "Message-ID": f"<{self.tag}@contoso.example>",
        }
        if blind:
            fields["Bcc"] = ", ".join(self.blind)
        if self.key is not None:
            fields["Idempotency-Key"] = self.key
        header = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return header.encode() + self._body().as_bytes()

    def _body(self) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        if self.text is None:
            message.set_content(self.html, subtype="html")
        else:
            message.set_content(self.text)
            message.add_alternative(self.html, subtype="html")
        major, _, minor = self.file.type.partition("/")
        message.add_attachment(self.file.content, maintype=major, subtype=minor, filename=self.file.name)
        for number, part in enumerate(one for one in message.walk() if one.is_multipart()):
            part.set_boundary(f"=_{number}_{self.tag}")
        return message

    def as_json(self) -> dict[str, object]:
        """For the programs in other languages."""
        return {
            "from": named(self.sender),
            "to": [named(one) for one in self.to],
            "bcc": list(self.blind),
            "subject": self.subject,
            "text": self.text,
            "html": self.html,
            "file": {
                "name": self.file.name,
                "type": self.file.type,
                "content": self.file.base64,
            },
            "key": self.key,
        }


def named(person: Person) -> dict[str, str]:
    """A person as JSON."""
    name, address = person
    return {"name": name, "address": address}
