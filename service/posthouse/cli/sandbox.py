"""``posthouse sandbox``: the real service in front of an emulator of Microsoft 365, with lines to copy."""

import asyncio
import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import uvloop

from posthouse.app import Service
from posthouse.cli.serve import log_as_json, on_signals
from posthouse.clients.keys import Grant
from posthouse.doors.listener import ListenError, bind
from posthouse.opening import open_service
from posthouse.sandbox.chaos import Rule, parse_chaos
from posthouse.sandbox.emulator import Emulator, Options
from posthouse.sandbox.options import DEFAULT_GRANTS
from posthouse.settings.loading import build
from posthouse.settings.model import Settings
from posthouse.telemetry import JsonLines

USAGE = 2
CONFIGURATION = 3
SENDER = "app@contoso.test"
ADMIN_PORT = 8081
SMTP_PORT = 2525


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line asks for; a port of 0 takes any, and a taken default port gives way."""

    port: int
    inbox_port: int
    chaos: str
    limits: bool
    directory: Path | None
    as_json: bool


def sandbox(wish: Wish) -> int:
    """Run until SIGTERM or Ctrl-C; the exit code."""
    try:
        rules = parse_chaos(wish.chaos)
    except ValueError as error:
        sys.stderr.write(f"posthouse: --chaos: {error}\n")
        return USAGE
    with ExitStack() as undo:
        directory = wish.directory or Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="posthouse-")))
        directory.mkdir(parents=True, exist_ok=True)
        lines = log_as_json((directory / "service.log").open("a"))
        return uvloop.run(_run(wish, rules, directory, lines))


async def _run(wish: Wish, rules: tuple[Rule, ...], directory: Path, lines: JsonLines) -> int:
    options = Options(
        directory=directory / "microsoft365",
        grants=DEFAULT_GRANTS | {"Mail.ReadWrite"},
        inbox_port=_free(wish.inbox_port),
        enforce_limits=wish.limits,
    )
    try:
        async with Emulator(options) as emulator:
            emulator.world.faults = rules
            state = directory / "state"
            state.mkdir(mode=0o700, exist_ok=True)
            settings = build(_settings(emulator, wish), {"STATE_DIRECTORY": str(state)})
            async with open_service(settings) as service:
                stopping = asyncio.Event()
                on_signals(stopping)
                lines.pseudonym = service.pseudonym
                await service.start()
                await _greet(service, emulator, settings, as_json=wish.as_json)
                await stopping.wait()
                await service.stop()
    except ListenError as error:
        sys.stderr.write(f"posthouse: {error}\n")
        return CONFIGURATION
    return 0


def _settings(emulator: Emulator, wish: Wish) -> dict[str, object]:
    return {
        "http": {"listen": f"127.0.0.1:{_free(wish.port)}"},
        "admin": {"listen": f"127.0.0.1:{_free(ADMIN_PORT)}"},
        "smtp_door": {"listeners": [{"listen": f"127.0.0.1:{_free(SMTP_PORT)}"}]},
        "entra": {
            "tenant_id": emulator.options.tenant_id,
            "client_id": emulator.options.client_id,
            "client_secret": emulator.options.client_secret,
            "authority": emulator.authority,
            "ca_file": str(emulator.ca_file),
        },
        "transports": {
            "graph": {"kind": "graph", "base_url": emulator.graph_url, "drafts": True, "bounces": True},
            "smtp": {"kind": "smtp", "host": emulator.smtp_host, "port": emulator.smtp_port},
        },
        "delivery": {"settle_checks": ["2s", "5s", "15s"]},
    }


def _free(port: int) -> int:
    """This port, or any where it is taken."""
    try:
        bound = bind(f"127.0.0.1:{port}")
    except ListenError:
        bound = bind("127.0.0.1:0")
    with bound:
        return bound.getsockname()[1]


async def _greet(service: Service, emulator: Emulator, settings: Settings, *, as_json: bool) -> None:
    new, _ = await service.keys.create(Grant(client="sandbox", senders=("*",)), by="sandbox")
    url = f"http://{settings.http.listen}"
    if as_json:
        found = {"url": url, "key": new.text, "inbox": f"{emulator.inbox_url}/inbox", "smtp_port": emulator.smtp_port}
        more = {"admin": f"http://{settings.admin.listen}", "smtp_door": settings.smtp_door.listeners[0].listen}
        _say(json.dumps(found | more))
        return
    _say(
        _GREETING.format(
            state=settings.state_directory(),
            url=url,
            key=new.text,
            sender=SENDER,
            inbox=emulator.inbox_url,
            admin=settings.admin.listen,
            smtp=settings.smtp_door.listeners[0].listen,
        )
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


_GREETING = """posthouse sandbox: the real service in front of an emulated Microsoft 365. Ctrl-C ends it.

  API     {url}
  docs    http://{admin}/docs
  SMTP    {smtp}                   user: anything, password: the key
  inbox   {inbox}/inbox      what "Exchange Online" received
  key     {key}

Send a message with curl:

curl -s {url}/v1/messages -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
  -d '{{"from": "{sender}", "to": "you@example.com", "subject": "Hello from posthouse", "text": "It works."}}'

See what became of it, and what arrived:

curl -s {url}/v1/messages -H "Authorization: Bearer {key}"
curl -s {inbox}/inbox.json

Operate it from another terminal:

STATE_DIRECTORY={state} uv run posthouse queue

Python:

import httpx
httpx.post("{url}/v1/messages", headers={{"Authorization": "Bearer {key}"}},
           json={{"from": "{sender}", "to": "you@example.com", "subject": "Hello", "text": "It works."}}).raise_for_status()

PowerShell:

Invoke-RestMethod {url}/v1/messages -Method Post -ContentType application/json -Headers @{{Authorization = "Bearer {key}"}} `
  -Body '{{"from": "{sender}", "to": "you@example.com", "subject": "Hello", "text": "It works."}}'

Bad days on demand: recipients sent@ deferred@ failed@ throttled@ unconfirmed@ slow@ bounced@simulator.test,
or start with --chaos graph=429:20%,graph=504-after-send:2%
"""
