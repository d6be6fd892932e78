"""The three exports that a migration reads, by the columns that Microsoft documents, older names of them beside.

SMTP AUTH clients: learn, exchange/monitoring/mail-flow-reports/mfr-smtp-auth-clients-report; "Authentication Protocol"
since MC786329. Sign-ins: the CSV of Entra's sign-in logs. Message trace: learn, message-trace-modern-eac ("Enhanced
summary", "Extended"), and what Get-MessageTraceV2 gives.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

from posthouse.migration.tables import Column, Fault, ReportError, Row, Table
from posthouse.migration.values import WrongError, address, count, day_first, moment, network_address

USAGE: Final = (
    Column("sender", ("Sender address", "Sender", "Absenderadresse", "Adresse de l'expéditeur", "Indirizzo del mittente",
                      "Dirección del remitente", "Адрес отправителя")),
    Column("messages", ("Messages sent", "Message count", "Messages", "Gesendete Nachrichten", "Messages envoyés",
                        "Messaggi inviati", "Mensajes enviados", "Количество сообщений")),
    Column("date", ("Date", "Date (UTC)", "Datum", "Data", "Fecha"), required=False),
    Column("tls10", ("TLS 1.0", "TLS1.0%", "TLS 1.0 (percentage)"), required=False),
    Column("tls11", ("TLS 1.1", "TLS1.1%", "TLS 1.1 (percentage)"), required=False),
    Column("protocol", ("Authentication Protocol", "Authentication"), required=False),
)  # fmt: skip
"""Exchange admin center > Reports > Mail flow > SMTP AUTH clients."""

SIGN_INS: Final = (
    Column("account", ("Username", "User principal name", "UserPrincipalName", "Benutzername", "Nom d'utilisateur")),
    Column("address", ("IP address", "IPAddress", "IP-Adresse", "Adresse IP")),
    Column("app", ("Client app", "ClientAppUsed", "Client-App", "Clientanwendung", "Application cliente")),
    Column("date", ("Date (UTC)", "Date", "CreatedDateTime", "Datum (UTC)", "Datum"), required=False),
    Column("status", ("Status", "Statut", "Stato"), required=False),
    Column("error", ("Sign-in error code", "ErrorCode"), required=False),
)
"""Entra admin center > Sign-in logs > Download (CSV), both interactive and non-interactive."""

TRACE: Final = (
    Column("at", ("origin_timestamp", "date_time", "Received", "ReceivedDateTime", "Date (UTC)", "Date")),
    Column("sender", ("sender_address", "SenderAddress", "Sender")),
    Column("recipients", ("recipient_address", "RecipientAddress", "recipient_status", "Recipient", "Recipients")),
    Column("size", ("total_bytes", "Size"), required=False),
    Column("id", ("network_message_id", "message_id", "MessageId", "MessageTraceId"), required=False),
)
"""Exchange admin center > Mail flow > Message trace, as a downloadable report."""

MOST_FAULTS: Final = 20
"""Faults of one file that are told; more of them have one cause."""

_SUCCESS: Final = frozenset(
    {"success", "erfolg", "erfolgreich", "succès", "réussite", "operazione riuscita", "correcto"}
)
_NO_ERROR: Final = frozenset({"0", "none"})

V = TypeVar("V")


@dataclass(slots=True)
class Usage:
    """What one sender submitted: all messages, those with OAuth, and whether it still speaks TLS older than 1.2."""

    messages: int = 0
    oauth: int = 0
    old_tls: bool = False


@dataclass(frozen=True, slots=True)
class UsageReport:
    """All senders; ``days`` is how many the rows name, or None where they name none."""

    senders: Mapping[str, Usage]
    days: int | None


@dataclass(slots=True)
class Account:
    """Where an account's good SMTP AUTH sign-ins came from, how often each; how many failed."""

    addresses: dict[str, int] = field(default_factory=dict)
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Mail:
    """One message of a trace: when, to how many, how many of them outside, how large (0: unknown)."""

    at: float
    recipients: int
    outside: int
    size: int


@dataclass(frozen=True, slots=True)
class Trace:
    """What the senders sent, each in the order of time, and the days that the file spans (at least one)."""

    mails: Mapping[str, tuple[Mail, ...]]
    days: float


def usage(report: Table) -> UsageReport:
    """The SMTP AUTH clients report, summed by sender; raises ReportError."""
    reader = _Reader(report)
    days_first = bool(day_first(row["date"] for row in report.rows))
    senders: dict[str, Usage] = {}
    days: set[object] = set()
    for row in report.rows:
        sender, messages = reader.value(row, "sender", address), reader.value(row, "messages", count)
        if sender is None or messages is None:
            continue
        one = senders.setdefault(sender, Usage())
        one.messages += messages
        one.oauth += messages if "oauth" in row["protocol"].lower() else 0
        one.old_tls = one.old_tls or _nonzero(row["tls10"]) or _nonzero(row["tls11"])
        if row["date"]:
            at = reader.value(row, "date", lambda cell: moment(cell, days_first=days_first))
            days.add(at and at.date())
    reader.end()
    return UsageReport(senders, len(days) or None)


def sign_ins(log: Table) -> dict[str, Account]:
    """The accounts that signed in by SMTP AUTH; other kinds of sign-in are left out. Raises ReportError."""
    reader = _Reader(log)
    accounts: dict[str, Account] = {}
    for row in log.rows:
        if "smtp" not in row["app"].lower():  # "Authenticated SMTP"; older exports: "SMTP"
            continue
        name = reader.value(row, "account", address)
        if name is None:
            continue
        one = accounts.setdefault(name, Account())
        if not _succeeded(row):
            one.failures += 1  # whoever guesses passwords comes from many addresses, and none of them is a device
        elif row["address"]:
            found = reader.value(row, "address", network_address)
            if found is not None:
                one.addresses[found] = one.addresses.get(found, 0) + 1
    reader.end()
    return accounts


def merge(into: dict[str, Account], more: Mapping[str, Account]) -> None:
    """Add the sign-ins of one file to those of another: Entra gives interactive and other ones apart."""
    for name, account in more.items():
        one = into.setdefault(name, Account())
        one.failures += account.failures
        for found, times in account.addresses.items():
            one.addresses[found] = one.addresses.get(found, 0) + times


def trace(report: Table, *, senders: Collection[str], inside: Collection[str]) -> Trace:
    """What these senders sent; recipients whose domain is not ``inside`` count as outside. Raises ReportError."""
    reader = _Reader(report)
    days_first = bool(day_first(row["at"] for row in report.rows))
    found: dict[tuple[str, str], _Parts] = {}
    first, last = float("inf"), float("-inf")
    for row in report.rows:
        at = reader.value(row, "at", lambda cell: moment(cell, days_first=days_first))
        if at is None:
            continue
        first, last = min(first, at.timestamp()), max(last, at.timestamp())
        sender = row["sender"].strip("<>").lower()
        if sender not in senders:
            continue
        size = reader.value(row, "size", count) if row["size"] else 0
        parts = found.setdefault((sender, row["id"] or at.isoformat()), _Parts(at))
        parts.at, parts.size = min(parts.at, at), max(parts.size, size or 0)
        parts.recipients.update(_recipients(row["recipients"]))
    reader.end()
    mails: dict[str, list[Mail]] = {}
    for (sender, _), parts in found.items():
        mails.setdefault(sender, []).append(parts.mail(inside))
    ordered = {sender: tuple(sorted(some, key=lambda mail: mail.at)) for sender, some in mails.items()}
    return Trace(ordered, max((last - first) / _DAY, 1.0))


_DAY: Final = 86_400.0


@dataclass(slots=True)
class _Parts:
    """A message whose recipients come on one line or on several."""

    at: datetime
    size: int = 0
    recipients: set[str] = field(default_factory=set)

    def mail(self, inside: Collection[str]) -> Mail:
        outside = sum(one.rpartition("@")[2] not in inside for one in self.recipients)
        return Mail(self.at.timestamp(), max(len(self.recipients), 1), outside, self.size)


class _Reader:
    """Takes values out of cells and gathers what is wrong with them."""

    def __init__(self, table: Table) -> None:
        self._titles = table.titles
        self._faults: list[Fault] = []

    def value(self, row: Row, name: str, parse: Callable[[str], V]) -> V | None:
        """The value; None where the cell breaks a rule."""
        try:
            return parse(row[name])
        except WrongError as wrong:
            self._faults.append(Fault(row.line, self._titles.get(name, name), str(wrong)))
            return None

    def end(self) -> None:
        """Raises ReportError where something was wrong."""
        told, left = self._faults[:MOST_FAULTS], len(self._faults) - MOST_FAULTS
        if left > 0:
            told.append(Fault(self._faults[MOST_FAULTS].line, "", f"and {left} more faults from here on"))
        if told:
            raise ReportError(told)


def _succeeded(row: Row) -> bool:
    status, error = row["status"].lower(), row["error"].lower()
    return status in _SUCCESS or error in _NO_ERROR or not (status or error)


def _nonzero(cell: str) -> bool:
    return any(char in "123456789" for char in cell)


def _recipients(cell: str) -> Iterable[str]:
    """``a@b`` or ``a@b##Receive, Send;c@d##…``."""
    parts = (one.partition("##")[0].strip("<>\"' ").lower() for one in cell.split(";"))
    return (one for one in parts if "@" in one)
