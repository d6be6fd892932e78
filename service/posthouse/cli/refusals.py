"""``posthouse refusals``: who was refused and what mends it; after a cut-over the list that names the device that still fails."""

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer

from posthouse.cli.options import AsJson
from posthouse.cli.output import Output, moment, output

if TYPE_CHECKING:
    from posthouse.cli.client import Desk
    from posthouse.cli.shapes import Listing, RefusalShape

_EVERY = 2.0
"""Seconds between looks of ``--watch``."""


def refusals(
    watch: Annotated[bool, typer.Option("--watch", help="Go on, and show each as it comes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Who was refused, by source, login, sender and reason, and what mends it."""
    from posthouse.cli.client import Alone, run

    async def work(desk: "Desk") -> None:
        out = output(as_json=as_json)
        listing: Listing[RefusalShape] = await desk.get("/v1/refusals")
        shown = listing["data"][::-1]
        if not shown:
            out.note("nobody was refused")
        _show(shown, out)
        seen = {_group(one): one["times"] for one in shown}
        while watch:
            await asyncio.sleep(_EVERY)
            listing = await desk.get("/v1/refusals")
            fresh = [one for one in listing["data"][::-1] if seen.get(_group(one)) != one["times"]]
            _show(fresh, out)
            seen |= {_group(one): one["times"] for one in fresh}

    run(work, environ=os.environ, alone=Alone.OPEN)


def _show(found: list["RefusalShape"], out: Output) -> None:
    for one in found:
        if out.as_json:
            out.item(one)
            continue
        who = [
            one["door"],
            one["source"] or "",
            *(f"{name} {one[name]}" for name in ("login", "client", "sender") if one[name]),
        ]
        times = "once" if one["times"] == 1 else f"{one['times']} times"
        out.line(f"{moment(one['last_at'])}  {'  '.join(word for word in who if word)}  {one['code']}, {times}")
        out.line(f"  why  {one['detail']}")
        out.line(f"  fix  {one['fix']}")


def _group(one: "RefusalShape") -> tuple[str | None, ...]:
    return one["door"], one["source"], one["login"], one["client"], one["sender"], one["code"]
