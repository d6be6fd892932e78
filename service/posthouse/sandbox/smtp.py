"""SMTP submission as smtp.office365.com:587 does it: STARTTLS, AUTH LOGIN and XOAUTH2, Microsoft's replies (FACTS D)."""

import asyncio
import re
import ssl
from base64 import b64decode
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from hmac import compare_digest
from typing import Final, cast

from aiosmtpd.smtp import SMTP, Envelope, Session, TLSSetupException

from posthouse.sandbox.chaos import Rule, Situation, Stage, Target
from posthouse.sandbox.entra import OUTLOOK
from posthouse.sandbox.faults import delay
from posthouse.sandbox.front import cut
from posthouse.sandbox.limits import CONCURRENT_SMTP, MAX_SMTP
from posthouse.sandbox.listeners import Connections, Listener
from posthouse.sandbox.mime import Mail, MalformedError, read_mail
from posthouse.sandbox.simulator import simulated
from posthouse.sandbox.smtp_replies import (
    CONCURRENT,
    DISABLED,
    HOSTNAME,
    NOT_AUTHENTICATED,
    QUOTA,
    SEND_AS_DENIED,
    TEXTS,
    TOO_FAST,
    UNAUTHENTICATED,
    WORDS,
    WRONG_PASSWORD,
    Replies,
)
from posthouse.sandbox.world import World

# aiosmtpd answers "500 Command line too long" to a token of 1.5 KB without these (SDK section 7)
_LINE: Final = 65_536
_IDLE: Final = 300.0  # seconds

_MAIL_EXTRAS: Final = re.compile(r"\s+(?:RET|ENVID|AUTH)=\S*", re.IGNORECASE)
_RCPT_EXTRAS: Final = re.compile(r"\s+(?:NOTIFY|ORCPT)=\S*", re.IGNORECASE)
_BINARY: Final = re.compile(r"BODY=BINARYMIME", re.IGNORECASE)
_TOKEN_FORM: Final = re.compile(r"user=(?P<user>[^\x01]+)\x01auth=Bearer (?P<token>[^\x01]+)\x01\x01", re.IGNORECASE)


def smtp_listener(world: World, *, host: str, port: int, context: ssl.SSLContext) -> Listener:
    """The listener for submission; STARTTLS with this context."""
    connections = Connections()
    return Listener(lambda: Submission(world, connections, context), host=host, port=port, connections=connections)


class Submission(SMTP):
    """One SMTP session; what is accepted goes to the inbox and to Sent Items of the account that logged in."""

    line_length_limit = _LINE

    def __init__(self, world: World, connections: Connections, context: ssl.SSLContext) -> None:
        self.command_size_limits = defaultdict(lambda: _LINE)
        now = format_datetime(datetime.fromtimestamp(world.clock(), UTC))
        super().__init__(
            Replies(),
            data_size_limit=MAX_SMTP,
            enable_SMTPUTF8=True,
            hostname=HOSTNAME,
            ident=f"Microsoft ESMTP MAIL Service ready at {now} [{world.random.getrandbits(64):016X}]",
            timeout=_IDLE,
            auth_require_tls=False,
            loop=asyncio.get_running_loop(),
        )
        self._world = world
        self._open = connections
        self._context = context
        self._secure = False
        self._tcp: asyncio.Transport | None = None
        self._account = ""
        self._chunks = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        super().connection_made(transport)
        self._tcp = cast("asyncio.Transport", transport)
        self._open.add(self._tcp)
        self._world.counters.smtp_sessions += 1

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone; the session ends, whatever it was doing."""
        if self._tcp is not None:
            self._open.discard(self._tcp)
        if self._account:
            self._world.smtp_gauge.leave(self._account)
            self._account = ""
        if self.transport is not None:
            super().connection_lost(error)

    def _talk(self) -> Session:
        if self.session is None:
            raise RuntimeError("no session before the connection")
        return self.session

    def _mail(self) -> Envelope:
        if self.envelope is None:
            raise RuntimeError("no envelope before the connection")
        return self.envelope

    async def push(self, status: str | bytes) -> None:
        """Send one reply, in Microsoft's words where aiosmtpd has others."""
        if isinstance(status, str):
            await super().push(WORDS.get(status, status))
        else:
            await super().push(status)

    async def _handle_client(self) -> None:
        if not await self._struck(Stage.CONNECT):
            await super()._handle_client()

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802 -- aiosmtpd finds commands by this name
        """Offer what smtp.office365.com offers, before and after STARTTLS (FACTS D1)."""
        if await self._struck(Stage.EHLO):
            return
        if not hostname:
            await self.push("501 5.5.4 Invalid domain name")
            return
        self._set_rset_state()
        self._talk().extended_smtp = True
        self._talk().host_name = hostname
        offers = [f"{HOSTNAME} Hello", f"SIZE {MAX_SMTP}", "PIPELINING", "DSN", "ENHANCEDSTATUSCODES"]
        if not self._secure:
            offers.append("STARTTLS")
        if self._secure or not self._world.settings.tls_required:
            offers.append("AUTH LOGIN XOAUTH2")
        offers += ["8BITMIME", "BINARYMIME", "CHUNKING"]
        await self.push("\r\n".join([*(f"250-{offer}" for offer in offers), "250 SMTPUTF8"]))

    async def smtp_STARTTLS(self, arg: str | None) -> None:  # noqa: N802 -- see smtp_EHLO
        """Go on under TLS; all that was said before is forgotten (RFC 3207 section 4.2)."""
        if await self._struck(Stage.STARTTLS):
            return
        if arg or self._secure:
            await self.push("503 5.5.2 Only one STARTTLS command can be issued per session")
            return
        await self.push("220 2.0.0 SMTP server ready")
        # Nothing said in clear may count under TLS; the reader has no public way to forget.
        self._reader._buffer.clear()  # noqa: SLF001 # ty: ignore[missing-attribute]
        try:
            # Not aiosmtpd's own way: that needs private methods that uvloop's transports do not have.
            await self._writer.start_tls(self._context)
        except (OSError, EOFError) as error:
            raise TLSSetupException from error
        self.transport = self._writer.transport
        fresh = self._create_session()
        fresh.peer, fresh.ssl = self._talk().peer, {}
        self.session = fresh
        self._secure = True
        self._set_rset_state()

    async def smtp_AUTH(self, arg: str | None) -> None:  # noqa: N802 -- see smtp_EHLO
        """LOGIN and XOAUTH2, both under TLS only where ``tls_required``."""
        mechanism, _, initial = (arg or "").partition(" ")
        if not self._talk().host_name:
            await self.push("503 5.5.2 Send hello first")
        elif self._account:
            await self.push("503 5.5.2 Already authenticated")
        elif not self._secure and self._world.settings.tls_required:
            await self.push("504 5.7.4 Unrecognized authentication type")
        elif mechanism.upper() == "LOGIN":
            await self._login(initial)
        elif mechanism.upper() == "XOAUTH2":
            await self._xoauth2(initial)
        else:
            await self.push("504 5.7.4 Unrecognized authentication type")

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802 -- see smtp_EHLO
        """MAIL FROM of an authenticated client; whether it may send as this is said after the dot, as by Exchange."""
        if not self._account:
            await self.push(NOT_AUTHENTICATED)
            return
        if await self._struck(Stage.MAIL):
            return
        world = self._world
        world.recorder.message(self._account)
        if world.settings.enforce_limits and world.smtp_gauge.now[self._account] > CONCURRENT_SMTP:
            await self.push(CONCURRENT)
            return
        self._chunks.clear()
        await super().smtp_MAIL(_BINARY.sub("BODY=8BITMIME", _MAIL_EXTRAS.sub("", arg)) if arg else arg)

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802 -- see smtp_EHLO
        """RCPT TO; Exchange only checks the syntax here (FACTS D1)."""
        recipient = (arg or "").partition(":")[2].strip().partition(" ")[0].strip("<>")
        if not await self._struck(Stage.RCPT, recipients=(recipient,)):
            await super().smtp_RCPT(_RCPT_EXTRAS.sub("", arg) if arg else arg)

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802 -- see smtp_EHLO
        """The mail, read in blocks, because aiosmtpd's own line by line would hold up a benchmark."""
        if not self._mail().rcpt_tos:
            await self.push("503 5.5.2 Need rcpt command")
            return
        if arg:
            await self.push("501 5.5.4 Invalid arguments")
            return
        if await self._struck(Stage.DATA, recipients=tuple(self._mail().rcpt_tos)):
            return
        await self.push("354 Start mail input; end with <CRLF>.<CRLF>")
        content = await self._content()
        if content is None:
            self._set_post_data_state()
            await self.push(TEXTS["552"])
        else:
            await self._take(content)

    async def smtp_BDAT(self, arg: str | None) -> None:  # noqa: N802 -- see smtp_EHLO
        """One chunk (RFC 3030); the last one is the end of the mail."""
        size, _, last = (arg or "").partition(" ")
        if not size.isdecimal() or last.upper() not in {"", "LAST"}:
            await self.push("501 5.5.4 Invalid arguments")
            return
        chunk = await self._reader.readexactly(int(size))
        if not self._mail().rcpt_tos:
            await self.push("503 5.5.2 Need rcpt command")
            return
        if not self._chunks and await self._struck(Stage.DATA, recipients=tuple(self._mail().rcpt_tos)):
            return
        self._chunks += chunk[: MAX_SMTP + 1 - len(self._chunks)]
        if last:
            await self._take(bytes(self._chunks))
        else:
            await self.push(f"250 2.6.0 CHUNK received OK, {len(chunk)} octets")

    async def _content(self) -> bytes | None:
        """All up to the final dot, without transparency dots (RFC 5321 section 4.5.2); None where it is too long."""
        parts, size, tail = [], 0, b"\r\n"
        while True:
            try:
                part = await self._reader.readuntil(b".\r\n")
            except asyncio.LimitOverrunError as over:
                part = await self._reader.read(over.consumed)
            tail = (tail + part)[-5:]
            size += len(part)
            if size <= MAX_SMTP + 5:
                parts.append(part)
            if tail == b"\r\n.\r\n":
                break
        if size > MAX_SMTP + 5:
            return None
        return b"".join(parts).removesuffix(b".\r\n").removeprefix(b".").replace(b"\r\n.", b"\r\n")

    async def _take(self, content: bytes) -> None:
        """Check and take the mail, or what a fault makes of it; the transaction is over."""
        envelope = self._mail()
        sender, recipients = str(envelope.mail_from), tuple(str(one) for one in envelope.rcpt_tos)
        self._set_post_data_state()
        self._chunks.clear()
        try:
            mail = replace(read_mail(content), mime=content)
        except MalformedError:
            await self.push("554 5.6.0 Invalid message content")
            return
        rule = self._rule(Stage.AFTER_DOT, recipients=recipients, subject=mail.subject)
        rule = rule or simulated(self._world, mail, target=Target.SMTP, recipients=recipients)
        if rule is None or not rule.after_send:
            if rule is None or not await self._strike(rule):
                await self.push(self._accept(mail, sender=sender, recipients=recipients))
            return
        reply = self._accept(mail, sender=sender, recipients=recipients)
        if not reply.startswith("250") or not await self._strike(rule):
            await self.push(reply)

    def _accept(self, mail: Mail, *, sender: str, recipients: tuple[str, ...]) -> str:
        """The reply after the dot; the mail is taken where it begins with 250."""
        world, account = self._world, self._account
        for address in (sender, mail.sender):
            if address and not world.settings.may_send_as(account, address):
                return SEND_AS_DENIED.format(account, address)
        if len(mail.mime) > MAX_SMTP:
            return TEXTS["552"]
        now = world.clock()
        if world.settings.enforce_limits:
            if world.budget.exhausted(account, now, recipients=len(recipients)):
                return QUOTA
            if world.budget.wait(account, now) is not None:
                return TOO_FAST
            world.budget.spend(account, now, recipients=len(recipients))
        received = world.accept(mail, mailbox=account, recipients=recipients, transport="smtp")
        world.counters.smtp_accepted += 1
        return f"250 2.0.0 OK {received.message_id} [Hostname={HOSTNAME}]"

    async def _login(self, initial: str) -> None:
        user = await self._answer(initial, challenge="VXNlcm5hbWU6")
        password = None if user is None else await self._answer("", challenge="UGFzc3dvcmQ6")
        if user is None or password is None:
            await self.push("501 5.5.2 Cannot Base64-decode Client responses")
            return
        account = user.lower()
        right = compare_digest(password.encode(), self._world.smtp_password(account).encode())
        await self._authenticated(account, trouble=None if right else WRONG_PASSWORD)

    async def _xoauth2(self, initial: str) -> None:
        answer = await self._answer(initial, challenge="")
        found = _TOKEN_FORM.fullmatch(answer or "")
        if found is None:
            await self.push(UNAUTHENTICATED)
            return
        world = self._world
        token = world.tokens.get(found["token"])
        right = token is not None and token.resource == OUTLOOK and token.expires_at > world.clock()
        account = found["user"].lower()
        right = right and "SMTP.SendAsApp" in world.settings.grants and world.settings.covers(account)
        await self._authenticated(account, trouble=None if right else UNAUTHENTICATED)

    async def _answer(self, initial: str, *, challenge: str) -> str | None:
        """The client's next words, decoded; None where they are not base64."""
        if not initial:
            await self.push(f"334 {challenge}")
            initial = (await self._reader.readline()).decode("latin-1").strip()
        try:
            return b64decode(initial, validate=True).decode()
        except ValueError:
            return None

    async def _authenticated(self, account: str, *, trouble: str | None) -> None:
        """Let the account in, unless the credential or a switch is against it."""
        if await self._struck(Stage.AUTH, account=account):
            return
        settings = self._world.settings
        if not settings.smtp_enabled:
            trouble = DISABLED.format("Tenant")
        elif account in settings.smtp_disabled:
            trouble = DISABLED.format("Mailbox")
        elif trouble is None and not settings.knows(account):
            trouble = UNAUTHENTICATED
        if trouble is not None:
            await self.push(trouble)
            return
        self._account = account
        self._world.recorder.connected(account, self._world.smtp_gauge.enter(account))
        await self.push("235 2.7.0 Authentication successful")

    def _rule(
        self, stage: Stage, *, recipients: tuple[str, ...] = (), subject: str = "", account: str = ""
    ) -> Rule | None:
        situation = Situation(
            target=Target.SMTP, mailbox=account or self._account, recipients=recipients, subject=subject, stage=stage
        )
        return self._world.chaos.pick(situation)

    async def _struck(self, stage: Stage, *, recipients: tuple[str, ...] = (), account: str = "") -> bool:
        """Whether a fault takes the place of this command's answer."""
        rule = self._rule(stage, recipients=recipients, account=account)
        return rule is not None and await self._strike(rule)

    async def _strike(self, rule: Rule) -> bool:
        """Do what the rule says; False where the command goes on (slow)."""
        await delay(rule)
        match rule.kind:
            case "slow":
                return False
            case "hang" | "drop" | "reset":
                if rule.kind != "hang" and self._tcp is not None:
                    cut(self._tcp, reset=rule.kind == "reset" or rule.after_send)
                # The loss of the connection cancels this session.
                await asyncio.get_running_loop().create_future()
            case reply:
                await self.push(TEXTS.get(reply, reply if " " in reply else f"{reply} {reply[0]}.0.0 Fault"))
                if reply.startswith("421") and self.transport is not None:
                    self.transport.close()
        return True
