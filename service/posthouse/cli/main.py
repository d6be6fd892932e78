"""The command line: every command in one look (CONTRACT §5). Heavy things are imported by the commands, late."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from posthouse.cli import alerts, clients, config, doctor, keys, messages, queue, refusals, spool, status, why
from posthouse.cli.exits import Stop
from posthouse.cli.loading import loading
from posthouse.cli.migrate import commands as migrate
from posthouse.cli.options import AsJson
from posthouse.cli.output import clean, output
from posthouse.cli.send import send, with_wait
from posthouse.cli.sendmail.entry import sendmail as run_sendmail
from posthouse.settings.role import Role

HELP = "Takes mail, keeps it durably and sends it through Microsoft 365: Graph first, SMTP when Graph is down."

_ANY: Final = {"ignore_unknown_options": True, "allow_extra_args": True}


def main() -> None:
    """Run the command of this process's arguments and exit with its code."""
    try:
        args = sys.argv[1:]
        if args[:1] == ["sendmail"]:
            sys.exit(run_sendmail(args[1:]))  # its options are not Typer's: -oi, -f ADDRESS, -bs
        application()(with_wait(args) if args[:1] == ["send"] else args, prog_name="posthouse")
    except Stop as stop:
        if str(stop):
            lines = "\n".join(map(clean, str(stop).split("\n")))
            sys.stderr.write(f"posthouse: {lines}\n")
        sys.exit(stop.code)


def application() -> typer.Typer:
    """All commands."""
    app = _group(HELP, {"serve": serve, "sandbox": sandbox})
    app.command("send")(send)
    app.command("sendmail", add_help_option=False, context_settings=_ANY)(sendmail)
    app.command("status")(status.status)
    app.command("why")(why.why)
    app.command("queue")(queue.queue)
    app.command("doctor")(doctor.doctor)
    app.add_typer(
        _group(
            "What happened to messages, and what to do about it.",
            {
                "list": messages.list_,
                "show": messages.show,
                "events": messages.events,
                "retry": messages.retry,
                "change": messages.change,
                "cancel": messages.cancel,
                "release": messages.release,
                "settle": messages.settle,
                "content": messages.content,
                "erase": messages.erase,
                "tail": messages.tail,
            },
        ),
        name="messages",
    )
    app.add_typer(
        _group("Sending accounts.", {"list": queue.queue, "pause": queue.pause_lane, "resume": queue.resume_lane}),
        name="lanes",
    )
    app.add_typer(
        _group(
            "The ways out.",
            {"list": queue.transports, "pause": queue.pause_transport, "resume": queue.resume_transport},
        ),
        name="transports",
    )
    app.add_typer(
        _group(
            "Who may submit.",
            {
                "create": keys.create,
                "list": keys.list_,
                "rotate": keys.rotate,
                "revoke": keys.revoke,
                "hash": keys.hash_,
            },
        ),
        name="keys",
    )
    app.add_typer(
        _group(
            "On which terms.",
            {"list": clients.list_, "set": clients.set_, "pause": clients.pause, "resume": clients.resume},
        ),
        name="clients",
    )
    app.command("refusals")(refusals.refusals)
    app.add_typer(_group("What is wrong or will be soon.", {"list": alerts.list_, "test": alerts.try_}), name="alerts")
    app.add_typer(
        _group(
            "Care of the spool, on its own machine.",
            {
                "backup": spool.backup,
                "restored": spool.restored,
                "check": spool.check,
                "migrate": spool.migrate,
                "copy": spool.copy,
            },
        ),
        name="spool",
    )
    app.add_typer(
        _group(
            "Off SMTP basic authentication.",
            {"smtp-auth": migrate.smtp_auth, "recipes": migrate.recipes, "recipe": migrate.recipe},
        ),
        name="migrate",
    )
    app.add_typer(
        _group("The settings.", {"check": config.check, "show": config.show, "schema": config.schema}), name="config"
    )
    app.command("version")(version)
    return app


def _group(text: str, commands: Mapping[str, Callable[..., None]]) -> typer.Typer:
    group = typer.Typer(help=text, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    for name, command in commands.items():
        group.command(name)(command)
    return group


def serve(
    config: Annotated[Path | None, typer.Option("--config", help="The settings file.")] = None,
    listen: Annotated[str | None, typer.Option("--listen", help="host:port, in place of http.listen.")] = None,
    role: Annotated[
        Role, typer.Option("--role", help="With PostgreSQL: only take messages (doors) or only send them (worker).")
    ] = Role.ALL,
) -> None:
    """Run the service until SIGTERM; exit code 3 where the settings are wrong."""
    with loading():
        from posthouse.cli.serve import serve

    sys.exit(serve(config=config, listen=listen, role=role))


def sandbox(
    *,
    port: Annotated[int, typer.Option("--port", help="Of the API; any where it is taken.")] = 8080,
    inbox_port: Annotated[int, typer.Option("--inbox-port", help="Of the inbox; any where it is taken.")] = 8025,
    chaos: Annotated[
        str, typer.Option("--chaos", help="Bad days: graph=429:20%,graph=504-after-send:2%,smtp=421:5%")
    ] = "",
    limits: Annotated[bool, typer.Option("--limits/--no-limits", help="Enforce Microsoft's published limits.")] = False,
    directory: Annotated[Path | None, typer.Option("--directory", help="Keep all state here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The addresses and the key as one JSON object.")] = False,
) -> None:
    """Run the real service in front of an emulated Microsoft 365: no tenant, no settings."""
    with loading():
        from posthouse.cli.sandbox import Wish, sandbox

    wish = Wish(port=port, inbox_port=inbox_port, chaos=chaos, limits=limits, directory=directory, as_json=as_json)
    sys.exit(sandbox(wish))


def sendmail(context: typer.Context) -> None:
    """Drop-in for /usr/sbin/sendmail: the message on standard input; exit codes of sysexits.h."""
    sys.exit(run_sendmail(context.args))


def version(as_json: AsJson = False) -> None:
    """The installed version."""
    from importlib.metadata import version

    number, out = version("posthouse"), output(as_json=as_json)
    out.item({"version": number}) if out.as_json else out.line(number)
