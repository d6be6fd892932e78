"""What the settings say of who may submit reaches the doors of the real program: tokens, networks, proxies, reports."""

import asyncio
import smtplib
import socket
from pathlib import Path

import pytest
from azure.identity.aio import ClientSecretCredential

from posthouse.sandbox.emulator import Emulator, Options
from tests.system.harness import Service, free_port, letter

SENDER = "scanner@contoso.example"
MAIL = f"From: {SENDER}\r\nTo: jo@contoso.example\r\nSubject: Scan\r\n\r\nPage 1\r\n"


@pytest.fixture
def port() -> int:
    return free_port()


class Announced(smtplib.SMTP):
    """A client behind a load balancer that says where it comes from (the PROXY protocol, version 1)."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self._said = f"PROXY TCP4 {source} 192.0.2.1 4000 25\r\n".encode()

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        made = socket.create_connection((host, port), timeout)
        made.sendall(self._said)
        return made


def of_device(port: int, *, source: str, to: str = "jo@contoso.example") -> str:
    """Send without a login from this address; what went wrong, or nothing."""
    with Announced(source) as smtp:
        try:
            smtp.connect("127.0.0.1", port)
            smtp.sendmail(SENDER, [to], MAIL)
        except smtplib.SMTPException as fault:
            return str(fault)
    return ""


async def test_tokens_networks_and_proxies_of_the_settings_count(tmp_path: Path, port: int) -> None:
    async with Emulator(Options(directory=tmp_path / "microsoft")) as emulator:
        known = emulator.options
        service = Service(
            tmp_path,
            emulator,
            http={"trusted_proxies": ["127.0.0.1/32"]},
            smtp_door={"listeners": [{"listen": f"127.0.0.1:{port}", "proxy_protocol": True}]},
            callers={"tenant_id": known.tenant_id, "audience": ["api://posthouse"]},
            clients=[
                {"name": "scanner", "auth": "network", "networks": ["192.0.2.7/32"], "senders": [SENDER]},
                {"name": "billing", "entra_app_id": known.client_id, "senders": [SENDER]},
            ],
        )
        await service.start()
        try:
            assert await asyncio.to_thread(of_device, port, source="192.0.2.7") == ""
            assert "5.7.0" in await asyncio.to_thread(of_device, port, source="192.0.2.8")
            assert "5.7.1" in await asyncio.to_thread(of_device, port, source="192.0.2.7", to="jo@other.example")
            async with ClientSecretCredential(
                known.tenant_id,
                known.client_id,
                known.client_secret,
                authority=emulator.authority,
                disable_instance_discovery=True,
                connection_verify=str(emulator.ca_file),
            ) as credential:
                token = (await credential.get_token("api://posthouse/.default")).token
            mine = {"authorization": f"Bearer {token}", "x-forwarded-for": "203.0.113.9"}
            answer = await service.http.post("/v1/messages", json=letter(SENDER, 1), headers=mine)
            assert answer.status_code == 202, answer.text
            await service.http.post("/v1/messages", json=letter(SENDER, 2), headers={"x-forwarded-for": "203.0.113.9"})
            found = (await service.admin("GET", "/v1/refusals")).json()["data"]
            assert {(one["source"], one["code"]) for one in found} == {
                ("192.0.2.8", "missing_credentials"),
                ("192.0.2.7", "recipient_not_allowed"),
                ("203.0.113.9", "missing_credentials"),
            }
        finally:
            await service.close()


async def test_mail_that_fails_later_is_reported_to_its_reverse_path(tmp_path: Path, port: int) -> None:
    async with Emulator(Options(directory=tmp_path / "microsoft")) as emulator:
        service = Service(
            tmp_path,
            emulator,
            smtp_door={"dsn_from": "posthouse@contoso.example", "listeners": [{"listen": f"127.0.0.1:{port}"}]},
        )
        await service.start()
        try:
            key = await service.make_key(SENDER)
            await asyncio.to_thread(failing, port, key)
            async with asyncio.timeout(60):
                while not (found := [one for one in emulator.world.received if SENDER in one.recipients]):
                    await asyncio.sleep(0.05)
            assert b"report-type=delivery-status" in found[0].mime
            assert b"posthouse@contoso.example" in found[0].mime
        finally:
            await service.close()


def failing(port: int, key: str) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as smtp:
        smtp.login("scanner", key)
        smtp.sendmail(SENDER, ["failed@simulator.test"], MAIL)
