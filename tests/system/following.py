"""Follows a recipe of ``posthouse migrate recipe`` to the letter: what it prints is put where it says, unchanged."""

import re
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.system.harness import Service, free_port

SENDER = "alerts@contoso.example"


@dataclass(frozen=True)
class Printed:
    """A recipe: its files by their paths, and the commands that follow."""

    files: dict[str, str]
    commands: list[str]


@dataclass(frozen=True)
class Door:
    """A posthouse whose SMTP door wants STARTTLS under an authority of the test's own."""

    service: Service
    port: int
    ca_file: Path
    key_file: Path

    async def recipe(self, name: str) -> Printed:
        """What the program prints, with this door's values in it."""
        words = (
            "--host",
            "localhost",
            "--port",
            str(self.port),
            "--user",
            "app",
            "--password",
            f"file:{self.key_file}",
        )
        code, out, errors = await self.service.run(
            "migrate", "recipe", name, *words, "--from", SENDER, "--ca-file", str(self.ca_file)
        )
        assert code == 0, errors
        parts = re.findall(r"^--- (?:file|append) (\S+)\n(.*?)(?=^--- |\Z)", out, re.MULTILINE | re.DOTALL)
        run = re.search(r"^--- run\n(.*?)(?=^--- |\Z)", out, re.MULTILINE | re.DOTALL)
        return Printed(dict(parts), run[1].splitlines() if run else [])


async def opened(launch, folder: Path) -> Door:
    authority, port = trustme.CA(), free_port()
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    files = {"tls_cert": str(folder / "cert.pem"), "tls_key": str(folder / "key.pem")}
    service = await launch(smtp_door={"listeners": [{"listen": f"127.0.0.1:{port}", "tls": "starttls", **files}]})
    (folder / "key").write_text(await service.make_key(SENDER))
    return Door(service, port, folder / "ca.pem", folder / "key")
