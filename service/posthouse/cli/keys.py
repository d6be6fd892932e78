"""``posthouse keys``: who may submit."""

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

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
Networks = Annotated[
    list[str] | None,
    typer.Option("--network", help="It may come from these networks only (10.2.0.0/16); several allowed."),
]
Device = Annotated[bool, typer.Option("--device", help="A user and a short password for the SMTP door, one sender.")]
Expires = Annotated[str | None, typer.Option("--expires", help="90d from now, or a date.")]


def create(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The client; made where there is none.")],
    sender: Senders,
    scope: Scopes = None,
    recipient_domain: Domains = None,
    network: Networks = None,
    device: Device = False,
    expires: Expires = None,
    as_json: AsJson = False,
) -> None:
    """Make a key for a client and print it, this once."""
    from posthouse.cli.client import Alone, run

    body: dict[str, object] = {"client": name, "senders": sender}
    optional = {
        "kind": "device" if device else None,
        "scopes": scope,
        "recipient_domains": recipient_domain,
        "networks": network,
        "expires_at": expires and later(expires),
    }
    body |= {field: value for field, value in optional.items() if value}

    async def work(desk: "Desk") -> None:
        key: NewKey = await desk.post("/v1/keys", body)
        _show_new(key, desk.url or _own_url(), output(as_json=as_json))

    run(work, environ=os.environ, alone=Alone.MAKE)


def rotate(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, from posthouse keys list.")],
    grace: Annotated[str, typer.Option(help="For how long the old one stays valid: 24h, 7d.")] = "24h",
    as_json: AsJson = False,
) -> None:
    """Make a key that allows the same; the old one ends after the grace."""
    from posthouse.cli.client import Alone, run

    async def work(desk: "Desk") -> None:
        key: NewKey = await desk.post(f"/v1/keys/{_segment(key_id)}/rotate", {"grace": grace})
        _show_new(key, desk.url or _own_url(), output(as_json=as_json))

    run(work, environ=os.environ, alone=Alone.OPEN)


def _show_new(key: "NewKey", url: str, out: Output) -> None:
    settings = _mail_settings(key)
    if out.as_json:
        out.item({**key, "url": url, "smtp": settings})
        return
    secret = key["password"] if key["kind"] == "device" else key["key"]
    if key["kind"] != "device":
        _show_http(key, secret, url, out)
    out.line("Mail program or device:")
    for name, value in {**settings, "password": secret}.items():
        out.line(f"  {name:<11} {value}")
    sender = _example(key)
    server = f"{settings['host']}:{settings['port']}"
    tls = (
        "" if settings["encryption"] == "none" else "--tls-on-connect " if settings["encryption"] == "TLS" else "--tls "
    )
    out.line(f"  swaks --server {server} {tls}--auth LOGIN --auth-user {settings['user']} --auth-password {secret} \\")
    out.line(f"    --from {sender} --to you@example.com --header 'Subject: It works'")
    out.note("The secret is shown this once; only its hash is kept.")


def _show_http(key: "NewKey", secret: str, url: str, out: Output) -> None:
    out.line(f"key   {secret}")
    out.line(f"id    {key['id']}")
    out.line()
    out.line(f"POSTHOUSE_URL={url}")
    out.line(f"POSTHOUSE_KEY={secret}")
    out.line()
    out.line(f'curl {url}/v1/messages -H "Authorization: Bearer {secret}" -H "Content-Type: application/json" \\')
    out.line(
        f"""  -d '{{"from": "{_example(key)}", "to": "you@example.com", "subject": "Hello", "text": "It works."}}'"""
    )
    out.line()


def _example(key: "NewKey") -> str:
    return key["senders"][0].replace("*@", "someone@")


def _mail_settings(key: "NewKey") -> dict[str, str]:
    """What a mail program is told: the listener that suits most, and the user."""
    from posthouse.cli.doorway import Doorway, own_doorway
    from posthouse.settings.problems import SettingsError

    try:
        door = own_doorway()
    except SettingsError:
        door = Doorway(host="127.0.0.1", port=2525, tls="optional")
    host, port = ("", "") if door is None else (door.host, str(door.port))
    encryption = "none" if door is None else _SPOKEN[door.tls]
    return {"host": host, "port": port, "encryption": encryption, "user": key.get("user", "posthouse")}


_SPOKEN: Final = {"starttls": "STARTTLS", "implicit": "TLS", "optional": "none"}


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
        columns = ("ID", "CLIENT", "KIND", "SENDERS", "SCOPES", "CREATED", "LAST USED", "STATE")
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
    return key["id"], key["client"], key["kind"], senders, scopes, moment(key["created_at"]), used, state


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
    from posthouse.clients.forms import hash_key, key_id_of

    text = typer.prompt("key", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    text = text.strip()
    if key_id_of(text) is None:
        raise Stop(Code.USAGE, "this is not a whole key: ph_live_, an id, _, and 38 letters and digits")
    digest, out = hash_key(text).hex(), output(as_json=as_json)
    out.item({"id": key_id_of(text), "key_hash": digest}) if out.as_json else out.line(digest)


def _segment(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")
