"""Starts the real program as a user starts it, in front of the emulator, and counts at the other side."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import apsw
import httpx

from posthouse.findings import NOTHING
from posthouse.spool.sealing import new_master

POSTHOUSE = (sys.executable, "-m", "posthouse")
FOREIGN = ("POSTHOUSE_", "HTTPS_PROXY", "NO_PROXY", "OTEL_")
FINAL = frozenset({"sent", "failed", "expired", "canceled"})


_given: set[int] = set()


def free_port() -> int:
    """A port of this machine that nobody listens on now, and that was not given before: its taker may still be starting."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


def toml(sections: dict[str, Any]) -> str:
    """The settings as TOML: tables, and lists of tables; JSON's scalars and lists are TOML's."""
    lines: list[str] = []
    for name, values in _flat(sections):
        if isinstance(values, list):
            for table in values:
                lines += [f"[[{name}]]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
            continue
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def _flat(sections: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """A list of tables inside of a table has a name of its own."""
    for name, values in sections.items():
        inner = {} if isinstance(values, list) else {k: v for k, v in values.items() if v and _are_tables(v)}
        yield name, values if isinstance(values, list) else {k: v for k, v in values.items() if k not in inner}
        yield from ((f"{name}.{key}", tables) for key, tables in inner.items())


def _are_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


class Identity(Protocol):
    """Who the app is."""

    @property
    def tenant_id(self) -> str: ...
    @property
    def client_id(self) -> str: ...
    @property
    def client_secret(self) -> str: ...


class Coordinates(Protocol):
    """What settings need to know of an emulator, in this process or in another."""

    @property
    def options(self) -> Identity: ...
    @property
    def authority(self) -> str: ...
    @property
    def graph_url(self) -> str: ...
    @property
    def smtp_host(self) -> str: ...
    @property
    def smtp_port(self) -> int: ...

    ca_file: Path


class Service:
    """One posthouse, with its settings and state in ``home``."""

    def __init__(
        self,
        home: Path,
        emulator: Coordinates,
        *,
        role: str = "all",
        trusting: ssl.SSLContext | None = None,
        inside: Sequence[str] = (),
        environ: Mapping[str, str] = NOTHING,
        **changes: Any,
    ) -> None:
        """``trusting`` where the settings give the HTTP door a certificate; ``inside`` goes before each command line."""
        self.home = home
        self.inside = inside
        self.environ = environ
        self.role = role
        self.port = free_port()
        self.admin_listen = f"127.0.0.1:{free_port()}"
        self.state = home / "state"
        self.state.mkdir(exist_ok=True, mode=0o700)
        sections: dict[str, Any] = {
            "http": {"listen": f"127.0.0.1:{self.port}"},
            "admin": {"listen": self.admin_listen},
            "smtp_door": {"listeners": []},
            "entra": {
                "tenant_id": emulator.options.tenant_id,
                "client_id": emulator.options.client_id,
                "client_secret": emulator.options.client_secret,
                "authority": emulator.authority,
                "ca_file": str(emulator.ca_file),
            },
            "transports.graph": {"kind": "graph", "base_url": emulator.graph_url},
            "transports.smtp": {"kind": "smtp", "host": emulator.smtp_host, "port": emulator.smtp_port},
            "delivery": {
                "route": ["graph", "smtp"],
                "retry_first": "0.2s",
                "retry_max": "2s",
                "settle_checks": ["0.2s", "0.5s", "1s"],
                "circuit_open": "1s",
                "circuit_open_max": "2s",
                "blocked_probe": "1s",
            },
            "limits": {"messages_per_minute": 0},
        }
        if "url" in changes.get("spool", {}) and "secrets" not in changes:
            (home / "master").write_text(new_master())  # a database has none of its own
            sections["secrets"] = {"master": f"file:{home / 'master'}"}
        for section, values in changes.items():
            if isinstance(values, list):
                sections[section] = values
            else:
                sections.setdefault(section.replace("__", "."), {}).update(values)
        self.config = home / "posthouse.toml"
        self.config.write_text(toml(sections))
        self.log = home / "service.log"
        self.process: asyncio.subprocess.Process | None = None
        self.key = ""
        self.http = httpx.AsyncClient(
            base_url=f"{'https' if trusting else 'http'}://127.0.0.1:{self.port}", verify=trusting or True, timeout=30
        )

    @property
    def environment(self) -> dict[str, str]:
        """The program's environment: nothing of another posthouse, no proxy of this machine's, no collector of traces."""
        own = {name: value for name, value in os.environ.items() if not name.upper().startswith(FOREIGN)}
        return own | {"STATE_DIRECTORY": str(self.state), "POSTHOUSE_CONFIG": str(self.config), **self.environ}

    async def start(self) -> None:
        """Start and wait until it is ready."""
        log = self.log.open("ab")
        self.process = await asyncio.create_subprocess_exec(
            *self.inside,
            *POSTHOUSE,
            *("serve", "--config", str(self.config), "--role", self.role),
            env=self.environment,
            stdout=log,
            stderr=log,
        )
        log.close()
        deadline = time.monotonic() + 100
        while time.monotonic() < deadline:
            if self.process.returncode is not None:
                break
            with contextlib.suppress(httpx.TransportError):
                if (await self.http.get("/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.05)
        raise AssertionError(f"not ready: {self.log.read_text()[-4000:]}")

    async def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 30)

    async def freeze(self) -> None:
        """SIGSTOP: it does nothing any more and does not know."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    async def thaw(self) -> None:
        """SIGCONT."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    def count(self, status: str) -> int:
        """How many rows of the spool have this stored status, read beside the service or after its death."""
        spool = apsw.Connection(str(self.state / "spool.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return len(spool.execute("select id from messages where status = ?", (status,)).fetchall())
        finally:
            spool.close()

    async def close(self) -> None:
        """End whatever still runs."""
        await self.http.aclose()
        if self.process is not None and self.process.returncode is None:
            await self.kill()

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command of the program beside the service."""
        process = await asyncio.create_subprocess_exec(
            *self.inside,
            *POSTHOUSE,
            *arguments,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 40)
        return process.returncode or 0, out.decode(), err.decode()

    async def examined(self, sender: str) -> tuple[int, dict[str, dict[str, Any]]]:
        """What the doctor says of a sender: its exit code, and its steps by name; then this posthouse ends."""
        try:
            code, out, errors = await self.run("doctor", "--sender", sender, "--json")
        finally:
            await self.close()
        assert not errors
        return code, {step["step"]: step for step in json.loads(out)["steps"]}

    async def admin(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request over the administrator's socket."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.state / "posthouse.sock"))
        async with httpx.AsyncClient(transport=transport, base_url="http://posthouse", timeout=30) as client:
            return await client.request(method, path, **options)

    async def make_key(self, *senders: str) -> str:
        """A key that may send as ``senders``; kept for ``post``."""
        answer = await self.admin("POST", "/v1/keys", json={"client": "shop", "senders": list(senders)})
        assert answer.status_code == 201, answer.text
        self.key = answer.json()["key"]
        self.http.headers["authorization"] = f"Bearer {self.key}"
        return self.key

    async def post(self, message: dict[str, object], **headers: str) -> httpx.Response:
        """Submit one message."""
        return await self.http.post("/v1/messages", json=message, headers=headers)

    async def submit(self, message: dict[str, object], **headers: str) -> str:
        """Submit one message that must be accepted; its id."""
        answer = await self.post(message, **headers)
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    async def get(self, message_id: str) -> dict[str, Any]:
        """A message as its client sees it."""
        answer = await self.http.get(f"/v1/messages/{message_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def statuses(self) -> dict[str, str]:
        """Every message's status."""
        found: dict[str, str] = {}
        query: dict[str, str] = {"limit": "100"}
        while True:
            page = (await self.http.get("/v1/messages", params=query)).json()
            found |= {row["id"]: row["status"] for row in page["data"]}
            if not page["has_more"]:
                return found
            query["after"] = page["next"]

    async def _told(self, message_id: str) -> str:
        """A message and what happened to it, for whoever reads why a test failed."""
        events = await self.http.get(f"/v1/messages/{message_id}/events")
        return "\n".join([str(await self.get(message_id)), *(str(event) for event in events.json()["data"])])

    async def until(
        self, ids: Sequence[str], *, wanted: frozenset[str] = FINAL, seconds: float = 120
    ) -> dict[str, str]:
        """Wait until every one of ``ids`` has a status of ``wanted``; the statuses."""
        deadline = time.monotonic() + seconds
        while True:
            found = await self.statuses()
            statuses = {message_id: found[message_id] for message_id in ids}
            if all(status in wanted for status in statuses.values()):
                return statuses
            if time.monotonic() > deadline:
                short = {status: list(statuses.values()).count(status) for status in set(statuses.values())}
                waits = [await self._told(one) for one, status in statuses.items() if status not in wanted]
                raise AssertionError(f"after {seconds} s: {short}\n" + "\n".join(waits[:3]))
            await asyncio.sleep(0.1)


def letter(sender: str, number: int, **changes: object) -> dict[str, object]:
    """A small message with a subject that tells it from all others."""
    return {
        "from": sender,
        "to": [f"r{number}@example.net"],
        "subject": f"number {number}",
        "text": f"This is number {number}.\n",
        **changes,
    }
