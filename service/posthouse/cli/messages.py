"""``posthouse messages``: what happened, and what a person may do about it."""

import contextlib
import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from posthouse.cli.exits import Code, Stop
from posthouse.cli.options import AsJson, MessageIds, OneMessage, earlier, later
from posthouse.cli.output import Output, clean, count, moment, output

if TYPE_CHECKING:
    from posthouse.cli.client import Desk
    from posthouse.cli.shapes import Erased, Event, Listing, Message

PAGE = 100


class Word(StrEnum):
    """What a person saw for himself."""

    SENT = "sent"
    NOT_SENT = "not-sent"


def list_(
    *,
    status: Annotated[
        str | None, typer.Option("--status", help="queued, deferred, held, unconfirmed, sent, failed …")
    ] = None,
    sender: Annotated[str | None, typer.Option("--from", help="The sender's address.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="A recipient's address.")] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="Words of the subject.")] = None,
    reference: Annotated[str | None, typer.Option("--reference", help="The caller's own id.")] = None,
    message_id: Annotated[str | None, typer.Option("--message-id", help="The Message-ID.")] = None,
    client: Annotated[str | None, typer.Option("--client")] = None,
    transport: Annotated[str | None, typer.Option("--transport")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="NAME=VALUE", help="Several allowed.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="Accepted after: 2h ago, or a time.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Accepted before: 2h ago, or a time.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Messages, newest first."""
    from posthouse.cli.client import Alone, run

    plain = {"status": status, "from": sender, "to": to, "subject": subject, "reference": reference}
    plain |= {"message_id": message_id, "client": client, "transport": transport}
    plain |= {"created_after": since and earlier(since), "created_before": until and earlier(until)}
    filters = {name: value for name, value in plain.items() if value} | _tags(tag or ())

    async def work(desk: "Desk") -> None:
        found, more = await _pages(desk, filters, limit)
        _show_list(found, output(as_json=as_json), more=more)

    run(work, environ=os.environ, alone=Alone.OPEN)


def show(message: OneMessage, as_json: AsJson = False) -> None:
    """The story of a message: what happened, why, and what mends it."""
    from posthouse.cli.client import Alone, run
    from posthouse.cli.story import story

    async def work(desk: "Desk") -> None:
        found: Message = await desk.get(_path(message))
        out = output(as_json=as_json)
        if out.as_json:
            out.item(found)
            return
        events: Listing[Event] = await desk.get(f"{_path(message)}/events")
        for line in story(found, events["data"]):
            out.line(clean(line))

    run(work, environ=os.environ, alone=Alone.OPEN)


def events(message: OneMessage, as_json: AsJson = False) -> None:
    """The history of a message, an event a line."""
    from posthouse.cli.client import Alone, run

    async def work(desk: "Desk") -> None:
        found: Listing[Event] = await desk.get(f"{_path(message)}/events")
        out = output(as_json=as_json)
        if out.as_json:
            for event in found["data"]:
                out.item(event)
            return
        rows = [(moment(e["at"]), e["type"], _told(e)) for e in found["data"]]
        out.rows(("AT", "EVENT", "DATA"), rows)

    run(work, environ=os.environ, alone=Alone.OPEN)


def tail(
    *,
    types: Annotated[
        list[str] | None, typer.Option("--type", help="message.sent, message.held …; several allowed.")
    ] = None,
    after: Annotated[
        str | None, typer.Option("--after", help="From this position on, in place of from now on.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What happens to all messages, as it happens, until Ctrl-C."""
    from posthouse.cli.client import Alone, run
    from posthouse.cli.following import follow

    out = output(as_json=as_json)

    def show(event: "Event") -> None:
        if out.as_json:
            out.item(event)
        else:
            out.line(clean(f"{moment(event['at'])}  {event['message']}  {event['type']}  {_told(event)}".rstrip()))
        out.out.flush()  # in a pipe too, somebody waits for each line

    async def work(desk: "Desk") -> None:
        await follow(desk, types=types or (), after=after, show=show, note=out.note)

    with contextlib.suppress(KeyboardInterrupt):
        run(work, environ=os.environ, alone=Alone.FAIL)


def retry(
    messages: MessageIds,
    accept_duplicate: Annotated[
        bool, typer.Option("--accept-duplicate", help="Even where it may have been sent already.")
    ] = False,
    expires: Annotated[str | None, typer.Option("--expires", help="A new expiry: 2h from now, or a time.")] = None,
    as_json: AsJson = False,
) -> None:
    """Send messages again that failed, expired or wait."""
    body: dict[str, object] = {"accept_duplicate": True} if accept_duplicate else {}
    _act(messages, "retry", body | ({"expires_at": later(expires)} if expires else {}), as_json=as_json)


def change(
    *,
    messages: MessageIds,
    send: Annotated[str | None, typer.Option("--send", help="When: now, 2h from now, or a time.")] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="Never sent later: never, 2h from now, or a time.")
    ] = None,
    priority: Annotated[str | None, typer.Option("--priority", help="high, normal or low.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change times and priority of messages that wait."""
    body: dict[str, object] = {} if priority is None else {"priority": priority}
    if send is not None:
        body["scheduled_at"] = None if send == "now" else later(send)
    if expires is not None:
        body["expires_at"] = None if expires == "never" else later(expires)
    if not body:
        raise typer.BadParameter("nothing to change: --send, --expires or --priority")
    _act(messages, "", body, as_json=as_json)


def cancel(messages: MessageIds, as_json: AsJson = False) -> None:
    """Do not send messages that were not sent yet."""
    _act(messages, "cancel", None, as_json=as_json)


def release(messages: MessageIds, as_json: AsJson = False) -> None:
    """Let held messages go; look again for unconfirmed ones."""
    _act(messages, "release", None, as_json=as_json)


def settle(
    messages: MessageIds,
    word: Annotated[Word, typer.Option("--as", help="What you saw for yourself.")],
    as_json: AsJson = False,
) -> None:
    """Say what became of unconfirmed messages, after you looked for yourself."""
    _act(messages, "settle", {"as": word.value.replace("-", "_")}, as_json=as_json)


def content(
    message: OneMessage,
    file: Annotated[
        Path | None, typer.Option("--output", "-o", help="Into a file, in place of standard output.")
    ] = None,
) -> None:
    """The message as it is kept (.eml), without Bcc; every view is written down."""
    from posthouse.cli.client import Alone, run

    async def work(desk: "Desk") -> None:
        raw = (await desk.call("GET", f"{_path(message)}/content")).content
        if file is None:
            sys.stdout.buffer.write(raw)
            return
        try:
            file.write_bytes(raw)
        except OSError as error:
            raise Stop(Code.FAILED, f"{file} cannot be written: {error.strerror}") from error

    run(work, environ=os.environ, alone=Alone.OPEN)


def erase(
    *,
    recipient: Annotated[str, typer.Option("--recipient", metavar="ADDRESS", help="Whose mail.")],
    yes: Annotated[bool, typer.Option("--yes", help="Without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase what is kept of the final messages to a recipient, for a person's request (exit code 7: some are not final)."""
    from posthouse.cli.client import Alone, run

    if not yes and not dry_run and not sys.stdin.isatty():
        raise Stop(Code.USAGE, "this cannot be undone: --yes, or --dry-run to see what it would do")

    async def work(desk: "Desk") -> Code | None:
        out, body = output(as_json=as_json), {"recipient": recipient}
        found: Erased = await desk.post("/v1/messages/erase", {**body, "dry_run": True})
        if not dry_run:
            if not yes:
                typer.confirm(f"Erase {count(found['erased'], 'message')} for good?", abort=True, err=True)
            found = await desk.post("/v1/messages/erase", body)
        out.item(found) if out.as_json else _show_erased(found, out)
        return Code.PARTLY if found["unfinished"] else None

    run(work, environ=os.environ, alone=Alone.OPEN)


def _show_erased(found: "Erased", out: Output) -> None:
    would = "would be " if found["dry_run"] else ""
    out.line(f"{count(found['erased'], 'message')} {would}erased")
    if found["unfinished"]:
        out.note(f"{count(found['unfinished'], 'message')} not final, left as they are: cancel them first, or wait")
        for message_id in found["unfinished_ids"]:
            out.line(message_id)


def _act(messages: Sequence[str], action: str, body: dict[str, object] | None, *, as_json: bool) -> None:
    """One action on each message; the others go on where one fails (exit code 7, or its own where it is alone).

    No ``action`` changes the message itself.
    """
    from posthouse.cli.client import Alone, run

    async def work(desk: "Desk") -> Code | None:
        out, stops = output(as_json=as_json), list[Stop]()
        for message in messages:
            try:
                method, path = ("POST", f"{_path(message)}/{action}") if action else ("PATCH", _path(message))
                found: Message = (await desk.call(method, path, json=body)).json()
            except Stop as stop:
                out.note(f"posthouse: {message}: {stop}")
                stops.append(stop)
            else:
                out.item(found) if out.as_json else out.line(f"{found['id']} {found['status']}")
        if len(stops) == len(messages):
            return stops[0].code
        return Code.PARTLY if stops else None

    run(work, environ=os.environ, alone=Alone.OPEN)


async def _pages(desk: "Desk", filters: dict[str, str], limit: int) -> tuple[list["Message"], bool]:
    found: list[Message] = []
    after: dict[str, str] = {}
    while True:
        size = str(min(limit - len(found), PAGE))
        page: Listing[Message] = await desk.get("/v1/messages", limit=size, **filters, **after)
        found += page["data"]
        if len(found) >= limit or page["next"] is None:
            return found, page["has_more"]
        after = {"after": page["next"]}


def _show_list(found: Sequence["Message"], out: Output, *, more: bool) -> None:
    if out.as_json:
        for message in found:
            out.item(message)
        return
    rows = [(m["id"], m["status"], moment(m["created_at"]), m["from"], _recipients(m), m["subject"]) for m in found]
    out.rows(("ID", "STATUS", "ACCEPTED", "FROM", "TO", "SUBJECT"), rows)
    if more:
        out.note(f"there are more than these {len(found)}: --limit")


def _told(event: "Event") -> str:
    return ", ".join(f"{name}={value}" for name, value in event["data"].items())


def _recipients(message: "Message") -> str:
    first, *others = (recipient["address"] for recipient in message["recipients"])
    return f"{first} +{len(others)}" if others else first


def _tags(pairs: Sequence[str]) -> dict[str, str]:
    if any("=" not in pair for pair in pairs):
        raise typer.BadParameter("--tag is NAME=VALUE")
    return {f"tag.{name}": value for name, _, value in (pair.partition("=") for pair in pairs)}


def _path(message: str) -> str:
    return f"/v1/messages/{quote(message, safe='')}"
