"""A place where a set-up is wrong on purpose, and the doctor who is asked what is wrong with it."""

import asyncio
import re
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from posthouse.cli.diagnosis import Diagnosis, mended
from posthouse.doors.rest.checkups import diagnosis
from posthouse.examination import alone
from posthouse.findings import Finding, Result, Trouble, Wish, first_failure
from posthouse.fixes import Kind
from posthouse.sandbox.chaos import Rule
from posthouse.sandbox.emulator import Emulator, Options
from posthouse.settings.loading import build
from tests.contract.transport_kit import Talk, listening

SENDER = "alerts@contoso.com"
NOW = datetime(2026, 11, 26, tzinfo=UTC)


@dataclass
class Shift:
    """The emulator's clock, and how far it is ahead in seconds."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.seconds


@dataclass
class Clinic:
    """An emulator that keeps to its orders, and settings that may be wrong."""

    emulator: Emulator
    home: Path
    clock: Shift
    document: dict[str, Any] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        options = self.emulator.options
        self.environ = {"STATE_DIRECTORY": str(self.home / "state")}
        self.document = {
            "entra": {
                "tenant_id": options.tenant_id,
                "client_id": options.client_id,
                "client_secret": options.client_secret,
                "authority": self.emulator.authority,
                "ca_file": str(self.emulator.ca_file),
            },
            "transports": {
                "graph": {"kind": "graph", "base_url": self.emulator.graph_url},
                "smtp": {"kind": "smtp", "host": self.emulator.smtp_host, "port": self.emulator.smtp_port},
            },
        }

    def set(self, place: str, /, **values: Any) -> None:
        """Write settings into a table."""
        table = self.document
        for name in place.split("."):
            table = table.setdefault(name, {})
        table.update(values)

    def tenant(self, **changes: Any) -> None:
        """Let the emulator's tenant be different."""
        self.emulator.world.settings = replace(self.emulator.world.settings, **changes)

    def faults(self, *rules: Rule) -> None:
        """Let the emulator answer wrongly."""
        self.emulator.world.faults = rules

    async def findings(self, **wish: Any) -> list[Finding]:
        """What the doctor finds."""
        wish.setdefault("sender", None if wish.get("every_sender") else SENDER)
        wanted = Wish(**wish)
        doctor = alone(partial(build, self.document, self.environ), owner="test")
        return [finding async for finding in doctor(wanted)]


def whole(findings: list[Finding]) -> Diagnosis:
    """The same in JSON's form."""
    return cast("Diagnosis", diagnosis(findings, version="0", at=NOW, seconds=0.0))


class Failure(NamedTuple):
    """The step that decides, and what is wrong."""

    step: str
    seen: str
    seconds: float
    trouble: Trouble

    @property
    def told(self) -> tuple[str, str, Kind]:
        """The step, the key of the fix, the class."""
        return self.step, self.trouble.fix, self.trouble.kind


def failure(findings: list[Finding]) -> Failure:
    """The first failed step, which must be there and say what is wrong."""
    found = first_failure(findings)
    assert found is not None, [(one.step, one.result.value, one.seen) for one in findings]
    assert found.trouble is not None
    return Failure(found.step, found.seen, found.seconds, found.trouble)


def results(findings: list[Finding]) -> dict[str, Result]:
    """How each step ended."""
    return {one.step: one.result for one in findings}


def certificate(directory: Path, *, days: int, private: bool = True) -> Path:
    """A certificate with its key (unless not ``private``) in one PEM file, which ends in so many days; fewer than 0: it has ended."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "posthouse")])
    end = datetime.now(UTC) + timedelta(days=days)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(end - timedelta(days=400))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    file = directory / "graph.pem"
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    file.write_bytes((secret if private else b"") + made.public_bytes(serialization.Encoding.PEM))
    return file


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """A server that hears and says nothing."""
    await reader.read()


@asynccontextmanager
async def inspecting_proxy() -> AsyncGenerator[int]:
    """What opens TLS with certificates of its own authority, as a proxy that reads along does; the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA(organization_name="Contoso Web Gateway").issue_cert("127.0.0.1", "localhost").configure_cert(context)

    async with listening(silent, context=context) as port:
        yield port


@contextmanager
def black_hole() -> Generator[int]:
    """A port that answers nothing, not even with a refusal: its queue of connections is full."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def saying(*lines: bytes) -> Talk:
    """A server that says one line after each that it hears, the first at once."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for line in lines:
            writer.write(line + b"\r\n")
            await writer.drain()
            await reader.readline()

    return talk


def plants_told() -> list[tuple[str, ...]]:
    """The table of plants in tests/README.md: name, step, class, fix."""
    text = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    table = text.partition("## Doctor")[2].partition("\n## ")[0]
    return re.findall(r"^\| (.+?) \| `([\w.]+)` \| (.+?) \| `([\w.]+)` \|", table, re.MULTILINE)


def exit_code(findings: list[Finding]) -> int:
    """What the command would end with."""
    return int(mended(whole(findings)))


@asynccontextmanager
async def clinic_in(authority: Path, home: Path) -> AsyncGenerator[Clinic]:
    """An emulator and settings, sound until they are planted with a fault; ``authority`` keeps what is dear to make."""
    shift = Shift()
    async with Emulator(Options(directory=authority), clock=shift) as emulator:
        yield Clinic(emulator, home, shift)
