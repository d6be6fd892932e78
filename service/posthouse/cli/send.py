"""``posthouse send``: one message from the command line, and what became of it."""

import asyncio
import base64
import os
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from posthouse.cli.exits import Code, Stop
from posthouse.cli.options import AsJson
from posthouse.cli.output import Output, clean, output

if TYPE_CHECKING:
    from posthouse.cli.client import Desk
    from posthouse.cli.shapes import Message, Receipt

WAIT: Final = 60.0
"""Seconds that a bare ``--wait`` waits."""

FIRST_LOOK: Final = 0.1
LONGEST_LOOK: Final = 1.0
"""Seconds between two looks at a message that is waited for, at first and at most."""

_FINAL: Final = frozenset({"sent", "failed", "expired", "canceled"})


def with_wait(args: Sequence[str]) -> list[str]:
    """The arguments of ``posthouse send`` with a bare ``--wait`` made ``--wait=60``: Typer knows no optional values."""
    end = args.index("--") if "--" in args else len(args)
    return [f"--wait={WAIT:g}" if arg == "--wait" else arg for arg in args[:end]] + list(args[end:])


def send(
    *,
    sender: Annotated[str | None, typer.Option("--from", help="Who sends: 'Name <a@b>' or a@b.")] = None,
    to: Annotated[list[str] | None, typer.Option("--to", help="A recipient; may stand several times.")] = None,
    cc: Annotated[list[str] | None, typer.Option("--cc")] = None,
    bcc: Annotated[list[str] | None, typer.Option("--bcc")] = None,
    reply_to: Annotated[list[str] | None, typer.Option("--reply-to")] = None,
    subject: Annotated[str, typer.Option("--subject")] = "",
    text: Annotated[str | None, typer.Option("--text", help="The text; - reads standard input.")] = None,
    text_file: Annotated[Path | None, typer.Option("--text-file", help="The text from a file.")] = None,
    html: Annotated[str | None, typer.Option("--html", help="The HTML; - reads standard input.")] = None,
    html_file: Annotated[Path | None, typer.Option("--html-file", help="The HTML from a file.")] = None,
    attach: Annotated[list[Path] | None, typer.Option("--attach", help="A file; may stand several times.")] = None,
    eml: Annotated[
        Path | None,
        typer.Option("--eml", help="A complete message (RFC 5322); - reads standard input. --to overrides."),
    ] = None,
    reference: Annotated[str | None, typer.Option("--reference", help="Your own id for it.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", help="Submitted once, however often.")
    ] = None,
    wait: Annotated[
        float | None,
        typer.Option("--wait", metavar="[=SECONDS]", min=0, help="Wait until it is sent; 60 s unless said."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Submit a message; with --wait until it is sent (exit code 1: it failed, 8: it takes longer)."""
    from posthouse.cli.client import Alone, run

    headers = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
    if eml is not None:
        written = (sender, cc, bcc, reply_to, subject, text, text_file, html, html_file, attach)
        if any(written):
            raise typer.BadParameter("--eml is a complete message; beside it stand only --to and --reference")
        params = [("to", address) for address in to or ()] + ([("reference", reference)] if reference else [])
        options = {"content": _bytes(eml), "params": params, "headers": headers | {"content-type": "message/rfc822"}}
    else:
        if sender is None:
            raise typer.BadParameter("--from is missing")
        lists = {"to": to, "cc": cc, "bcc": bcc, "reply_to": reply_to}
        body: dict[str, object] = {"from": sender, "subject": subject} | {k: v for k, v in lists.items() if v}
        said = {"text": _said("text", text, text_file), "html": _said("html", html, html_file), "reference": reference}
        body |= {name: value for name, value in said.items() if value is not None}
        if attach:
            body["attachments"] = [_attachment(path) for path in attach]
        options = {"json": body, "headers": headers}

    async def work(desk: "Desk") -> Code | None:
        receipt: Receipt = (await desk.call("POST", "/v1/messages", **options)).json()
        return await _report(desk, receipt, output(as_json=as_json), wait=wait)

    run(work, environ=os.environ, alone=Alone.FAIL)


async def _report(desk: "Desk", receipt: "Receipt", out: Output, *, wait: float | None) -> Code | None:
    for warning in receipt["warnings"]:
        out.note(f"note: {warning['detail']} ({warning['code']})")
    if wait is None:
        out.item(receipt) if out.as_json else out.line(receipt["id"])
        return None
    message = await _final(desk, receipt["id"], out, wait=wait)
    out.item(message) if out.as_json else out.line(f"{message['id']} {message['status']}")
    for recipient in message["recipients"]:
        if recipient["refused"]:
            out.note(f"note: {recipient['address']} was refused: {recipient['refused']}")
    status = message["status"]
    if status not in _FINAL:
        out.note(f"posthouse: after {wait:g} s it is {status}; posthouse messages show {message['id']}")
        return Code.TIMED_OUT
    if status != "sent":
        out.note(f"posthouse: it is {status}; posthouse messages show {message['id']}")
        return Code.FAILED
    return None


async def _final(desk: "Desk", message_id: str, out: Output, *, wait: float) -> "Message":
    """The message when it is final, or as it stands after ``wait`` seconds."""
    end, pause = time.monotonic() + wait, FIRST_LOOK
    with _progress(out, wait) as progress:
        while True:
            message: Message = await desk.get(f"/v1/messages/{message_id}")
            left = end - time.monotonic()
            if message["status"] in _FINAL or left <= 0:
                return message
            progress.show(_standing(message), wait - left)
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, LONGEST_LOOK)


def _standing(message: "Message") -> str:
    held = message["held"]
    if held is not None:
        return f"held: {held['advice']}"
    if message["next_attempt_at"]:
        return f"{message['status']}, next try {message['next_attempt_at'][11:19]}Z"
    return message["status"]


class Silent:
    """Shows nothing, because no person watches."""

    def show(self, text: str, seconds: float) -> None:
        """Nothing."""


class Bar(Silent):
    """A bar on standard error that fills until the waiting ends."""

    def __init__(self, out: Output, wait: float) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
        self.progress = Progress(*columns, console=Console(file=out.err), transient=True)
        self._task = self.progress.add_task("queued", total=wait)

    def show(self, text: str, seconds: float) -> None:
        """Where the message stands, after these seconds."""
        self.progress.update(self._task, description=clean(text), completed=seconds)


@contextmanager
def _progress(out: Output, wait: float) -> Generator[Silent]:
    if not out.err.isatty():
        yield Silent()
        return
    bar = Bar(out, wait)
    with bar.progress:
        yield bar


def _said(name: str, text: str | None, file: Path | None) -> str | None:
    if text is not None and file is not None:
        raise typer.BadParameter(f"--{name} or --{name}-file, not both")
    if file is None and text != "-":
        return text
    try:
        return _bytes(file or Path("-")).decode()
    except UnicodeDecodeError:
        raise typer.BadParameter(f"the {name} is not UTF-8") from None


def _attachment(path: Path) -> dict[str, str]:
    return {"filename": path.name, "content": base64.b64encode(_bytes(path)).decode()}


def _bytes(path: Path) -> bytes:
    """A file, or standard input for ``-``; raises Stop."""
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise Stop(Code.USAGE, f"{path} cannot be read: {error.strerror}") from error
