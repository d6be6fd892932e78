"""SMTP submission: greeting, TLS, login, envelope; nothing is sent but a real message on request."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import aiosmtplib
from cryptography import x509

from posthouse.doctor.letter import letter
from posthouse.doctor.network import CONNECT_SECONDS, distrusted, gullible, shown
from posthouse.doctor.plan import Sender, SmtpPlan
from posthouse.doctor.steps import Seen
from posthouse.findings import Result, trouble
from posthouse.outcome import Answer
from posthouse.transports.faults import one_line, public
from posthouse.transports.smtp.connection import Login, NoLogin, Over, Server, dialled, log_in, step
from posthouse.transports.smtp.pool import leave
from posthouse.transports.smtp.replies import Reply, Stage, outcome
from posthouse.transports.tokens import TokenSource

_DONE: Final = 250


class SmtpExam:
    """One transport of kind smtp; a connection for greeting and TLS, and one for each mailbox."""

    def __init__(self, plan: SmtpPlan, *, tokens: Callable[[], TokenSource], wall: Callable[[], float]) -> None:
        self.plan = plan
        self._tokens = tokens
        self._wall = wall
        self._made: Server | None = None
        self._greeted: aiosmtplib.SMTP | None = None
        self._logged_in: dict[str, aiosmtplib.SMTP] = {}

    @property
    def server(self) -> Server:
        """Where and how to connect."""
        if self._made is None:
            self._made = self.plan.server(self._tokens)
        return self._made

    def close(self) -> None:
        """Leave all connections."""
        for client in [self._greeted, *self._logged_in.values()]:
            if client is not None:
                leave(client)

    def account(self, sender: Sender) -> str:
        """Who logs in for a sender."""
        return self.plan.username or sender.mailbox

    async def greet(self) -> Seen:
        """The greeting and EHLO; with TLS from the first byte that too."""
        server = self.server
        try:
            client = self._greeted = await dialled(server, seconds=CONNECT_SECONDS, reply_seconds=CONNECT_SECONDS * 2)
            greeting = await step(Stage.GREETING, client.connect())
            await step(Stage.EHLO, client.ehlo())
        except Over as over:
            seen = self._over(over)
            return (
                distrusted(seen, over.__cause__ or over, await shown(self.plan.host))
                if server.security == "tls"
                else seen
            )
        return Seen(words=f"it says {public(greeting.message)}")

    async def secure(self) -> Seen:
        """STARTTLS with a certificate that this machine trusts; where not, who issued it is shown."""
        client = self._greeted
        if client is None or not client.is_connected:
            return self._failure("smtp.server_refuses", "the connection was closed after EHLO")
        if "starttls" not in client.esmtp_extensions:
            return self._failure("smtp.no_starttls", "the server offers no STARTTLS")
        try:
            await step(Stage.STARTTLS, client.starttls())
            await step(Stage.EHLO, client.ehlo())
        except Over as over:
            cause = _verification(over)
            seen = self._over(over)
            return seen if cause is None else distrusted(seen, cause, await self._shown())
        tls = client.get_transport_info("ssl_object")
        until = tls.getpeercert().get("notAfter", "?") if tls is not None else "?"
        return Seen(words=f"{tls.version() if tls is not None else 'TLS'}, certificate until {until}")

    async def authenticate(self, sender: Sender) -> Seen:
        """Log in as the account that sends for this sender."""
        account = self.account(sender)
        try:
            self._logged_in[sender.address] = await log_in(self.server, account)
        except Over as over:
            return self._over(over, sender)
        how = "without a login" if isinstance(self.server.auth, NoLogin) else f"as {account}"
        return Seen(words=f"logged in {how}")

    async def envelope(self, sender: Sender, to: str | None) -> Seen:
        """MAIL FROM and RCPT TO, taken back by RSET: nothing is sent."""
        client = self._logged_in[sender.address]
        try:
            await self._addresses(client, sender, to)
            await step(Stage.RCPT, client.rset())
        except Over as over:
            return self._over(over, sender)
        return Seen(words=f"the server takes mail from {self._from(sender)}")

    async def message(self, sender: Sender, to: str) -> Seen:
        """A real message."""
        client = self._logged_in[sender.address]
        content = letter(sender=sender.address, to=to, at=self._wall(), way=self.plan.name)
        try:
            await self._addresses(client, sender, to)
            response = await step(Stage.END, client.data(content), own_from=sender.own)
        except Over as over:
            return self._over(over, sender)
        if response.code != _DONE:
            answer = outcome(Reply(response.code, response.message), Stage.END, own_from=True).answer
            return self._failure(answer.fix or "smtp.refused_message", answer.text, sender, answer)
        return Seen(words=f"the server took it: {one_line(public(response.message))}")

    async def _addresses(self, client: aiosmtplib.SMTP, sender: Sender, to: str | None) -> None:
        await step(Stage.MAIL, client.mail(self._from(sender)), own_from=sender.own)
        await step(Stage.RCPT, client.rcpt(to or self._from(sender)), own_from=sender.own)

    def _from(self, sender: Sender) -> str:
        """The account, as the transport has it (PROMISES §8); the mailbox where the account is no address."""
        account = self.account(sender)
        return account if isinstance(self.server.auth, Login) and "@" in account else sender.mailbox

    async def _shown(self) -> x509.Certificate | None:
        """The certificate that comes after STARTTLS, whoever issued it."""
        server = replace(self.server, ssl_context=gullible())
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                client = await dialled(server, seconds=CONNECT_SECONDS, reply_seconds=CONNECT_SECONDS)
                with contextlib.closing(client):
                    await client.connect()
                    await client.starttls()
                    tls = client.get_transport_info("ssl_object")
            raw = tls.getpeercert(binary_form=True) if tls is not None else None
            return None if raw is None else x509.load_der_x509_certificate(raw)
        except (Over, aiosmtplib.SMTPException, OSError, ValueError):
            return None

    def _over(self, over: Over, sender: Sender | None = None) -> Seen:
        answer = over.outcome.answer
        return self._failure(answer.fix or "smtp.server_refuses", answer.text, sender, answer)

    def _failure(self, fix: str, words: str, sender: Sender | None = None, answer: Answer | None = None) -> Seen:
        names = dict(self.plan.host.names)
        if self.plan.entra is not None:
            names["client id"] = self.plan.entra.options.client_id
        if sender is not None:
            names |= {"mailbox": self.account(sender), "from address": sender.address}
        what = trouble(
            fix,
            names=names,
            said=None if answer is None else answer.text,
            code=None if answer is None else answer.code,
            request_id=None if answer is None else answer.request_id,
        )
        return Seen(result=Result.FAILED, words=words, trouble=what)


def _verification(error: BaseException) -> BaseException | None:
    """The refusal of a certificate behind an error; None where that was not the cause."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, ssl.SSLCertVerificationError):
            return link
        link = link.__cause__ or link.__context__
    return None
