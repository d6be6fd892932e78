"""stunnel in front of the emulator: it opens TLS with a certificate of an authority of its own, and reads all that passes."""

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trustme

from tests.system.harness import free_port

APT: Final = "needs stunnel: apt-get install -y --no-install-recommends stunnel4"
ISSUER: Final = "Contoso Web Gateway"

# each way is two services: one ends the TLS of our side, one begins another to Microsoft's; in between all is clear
CONFIG: Final = """
foreground = yes
pid =
syslog = no
output = {home}/log
socket = l:SO_REUSEADDR=1

[https-in]
accept = 127.0.0.1:{https}
cert = {home}/proxy.pem
connect = 127.0.0.1:{https_clear}
[https-out]
client = yes
accept = 127.0.0.1:{https_clear}
connect = {graph}

[smtp-in]
protocol = smtp
accept = 127.0.0.1:{smtp}
cert = {home}/proxy.pem
connect = 127.0.0.1:{smtp_clear}
[smtp-out]
client = yes
protocol = smtp
accept = 127.0.0.1:{smtp_clear}
connect = {submission}
"""


@dataclass(frozen=True)
class Inspection:
    """A proxy that runs: its ports, and the authority that it issues its certificates under."""

    https: int
    smtp: int
    ca_file: Path


@asynccontextmanager
async def inspection(home: Path, *, graph: str, submission: str) -> AsyncGenerator[Inspection]:
    """Run stunnel as long as the context lasts; ``graph`` and ``submission`` are host:port of Microsoft's side."""
    program = shutil.which("stunnel4")
    assert program is not None, APT
    last = free_port()
    proxy = _written(home, graph=graph, submission=submission, last=last)
    with (home / "words").open("wb") as words:
        process = await asyncio.create_subprocess_exec(program, str(home / "stunnel.conf"), stdout=words, stderr=words)
    try:
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", last)
            except OSError:
                assert process.returncode is None, _said(home)
                await asyncio.sleep(0.05)
                continue
            writer.close()
            break
        else:
            raise AssertionError(_said(home))
        yield proxy
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 10)


def _written(home: Path, *, graph: str, submission: str, last: int) -> Inspection:
    """Its settings and certificates; ``last`` is the port that it opens last."""
    home.mkdir()
    ca = trustme.CA(organization_name=ISSUER)
    ca.cert_pem.write_to_path(str(home / "ca.pem"))
    ca.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(str(home / "proxy.pem"))
    proxy = Inspection(free_port(), free_port(), home / "ca.pem")
    ports = {"https": proxy.https, "https_clear": free_port(), "smtp": proxy.smtp, "smtp_clear": last}
    (home / "stunnel.conf").write_text(CONFIG.format(home=home, graph=graph, submission=submission, **ports))
    return proxy


def _said(home: Path) -> str:
    return (home / "words").read_text()
