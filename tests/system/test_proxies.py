"""The real program by a proxy that we did not write, in a network that has no other way out for HTTPS (table: tests/README.md)."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from posthouse.fixes import Kind
from posthouse.sandbox.emulator import Emulator
from tests.contract.doctor_kit import SENDER, plants_told
from tests.system.harness import Service, letter
from tests.system.remote import Remote
from tests.system.street import NAME, Street, inside
from tests.system.tinyproxy import tinyproxy

LOGIN = "BasicAuth relay hush"


@dataclass(frozen=True)
class Row:
    """How the proxy is set up, what HTTPS_PROXY says, and what must be said of it; all fail when they connect."""

    fix: str
    says: str
    proxy: str = LOGIN
    written: str = "http://relay:hush@{}"
    knows: bool = True


ROWS = {
    "a proxy that wants a login": Row(
        "network.proxy_login", "HTTPS_PROXY=http://user:password@192.0.2.254:", written="http://{}"
    ),
    "a proxy that refuses its login": Row("network.proxy_login", "HTTP 401", written="http://relay:other-hush@{}"),
    "a proxy that does not connect to port 443": Row(
        "network.proxy_refused", f"Allow CONNECT to {NAME}:443", proxy=f"{LOGIN}\nConnectPort 80"
    ),
    "a proxy that cannot resolve the host": Row("network.proxy_way", f"firewall for {NAME}:443", knows=False),
    "a proxy that is not there": Row(
        "network.proxy", "nc -vz 192.0.2.254 9; correct HTTPS_PROXY", written="http://relay:hush@192.0.2.254:9"
    ),
}


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Street, Remote]]:
    with Street(tmp_path_factory.mktemp("microsoft")).built() as street, street.microsoft() as remote:
        yield street, remote


@pytest.fixture
def walled(road: tuple[Street, Remote]) -> Iterator[Street]:
    """The machine does not know Microsoft's names, and HTTPS goes by the proxy or not at all; SMTP may pass."""
    street = road[0]
    street.write(hosts=f"127.0.0.1 localhost\n198.51.100.1 smtp.{NAME}\n", resolver="nameserver 127.0.0.1\n")
    street.drop("tcp dport 443 drop")
    yield street
    street.calm()


async def examined(street: Street, remote: Remote, home: Path, written: str) -> tuple[int, dict[str, dict], str]:
    """The exit code, the steps by name, and all that was said."""
    service = Service(
        home,
        remote,
        inside=inside(street.here),
        environ={"HTTPS_PROXY": written},
        entra={"authority": f"https://{NAME}"},
    )
    try:
        code, out, errors = await service.run("doctor", "--sender", SENDER, "--json")
    finally:
        await service.close()
    return code, {step["step"]: step for step in json.loads(out)["steps"]}, out + errors


@pytest.mark.apt
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_what_is_wrong_with_a_proxy_is_named(
    walled: Street, road: tuple[Street, Remote], row: Row, tmp_path: Path
) -> None:
    with walled.proxy(tmp_path / "proxy", says=row.proxy, knows=row.knows) as place:
        code, steps, said = await examined(walled, road[1], tmp_path, row.written.format(place))
    failed = steps["graph.tcp"]
    found = failed["trouble"]
    assert (failed["result"], found["class"], found["key"]) == ("failed", Kind.NETWORK.value, row.fix), failed
    assert row.says in f"{failed['seen']} | {found['fix']}"
    assert code == 5
    assert "hush" not in said


@pytest.mark.apt
async def test_by_the_proxy_alone_everything_over_https_passes(
    walled: Street, road: tuple[Street, Remote], tmp_path: Path
) -> None:
    with walled.proxy(tmp_path / "proxy", says=f"{LOGIN}\nConnectPort 443") as place:
        code, steps, said = await examined(walled, road[1], tmp_path, f"http://relay:hush@{place}")
    over_https = {name: step["result"] for name, step in steps.items() if name.startswith("graph.")}
    assert set(over_https.values()) == {"passed"}, steps
    assert steps["graph.dns"]["seen"] == "192.0.2.254 is 192.0.2.254 (the proxy)"
    assert f"{NAME}:443 by proxy {place}" in steps["graph.tls"]["seen"]
    assert code == 5  # SMTP needs a name that this machine resolves itself
    assert (steps["smtp.dns"]["result"], steps["smtp.dns"]["trouble"]["key"]) == ("failed", "network.dns")
    assert "hush" not in said


def behind(home: Path, emulator: Emulator, written: str, *, without: str = "", **changes: Any) -> Service:
    return Service(home, emulator, environ={"HTTPS_PROXY": written, "NO_PROXY": without}, **changes)


async def sent_by(service: Service) -> str:
    """One mail by a service that is started for it; what happened to it."""
    try:
        await service.start()
        await service.make_key(SENDER)
        sent = await service.submit(letter(SENDER, 1))
        assert await service.until([sent]) == {sent: "sent"}
        return (await service.http.get(f"/v1/messages/{sent}/events")).text
    finally:
        await service.close()


@pytest.mark.apt
async def test_a_running_service_fetches_tokens_and_sends_by_the_proxy(emulator: Emulator, tmp_path: Path) -> None:
    with tinyproxy(tmp_path / "proxy", says=LOGIN) as port:
        service = behind(tmp_path, emulator, f"http://relay:hush@127.0.0.1:{port}")
        events = await sent_by(service)
    assert emulator.world.received[-1].transport == "graph"
    log = (tmp_path / "proxy" / "log").read_text()
    tunnels = set(re.findall(r": CONNECT (\S+)", log))
    assert tunnels == {one.removeprefix("https://") for one in (emulator.https_url, emulator.authority)}
    assert "hush" not in events + service.log.read_text()


@pytest.mark.apt
async def test_mail_falls_back_to_smtp_while_the_proxy_refuses(emulator: Emulator, tmp_path: Path) -> None:
    password = {"auth": "login", "username": SENDER, "password": emulator.smtp_password(SENDER)}
    with tinyproxy(tmp_path / "proxy", says=LOGIN) as port:
        written = f"http://relay:other-hush@127.0.0.1:{port}"
        service = behind(tmp_path, emulator, written, transports__smtp=password)
        events = await sent_by(service)
    assert emulator.world.received[-1].transport == "smtp"
    assert "network_proxy" in events
    assert "hush" not in events + service.log.read_text()


async def test_no_proxy_leads_a_running_service_past_it(emulator: Emulator, tmp_path: Path) -> None:
    service = behind(tmp_path, emulator, "http://127.0.0.1:9", without="127.0.0.1")
    await sent_by(service)
    assert emulator.world.received[-1].transport == "graph"


async def test_a_proxy_that_cannot_be_used_stops_the_start_with_a_word(emulator: Emulator, tmp_path: Path) -> None:
    service = behind(tmp_path, emulator, "socks5://relay:hush@127.0.0.1:1080")
    try:
        code, out, errors = await service.run("config", "check")
    finally:
        await service.close()
    assert code == 3
    assert "HTTPS_PROXY: socks5:// is not supported" in out + errors
    assert "hush" not in out + errors


def test_every_proxy_stands_in_the_table() -> None:
    rows = [(name, "graph.tcp", Kind.NETWORK.value, row.fix) for name, row in ROWS.items()]
    assert [one for one in plants_told() if one[0] in ROWS] == rows
