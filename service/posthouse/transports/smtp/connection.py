"""One connection to a submission server: made, secured, logged in; each step that fails ends with an outcome."""

import ipaddress
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

import aiosmtplib

from posthouse.outcome import Answer, Blocked, Outcome, Scope, TransientFailure
from posthouse.transports.dialling import NoConnectionInTimeError, dial
from posthouse.transports.faults import Fault, fault_of, network_answer
from posthouse.transports.smtp.replies import Reply, Stage, outcome
from posthouse.transports.tokens import NoToken, TokenSource

Security = Literal["starttls", "tls", "none"]

_T = TypeVar("_T")
_REFUSED: Final = 535


class Over(Exception):
    """The dialogue came to an end before any content left; ``outcome`` says how."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.answer.code)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class NoLogin:
    """A connector that knows its clients by certificate or address."""


@dataclass(frozen=True, slots=True)
class Login:
    """User name and password, the password read anew for each connection."""

    username: str
    password: Callable[[], str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class XOAuth2:
    """An app's token for the mailbox (FACTS D2)."""

    tokens: TokenSource
    scope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where and how to connect; times in seconds. Raises ValueError for clear text to another machine."""

    host: str
    port: int
    security: Security
    auth: NoLogin | Login | XOAuth2
    ssl_context: ssl.SSLContext
    local_hostname: str
    connect_timeout: float = 10.0
    reply_timeout: float = 20.0
    """For each reply before the content: well below an attempt's deadline, so that a mute server is certain, not doubtful."""
    content_timeout: float = 60.0
    """Without any progress while the content leaves."""
    end_timeout: float = 600.0
    """For the reply after the dot (RFC 5321 §4.5.3.2.6: 10 minutes); the attempt's deadline comes first."""

    def __post_init__(self) -> None:
        if self.security == "none" and not _loopback(self.host):
            raise ValueError(f"security none is for this machine only, not for {self.host}")


async def step(stage: Stage, action: Awaitable[_T], *, own_from: bool = True) -> _T:
    """Do one command before the content; raises Over where it is refused or the connection breaks."""
    try:
        return await action
    except aiosmtplib.SMTPResponseException as error:
        raise Over(outcome(Reply(error.code, error.message), stage, own_from=own_from)) from error
    except (aiosmtplib.SMTPException, OSError) as error:
        raise Over(TransientFailure(scope=Scope.TRANSPORT, answer=lost(error, stage))) from error


def lost(error: BaseException, stage: Stage) -> Answer:
    """The public answer for a connection that broke or stayed silent."""
    match error:
        case NoConnectionInTimeError():
            otherwise = Fault.CONNECT_TIMEOUT
        case TimeoutError():
            otherwise = Fault.SILENCE
        case aiosmtplib.SMTPServerDisconnected():
            otherwise = Fault.CLOSED
        case aiosmtplib.SMTPConnectError():
            otherwise = Fault.UNREACHABLE
        case _:
            otherwise = Fault.UNKNOWN
    return network_answer(fault_of(error, otherwise=otherwise), where=f"SMTP, at {stage}", status="4.4.2")


async def dialled(server: Server, *, seconds: float, reply_seconds: float) -> aiosmtplib.SMTP:
    """A client with a socket to the server, before its greeting; raises Over."""
    sock = await step(Stage.GREETING, dial(server.host, server.port, seconds=seconds))
    return aiosmtplib.SMTP(
        hostname=server.host,
        sock=sock,
        use_tls=server.security == "tls",
        start_tls=False,
        tls_context=server.ssl_context,
        timeout=reply_seconds,
        local_hostname=server.local_hostname,
    )


async def reach(server: Server) -> aiosmtplib.SMTP:
    """A connection that has said EHLO, over verified TLS where the settings ask for it; raises Over."""
    client = await dialled(server, seconds=server.connect_timeout, reply_seconds=server.reply_timeout)
    try:
        await step(Stage.GREETING, client.connect(timeout=server.connect_timeout))
        await step(Stage.EHLO, client.ehlo())
        if server.security == "starttls":
            _require("starttls" in client.esmtp_extensions, "STARTTLS", code="no_starttls", fix="smtp.no_starttls")
            await step(Stage.STARTTLS, client.starttls(timeout=server.connect_timeout))
            await step(Stage.EHLO, client.ehlo())
    except BaseException:
        client.close()
        raise
    return client


async def log_in(server: Server, account: str) -> aiosmtplib.SMTP:
    """A connection ready for mail of this account; raises Over."""
    match server.auth:
        case NoLogin():
            return await reach(server)
        case Login(username, password):
            secret = _secret(password)
            client = await reach(server)
            name = next((one for one in ("login", "plain") if one in client.server_auth_methods), None)
            action = client.auth_plain if name == "plain" else client.auth_login
            await _authenticate(client, name, lambda: action(username, secret))
            return client
        case XOAuth2(tokens, scope):
            try:
                token = (await tokens.get_token(scope)).token
            except NoToken as error:
                raise Over(error.outcome) from error
            client = await reach(server)
            name = "xoauth2" if "xoauth2" in client.server_auth_methods else None
            try:
                await _authenticate(client, name, lambda: client.auth_xoauth2(account, token))
            except Over as over:
                if over.outcome.answer.reply == _REFUSED:
                    # the next try, whenever the block allows it, comes with a new token; others keep what they have
                    await tokens.drop(token)
                raise
            return client


async def _authenticate(
    client: aiosmtplib.SMTP, name: str | None, action: Callable[[], Awaitable[aiosmtplib.SMTPResponse]]
) -> None:
    try:
        _require(name is not None, "the configured login", code="no_auth", fix="smtp.no_auth")
        await step(Stage.AUTH, action())
    except BaseException:
        client.close()
        raise


def _require(offered: bool, what: str, *, code: str, fix: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not offered:
        answer = Answer(status="4.3.5", text=f"the server does not offer {what}", code=code, fix=fix)
        raise Over(Blocked(scope=Scope.TRANSPORT, answer=answer))


def _secret(read: Callable[[], str]) -> str:
    try:
        return read()
    except Exception as error:
        text, fix = "the password could not be read", "smtp.password_unreadable"
        answer = Answer(status="4.3.5", text=text, code="credential_unreadable", fix=fix)
        raise Over(Blocked(scope=Scope.TRANSPORT, answer=answer)) from error


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
