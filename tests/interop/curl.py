"""curl at each door, as the guides show it."""

import json
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

from tests.interop.house import House
from tests.interop.mail import Mail, named
from tests.interop.programs import Said, run


async def by_smtp(house: House, mail: Mail, key: str) -> Said:
    """A complete message; curl's own errors hold the code only, its dialogue (-v) our words."""
    return await run(
        house,
        *("curl", "--silent", "--show-error", "--verbose", "--ssl-reqd"),
        *("--url", f"smtp://localhost:{house.ports['starttls']}", "--user", f"anything:{key}"),
        *("--mail-from", mail.sender[1]),
        *(part for address in mail.recipients for part in ("--mail-rcpt", address)),
        *("--upload-file", "-"),
        given=mail.complete(),
    )


async def json_by_rest(house: House, mail: Mail, key: str) -> Said:
    """All of it as JSON."""
    attachment = {"filename": mail.file.name, "content_type": mail.file.type, "content": mail.file.base64}
    body = json.dumps(_message(mail) | {"attachments": [attachment]}).encode()
    return await post(
        *(house, "/v1/messages", mail, key),
        *("--header", "Content-Type: application/json", "--data-binary", "@-"),
        given=body,
    )


async def form_by_rest(house: House, mail: Mail, key: str) -> Said:
    """The message as one part of a form, its file as another."""
    attachment = {"filename": mail.file.name, "content_type": mail.file.type, "part": "scan"}
    message = _kept(house, mail, json.dumps(_message(mail) | {"attachments": [attachment]}).encode(), "json")
    file = _kept(house, mail, mail.file.content, "pdf")
    return await post(
        *(house, "/v1/messages", mail, key),
        *("--form", f"message=<{message};type=application/json", "--form", f"scan=@{file}"),
    )


async def raw_by_rest(house: House, mail: Mail, key: str) -> Said:
    """A complete message, its envelope in the address line."""
    query = urlencode([("to", address) for address in mail.recipients])
    return await post(
        *(house, f"/v1/messages?{query}", mail, key),
        *("--header", "Content-Type: message/rfc822", "--data-binary", "@-"),
        given=replace(mail, key=None).complete(),
    )


async def json_by_resend(house: House, mail: Mail, key: str) -> Said:
    """As Resend's documentation shows it."""
    attachment = {"filename": mail.file.name, "content_type": mail.file.type, "content": mail.file.base64}
    body = _message(mail) | {
        "from": f'"{mail.sender[0]}" <{mail.sender[1]}>',
        "to": [f'"{name}" <{address}>' for name, address in mail.to],
        "attachments": [attachment],
    }
    return await post(
        *(house, "/resend/emails", mail, key),
        *("--header", "Content-Type: application/json", "--data-binary", "@-"),
        given=json.dumps(body).encode(),
    )


async def json_by_graph(house: House, mail: Mail, key: str) -> Said:
    """As Microsoft's documentation shows it, with the key itself as bearer."""
    message = {
        "from": _recipient(mail.sender),
        "toRecipients": [_recipient(one) for one in mail.to],
        "bccRecipients": [_recipient(("", address)) for address in mail.blind],
        "subject": mail.subject,
        "body": {"contentType": "HTML", "content": mail.html},
        "attachments": [
            {
                "@odata.type": "#microsoft.graph.fileAttachment",
                "name": mail.file.name,
                "contentType": mail.file.type,
                "contentBytes": mail.file.base64,
            }
        ],
    }
    return await post(
        *(house, f"/v1.0/users/{mail.sender[1]}/sendMail", mail, key),
        *("--header", "Content-Type: application/json", "--data-binary", "@-"),
        given=json.dumps({"message": message}).encode(),
    )


async def mime_by_graph(house: House, mail: Mail, key: str) -> Said:
    """A complete message in base64; its Bcc is its envelope's."""
    return await post(
        *(house, f"/v1.0/users/{mail.sender[1]}/sendMail", mail, key),
        *("--header", "Content-Type: text/plain", "--data-binary", "@-"),
        given=b64encode(replace(mail, key=None).complete(blind=True)),
    )


async def post(house: House, path: str, mail: Mail, key: str, *more: str, given: bytes = b"") -> Said:
    """One request with a key as bearer, and the mail's own key in the header that every door reads."""
    own = () if mail.key is None else ("--header", f"Idempotency-Key: {mail.key}")
    return await run(
        house,
        *("curl", "--silent", "--show-error", "--fail-with-body", house.url + path),
        *("--header", f"Authorization: Bearer {key}", *own, *more),
        given=given,
    )


def _message(mail: Mail) -> dict[str, object]:
    return {
        "from": named(mail.sender),
        "to": [named(one) for one in mail.to],
        "bcc": list(mail.blind),
        "subject": mail.subject,
        "text": mail.text,
        "html": mail.html,
    }


def _recipient(person: tuple[str, str]) -> dict[str, object]:
    return {"emailAddress": named(person)}


def _kept(house: House, mail: Mail, content: bytes, suffix: str) -> Path:
    path = house.home / f"{mail.tag}.{suffix}"
    path.write_bytes(content)
    return path
