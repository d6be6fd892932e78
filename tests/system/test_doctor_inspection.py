"""TLS that a proxy opens which we did not write: what the real ``posthouse doctor`` says, and that its fix mends it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from posthouse.sandbox.emulator import Emulator
from tests.contract.doctor_kit import SENDER, plants_told
from tests.system.harness import Service
from tests.system.stunnel import ISSUER, Inspection, inspection

WHERE = "a proxy that opens TLS with its own authority (stunnel)"
ROWS = {
    WHERE: ("graph.tls", "network path", "network.certificate"),
    f"{WHERE}, after STARTTLS": ("smtp.starttls", "network path", "network.certificate"),
}


@pytest.fixture
async def proxy(tmp_path: Path, emulator: Emulator) -> AsyncIterator[Inspection]:
    graph = emulator.https_url.removeprefix("https://")
    submission = f"{emulator.smtp_host}:{emulator.smtp_port}"
    async with inspection(tmp_path / "stunnel", graph=graph, submission=submission) as running:
        yield running


async def examined(home: Path, emulator: Emulator, proxy: Inspection, **entra: str) -> tuple[int, dict[str, dict]]:
    """All ways of a service lead through the proxy: the exit code, and the steps by name."""
    service = Service(
        home,
        emulator,
        entra={"authority": f"https://127.0.0.1:{proxy.https}", **entra},
        transports__graph={"base_url": f"https://127.0.0.1:{proxy.https}/v1.0"},
        transports__smtp={"host": "localhost", "port": proxy.smtp},
    )
    return await service.examined(SENDER)


@pytest.mark.apt
async def test_inspected_tls_is_named_with_the_issuer(emulator: Emulator, proxy: Inspection, tmp_path: Path) -> None:
    code, steps = await examined(tmp_path, emulator, proxy)
    assert code == 5
    for name, kind, key in ROWS.values():
        found = steps[name]["trouble"]
        assert (found["class"], found["key"]) == (kind, key), steps[name]
        assert ISSUER in steps[name]["seen"]
        assert "exclude the host from TLS inspection, or name the inspecting CA with ca_file" in found["fix"]
    assert {step["because_of"] for step in steps.values() if step["result"] == "skipped"} == {
        "graph.tls",
        "smtp.starttls",
    }
    assert f"openssl s_client -connect 127.0.0.1:{proxy.https} " in steps["graph.tls"]["trouble"]["fix"]


@pytest.mark.apt
async def test_the_authority_of_the_proxy_in_ca_file_mends_it(
    emulator: Emulator, proxy: Inspection, tmp_path: Path
) -> None:
    code, steps = await examined(tmp_path, emulator, proxy, ca_file=str(proxy.ca_file))
    assert code == 0, steps
    assert steps["smtp.envelope"]["result"] == "passed"


def test_both_stand_in_the_table() -> None:
    assert [one for one in plants_told() if one[0] in ROWS] == [(name, *row) for name, row in ROWS.items()]
