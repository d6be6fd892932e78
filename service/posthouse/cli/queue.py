"""``posthouse queue``, ``lanes`` and ``transports``: what waits, for whom, until when and why; pause and resume."""

import os
from typing import TYPE_CHECKING
from urllib.parse import quote

from posthouse.cli.options import AsJson
from posthouse.cli.output import Output, moment, output

if TYPE_CHECKING:
    from posthouse.cli.client import Desk
    from posthouse.cli.shapes import Lane, Listing, Transport


def queue(as_json: AsJson = False) -> None:
    """What waits, for which mailbox, until when and why."""
    from posthouse.cli.client import Alone, run

    async def work(desk: "Desk") -> None:
        lanes: Listing[Lane] = await desk.get("/v1/lanes")
        out = output(as_json=as_json)
        if out.as_json:
            for lane in lanes["data"]:
                out.item(lane)
            return
        _show(lanes["data"], out)
        ways: Listing[Transport] = await desk.get("/v1/transports")
        for way in ways["data"]:
            if way["state"] != "closed":
                out.note(f"transport {way['name']} is {state_of(way)}")

    run(work, environ=os.environ, alone=Alone.OPEN)


def _show(lanes: list["Lane"], out: Output) -> None:
    if not lanes:
        out.note("nothing waits")
        return
    columns = ("MAILBOX", "WAITING", "SENDING", "HELD", "UNCONFIRMED", "NEXT", "WAITS FOR")
    out.rows(columns, [_row(lane) for lane in lanes])
    pauses = [pause for lane in lanes for pause in lane["pauses"]]
    advice = {
        one["reason"]: one["advice"] for one in [*(lane["waits_for"] for lane in lanes if lane["waits_for"]), *pauses]
    }
    for reason, words in sorted(advice.items()):
        if words:
            out.note(f"{reason}: {words}")
    if any(pause["blocked"] for pause in pauses):
        out.note("one message is tried at NEXT, the others follow when it goes; mended? posthouse lanes resume MAILBOX")
    if any(lane["held"] for lane in lanes):
        out.note("held: posthouse messages list --status held")


def _row(lane: "Lane") -> tuple[str, ...]:
    why = lane["waits_for"]
    reasons = [] if why is None else [_until(why["reason"], why["until"])]
    reasons += [
        _until(pause["reason"], pause["until"]) + (f" ({pause['transport']})" if pause["transport"] else "")
        for pause in lane["pauses"]
        if why is None or pause["reason"] != why["reason"]
    ]
    numbers = (lane["waiting"], lane["sending"], lane["held"], lane["unconfirmed"])
    return lane["account"], *map(str, numbers), moment(lane["next_at"]), "; ".join(reasons)


def _until(reason: str, until: str | None) -> str:
    return f"{reason} until {moment(until)}" if until else reason


def pause_lane(mailbox: str, as_json: AsJson = False) -> None:
    """Send nothing from this mailbox until somebody resumes it."""
    _tell(f"/v1/lanes/{quote(mailbox, safe='')}/pause", f"{mailbox} is paused", as_json=as_json)


def resume_lane(mailbox: str, as_json: AsJson = False) -> None:
    """Go on, or the cause is mended: let this mailbox try again now."""
    _tell(f"/v1/lanes/{quote(mailbox, safe='')}/resume", f"{mailbox} tries again now", as_json=as_json)


def pause_transport(name: str, as_json: AsJson = False) -> None:
    """Send nothing by this transport until somebody resumes it."""
    _tell(f"/v1/transports/{quote(name, safe='')}/pause", f"{name} is paused", as_json=as_json)


def resume_transport(name: str, as_json: AsJson = False) -> None:
    """Go on, or the cause is mended: let this transport try again now."""
    _tell(f"/v1/transports/{quote(name, safe='')}/resume", f"{name} tries again now", as_json=as_json)


def _tell(path: str, words: str, *, as_json: bool) -> None:
    from posthouse.cli.client import Alone, run

    async def work(desk: "Desk") -> None:
        done: Lane | Transport = await desk.post(path)
        out = output(as_json=as_json)
        out.item(done) if out.as_json else out.line(words)

    run(work, environ=os.environ, alone=Alone.OPEN)


def transports(as_json: AsJson = False) -> None:
    """The ways out and how they stand."""
    from posthouse.cli.client import Alone, run

    async def work(desk: "Desk") -> None:
        ways: Listing[Transport] = await desk.get("/v1/transports")
        out = output(as_json=as_json)
        if out.as_json:
            for way in ways["data"]:
                out.item(way)
            return
        out.rows(("TRANSPORT", "KIND", "STATE"), [(way["name"], way["kind"], state_of(way)) for way in ways["data"]])

    run(work, environ=os.environ, alone=Alone.OPEN)


def state_of(way: "Transport") -> str:
    """How a way out stands, until when, and why."""
    if way["state"] == "closed":
        return "in use"
    until = f" until {moment(way['until'])}" if way["until"] else ""
    why = f": {way['reason']['advice'] or way['reason']['cause']}" if way["reason"] else ""
    return f"{way['state']}{until}{why}"
