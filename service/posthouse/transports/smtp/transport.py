"""The way out by SMTP: one transaction a mail, in stages, so that what was certainly not sent is known (SDK §7)."""

import asyncio
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Final, Literal

import aiosmtplib

from posthouse.message import Content
from posthouse.outcome import (
    Answer,
    Outcome,
    PermanentFailure,
    RefusedRecipient,
    Scope,
    Sent,
    TransientFailure,
    Unconfirmed,
)
from posthouse.ports import Clock, Dispatch, NotBegunError, SpoolUnavailableError
from posthouse.transports.faults import Fault, network_answer, one_line, public
from posthouse.transports.smtp.connection import NoLogin, Over, Server, log_in, lost, reach, step
from posthouse.transports.smtp.pool import Pool, leave
from posthouse.transports.smtp.replies import Reply, Stage, answer_of, concerns_recipient, outcome
from posthouse.transports.smtp.stream import StalledError, pour

_START: Final = 354
_DONE: Final = 250


@dataclass(slots=True)
class _Poured:
    """Whether the content began to leave."""

    began: bool = False


@dataclass(frozen=True, slots=True)
class _Mail:
    sender: str
    own_from: bool
    options: tuple[str, ...]
    encoding: str


class SmtpTransport:
    """Sends the content unchanged to the envelope's recipients; MAIL FROM is the account (PROMISES §8)."""

    kind: Literal["smtp"] = "smtp"

    def __init__(self, *, name: str, server: Server, clock: Clock) -> None:
        self.name = name
        self._server = server
        self._clock = clock
        self._pool = Pool()
        self.offered: int | None = None
        """The SIZE that the server offered last (RFC 1870 §4; 0: no fixed limit); None where it has not said yet."""

    async def send(self, dispatch: Dispatch) -> Outcome:
        """One transaction; a connection that went stale while idle is replaced before anything was said on it."""
        account, poured = dispatch.account, _Poured()
        try:
            async with self._pool.slot(account):
                client = self._pool.take(account)
                if client is not None and not await self._alive(client):
                    client = None
                client = client or await log_in(self._server, account)
                self.offered = _offered(client, otherwise=self.offered)
                try:
                    result = await self._transact(client, dispatch, poured)
                except BaseException:
                    # a cancelled or unclear dialogue would pair late replies with the next mail (SDK §7)
                    client.close()
                    raise
                if client.is_connected:
                    self._pool.keep(account, client)
                return result
        except Over as over:
            return over.outcome
        except (Exception, asyncio.CancelledError) as fault:
            # cut, or a fault of ours: before the content there is no doubt
            if poured.began:
                raise
            raise NotBegunError from fault

    async def probe(self) -> bool:
        """Whether the server greets and, where asked for, speaks TLS."""
        try:
            client = await reach(self._server)
        except Over:
            return False
        self.offered = _offered(client, otherwise=self.offered)
        leave(client)
        return True

    async def close(self) -> None:
        """Close idle connections; idempotent."""
        self._pool.close()

    async def _alive(self, client: aiosmtplib.SMTP) -> bool:
        try:
            await client.rset(timeout=self._server.connect_timeout)
        except (aiosmtplib.SMTPException, OSError):
            client.close()
            return False
        return True

    async def _transact(self, client: aiosmtplib.SMTP, dispatch: Dispatch, poured: _Poured) -> Outcome:
        try:
            _check(self._sender(dispatch))
            mail = await _mail(client, dispatch, sender=self._sender(dispatch))
            action = client.mail(mail.sender, options=mail.options, encoding=mail.encoding)
            await step(Stage.MAIL, action, own_from=mail.own_from)
            refused = await _recipients(client, dispatch, mail)
            await _started(client, mail)
        except Over as over:
            await _reset(client)
            return over.outcome
        except ValueError:
            # also raised by aiosmtplib for an address that would end the command (CVE-2026-53533)
            await _reset(client)
            return _refused_message(
                "an address cannot be written in SMTP", status="5.1.3", fix="smtp.recipient_refused"
            )
        poured.began = True
        return await self._content(client, dispatch.content, refused, own_from=mail.own_from)

    def _sender(self, dispatch: Dispatch) -> str:
        plain = isinstance(self._server.auth, NoLogin) or "@" not in dispatch.account
        return dispatch.message.mailbox if plain else dispatch.account

    async def _content(
        self, client: aiosmtplib.SMTP, content: Content, refused: tuple[RefusedRecipient, ...], *, own_from: bool
    ) -> Outcome:
        try:
            await pour(client, content, timeout=self._server.content_timeout, monotonic=self._clock.monotonic)
            response = await client.execute_command(b".", timeout=self._server.end_timeout)
        except aiosmtplib.SMTPResponseException as error:
            client.close()
            return outcome(Reply(error.code, error.message), Stage.END, own_from=own_from)
        except StalledError:
            client.close()
            return Unconfirmed(
                answer=_doubt(network_answer(Fault.STALLED, where="SMTP, in the content", status="4.4.2"))
            )
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            return Unconfirmed(answer=_doubt(lost(error, Stage.END)))
        reply = Reply(response.code, response.message)
        if reply.code == _DONE:
            answer = answer_of(reply, fix=None)
            return Sent(answer=answer, receipt=one_line(response.message), refused=refused)
        if not reply.refuses:
            client.close()
        return outcome(reply, Stage.END, own_from=own_from)


def _offered(client: aiosmtplib.SMTP, *, otherwise: int | None) -> int | None:
    if not client.supports_extension("size"):
        return otherwise
    limit = client.esmtp_extensions.get("size", "")
    return int(limit) if limit.isdecimal() else 0


async def _mail(client: aiosmtplib.SMTP, dispatch: Dispatch, *, sender: str) -> _Mail:
    """The parameters of MAIL FROM that this message needs; raises Over where the server does not offer them."""
    content, message = dispatch.content, dispatch.message
    options: list[str] = []
    limit = client.esmtp_extensions.get("size", "")
    if client.supports_extension("size"):
        options.append(f"SIZE={content.size}")
    if limit.isdecimal() and 0 < int(limit) < content.size:
        text = f"the message has {content.size} bytes, the server takes {limit}"
        raise Over(_refused_message(text, status="5.3.4", fix="smtp.too_large"))
    if client.supports_extension("8bitmime"):
        options.append("BODY=8BITMIME")
    elif not await _seven_bit(content):
        raise Over(_refused_message("the server takes no 8-bit content", status="5.6.3", fix="smtp.not_supported"))
    wide = not content.header.isascii() or not all(one.isascii() for one in (sender, *message.envelope.addresses))
    if wide and not client.supports_extension("smtputf8"):
        text = "the server takes no international addresses or header fields"
        raise Over(_refused_message(text, status="5.6.7", fix="smtp.not_supported"))
    if wide:
        options.append("SMTPUTF8")
    own_from = message.sender.casefold() == message.mailbox.casefold()
    return _Mail(sender, own_from, tuple(options), "utf-8" if wide else "ascii")


async def _recipients(client: aiosmtplib.SMTP, dispatch: Dispatch, mail: _Mail) -> tuple[RefusedRecipient, ...]:
    """The recipients that will not get it, written down already; raises Over where nothing goes (PROMISES §4)."""
    refused: list[RefusedRecipient] = []
    deferred: list[Reply] = []
    addresses = dispatch.message.envelope.addresses
    _check(*addresses)
    for address in addresses:
        reply = await _recipient(client, address, mail)
        if reply is None:
            continue
        refused.append(RefusedRecipient(address, reply.code, public(reply.text)))
        if reply.code // 100 == 4:  # noqa: PLR2004 - RFC 5321 §4.2.1
            deferred.append(reply)
    if deferred and not dispatch.refuse_deferred:
        raise Over(outcome(deferred[0], Stage.RCPT, own_from=mail.own_from))
    if len(refused) == len(addresses):
        text = f"all recipients were refused, the first with: {refused[0].reply} {refused[0].text}"
        raise Over(_refused_message(text, status="5.1.1", fix="smtp.recipient_refused", refused=tuple(refused)))
    if refused:
        await _note(dispatch, refused)
    return tuple(refused)


def _check(*addresses: str) -> None:
    """Raises ValueError where aiosmtplib would write another address than the one that was given."""
    for address in addresses:
        if parseaddr(address)[1] != address:
            raise ValueError(address)


async def _recipient(client: aiosmtplib.SMTP, address: str, mail: _Mail) -> Reply | None:
    try:
        await client.rcpt(address, encoding=mail.encoding)
    except aiosmtplib.SMTPResponseException as error:
        reply = Reply(error.code, error.message)
        if not concerns_recipient(reply):
            raise Over(outcome(reply, Stage.RCPT, own_from=mail.own_from)) from error
        return reply
    except (aiosmtplib.SMTPException, OSError) as error:
        raise Over(TransientFailure(scope=Scope.TRANSPORT, answer=lost(error, Stage.RCPT))) from error
    return None


async def _note(dispatch: Dispatch, refused: list[RefusedRecipient]) -> None:
    try:
        await dispatch.note_refused(refused)
    except SpoolUnavailableError as error:
        text = "the refused recipients could not be written down, so nothing was sent"
        answer = Answer(status="4.3.0", text=text, code="spool_unavailable")
        raise Over(TransientFailure(scope=Scope.MESSAGE, answer=answer)) from error


async def _started(client: aiosmtplib.SMTP, mail: _Mail) -> None:
    """DATA answered by 354; until then no byte of the content has left, so a loss is certain (SDK §7)."""
    response = await step(Stage.DATA, client.execute_command(b"DATA"))
    if response.code != _START:
        raise Over(outcome(Reply(response.code, response.message), Stage.DATA, own_from=mail.own_from))


async def _reset(client: aiosmtplib.SMTP) -> None:
    """Take back what was said, so that the connection can serve the next mail; else close it."""
    try:
        await client.rset()
    except (aiosmtplib.SMTPException, OSError):
        client.close()


async def _seven_bit(content: Content) -> bool:
    async for block in content.body.blocks():
        if not block.isascii():
            return False
    return True


def _refused_message(
    text: str, *, status: str, fix: str, refused: tuple[RefusedRecipient, ...] = ()
) -> PermanentFailure:
    answer = Answer(status=status, text=public(text), code=status, fix=fix)
    return PermanentFailure(scope=Scope.MESSAGE, answer=answer, refused=refused)


def _doubt(answer: Answer) -> Answer:
    return Answer(status=answer.status, text=answer.text, code=answer.code, fix="smtp.uncertain")
