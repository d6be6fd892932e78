"""From the exports to a plan: who sends how much, what fits into one mailbox, which clients and keys to make."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from posthouse.limits import ONE_REQUEST
from posthouse.migration.exports import Account, Trace, Usage
from posthouse.migration.kinds import Kind, guess
from posthouse.migration.volumes import Volume, averaged, measured

USUAL_DAYS: Final = 7
"""Days that the report shows where nobody chose others (learn, mfr-smtp-auth-clients-report)."""

MOST_SOURCES: Final = 20
"""Addresses of one account up to which each gets a key of its own; more of them are no machines that stand still."""

MISTYPED: Final = 10
"""Failed sign-ins that need no stranger to explain them."""

MOST_RECIPIENTS: Final = 500
"""Recipients of one message, Exchange's default (FACTS B1)."""

EXCHANGE_DEFAULT_BYTES: Final = 36_700_160
"""Bytes of one message, Exchange's default of 35 MB."""

_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME: Final = 64


class Way(StrEnum):
    """How a sender's mail leaves from now on."""

    NOTHING = "nothing to do"
    ONE_MAILBOX = "one mailbox"
    SEVERAL = "several mailboxes"
    HIGH_VOLUME = "high volume email"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """One account of the report, what it asks for, and what is special about it (``remarks``)."""

    address: str
    kind: Kind
    why: str
    messages: int
    oauth: int
    old_tls: bool
    sources: tuple[str, ...]
    failed_sign_ins: int
    volume: Volume
    way: Way
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewClient:
    """A client to make, with one key: ``device`` for a login by SMTP alone; ``source`` is where it comes from today."""

    name: str
    sender: str
    source: str
    device: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that an administrator decides by; ``strangers`` signed in, but are not in the report.

    ``days_known``: somebody or the report itself said how many it covers.
    """

    days: int
    days_known: bool
    senders: tuple[Sender, ...]
    clients: tuple[NewClient, ...]
    strangers: Mapping[str, Account]
    outside_day: int | None

    @property
    def messages(self) -> int:
        """Of all senders together."""
        return sum(sender.messages for sender in self.senders)


def make_plan(
    usage: Mapping[str, Usage], *, days: int | None, accounts: Mapping[str, Account], trace: Trace | None = None
) -> Plan:
    """The plan, busiest senders first; ``days`` None: as many as the report usually shows."""
    known, days = days is not None, days or USUAL_DAYS
    busiest = sorted(usage.items(), key=lambda item: (-item[1].messages, item[0]))
    senders = tuple(_sender(name, one, days=days, accounts=accounts, trace=trace) for name, one in busiest)
    return Plan(
        days=days,
        days_known=known,
        senders=senders,
        clients=_clients(senders),
        strangers={name: one for name, one in accounts.items() if name not in usage and one.addresses},
        outside_day=None if trace is None else sum(one.volume.outside_day or 0 for one in senders),
    )


def _sender(name: str, usage: Usage, *, days: int, accounts: Mapping[str, Account], trace: Trace | None) -> Sender:
    mails = trace.mails.get(name, ()) if trace else ()
    volume = measured(mails, days=trace.days) if trace and mails else averaged(usage.messages, days=days)
    kind, why = guess(name, old_tls=usage.old_tls, peak_minute=volume.peak_minute, per_day=volume.per_day)
    account = accounts.get(name, Account())
    return Sender(
        address=name,
        kind=kind,
        why=why,
        messages=usage.messages,
        oauth=usage.oauth,
        old_tls=usage.old_tls,
        sources=tuple(sorted(account.addresses, key=lambda one: (-account.addresses[one], one))),
        failed_sign_ins=account.failures,
        volume=volume,
        way=_way(usage, volume),
        remarks=tuple(_remarks(usage, volume, account)),
    )


def _way(usage: Usage, volume: Volume) -> Way:
    if usage.messages and usage.oauth == usage.messages:
        return Way.NOTHING
    if volume.mailboxes == 1:
        return Way.ONE_MAILBOX
    return Way.HIGH_VOLUME if volume.outside_day == 0 else Way.SEVERAL


def _remarks(usage: Usage, volume: Volume, account: Account) -> Sequence[str]:
    """What is worth a sentence; the words for it are the reader's business."""
    found = {
        "oauth_in_part": 0 < usage.oauth < usage.messages,
        "old_tls": usage.old_tls,
        "many_sources": len(account.addresses) > MOST_SOURCES,
        "no_trace": volume.peak_minute is None,
        "waits": volume.mailboxes == 1 and (volume.longest_wait or 0) > 0,
        "large": ONE_REQUEST < (volume.largest or 0) <= EXCHANGE_DEFAULT_BYTES,
        "too_large": (volume.largest or 0) > EXCHANGE_DEFAULT_BYTES,
        "many_recipients": (volume.most_recipients or 0) > MOST_RECIPIENTS,
        "guessing": account.failures > max(sum(account.addresses.values()), MISTYPED),
    }
    return [name for name, true in found.items() if true]


def _clients(senders: Sequence[Sender]) -> tuple[NewClient, ...]:
    """One for each account and address that it comes from; a domain stands in the name only where it must."""
    wanted = [one for one in senders if one.way is not Way.NOTHING]
    locals_ = Counter(_slug(one.address.partition("@")[0]) for one in wanted)
    found: list[NewClient] = []
    taken: set[str] = set()
    for one in wanted:
        local, _, domain = one.address.partition("@")
        stem = _slug(local) if locals_[_slug(local)] == 1 else _slug(f"{local}-{domain}")
        sources = one.sources if len(one.sources) <= MOST_SOURCES else ()
        for source in sources or ("",):
            name = _free(f"{stem}-{_slug(source)}" if source else stem, taken)
            taken.add(name)
            found.append(NewClient(name=name, sender=one.address, source=source, device=one.kind is not Kind.APP))
    return tuple(found)


def _slug(text: str) -> str:
    """What a client may be called: letters, digits, dots, dashes, at most 64 of them, a letter or digit first."""
    return _NAME.sub("-", text).strip("._-")[:_LONGEST_NAME] or "client"


def _free(name: str, taken: set[str]) -> str:
    number, short = 2, name[:_LONGEST_NAME]
    free = short
    while free in taken:
        free = f"{short[: _LONGEST_NAME - 5]}-{number}"
        number += 1
    return free
