"""What an emulator is started with."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from posthouse.sandbox.chaos import Rule

DEFAULT_GRANTS = frozenset({"Mail.Send", "Mail.ReadBasic", "SMTP.SendAsApp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The start of an emulator; port 0 means any, ``mailboxes`` None that every address is one, times in seconds.

    ``directory`` keeps the certificate authority; it is made where it is missing. ``keep`` bounds the mails kept.
    """

    directory: Path
    https_port: int = 0
    entra_port: int = 0
    smtp_port: int = 0
    inbox_port: int = 0
    host: str = "127.0.0.1"
    tenant_id: str = "5a4d0000-0000-4000-8000-00000000c0de"
    client_id: str = "5a4d0000-0000-4000-8000-0000000000a9"
    client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(30))
    identity_header: str = field(default_factory=lambda: secrets.token_urlsafe(30))
    mailboxes: frozenset[str] | None = None
    grants: frozenset[str] = DEFAULT_GRANTS
    latency: float = 0.0
    seed: int = 20261123
    enforce_limits: bool = False
    appear_after: float = 0.0
    faults: tuple[Rule, ...] = ()
    keep: int = 100_000
