"""``posthouse keys``: who may submit."""

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from posthouse.cli.exits import Code, Stop
from posthouse.cli.options import AsJson, later
from posthouse.cli.output import Output, moment, output

if TYPE_CHECKING:
    from posthouse.cli.client import Desk
    from posthouse.cli.shapes import Key, Listing, NewKey

Senders = Annotated[list[str], typer.Option("--sender", help="An address or *@domain it may send as; several allowed.")]
Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", help="submit (the default), read, content, manage, admin; several allowed."),
]
Domains = Annotated[
    list[str] | None, typer.Option("--recipient-domain", help="It may send to these domains only; several allowed.")
]
Expires = Annotated[str | None, typer.Option("--expires", help="90d from now, or a date.")]


def create(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The client; made where there is none.")],
    sender: Senders,
    scope: Scopes = None,
    recipient_domain: Domains = None,
    expires: Expires = None,
    as_json: AsJson = False,
) -> None:
    """Make a key for a client and print it, this once."""
    from posthouse.cli.client import Alone, run

    body: dict[str, object] = {"client": name, "senders": sender}
    optional = {"scopes": scope, "recipient_domains": recipient_domain, "expires_at": expires and later(expires)}
    body |= {field: value for field, value in optional.items() if value}

    async def work(desk: "Desk") -> None:
        key: NewKey = await desk.post("/v1/keys", body)
        _show_new(key, desk.url or _own_url(), output(as_json=as_json))

    run(work, environ=os.environ, alone=Alone.MAKE)


def _show_new(key: "NewKey", url: str, out: Output) -> None:
    if out.as_json:
        out.item({**key, "url": url})
        return
    sender = key["senders"][0].replace("*@", "someone@")
    out.line(f"key   {key['key']}")
    out.line(f"id    {key['id']}")
    out.line()
    out.line(f"POSTHOUSE_URL={url}")
    out.line(f"POSTHOUSE_KEY={key['key']}")
    out.line()
    out.line(f'curl {url}/v1/messages -H "Authorization: Bearer {key["key"]}" -H "Content-Type: application/json" \\')
    out.line(f"""  -d '{{"from": "{sender}", "to": "you@example.com", "subject": "Hello", "text": "It works."}}'""")
    out.note("The key is shown this once; only its hash is kept.")


def _own_url() -> str:
    """What clients are told, else where this machine's service listens."""
    from posthouse.settings.loading import load
    from posthouse.settings.model import HttpSettings
    from posthouse.settings.problems import SettingsError

    try:
        http = load(None, os.environ).http
    except SettingsError:
        http = HttpSettings()
    scheme = "https" if http.tls_cert else "http"
    return http.public_url or f"{scheme}://{http.listen}"


def list_(as_json: AsJson = False) -> None:
    """All keys, without their secrets."""
    from posthouse.cli.client import Alone, run

    async def work(desk: "Desk") -> None:
        keys: Listing[Key] = await desk.get("/v1/keys")
        out = output(as_json=as_json)
        if out.as_json:
            for key in keys["data"]:
                out.item(key)
            return
        columns = ("ID", "CLIENT", "SENDERS", "SCOPES", "CREATED", "LAST USED", "STATE")
        out.rows(columns, [_row(key) for key in keys["data"]])

    run(work, environ=os.environ, alone=Alone.OPEN)


def _row(key: "Key") -> tuple[str, ...]:
    state = "valid"
    if key["revoked_at"]:
        state = f"revoked {moment(key['revoked_at'])}"
    elif key["expires_at"]:
        over = datetime.fromisoformat(key["expires_at"]) <= datetime.now(UTC)
        state = f"{'expired' if over else 'until'} {moment(key['expires_at'])}"
    used = moment(key["last_used_at"]) or "never"
    senders, scopes = ", ".join(key["senders"]), ", ".join(key["scopes"])
    return key["id"], key["client"], senders, scopes, moment(key["created_at"]), used, state


def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, from posthouse keys list.")],
    as_json: AsJson = False,
) -> None:
    """End a key at once."""
    from posthouse.cli.client import Alone, run

    async def work(desk: "Desk") -> None:
        key: Key = await desk.post(f"/v1/keys/{_segment(key_id)}/revoke")
        out = output(as_json=as_json)
        out.item(key) if out.as_json else out.line(f"{key['id']} revoked")

    run(work, environ=os.environ, alone=Alone.OPEN)


def hash_(as_json: AsJson = False) -> None:
    r"""Read a key from standard input and print its hash, for key_hash in \[[clients]]."""
    from posthouse.clients.keys import hash_key, key_id_of

    text = typer.prompt("key", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    text = text.strip()
    if key_id_of(text) is None:
        raise Stop(Code.USAGE, "this is not a whole key: ph_live_, an id, _, and 38 letters and digits")
    digest, out = hash_key(text).hex(), output(as_json=as_json)
    out.item({"id": key_id_of(text), "key_hash": digest}) if out.as_json else out.line(digest)


def _segment(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")
