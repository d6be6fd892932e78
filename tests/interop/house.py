"""The real program with TLS at its doors, in front of the emulator: what programs that we did not write send to."""

import os
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
import trustme

from posthouse.clients.keys import make_key
from tests.interop.mail import SENDER, Mail
from tests.system.harness import Service, free_port
from tests.system.remote import Remote, emulator

NAME = "localhost"
"""What the certificate is for."""
Tls = Literal["starttls", "implicit", "optional"]


@dataclass(frozen=True, slots=True)
class Arrived:
    """A mail as Microsoft took it."""

    recipients: list[str]
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Where to send, with which key, and what arrived at the other side."""

    home: Path
    service: Service
    microsoft: Remote
    ca_file: Path
    ports: dict[Tls, int]
    key: str = field(repr=False)
    wrong_key: str = field(repr=False)
    """Well-formed, of another house."""

    @property
    def url(self) -> str:
        """The HTTP doors."""
        return f"https://{NAME}:{self.service.port}"

    @property
    def environment(self) -> dict[str, str]:
        """How a user tells his programs whom to trust, each family in its own variable."""
        trusted = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE")
        return {
            "PATH": f"{os.environ['PATH']}:/usr/sbin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            **dict.fromkeys(trusted, str(self.ca_file)),
        }

    async def arrived(self, mail: Mail) -> list[Arrived]:
        """The copies of a mail, once nothing of what was accepted is still to be sent."""
        await self.service.until(list(await self.service.statuses()))
        async with httpx.AsyncClient(base_url=self.microsoft.inbox_url) as inbox:
            found = (await inbox.get("/inbox.json")).json()
            return [await _read(inbox, one) for one in found if mail.tag in one["subject"]]


async def _read(inbox: httpx.AsyncClient, one: dict[str, Any]) -> Arrived:
    answer = await inbox.get(f"/inbox/{one['number']}.eml")
    return Arrived(one["recipients"], answer.content)


@asynccontextmanager
async def house(home: Path) -> AsyncGenerator[House]:
    """Open as long as the context lasts."""
    authority = trustme.CA()
    issued = authority.issue_cert(NAME, "127.0.0.1")
    files = {"tls_cert": str(home / "cert.pem"), "tls_key": str(home / "key.pem")}
    issued.private_key_pem.write_to_path(files["tls_key"])
    (home / "cert.pem").write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    authority.cert_pem.write_to_path(str(home / "ca.pem"))
    ports: dict[Tls, int] = {"starttls": free_port(), "implicit": free_port(), "optional": free_port()}
    listeners = [{"listen": f"127.0.0.1:{port}", "tls": tls} | files for tls, port in ports.items()]
    trusting = ssl.create_default_context(cafile=home / "ca.pem")
    async with emulator(home / "microsoft") as microsoft:
        service = Service(
            home,
            microsoft,
            trusting=trusting,
            http=files,
            graph_door={"token_endpoint": True},
            smtp_door={"listeners": listeners},
        )
        try:
            await service.start()
            yield House(
                home=home,
                service=service,
                microsoft=microsoft,
                ca_file=home / "ca.pem",
                ports=ports,
                key=await service.make_key(SENDER),
                wrong_key=make_key(os.urandom).text,
            )
        finally:
            await service.close()
