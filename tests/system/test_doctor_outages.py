"""Outages of a real network, and a proxy that we did not write: what the real ``posthouse doctor`` says (table: tests/README.md)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from posthouse.fixes import Kind
from tests.contract.doctor_kit import SENDER, plants_told
from tests.system.harness import Service
from tests.system.remote import Remote
from tests.system.street import NAME, Street, inside


@dataclass(frozen=True)
class Row:
    """An outage, the step that must fail first, and what must be said of it; ``passes`` is what must not suffer."""

    plant: Callable[[Street], object]
    step: str
    fix: str
    says: str
    passes: str = ""


ROWS = {
    "a firewall that drops port 587": Row(
        lambda street: street.drop("tcp dport 587 drop"),
        "smtp.tcp",
        "network.unreachable",
        f"nc -vz {NAME} 587",
        "graph.send",
    ),
    "a firewall that drops port 443": Row(
        lambda street: street.drop("tcp dport 443 drop"),
        "graph.tcp",
        "network.unreachable",
        f"nc -vz {NAME} 443",
        "smtp.starttls",
    ),
    "a firewall that answers port 587 with a reset": Row(
        lambda street: street.drop("tcp dport 587 reject with tcp reset"),
        "smtp.tcp",
        "network.refused",
        f"Allow the host and port in the firewall: nc -vz {NAME} 587",
        "graph.send",
    ),
    "a firewall that forbids port 443 by ICMP": Row(
        lambda street: street.drop("tcp dport 443 reject with icmpx admin-prohibited"),
        "graph.tcp",
        "network.unreachable",
        f"nc -vz {NAME} 443",
        "smtp.starttls",
    ),
    "a machine without a route": Row(
        lambda street: street.no_route(),
        "graph.tcp",
        "network.unreachable",
        "Check route and firewall",
        "graph.dns",
    ),
    "a resolver that does not answer": Row(
        lambda street: (street.forget_name(), street.drop("udp dport 53 drop")),
        "graph.dns",
        "network.dns",
        "the resolver does not answer",
    ),
    "a resolver that cannot be reached": Row(
        lambda street: (street.forget_name(), street.drop("udp dport 53 reject")),
        "graph.dns",
        "network.dns",
        "/etc/resolv.conf",
    ),
    "a path that loses large packets": Row(
        lambda street: street.drop("meta length > 700 drop"),
        "graph.tls",
        "network.path",
        "check firewall, proxy and MTU",
        "graph.tcp",
    ),
    "a firewall that lets port 587 connect and swallows what is said there": Row(
        lambda street: street.drop("tcp sport 587 meta length > 60 drop"),
        "smtp.ehlo",
        "network.path",
        f"openssl s_client -connect {NAME}:587",
        "smtp.tcp",
    ),
}


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Street, Remote]]:
    with Street(tmp_path_factory.mktemp("microsoft")).built() as street, street.microsoft() as remote:
        yield street, remote


@pytest.fixture
def street(road: tuple[Street, Remote]) -> Iterator[Street]:
    yield road[0]
    road[0].calm()


async def examined(street: Street, remote: Remote, home: Path) -> tuple[int, dict[str, dict]]:
    """The exit code, and the steps by name."""
    service = Service(home, remote, inside=inside(street.here), entra={"authority": f"https://{NAME}"})
    return await service.examined(SENDER)


@pytest.mark.apt
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_what_a_network_does_is_named(
    street: Street, road: tuple[Street, Remote], row: Row, tmp_path: Path
) -> None:
    row.plant(street)
    code, steps = await examined(street, road[1], tmp_path)
    name, failed = next((name, step) for name, step in steps.items() if step["result"] == "failed")
    found = failed["trouble"]
    assert (name, found["class"], found["key"]) == (row.step, Kind.NETWORK.value, row.fix), failed
    assert row.says in f"{failed['seen']} | {found['cause']} | {found['fix']}"
    assert code == 5
    assert not row.passes or steps[row.passes]["result"] == "passed"


@pytest.mark.apt
async def test_a_sound_path_passes_through_the_same_firewall(
    street: Street, road: tuple[Street, Remote], tmp_path: Path
) -> None:
    code, steps = await examined(street, road[1], tmp_path)
    assert code == 0
    assert {step["result"] for step in steps.values()} == {"passed"}


@pytest.mark.apt
async def test_addresses_of_a_family_that_leads_nowhere_cost_neither_graph_nor_smtp(
    street: Street, road: tuple[Street, Remote], tmp_path: Path
) -> None:
    street.both_families()
    street.drop("meta nfproto ipv6 drop")
    code, steps = await examined(street, road[1], tmp_path)
    assert steps["smtp.dns"]["seen"].startswith(f"{NAME} is 2001:db8:2::1, 198.51.100.1")
    assert code == 0, steps


def test_every_outage_stands_in_the_table() -> None:
    rows = [(name, row.step, Kind.NETWORK.value, row.fix) for name, row in ROWS.items()]
    assert [one for one in plants_told() if one[0] in ROWS] == rows
