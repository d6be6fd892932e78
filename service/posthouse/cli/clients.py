"""``posthouse clients``: who may submit, on which terms; pause and resume."""

import os
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import quote

import typer

from posthouse.cli.exits import Code, Stop
from posthouse.cli.options import AsJson
from posthouse.cli.output import moment, output

if TYPE_CHECKING:
    from posthouse.cli.client import Desk
    from posthouse.cli.shapes import ClientShape, Listing

Name = Annotated[str, typer.Argument(metavar="NAME", help="The client, from posthouse clients list.")]
_OFF = "0 takes it away."


def list_(as_json: AsJson = False) -> None:
    """All clients with their terms."""
    from posthouse.cli.client import Alone, run

    async def work(desk: "Desk") -> None:
        clients: Listing[ClientShape] = await desk.get("/v1/clients")
        out = output(as_json=as_json)
        if out.as_json:
            for client in clients["data"]:
                out.item(client)
            return
        out.rows(("CLIENT", "TERMS", "STATE"), [_row(client) for client in clients["data"]])

    run(work, environ=os.environ, alone=Alone.OPEN)


def set_(
    *,
    name: Name,
    rate_per_minute: Annotated[int | None, typer.Option(help=f"Messages a minute. {_OFF}")] = None,
    rate_per_day: Annotated[int | None, typer.Option(help=f"Messages a day. {_OFF}")] = None,
    over_rate: Annotated[
        Literal["refuse", "delay"] | None, typer.Option(help="What comes too fast is refused, or sent later.")
    ] = None,
    max_message_bytes: Annotated[int | None, typer.Option(help=f"Bytes of a message. {_OFF}")] = None,
    rewrite_from: Annotated[
        str | None, typer.Option(help="The sender of mail whose From it may not use. An empty one takes it away.")
    ] = None,
    priority: Annotated[Literal["high", "normal", "low"] | None, typer.Option(help="Where its mail says none.")] = None,
    expire_after: Annotated[str | None, typer.Option(help=f"15m, 2d: never sent later. {_OFF}")] = None,
    on_unconfirmed: Annotated[
        Literal["settle", "retry", "hold"] | None, typer.Option(help="Where its mail says nothing else.")
    ] = None,
    content: Annotated[
        Literal["keep", "until_sent"] | None, typer.Option(help="Whether what was sent is deleted at once.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="NAME=VALUE on all its mail; several allowed.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change what holds for all of a client's mail."""
    from posthouse.cli.client import Alone, run

    given: dict[str, object] = {
        "rate_per_minute": rate_per_minute,
        "rate_per_day": rate_per_day,
        "over_rate": over_rate,
        "max_message_bytes": max_message_bytes,
        "rewrite_from": rewrite_from,
        "priority": priority,
        "expire_after": expire_after,
        "on_unconfirmed": on_unconfirmed,
        "content": content,
        "tags": None if tag is None else dict(_tag(text) for text in tag),
    }
    body = {field: value if value not in ("", "0") else None for field, value in given.items() if value is not None}
    if not body:
        raise Stop(Code.USAGE, "nothing to change: see posthouse clients set --help")

    async def work(desk: "Desk") -> None:
        client: ClientShape = await desk.patch(_path(name), body)
        out = output(as_json=as_json)
        out.item(client) if out.as_json else out.line(f"{client['name']}: {_terms(client)}")

    run(work, environ=os.environ, alone=Alone.OPEN)


def pause(name: Name, as_json: AsJson = False) -> None:
    """Accept what it submits, and hold it."""
    _tell(name, "pause", as_json=as_json)


def resume(name: Name, as_json: AsJson = False) -> None:
    """Let what was held go on."""
    _tell(name, "resume", as_json=as_json)


def _tell(name: str, verb: str, *, as_json: bool) -> None:
    from posthouse.cli.client import Alone, run

    async def work(desk: "Desk") -> None:
        client: ClientShape = await desk.post(f"{_path(name)}/{verb}")
        out = output(as_json=as_json)
        state = "its mail is accepted and held" if client["paused_at"] else "what was held goes on within half a minute"
        out.item(client) if out.as_json else out.line(f"{client['name']}: {state}")

    run(work, environ=os.environ, alone=Alone.OPEN)


def _row(client: "ClientShape") -> tuple[str, ...]:
    state = f"paused since {moment(client['paused_at'])}" if client["paused_at"] else "active"
    return client["name"], _terms(client), state


def _terms(client: "ClientShape") -> str:
    words = [
        f"{client['rate_per_minute']}/min" if client["rate_per_minute"] else "",
        f"{client['rate_per_day']}/day" if client["rate_per_day"] else "",
        f"over it: {client['over_rate']}" if client["over_rate"] else "",
        f"at most {client['max_message_bytes']} bytes" if client["max_message_bytes"] else "",
        f"From becomes {client['rewrite_from']}" if client["rewrite_from"] else "",
        f"priority {client['priority']}" if client["priority"] else "",
        f"expires after {client['expire_after']:g} s" if client["expire_after"] else "",
        f"unconfirmed: {client['on_unconfirmed']}" if client["on_unconfirmed"] else "",
        "content until sent" if client["content"] == "until_sent" else "",
        *(f"{name}={value}" for name, value in client["tags"].items()),
    ]
    return ", ".join(word for word in words if word) or "none of its own"


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter("a tag is NAME=VALUE")
    return name, value


def _path(name: str) -> str:
    return f"/v1/clients/{quote(name, safe='')}"
