"""``posthouse alerts``: what is wrong now or will be soon, and whether whoever should be told of it is."""

import os
from typing import TYPE_CHECKING

from posthouse.cli.exits import Code, Stop
from posthouse.cli.options import AsJson
from posthouse.cli.output import moment, output

if TYPE_CHECKING:
    from posthouse.cli.client import Desk
    from posthouse.cli.shapes import Alert, Listing, Told


def list_(as_json: AsJson = False) -> None:
    """What is wrong now or will be soon, why, and what mends it."""
    from posthouse.cli.client import Alone, run

    async def work(desk: "Desk") -> None:
        out = output(as_json=as_json)
        listing: Listing[Alert] = await desk.get("/v1/alerts")
        if not listing["data"]:
            out.note("there is nothing to do")
        for one in listing["data"]:
            if out.as_json:
                out.item(one)
                continue
            told = f"told {moment(one['told_at'])}" if one["told_at"] else "nobody was told yet"
            out.line(f"since {moment(one['raised_at'])}  {one['text']} ({told})")
            out.line(f"  why  {one['cause']}")
            out.line(f"  fix  {one['fix']}")

    run(work, environ=os.environ, alone=Alone.OPEN)


def try_(as_json: AsJson = False) -> None:
    """Tell every channel of [alerts] that this is a test; a mail is on its way then, as any other."""
    from posthouse.cli.client import Alone, run

    async def work(desk: "Desk") -> None:
        out = output(as_json=as_json)
        listing: Listing[Told] = await desk.post("/v1/alerts/test")
        if not listing["data"]:
            raise Stop(Code.CONFIGURATION, "[alerts] names nobody: set mail_to and mail_from, or webhook")
        for one in listing["data"]:
            if out.as_json:
                out.item(one)
            else:
                out.line(f"{one['channel']}  {'told' if one['told'] else one['error']}")
        if not all(one["told"] for one in listing["data"]):
            raise Stop(Code.NETWORK, "a channel could not be told")

    run(work, environ=os.environ, alone=Alone.FAIL)
