"""``posthouse doctor``: settings, spool and every way out, step by step, with what mends what fails (CONTRACT §6)."""

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Annotated, cast

import typer

from posthouse.cli.diagnosis import Diagnosis, Step, mended, report_of, shown
from posthouse.cli.exits import Code, Stop
from posthouse.cli.loading import loading
from posthouse.cli.options import AsJson
from posthouse.cli.output import Output, output


def doctor(
    *,
    step: Annotated[
        str | None, typer.Option("--step", help="Only this step (token, graph.tls, smtp) and those that it needs.")
    ] = None,
    sender: Annotated[
        str | None,
        typer.Option("--sender", metavar="ADDRESS|all", help="Try with this sender; else with the first known."),
    ] = None,
    send_to: Annotated[
        str | None, typer.Option("--send-to", metavar="ADDRESS", help="Send a real message there, by every transport.")
    ] = None,
    report: Annotated[bool, typer.Option("--report", help="Text to paste into a ticket: addresses masked.")] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of --json, and nothing else.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="Examine this settings file here, also where a service runs.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find out what keeps mail from leaving: each failure with its class, its cause and what exactly mends it.

    Exit codes of the first failing step: 3 configuration; 4 credentials, licence or policy; 5 network, throttling, service.
    """
    out = output(as_json=as_json)
    if schema:
        from posthouse.doors.rest.checkups import schema as published

        out.line(json.dumps(published(), indent=2))
        return
    wish = {"step": step, "sender": sender, "send_to": send_to}
    tell = _silent if as_json or report else partial(_tell, out)
    found = asyncio.run(_diagnosed(wish, config, tell))
    if as_json:
        out.item(found)
    elif report:
        out.line(report_of(found))
    else:
        out.line(f"\n{found['verdict']}")
    code = mended(found)
    if code is not Code.OK:
        raise Stop(code)


def _tell(out: Output, one: Step) -> None:
    for line in shown(one):
        out.line(line)
    out.out.flush()


def _silent(_: Step) -> None:
    """Nobody reads along."""


async def _diagnosed(wish: dict[str, str | None], config: Path | None, tell: Callable[[Step], None]) -> Diagnosis:
    """By the service, with its eyes; where none runs, by this process."""
    from posthouse.cli.client import serves

    if config is None and serves(os.environ):
        return await _by_service(wish, tell)
    return await _here(wish, config, tell)


async def _by_service(wish: dict[str, str | None], tell: Callable[[Step], None]) -> Diagnosis:
    from posthouse.cli.client import Alone, reach

    async with reach(os.environ, alone=Alone.FAIL) as desk:
        wanted = {name: value for name, value in wish.items() if value is not None}
        async with aclosing(desk.told("/v1/diagnostics", wanted)) as events:
            async for name, data in events:
                if name == "diagnosis":
                    return cast("Diagnosis", data)
                tell(cast("Step", data))
    raise Stop(Code.NETWORK, "the service went away before it had examined everything")


async def _here(wish: dict[str, str | None], config: Path | None, tell: Callable[[Step], None]) -> Diagnosis:
    import time
    from datetime import UTC, datetime
    from importlib.metadata import version

    with loading():
        from pydantic import ValidationError

        from posthouse.doors.rest.checkups import DiagnoseIn, diagnosis, step_out
        from posthouse.examination import alone
        from posthouse.findings import Finding, UnknownStepError
        from posthouse.settings.loading import load

    try:
        wanted = DiagnoseIn.model_validate({name: value for name, value in wish.items() if value is not None})
    except ValidationError as error:
        raise typer.BadParameter(str(error.errors()[0]["ctx"]["error"])) from None
    at, began = datetime.now(UTC), time.monotonic()
    findings: list[Finding] = []
    examine = alone(partial(load, config, os.environ), owner=f"doctor:{os.getpid()}")
    try:
        async for finding in examine(wanted.wish):
            findings.append(finding)
            tell(cast("Step", step_out(finding).model_dump(mode="json", by_alias=True)))
    except UnknownStepError as error:
        raise Stop(Code.USAGE, str(error)) from None
    whole = diagnosis(findings, version=version("posthouse"), at=at, seconds=time.monotonic() - began)
    return cast("Diagnosis", whole)
