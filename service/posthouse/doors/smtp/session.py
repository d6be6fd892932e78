"""One SMTP session (RFC 6409) on aiosmtpd: who it is, what it may send, and the message that it hands over."""

import asyncio
import binascii
import logging
import re
import ssl
from base64 import b64decode
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import AnyStr, Final, Protocol, cast

from aiosmtpd.smtp import MISSING, SMTP, Envelope, Session, TLSSetupException

from posthouse.clients.forms import PREFIX, key_id_of
from posthouse.clients.keeping import Keeper
from posthouse.clients.keys import Keys
from posthouse.clients.networks import inside
from posthouse.doors.handshake import reason
from posthouse.doors.problems import CLEAR_LOGIN, KEPT, NETWORK_NOT_ALLOWED, TLS_FAILED
from posthouse.doors.smtp import replies
from posthouse.doors.smtp.content import submit
from posthouse.doors.smtp.hooks import Hooks
from posthouse.doors.smtp.incoming import Incoming, UnendedError
from posthouse.identities import Refusal
from posthouse.meter import Meter
from posthouse.policy import Client
from posthouse.ports import SpoolUnavailableError
from posthouse.refusal import Condition, Refused
from posthouse.submission import DoorStep
from posthouse.telemetry import LOGGER, REFUSED, SERVICE_FAULT, log
from posthouse.ways import EXCHANGE_MOST

_LINE: Final = 12_288
"""Octets of a command: an AUTH response may have so many (RFC 4954 §4)."""
_BUFFER: Final = 65_536
_IDLE: Final = 300.0
"""Seconds without a command, or between blocks of a message, after which a client is cut (RFC 5321 §4.5.3.2.7)."""
_PROXY: Final = 10.0
"""Seconds that a proxy has to say who connects."""
_SHOWN: Final = 128
"""Letters of what a stranger wrote that are kept."""
_AUTH_PARAMETER: Final = re.compile(r" AUTH=(?:<>|[^ <>]+)(?=(?: [^ <>]+)*$)", re.IGNORECASE)
"""Who wrote a mail, as a relay has it: Postfix and Exim say it to every server that takes logins. It must be taken and may
be disbelieved (RFC 4954 §5); aiosmtpd does not know it."""
_LOGINS: Final = 3
"""Failed logins of one connection."""


class Sessions(Protocol):
    """Those that are open at one listener."""

    def opened(self, session: "Submission") -> None:
        """Remember it."""
        ...

    def known(self, source: str) -> bool:
        """Count a connection of this source; False where it has too many."""
        ...

    def closed(self, session: "Submission", source: str) -> None:
        """Forget it; ``source`` is empty where it was not counted."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a session works with; ``context`` where TLS can be had, ``clear``: a login needs none.

    Where ``networks`` are named, no others are heard; ``proxies`` say with the PROXY protocol who connects.
    """

    step: DoorStep
    keys: Keys
    keeper: Keeper
    sessions: Sessions
    hostname: str
    context: ssl.SSLContext | None
    implicit: bool
    clear: bool
    networks: Sequence[str]
    proxies: Sequence[str]
    meter: Meter


class Submission(SMTP):
    """Commands that aiosmtpd finds by their names; what is said of a mail is held against policy at once."""

    line_length_limit = _BUFFER  # of the reader's buffer too: content is read in blocks of this size

    def __init__(self, tools: Tools) -> None:
        self.command_size_limits = defaultdict(lambda: _LINE)
        super().__init__(
            Hooks(tools.step, lambda: cast("Client", self.client), refuse=self.refuse, proxied=self.proxied),
            data_size_limit=None,
            enable_SMTPUTF8=True,
            hostname=tools.hostname,
            ident="posthouse ESMTP",
            timeout=_IDLE,
            auth_require_tls=False,
            proxy_protocol_timeout=_PROXY if tools.proxies else None,
            loop=asyncio.get_running_loop(),
        )
        self.tools = tools
        self.client: Client | None = None
        self.busy = False
        self._secure = tools.implicit
        self._failures = 0
        self._peer = ""
        self._source = ""
        self._login_name = ""
        self._logged_in = False
        self._unwelcome: str | None = None

    # --- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, unless its source is not heard here or has enough connections."""
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if peer else ""
        self.tools.sessions.opened(self)
        self.tools.meter.connected(replies.DOOR)
        if not self.tools.proxies:
            self._unwelcome = self._meet(self._peer)
        elif inside(self._peer, self.tools.proxies) < 0:
            self._unwelcome = replies.NO_PROXY
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget it; a message that was still coming is forgotten too."""
        self.tools.sessions.closed(self, self._source)
        super().connection_lost(error)

    def proxied(self, source: str) -> str | None:
        """A trusted proxy says who connects (its own health checks name nobody); what to say before closing, or None."""
        return self._meet(source or self._peer)

    def _meet(self, source: str) -> str | None:
        self._source = source
        if not self.tools.sessions.known(source):
            return replies.TOO_MANY
        if self.tools.networks and inside(source, self.tools.networks) < 0:
            self._note(NETWORK_NOT_ALLOWED, replies.NOT_HEARD.partition(" ")[2])
            return replies.NOT_HEARD
        return None

    async def _handle_client(self) -> None:
        if self._unwelcome is not None:
            await self._close(self._unwelcome)
            return
        await super()._handle_client()

    async def push(self, status: AnyStr) -> None:
        """Send one reply; aiosmtpd's own have no enhanced codes."""
        reply = replies.enhanced(status).encode() if isinstance(status, str) else bytes(status)
        if reply[:3].isdigit():
            self.tools.meter.replied(replies.DOOR, reply[:3].decode())
        await super().push(reply)

    async def leave(self) -> None:
        """Say goodbye to a client that waits for nothing."""
        if not self.busy and self.transport is not None:
            await self._close(replies.CLOSING)

    async def _close(self, reply: str) -> None:
        await self.push(reply)
        if self.transport is not None:
            self.transport.close()

    # --- before a mail

    async def smtp_HELO(self, hostname: str) -> None:  # noqa: N802 -- see smtp_EHLO
        """An old client, which cannot log in."""
        if not hostname:
            await self.push(replies.BAD_HELLO)
            return
        self._greet(hostname, extended=False)
        await self.push(f"250 {self.hostname}".encode())  # no enhanced code in the answer to a hello (RFC 2034 §4)

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802 -- aiosmtpd finds commands by this name
        """What is offered; SIZE is the most that any sender may have, MAIL FROM knows what his route carries."""
        if not hostname:
            await self.push(replies.BAD_HELLO)
            return
        self._greet(hostname, extended=True)
        size = self.tools.step.rules.max_message_bytes or EXCHANGE_MOST
        offers = [self.hostname, f"SIZE {size}", "8BITMIME", "PIPELINING", "ENHANCEDSTATUSCODES", "SMTPUTF8"]
        if self.tools.context is not None and not self._secure:
            offers.append("STARTTLS")
        if self._may_log_in:
            offers.append("AUTH PLAIN LOGIN")
        lines = [f"250-{offer}" for offer in offers[:-1]]
        await self.push("\r\n".join([*lines, f"250 {offers[-1]}"]).encode())

    def _greet(self, hostname: str, *, extended: bool) -> None:
        self._set_rset_state()
        self._talk.extended_smtp = extended
        self._talk.host_name = hostname

    async def smtp_STARTTLS(self, arg: str | None) -> None:  # noqa: N802 -- see smtp_EHLO
        """Go on under TLS; all that was said before is forgotten (RFC 3207 §4.2)."""
        if self.tools.context is None or arg:
            await self.push(replies.NO_TLS)
            return
        if self._secure:
            await self.push(replies.TLS_ALREADY)
            return
        await self.push(replies.READY_FOR_TLS)
        # Nothing said in clear may count under TLS; the reader has no public way to forget.
        self._reader._buffer.clear()  # noqa: SLF001 # ty: ignore[missing-attribute]
        try:
            # Not aiosmtpd's own way: that needs private methods that uvloop's transports do not have.
            await self._writer.start_tls(self.tools.context)
        except (OSError, EOFError) as error:
            self._note(TLS_FAILED, reason(error))
            raise TLSSetupException from error
        self.transport = self._writer.transport
        fresh = self._create_session()
        fresh.peer, fresh.ssl = self._talk.peer, {}
        self.session = fresh
        self._secure = True
        self.client, self._logged_in = None, False
        self._set_rset_state()

    async def smtp_AUTH(self, arg: str | None) -> None:  # noqa: N802 -- see smtp_EHLO
        """PLAIN (RFC 4616) and LOGIN: any user, the password is a key."""
        mechanism, _, initial = (arg or "").partition(" ")
        if not self._talk.host_name:
            await self.push(replies.HELLO_FIRST)
        elif self._logged_in:
            await self.push(replies.LOGGED_IN_ALREADY)
        elif not self._may_log_in:
            self._note(CLEAR_LOGIN, replies.NO_CLEAR_LOGIN.partition(" ")[2])
            await self.push(replies.NO_CLEAR_LOGIN)
        elif mechanism.upper() == "PLAIN":
            await self._plain(initial)
        elif mechanism.upper() == "LOGIN":
            await self._login(initial)
        else:
            await self.push(replies.UNKNOWN_MECHANISM)

    async def _plain(self, initial: str) -> None:
        response = _decoded(initial) if initial else await self.challenge_auth(b"")
        if response is MISSING:
            return
        parts = (response or b"").split(b"\0")
        if len(parts) != 3:  # noqa: PLR2004 -- authzid, authcid and password
            await self.push(replies.BAD_RESPONSE)
            return
        await self._enter(parts[1], parts[2])

    async def _login(self, initial: str) -> None:
        user = _decoded(initial) if initial else await self.challenge_auth(b"Username:")
        if user is MISSING:
            return
        if user is None:
            await self.push(replies.BAD_RESPONSE)
            return
        password = await self.challenge_auth(b"Password:")
        if isinstance(password, bytes) and isinstance(user, bytes):
            await self._enter(user, password)

    async def _enter(self, user: bytes, password: bytes) -> None:
        self._login_name = shown_login(user.decode("utf-8", "replace"))
        given = password.decode("utf-8", "replace")
        try:
            self.client = self.tools.keys.authenticate(given, source=self._source, place="smtp")
            self._logged_in = True
        except Refused as refused:
            self._failures += 1
            await self.push(self.refuse(refused))
            if self._failures >= _LOGINS:
                await self._close(replies.TOO_OFTEN)
            return
        await self.push(replies.LOGGED_IN)

    @property
    def _may_log_in(self) -> bool:
        return self._secure or self.tools.clear

    @property
    def _talk(self) -> Session:
        return cast("Session", self.session)

    @property
    def mail(self) -> Envelope:
        """What was said of the mail so far."""
        return cast("Envelope", self.envelope)

    # --- refusals

    def refuse(self, refused: Refused) -> str:
        """The reply to what was refused; it is logged where the client is known, and kept where it can be mended."""
        if self.client is not None:
            log(REFUSED, door=replies.DOOR, client=self.client.name, code=refused.condition.value)
        if refused.condition in KEPT:
            self._note(refused.condition.value, refused.detail, sender=refused.sender)
        else:
            self.tools.meter.refused(replies.DOOR, refused.condition.value)
        return replies.refusal(refused)

    def _note(self, code: str, detail: str, *, sender: str = "") -> None:
        at = self.tools.step.now()
        self.tools.keeper.refused(
            Refusal(
                door=replies.DOOR,
                source=self._source,
                login=self._login_name,
                client=self.client.name if self.client else "",
                sender=sender[:_SHOWN],
                code=code,
                detail=detail,
                first_at=at,
                last_at=at,
            )
        )

    # --- a mail

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802 -- see smtp_EHLO
        """Only for who logged in, or comes from the network of a client that cannot."""
        self.client = self.client or self.tools.keys.by_network(self._source)
        if self.client is None:
            sender = (arg or "").partition(":")[2].partition(">")[0].strip(" <")
            self._note(Condition.MISSING_CREDENTIALS.value, replies.NOT_LOGGED_IN.partition(" ")[2], sender=sender)
            await self.push(replies.NOT_LOGGED_IN)
            return
        await super().smtp_MAIL(_AUTH_PARAMETER.sub("", arg) if arg else arg)

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802 -- see smtp_EHLO
        """Only after MAIL FROM."""
        await (super().smtp_RCPT(arg) if self.mail.mail_from else self.push(replies.NO_MAIL))

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802 -- see smtp_EHLO
        """The message: 250 only after it is kept durably."""
        client = self.client
        if client is None or not self.mail.mail_from:
            await self.push(replies.NO_MAIL if client else replies.NOT_LOGGED_IN)
            return
        if arg or not self.mail.rcpt_tos:
            await self.push(replies.BAD_DATA if arg else replies.NO_RECIPIENT)
            return
        self.busy = True
        try:
            await self.push(replies.GO_AHEAD)
            reply = await self._take(client)
        finally:
            self.busy = False
        self._set_post_data_state()
        await (self._close(reply) if reply.startswith("421") else self.push(reply))

    async def _take(self, client: Client) -> str:
        incoming = Incoming(self._reader, alive=self._reset_timeout)
        try:
            reply = await submit(incoming, self.mail, step=self.tools.step, client=client)
        except Refused as refused:
            reply = self.refuse(refused)
        except SpoolUnavailableError:
            reply = replies.STORAGE
        except Exception as fault:  # noqa: BLE001 -- a fault of ours is the client's to hear of, and not its words
            log(SERVICE_FAULT, level=logging.ERROR, door=replies.DOOR, error=type(fault).__name__)
            LOGGER.debug("where", exc_info=fault)
            return replies.FAULT_INSIDE
        try:
            await incoming.skip(EXCHANGE_MOST)
        except UnendedError:
            return f"421{reply[3:]}"
        return reply


def shown_login(user: str) -> str:
    """A user as an administrator may see it: whoever writes a key there does not show it."""
    key_id = key_id_of(user.strip())
    if key_id is not None or PREFIX in user:
        return f"key {key_id or 'mistyped'}"
    return "".join(letter for letter in user if letter.isprintable())[:_SHOWN]


def _decoded(initial: str) -> bytes | None:
    """The initial response of AUTH; None where it is no base64. A lone = is an empty one (RFC 4954 §4)."""
    try:
        return b64decode("" if initial == "=" else initial, validate=True)
    except (binascii.Error, ValueError):
        return None
