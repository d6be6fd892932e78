"""``posthouse why``: from a recipient's address, an id or a reference to what became of the mail, and why."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from posthouse.cli.exits import Code, Stop
from posthouse.cli.options import AsJson
from posthouse.cli.output import clean, count, moment, output

if TYPE_CHECKING:
    from posthouse.cli.client import Desk
    from posthouse.cli.shapes import Diagnosis, Listing, Message

_MOST = 10


def why(
    what: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="A recipient; or msg_..., a <Message-ID>, a reference.")
    ],
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="At most so many messages.")] = _MOST,
    as_json: AsJson = False,
) -> None:
    """Where the mail to somebody is: sent, waiting or failed, the reason, and what mends it."""
    from posthouse.cli.client import Alone, run

    async def work(desk: "Desk") -> None:
        found = await _found(desk, what.strip(), limit)
        out = output(as_json=as_json)
        for message in found["data"]:
            if out.as_json:
                out.item(message)
            else:
                for line in answer_of(message, what):
                    out.line(clean(line))
        if not found["data"]:
            raise Stop(Code.NOT_FOUND, f"no message for {what} is kept; was it refused? posthouse refusals")
        if found["has_more"]:
            out.note(f"there are more than these {limit}, which are the newest: --limit")

    run(work, environ=os.environ, alone=Alone.OPEN)


async def _found(desk: "Desk", what: str, limit: int) -> "Listing[Message]":
    if what.startswith("msg_"):
        one: Message = await desk.get(f"/v1/messages/{what}")
        return {"data": [one], "has_more": False, "next": None}
    filtered = "message_id" if what.startswith("<") else "to" if "@" in what else "reference"
    return await desk.get("/v1/messages", limit=str(limit), **{filtered: what})


def answer_of(message: "Message", what: str) -> Iterator[str]:
    """What became of one message, in the fewest lines that answer."""
    refused = next((one for one in message["recipients"] if one["refused"] and _same(one["address"], what)), None)
    state = f"{message['status']}, but not to {what}" if refused else message["status"]
    yield f"{message['id']}  {state}  {message['subject']!r} from {message['from']}, {moment(message['created_at'])}"
    if refused:
        yield f"  refused  {refused['refused']}"
    diagnosis = message["diagnosis"]
    if diagnosis is not None:
        yield from reason(diagnosis)
    elif message["status"] == "sent" and not refused:
        by = f" by {message['transport']}" if message["transport"] else ""
        yield f"  Exchange Online took it{by}, {moment(message['finished_at'])}; Message-ID {message['message_id']}"
    elif message["status"] in ("queued", "scheduled", "sending"):
        yield f"  nothing is wrong with it; posthouse lanes list says what {message['mailbox']} waits for"
    for bounce in message["bounces"]:
        yield f"  bounced  Exchange reported later, {moment(bounce['at'])}, that it did not reach {bounce['recipient']}"
        yield from reason(bounce["diagnosis"])
    if message["next_attempt_at"]:
        yield f"  next     {moment(message['next_attempt_at'])}"
    others = [one["address"] for one in message["recipients"] if one["refused"] and one is not refused]
    if others and refused is None:
        yield f"  refused  {count(len(others), 'other recipient')}: {', '.join(others)}"


def reason(diagnosis: "Diagnosis", indent: str = "  ") -> Iterator[str]:
    """Class and cause, Microsoft's own words, code and request id, and the fix."""
    kind = f"{diagnosis['class']}: " if diagnosis["class"] else ""
    if diagnosis["cause"]:
        yield f"{indent}why      {kind}{diagnosis['cause']}"
    said = [diagnosis["text"]] if diagnosis["text"] and diagnosis["text"] != diagnosis["cause"] else []
    said += [
        f"{name} {diagnosis[key]}" for name, key in (("code", "code"), ("request id", "request_id")) if diagnosis[key]
    ]
    if said:
        yield f"{indent}answer   {', '.join(said)}"
    yield f"{indent}fix      {diagnosis['fix']}"


def _same(address: str, what: str) -> bool:
    return address.casefold() == what.casefold()
