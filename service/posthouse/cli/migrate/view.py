"""The plan as an administrator reads it: one question a chapter, tables on a terminal, plain text in a pipe, or JSON."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from posthouse.cli.output import Output, count
from posthouse.migration.plan import MOST_RECIPIENTS, MOST_SOURCES, NewClient, Plan, Sender, Way
from posthouse.migration.retirement import REFUSAL, SOURCE, STEPS

_SHOWN: Final = 40
"""Rows of a table on a terminal; in a pipe all of them come."""

_REMARKS: Final[Mapping[str, Callable[[Sender], str]]] = {
    "oauth_in_part": lambda one: f"{one.oauth:,} of its messages come with OAuth already; the others need this plan",
    "old_tls": lambda _: (
        "speaks TLS 1.0 or 1.1: newer firmware, or a listener with tls_min for its network alone (infra/README.md, 2.5)"
    ),
    "many_sources": lambda one: (
        f"signs in from {len(one.sources):,} addresses, more than {MOST_SOURCES}: people or moving machines; one key for all"
    ),
    "waits": lambda one: (
        f"at its peak ({one.volume.peak_minute} in a minute) the last message waits {_lasting(one.volume.longest_wait)}; "
        "nothing to do"
    ),
    "large": lambda one: (
        f"messages up to {_megabytes(one.volume.largest)}: over 3 MB they need SMTP in the route, or drafts = true"
    ),
    "too_large": lambda one: (
        f"messages up to {_megabytes(one.volume.largest)}: raise Set-Mailbox -MaxSendSize and [limits] max_message_bytes"
    ),
    "many_recipients": lambda one: (
        f"up to {one.volume.most_recipients:,} recipients in a message; {MOST_RECIPIENTS} are allowed: use a distribution group"
    ),
    "guessing": lambda one: (
        f"{count(one.failed_sign_ins, 'sign-in')} failed: somebody guesses its password; end SMTP AUTH here first"
    ),
}

_WAYS: Final[Mapping[Way, Callable[[Sender], str]]] = {
    Way.NOTHING: lambda _: "OAuth already",
    Way.ONE_MAILBOX: lambda _: "fits",
    Way.SEVERAL: lambda one: f"{one.volume.mailboxes:,} mailboxes",
    Way.HIGH_VOLUME: lambda one: f"{one.volume.mailboxes:,} mailboxes or HVE",
}


def show(plan: Plan, out: Output, *, read: Sequence[str]) -> None:
    """Write the plan; ``read`` are the files that it was made of."""
    if out.as_json:
        out.item(document(plan, read=read))
        return
    senders, messages = count(len(plan.senders), "sender"), count(plan.messages, "message")
    out.line(f"{senders}, {messages} in {count(plan.days, 'day')} ({', '.join(read)})")
    if not plan.days_known:
        out.line(f"{plan.days} days are what the report shows by default; say --days N if you chose others.")
    for title, chapter in _CHAPTERS:
        out.line()
        out.line(title)
        chapter(plan, out)


def document(plan: Plan, *, read: Sequence[str]) -> dict[str, object]:
    """The plan for programs."""
    return {
        "files": list(read),
        "days": plan.days,
        "days_known": plan.days_known,
        "messages": plan.messages,
        "outside_recipients_per_day": plan.outside_day,
        "retirement": {"source": SOURCE, "refusal": REFUSAL, "steps": [step._asdict() for step in STEPS]},
        "senders": [dataclasses.asdict(sender) | {"advice": list(_advice(sender))} for sender in plan.senders],
        "clients": [dataclasses.asdict(client) for client in plan.clients],
        "strangers": {name: sorted(account.addresses) for name, account in plan.strangers.items()},
        "script": script(plan),
    }


def script(plan: Plan) -> list[str]:
    """Exchange Online PowerShell: the group of sending mailboxes, and the rights for its members alone."""
    members = [one.address for one in plan.senders if one.way is not Way.NOTHING]
    return [
        'New-DistributionGroup -Name "posthouse senders" -Type Security',
        *(f'Add-DistributionGroupMember "posthouse senders" -Member {member}' for member in members),
        "New-ServicePrincipal -AppId $app -ObjectId $oid -DisplayName posthouse",
        """$dn = (Get-Group "posthouse senders").DistinguishedName""",
        """New-ManagementScope -Name posthouse -RecipientRestrictionFilter "MemberOfGroup -eq '$dn'\"""",
        'New-ManagementRoleAssignment -App $oid -Role "Application Mail.Send" -CustomResourceScope posthouse',
        'New-ManagementRoleAssignment -App $oid -Role "Application Mail.ReadBasic" -CustomResourceScope posthouse',
    ]


def _retirement(_: Plan, out: Output) -> None:
    _indented(out, ((f"{step.when}:", step.what) for step in STEPS))
    out.line(f"  then Exchange answers: {REFUSAL}")
    out.line(f"  ({SOURCE})")


def _senders(plan: Plan, out: Output) -> None:
    columns = ("SENDER", "KIND", "BECAUSE OF", "MESSAGES", "A DAY", "PEAK/MIN", "RECIPIENTS/DAY", "FROM", "VERDICT")
    _table(out, columns, [_row(one) for one in plan.senders])
    if any(one.volume.peak_minute is None for one in plan.senders):
        out.line(
            "  -: not in the report; a message trace tells it (--message-trace). One recipient a message is assumed."
        )


def _row(one: Sender) -> tuple[str, ...]:
    volume = one.volume
    sources = str(len(one.sources)) if one.sources else "-"
    figures = (_figure(volume.peak_minute), _figure(volume.recipients_day), sources)
    return one.address, one.kind, one.why, f"{one.messages:,}", f"{volume.per_day:,.0f}", *figures, _WAYS[one.way](one)


def _limits(plan: Plan, out: Output) -> None:
    several = [one for one in plan.senders if one.way in (Way.SEVERAL, Way.HIGH_VOLUME)]
    fitting = sum(one.way is Way.ONE_MAILBOX for one in plan.senders)
    out.line("  A mailbox sends 30 messages a minute and to 10,000 recipients a day; posthouse queues what is faster.")
    out.line(f"  One mailbox each is enough for {count(fitting, 'sender')}.")
    for one in several:
        inside = one.way is Way.HIGH_VOLUME
        more = " All its recipients are inside: High Volume Email has no such limit (5.4)." if inside else ""
        out.line(f"  {one.address} needs {one.volume.mailboxes:,} mailboxes ([[senders]], 5.4).{more}")
    if plan.outside_day is not None:
        out.line(f"  Recipients outside, all senders together, at most {plan.outside_day:,} a day. The tenant may have")
        out.line("  500 * licences^0.7 + 9,500 (1 licence: 10,000; 100: 22,059; 1,000: 72,446).")


def _attention(plan: Plan, out: Output) -> None:
    lines = [f"{one.address}: {advice}" for one in plan.senders for advice in _advice(one)]
    lines += [
        f"{name} signed in by SMTP AUTH (last from {next(reversed(account.addresses))}), but sent nothing under this name: "
        "another name of a sender?"
        for name, account in plan.strangers.items()
    ]
    for line in lines or ["nothing"]:
        out.line(f"  {line}")


def _advice(one: Sender) -> Iterable[str]:
    return (_REMARKS[remark](one) for remark in one.remarks if remark in _REMARKS)


def _clients(plan: Plan, out: Output) -> None:
    columns = ("CLIENT", "SENDER", "FROM ADDRESS", "KEY")
    _table(out, columns, [(one.name, one.sender, one.source or "-", _key(one)) for one in plan.clients])
    out.line(
        "  All at once, with a card of settings for each:  posthouse migrate smtp-auth … --apply --out devices.csv"
    )
    out.line("  One by one:  posthouse keys create CLIENT --sender SENDER, for a device with --device")


def _rights(plan: Plan, out: Output) -> None:
    out.line("  The application itself, $app and $oid: infra/README.md, 1.1. Then in Exchange Online PowerShell:")
    for line in script(plan):
        out.line(f"  {line}")
    out.line("  Not in Entra: rights given there count for every mailbox. Checks: infra/README.md, 1.6.")


def _next(_: Plan, out: Output) -> None:
    out.line(
        "  The lines to change in each program:  posthouse migrate recipes,  posthouse migrate recipe postfix --host …"
    )
    out.line("  Step by step: infra/README.md, Migration off SMTP basic auth.")


_CHAPTERS: Final[Sequence[tuple[str, Callable[[Plan, Output], None]]]] = (
    ("1. What ends, and when", _retirement),
    ("2. Who sends how much", _senders),
    ("3. What fits into Exchange's limits", _limits),
    ("4. What to look at", _attention),
    ("5. Clients and keys", _clients),
    ("6. Rights, for these mailboxes alone", _rights),
    ("7. Then", _next),
)


def _table(out: Output, columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    shown = rows[:_SHOWN] if out.terminal else rows
    out.rows(columns, shown)
    if len(shown) < len(rows):
        out.line(f"  … and {len(rows) - len(shown):,} more: send this into a file, or add --json")


def _indented(out: Output, pairs: Iterable[tuple[str, str]]) -> None:
    both = list(pairs)
    width = max(len(left) for left, _ in both)
    for left, right in both:
        out.line(f"  {left.ljust(width)}  {right}")


def _key(client: NewClient) -> str:
    return "device" if client.device else "api"


def _figure(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _megabytes(size: int | None) -> str:
    return f"{(size or 0) / 1_048_576:.1f} MB"


def _lasting(seconds: float | None) -> str:
    minutes, rest = divmod(round(seconds or 0), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
