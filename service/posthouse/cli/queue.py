"""``posthouse queue`` and ``posthouse transports``: what waits, for whom, until when and why."""

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
                out.note(f"transport {way['name']} is {_state(way)}")

    run(work, environ=os.environ, alone=Alone.OPEN)


def _show(lanes: list["Lane"], out: Output) -> None:
    if not lanes:
        out.note("nothing waits")
        return
    columns = ("MAILBOX", "WAITING", "SENDING", "HELD", "UNCONFIRMED", "NEXT", "PAUSED UNTIL")
    out.rows(columns, [_row(lane) for lane in lanes])
    advice = {pause["reason"]: pause["advice"] for lane in lanes for pause in lane["pauses"]}
    for reason, words in sorted(advice.items()):
        out.note(f"{reason}: {words}")
    if any(pause["blocked"] for lane in lanes for pause in lane["pauses"]):
        out.note("one message is tried at NEXT, the others follow when it goes; mended? posthouse lanes resume MAILBOX")
    if any(lane["held"] for lane in lanes):
        out.note("held: posthouse messages list --status held")


def _row(lane: "Lane") -> tuple[str, ...]:
    pauses = "; ".join(
        f"{moment(pause['until'])} {pause['reason']}" + (f" ({pause['transport']})" if pause["transport"] else "")
        for pause in lane["pauses"]
    )
    numbers = (lane["waiting"], lane["sending"], lane["held"], lane["unconfirmed"])
    return lane["account"], *map(str, numbers), moment(lane["next_at"]), pauses


def resume_lane(mailbox: str, as_json: AsJson = False) -> None:
    """The cause is mended: let this mailbox try again now."""
    _resume(f"/v1/lanes/{quote(mailbox, safe='')}/resume", mailbox, as_json=as_json)


def resume_transport(name: str, as_json: AsJson = False) -> None:
    """The cause is mended: let this transport try again now."""
    _resume(f"/v1/transports/{quote(name, safe='')}/resume", name, as_json=as_json)


def _resume(path: str, name: str, *, as_json: bool) -> None:
    from posthouse.cli.client import Alone, run

    async def work(desk: "Desk") -> None:
        done = await desk.post(path)
        out = output(as_json=as_json)
        out.item(done) if out.as_json else out.line(f"{name} tries again now")

    run(work, environ=os.environ, alone=Alone.FAIL)


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
        out.rows(("TRANSPORT", "KIND", "STATE"), [(way["name"], way["kind"], _state(way)) for way in ways["data"]])

    run(work, environ=os.environ, alone=Alone.OPEN)


def _state(way: "Transport") -> str:
    if way["state"] == "closed":
        return "in use"
    until = f" until {moment(way['until'])}" if way["until"] else ""
    why = f": {way['reason']['advice'] or way['reason']['cause']}" if way["reason"] else ""
    return f"{way['state']}{until}{why}"
