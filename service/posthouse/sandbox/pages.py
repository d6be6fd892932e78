"""The inbox as plain HTML that works without JavaScript, with a keyboard and with a screen reader."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default as modern
from html import escape
from typing import Final

from posthouse.sandbox.recorder import Kind, Violations
from posthouse.sandbox.world import Received

SHOWN: Final = 200  # mails on one page

_BROKEN: Final[Mapping[Kind, str]] = {
    "at_once": "more than 4 requests at once of a mailbox",
    "starts": "more than 30 messages a minute of a mailbox",
    "early": "requests before Retry-After was over",
    "uploads": "more than 150 MB in 5 minutes of a mailbox",
    "recipients": "more than 10,000 recipients a day of a mailbox",
    "connections": "more than 3 SMTP sessions of a mailbox",
}

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 1rem/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 75rem; padding: 0 1rem }}
table {{ border-collapse: collapse; width: 100% }}
caption {{ text-align: left; padding: .5rem 0 }}
th, td {{ text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid #8888 }}
td {{ overflow-wrap: anywhere }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere }}
iframe {{ width: 100%; height: 30rem; border: 1px solid #888; background: #fff }}
</style></head>
<body><main>{body}</main></body></html>
"""


def inbox_page(mails: Iterable[Received], *, total: int, violations: Violations) -> str:
    """The list of the given mails, in their order, under a word about Microsoft's limits where they were broken."""
    rows = "\n".join(_row(one) for one in mails)
    heading = "<h1>Inbox</h1>" + _broken(violations)
    if not rows:
        return _page("Inbox", f"{heading}<p>Nothing was received yet.</p>")
    caption = f"Mails received: {total}. The newest {min(total, SHOWN)} are shown, newest first."
    heads = "".join(
        f'<th scope="col">{name}</th>' for name in ("Time (UTC)", "From", "Recipients", "Subject", "Transport")
    )
    table = f"<table><caption>{caption}</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return _page("Inbox", heading + table)


def _broken(violations: Violations) -> str:
    counts = [f"{_BROKEN[kind]} ({count})" for kind, count in violations.counts.items() if count]
    if not counts:
        return ""
    return f'<p role="status">Microsoft 365 would have throttled: {", ".join(counts)}. <a href="/control/violations">The latest</a></p>'


def mail_page(one: Received) -> str:
    """One mail: envelope, headers, text, HTML in a frame that may do nothing, attachments."""
    mail = parsed(one)
    parts = [
        '<p><a href="/inbox">Back to the inbox</a></p>',
        f"<h1>{escape(one.subject) or '(no subject)'}</h1>",
        _facts(one),
        "<h2>Headers</h2><pre>",
        escape("\n".join(f"{name}: {value}" for name, value in mail.items())),
        "</pre>",
    ]
    text, html = (_content(mail, kind) for kind in ("plain", "html"))
    if text is not None:
        parts.append(f"<h2>Text</h2><pre>{escape(text)}</pre>")
    if html is not None:
        parts.append(f'<h2>HTML</h2><iframe title="HTML body" sandbox srcdoc="{escape(html)}"></iframe>')
    listed = "".join(
        f'<li><a href="/inbox/{one.number}/attachments/{index}">{escape(name)}</a> ({kind}, {len(content)} bytes)</li>'
        for index, (name, kind, content) in enumerate(attachments(mail))
    )
    if listed:
        parts.append(f"<h2>Attachments</h2><ul>{listed}</ul>")
    return _page(one.subject or "(no subject)", "".join(parts))


def parsed(one: Received) -> EmailMessage:
    """The mail as the standard library reads it."""
    return BytesParser(EmailMessage, policy=modern).parsebytes(one.mime)


def attachments(mail: EmailMessage) -> Iterator[tuple[str, str, bytes]]:
    """Name, content type and bytes of every part that is not the text or HTML body."""
    bodies = [mail.get_body((kind,)) for kind in ("plain", "html")]
    for part in mail.walk():
        if part.is_multipart() or any(part is body for body in bodies):
            continue
        content = part.get_payload(decode=True)
        name = part.get_filename() or part.get("Content-ID") or part.get_content_type()
        yield str(name), part.get_content_type(), content if isinstance(content, bytes) else b""


def _content(mail: EmailMessage, kind: str) -> str | None:
    body = mail.get_body((kind,))
    if body is None:
        return None
    content = body.get_payload(decode=True)
    if not isinstance(content, bytes):
        return None
    try:
        return content.decode(body.get_content_charset("utf-8"), "replace")
    except LookupError:
        return content.decode("latin-1")


def _row(one: Received) -> str:
    subject = escape(one.subject) or "(no subject)"
    cells = (
        _time(one),
        escape(one.sender),
        escape(", ".join(one.recipients)),
        f'<a href="/inbox/{one.number}">{subject}</a>',
        escape(one.transport),
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _facts(one: Received) -> str:
    facts = {
        "Received": _time(one),
        "Mailbox": one.mailbox,
        "From": one.sender,
        "Recipients (envelope)": ", ".join(one.recipients),
        "Transport": one.transport,
        "Message-ID": one.message_id,
        "Size": f"{len(one.mime)} bytes",
        "SHA-256": one.digest,
    }
    rows = "".join(f'<tr><th scope="row">{name}</th><td>{escape(value)}</td></tr>' for name, value in facts.items())
    link = f'<p><a href="/inbox/{one.number}.eml">Download as .eml</a></p>'
    return f"<table><caption>What was received</caption><tbody>{rows}</tbody></table>{link}"


def _time(one: Received) -> str:
    return datetime.fromtimestamp(one.received_at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _page(title: str, body: str) -> str:
    return _PAGE.format(title=f"{escape(title)} · posthouse sandbox", body=body)
