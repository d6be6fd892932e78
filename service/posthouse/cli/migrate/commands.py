"""``posthouse migrate``: off SMTP basic authentication, from Microsoft's reports to the lines that each program needs."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from posthouse.cli.exits import Code, Stop
from posthouse.cli.migrate.making import SUBMISSION, Encryption, Keys
from posthouse.cli.options import AsJson
from posthouse.cli.output import output

if TYPE_CHECKING:
    from posthouse.cli.client import Desk
    from posthouse.migration.exports import Account, Trace
    from posthouse.migration.plan import Plan
    from posthouse.migration.tables import Column, Table

Host = Annotated[
    str | None, typer.Option("--host", help="Where the SMTP door is reached; by default as the settings say.")
]
Port = Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Its port.")]
Way = Annotated[Encryption | None, typer.Option("--encryption", help="How it is reached.")]

_PLACEHOLDER: Final = "PASSWORD"
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?")
_USER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
_PASSWORD: Final = re.compile(r"[A-Za-z0-9_]{1,128}")
_SENDER: Final = re.compile(r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9.-]{1,251}")
_PATH: Final = re.compile(r"/[A-Za-z0-9._/+-]{1,250}")


def smtp_auth(
    *,
    report: Annotated[
        Path,
        typer.Argument(metavar="REPORT.csv", help="Exchange admin center > Reports > Mail flow > SMTP AUTH clients."),
    ],
    sign_ins: Annotated[
        list[Path] | None,
        typer.Option(
            "--sign-ins",
            metavar="FILE.csv",
            help="Entra's sign-in log, Client app: Authenticated SMTP; several allowed.",
        ),
    ] = None,
    message_trace: Annotated[
        Path | None, typer.Option("--message-trace", metavar="FILE.csv", help="A message trace of the senders.")
    ] = None,
    days: Annotated[
        int | None,
        typer.Option("--days", min=1, max=90, help="Days that the report covers; 7 unless its rows have dates."),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Make the clients and keys; needs --out.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="devices.csv", help="The cards of settings; lines are added, never replaced."),
    ] = None,
    keys: Annotated[
        Keys, typer.Option("--keys", help="api: API keys for all, which SMTP programs use as password too.")
    ] = Keys.PLANNED,
    host: Host = None,
    port: Port = None,
    encryption: Way = None,
    as_json: AsJson = False,
) -> None:
    """Plan the move of everything that sends by SMTP AUTH; with --apply make the clients and keys of the plan."""
    from posthouse.cli.migrate.view import show

    if apply is not (out is not None):
        raise typer.BadParameter("--apply and --out belong together")
    traces = [message_trace] if message_trace else []
    plan = _plan(report, sign_ins or (), message_trace, days=days)
    written = output(as_json=as_json)
    if out is None:
        show(plan, written, read=[str(path) for path in (report, *(sign_ins or ()), *traces)])
        return
    from posthouse.cli.client import Alone, run
    from posthouse.cli.migrate.cards import CardFile
    from posthouse.cli.migrate.making import make, place_of

    async def work(desk: "Desk") -> Code | None:
        place = place_of(desk, host=host, port=port, encryption=encryption)
        with CardFile(out) as file:
            return await make(desk, plan, file, place=place, keys=keys, out=written)

    run(work, environ=os.environ, alone=Alone.OPEN)


def recipes(as_json: AsJson = False) -> None:
    """The programs that there is a recipe for."""
    from posthouse.cli.migrate.recipes import titles

    out = output(as_json=as_json)
    if out.as_json:
        for name, title in titles().items():
            out.item({"name": name, "title": title})
        return
    out.rows(("NAME", "WHAT"), list(titles().items()))


def recipe(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of posthouse migrate recipes.")],
    host: Annotated[str, typer.Option("--host", help="Where the SMTP door is reached.")] = "posthouse.contoso.com",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Its port.")] = SUBMISSION,
    encryption: Annotated[Encryption, typer.Option("--encryption", help="How it is reached.")] = Encryption.STARTTLS,
    user: Annotated[str, typer.Option("--user", help="From the card of settings.")] = "USER",
    password: Annotated[
        str,
        typer.Option("--password", help="From the card; file:PATH and env:NAME keep it out of the shell's history."),
    ] = _PLACEHOLDER,
    sender: Annotated[str, typer.Option("--from", help="The address that it may send as.")] = "alerts@contoso.com",
    ca_file: Annotated[
        Path | None, typer.Option("--ca-file", help="The authority of posthouse's certificate, if it is your own.")
    ] = None,
) -> None:
    """Print what to change in a program, with your own values in it."""
    from posthouse.cli.migrate.recipes import Values, recipe, titles

    known = titles()
    if name not in known:
        from posthouse.settings.problems import nearest

        raise typer.BadParameter(f"there is no recipe {name!r}; {nearest(name, known)}")
    _checked("--host", host, _HOST)
    _checked("--user", user, _USER)
    _checked("--from", sender, _SENDER)
    if ca_file is not None:
        _checked("--ca-file", str(ca_file), _PATH)
    values = Values(
        host=host,
        port=port,
        encryption=encryption,
        user=user,
        password=_secret(password),
        sender=sender,
        ca_file=None if ca_file is None else str(ca_file),
    )
    output(as_json=False).out.write(recipe(name, values))


def _checked(option: str, value: str, rule: re.Pattern[str]) -> None:
    """What stands in a file of another program's must not end its quotes."""
    if not rule.fullmatch(value):
        raise typer.BadParameter(f"{option} has other characters than such a value has")


def _secret(reference: str) -> str:
    from posthouse.settings.secret import Secret, SecretError

    try:
        value = Secret(reference, os.environ).read()
    except SecretError as error:
        raise Stop(Code.USAGE, f"--password: {error}") from None
    if not _PASSWORD.fullmatch(value):
        raise typer.BadParameter("--password is a key or a device's password: letters, digits and _")
    return value


def _plan(report: Path, sign_ins: Sequence[Path], message_trace: Path | None, *, days: int | None) -> "Plan":
    from posthouse.migration import exports
    from posthouse.migration.plan import make_plan
    from posthouse.migration.tables import ReportError

    path = report
    try:
        usage = exports.usage(_table(path, exports.USAGE))
        accounts: dict[str, Account] = {}
        for path in sign_ins:
            exports.merge(accounts, exports.sign_ins(_table(path, exports.SIGN_INS)))
        trace: Trace | None = None
        if message_trace is not None:
            path = message_trace
            inside = {sender.rpartition("@")[2] for sender in usage.senders}
            trace = exports.trace(_table(path, exports.TRACE), senders=usage.senders.keys(), inside=inside)
    except ReportError as error:
        lines = "".join(f"\n  {fault}" for fault in error.faults)
        raise Stop(Code.FAILED, f"{path} is not the export that it should be:{lines}") from None
    return make_plan(usage.senders, days=days or usage.days, accounts=accounts, trace=trace)


def _table(path: Path, columns: Sequence["Column"]) -> "Table":
    from posthouse.migration.tables import table

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise Stop(Code.USAGE, f"{path} cannot be read: {error.strerror}") from error
    return table(raw, columns)
