"""What a running emulator can be told to do differently, by the control API or in the same process."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The switches of one emulator; times in seconds, mailboxes and addresses in lower case.

    ``grants`` are application permissions by name (FACTS F); ``scope`` None: granted in Entra, for all mailboxes, so that
    tokens name them as roles; else granted in Exchange for these mailboxes, which no token shows (FACTS C4).
    ``thumbprints`` None: every certificate is known; ``graph_host`` is Graph's in the cloud of the tenant.
    ``mailboxes`` None means that every address is one;
    ``send_as`` maps a mailbox to the other addresses it may send from; ``smtp_enabled`` and ``smtp_disabled`` are
    SmtpClientAuthentication of the tenant and of mailboxes (FACTS D2); ``appear_after`` is how long after sending
    an item becomes visible to look-ups, ``draft_for`` how long it then shows as a draft (FACTS A2); of files with more
    bytes than ``digest_above`` only size and SHA-256 are kept.
    """

    client_secret: str
    secret_expired: bool = False
    certificate_expired: bool = False
    thumbprints: frozenset[str] | None = None
    graph_host: str = "graph.microsoft.com"
    expires_in: int = 3599
    grants: frozenset[str]
    scope: frozenset[str] | None = None
    mailboxes: frozenset[str] | None = None
    unlicensed: frozenset[str] = frozenset()
    send_as: Mapping[str, frozenset[str]] = field(default_factory=dict)
    latency: float = 0.0
    enforce_limits: bool = False
    rewrite_message_ids: bool = False
    appear_after: float = 0.0
    digest_above: int | None = None
    draft_for: float = 0.0
    smtp_enabled: bool = True
    smtp_disabled: frozenset[str] = frozenset()
    tls_required: bool = True

    def knows(self, mailbox: str) -> bool:
        """Whether the tenant has this mailbox (lower case)."""
        return self.mailboxes is None or mailbox in self.mailboxes

    def covers(self, mailbox: str) -> bool:
        """Whether what is granted counts for this mailbox (lower case)."""
        return self.scope is None or mailbox in self.scope

    def may_send_as(self, mailbox: str, address: str) -> bool:
        """Whether the mailbox may send with this From address (FACTS A3)."""
        sender = address.lower()
        return sender == mailbox or sender in self.send_as.get(mailbox, frozenset())
