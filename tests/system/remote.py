"""The emulator in a process of its own: it goes on whatever loop its reader runs, and leaves it its core."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx


@dataclass(frozen=True)
class Options:
    tenant_id: str
    client_id: str
    client_secret: str


class Remote:
    """The emulator in a process of its own, with the coordinates that ``Service`` asks an emulator for."""

    def __init__(self, found: dict[str, str], process: asyncio.subprocess.Process | subprocess.Popen[bytes]) -> None:
        self.options = Options(found["tenant_id"], found["client_id"], found["client_secret"])
        self.authority, self.graph_url = found["authority"], found["graph_url"]
        self.ca_file, self.inbox_url = Path(found["ca_file"]), found["inbox_url"]
        self.smtp_host, self.smtp_port = found["smtp_host"], int(found["smtp_port"])
        self.process = process

    async def posts(self) -> list[dict[str, float]]:
        """When each sendMail came, and whether it was accepted."""
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{self.inbox_url}/control/posts")).json()

    async def accepted(self) -> int:
        """How many were."""
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{self.inbox_url}/control/state")).json()["accepted"]


@asynccontextmanager
async def emulator(home: Path, *arguments: str) -> AsyncGenerator[Remote]:
    """Run it as long as the context lasts."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "posthouse.sandbox.emulator", "--directory", str(home), *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield Remote(json.loads(await process.stdout.readline()), process)
    finally:
        process.terminate()
        await process.wait()
