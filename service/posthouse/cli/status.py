"""``posthouse status``: one sentence of verdict, then what it is made of."""

import asyncio
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from posthouse.cli.options import AsJson
from posthouse.cli.output import clean, count, moment, output
from posthouse.cli.queue import state_of

if TYPE_CHECKING:
    from posthouse.cli.client import Desk
    from posthouse.cli.shapes import Status

_EVERY = 2.0
"""Seconds between looks of ``--watch``."""
_KINDS = {
    "token": "token of",
    "app_certificate": "certificate of",
    "client_secret": "client secret of",
    "listener_certificate": "certificate of listener",
}


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Go on, and show it again every two seconds.")] = False,
    as_json: AsJson = False,
) -> None:
    """Whether mail flows, what stands in its way, and what mends it."""
    from posthouse.cli.client import Alone, run

    async def work(desk: "Desk") -> None:
        out = output(as_json=as_json)
        while True:
            found: Status = await desk.get("/v1/status")
            if out.as_json:
                out.item(found)
            else:
                for line in told(found):
                    out.line(clean(line))
            out.out.flush()
            if not watch:
                return
            await asyncio.sleep(_EVERY)
            if not out.as_json:
                out.line()

    run(work, environ=os.environ, alone=Alone.OPEN)


def told(found: "Status") -> Iterator[str]:
    """Its lines."""
    yield found["verdict"]["sentence"]
    for sentence in found["verdict"]["also"]:
        yield f"  {sentence}"
    yield ""
    counts = ", ".join(f"{status} {number:,}" for status, number in found["messages"].items() if number)
    yield f"messages    {counts or 'none'}"
    lanes = found["lanes"]
    since = f", the oldest since {moment(found['oldest_due_at'])}" if found["oldest_due_at"] else ""
    yield f"lanes       {count(lanes['waiting'], 'lane')} with mail, {lanes['due']:,} due{since}; paused {lanes['paused']}"
    for way in found["transports"]:
        yield f"transport   {way['name']} ({way['kind']}) is {state_of(way)}"
    for one in found["credentials"]:
        ends = f"until {moment(one['expires_at'])}" if one["expires_at"] else "not there"
        why = f": {one['reason']['cause']}" if one["reason"] else ""
        yield f"credential  {_KINDS[one['kind']]} {one['name']}: {ends}{why}"
    for alert in found["alerts"]:
        yield f"alert       {alert['text']} (since {moment(alert['raised_at'])}; posthouse alerts list)"
