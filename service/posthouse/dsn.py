"""Tells the reverse-path of mail from the SMTP door that it failed: delivery status notifications (RFC 3464).

The mail program that sent it has long gone; whoever reads its reverse-path is the only one left to tell. The report of a
message has an idempotency key made of its id, so that however many processes look, it is kept once.
"""

import asyncio
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import sha256
from typing import Final

from posthouse.message import Bytes, Content, Envelope, Kind, Millis, Recipient, Status, id_bytes
from posthouse.policy import Client
from posthouse.ports import Clock, Diagnosis, Spool
from posthouse.receipt import Receipt
from posthouse.records import AttemptRow, Idempotency, Record, Unreported
from posthouse.refusal import Refused
from posthouse.submission import DoorStep, Draft, Identity, Wishes
from posthouse.telemetry import REPORT_REFUSED, log

DOOR: Final = "dsn"
CLIENT: Final = "posthouse"
EVERY: Final = 10.0
"""Seconds between looks for mail that failed."""
FIRST_LOOK: Final[Millis] = 86_400_000
OVERLAP: Final[Millis] = 600_000
"""How far each look goes back before the one before it: what ends is written down a little later."""
ROWS: Final = 50

_NO_STATUS: Final = "5.0.0"
_LONGEST: Final = 998
"""Octets of a line without its end."""
_EXPIRED: Final = "5.4.7"  # delivery time expired, RFC 3463 §3.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What reporting works with; ``sender`` is the address that reports come from."""

    spool: Spool
    step: DoorStep
    clock: Clock
    diagnosis: Diagnosis
    sender: str


class Reports:
    """Looks for failed mail and submits a report for each, until cancelled."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._client = Client(name=CLIENT, senders=(tools.sender,))
        self._since: Millis | None = None

    async def run(self) -> None:
        """Look, report, rest, again."""
        while True:
            await self.once()
            await asyncio.sleep(EVERY)

    async def once(self) -> None:
        """One round; what cannot be kept now is reported in the next."""
        tools, now = self._tools, self._tools.clock.now()
        since, after = now - FIRST_LOOK if self._since is None else self._since - OVERLAP, 0
        while found := await tools.spool.unreported(since=since, after=after, client=CLIENT, most=ROWS):
            for one in found:
                await self._report(one)
            since, after = found[-1].finished_at, found[-1].key
        self._since = now

    async def _report(self, one: Unreported) -> None:
        tools = self._tools
        record = await tools.spool.get(one.id, now=tools.clock.now())
        if record is None:
            return
        content = await tools.spool.content(one.key)
        attempts = await tools.spool.attempts(one.id)
        identity = tools.step.identify(tools.sender)
        told = _Told(
            record=record,
            attempts=attempts,
            header=b"" if content is None else content.header,
            advice=_advice(attempts, tools.diagnosis),
        )
        draft = self._draft(told, identity, to=one.reverse_path)
        idempotency = Idempotency(CLIENT, id_bytes(one.id).hex(), sha256(one.id.encode()).digest())
        try:
            await tools.step.accept((draft,), answer=_answer, idempotency=idempotency)
        except Refused as refused:
            log(REPORT_REFUSED, level=logging.WARNING, message=one.id, code=refused.condition.value)

    def _draft(self, told: "_Told", identity: Identity, *, to: str) -> Draft:
        return Draft(
            identity=identity,
            client=self._client,
            door=DOOR,
            sender=self._tools.sender,
            envelope=Envelope(None, (Recipient(to, Kind.TO),)),
            content=_composed(told, identity, sender=self._tools.sender, to=to),
            subject=_subject(told.record),
            wishes=Wishes(reference=told.record.id),
            raw=True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What is known of the message."""

    record: Record
    attempts: Sequence[AttemptRow]
    header: bytes
    advice: str

    @property
    def lost(self) -> list[tuple[str, str | None]]:
        """The recipients that did not get it, each with the reply that refused it, if one did."""
        refused: list[tuple[str, str | None]] = [
            (one.address, one.refused) for one in self.record.recipients if one.refused is not None
        ]
        if self.record.status is Status.SENT:
            return refused
        return [(one.address, one.refused) for one in self.record.recipients]

    @property
    def last(self) -> AttemptRow | None:
        return self.attempts[-1] if self.attempts else None


def _answer(receipts: Sequence[Receipt]) -> bytes:
    return receipts[0].id.encode()


def _advice(attempts: Sequence[AttemptRow], diagnosis: Diagnosis) -> str:
    fix = attempts[-1].fix if attempts else None
    return diagnosis.advice(fix) if fix else ""


def _subject(record: Record) -> str:
    some = record.status is Status.SENT
    return "Not sent to some recipients" if some else "Not sent"


def _composed(told: _Told, identity: Identity, *, sender: str, to: str) -> Content:
    """The report: for people, for programs (RFC 3464), and the header of the mail it is about (RFC 6522 §4)."""
    at, boundary = datetime.fromtimestamp(identity.at / 1000, UTC), f"={identity.id}"
    header = _lines(
        f"From: posthouse <{sender}>",
        f"To: <{to}>",
        f"Subject: {_subject(told.record)}",
        f"Date: {format_datetime(at)}",
        f"Message-ID: {identity.message_id}",
        *([f"In-Reply-To: {told.record.message_id}"] if told.record.message_id.isascii() else []),
        "Auto-Submitted: auto-replied",  # RFC 3834 §5
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"',
    )
    parts = (
        _part("text/plain; charset=utf-8", _for_people(told)),
        _part("message/delivery-status", _for_programs(told)),
        _part("text/rfc822-headers; charset=utf-8", told.header),
    )
    body = b"".join(f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts)
    return Content(header, Bytes(body + f"--{boundary}--\r\n".encode()))


def _part(kind: str, text: bytes) -> bytes:
    encoding = "7bit" if text.isascii() else "8bit"
    return _lines(f"Content-Type: {kind}", f"Content-Transfer-Encoding: {encoding}") + b"\r\n" + text


def _for_people(told: _Told) -> bytes:
    record, last = told.record, told.last
    whom = [f"  {address}{'' if reply is None else f': {reply}'}" for address, reply in told.lost]
    why = f"The last answer was: {last.status or ''} {last.text or ''}".strip() if last else "It was never tried."
    ended = "It expired before it could be sent." if record.status is Status.EXPIRED else ""
    return _lines(
        "posthouse took this mail and could not send it to:",
        "",
        *whom,
        "",
        *(line for line in (ended, why, told.advice and f"What an administrator does: {told.advice}") if line),
        "",
        f"posthouse messages show {record.id}",
    )


def _for_programs(told: _Told) -> bytes:
    """RFC 3464 §2.2 and §2.3."""
    record, last = told.record, told.last
    arrived = format_datetime(datetime.fromtimestamp(record.created_at / 1000, UTC))
    fields = [
        f"Reporting-MTA: dns; {socket.gethostname()}",
        f"Original-Envelope-Id: {record.id}",
        f"Arrival-Date: {arrived}",
    ]
    for address, reply in told.lost:
        expired = record.status is Status.EXPIRED and reply is None
        status = _EXPIRED if expired else (last.status if last else None) or _NO_STATUS
        fields += ["", f"Final-Recipient: {'rfc822' if address.isascii() else 'utf-8'}; {address}", "Action: failed"]
        fields.append(f"Status: {'5' + status[1:]}")
        said = reply or (f"{last.status or ''} {last.text or ''}".strip() if last else "")
        if said:
            fields.append(f"Diagnostic-Code: smtp; {said}")
        if last is not None and last.ended_at is not None:
            fields.append(f"Last-Attempt-Date: {format_datetime(datetime.fromtimestamp(last.ended_at / 1000, UTC))}")
    return _lines(*fields)


def _lines(*lines: str) -> bytes:
    """Lines that fit (RFC 5322 §2.1.1), without controls, which foreign texts may hold."""
    clean = ("".join(x if x.isprintable() else " " for x in line).encode()[:_LONGEST] for line in lines)
    return b"".join(line.decode(errors="ignore").encode() + b"\r\n" for line in clean)
