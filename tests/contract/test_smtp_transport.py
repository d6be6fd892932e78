"""The SMTP transport: against the emulator, and against a server that fails at each stage of the dialogue."""

import asyncio
import contextlib
import dataclasses
import ssl
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import pytest
import trustme
import uvloop

from posthouse.message import Bytes
from posthouse.outcome import (
    Blocked,
    Outcome,
    PermanentFailure,
    RefusedRecipient,
    Scope,
    Sent,
    TransientFailure,
    Unconfirmed,
    name_of,
    scope_of,
)
from posthouse.ports import Dispatch, SpoolUnavailableError
from posthouse.sandbox.emulator import Emulator
from posthouse.sandbox.options import Options
from posthouse.transports.smtp.connection import Login, NoLogin, Security, Server, XOAuth2
from posthouse.transports.smtp.transport import SmtpTransport
from tests.contract.transport_kit import (
    ALERTS,
    SMTP_SCOPE,
    Notes,
    SystemClock,
    dispatch,
    listening,
    message,
    tokens_of,
)


@pytest.fixture
async def microsoft365(tmp_path):
    async with Emulator(Options(directory=tmp_path / "microsoft365")) as emulator:
        yield emulator


Auth = NoLogin | Login | XOAuth2


@contextlib.asynccontextmanager
async def smtp_to(
    host: str,
    port: int,
    *,
    context: ssl.SSLContext | None = None,
    security: Security = "none",
    auth: Auth | None = None,
    connect_timeout: float = 10.0,
    reply_timeout: float = 60.0,
) -> AsyncGenerator[SmtpTransport]:
    server = Server(
        host=host,
        port=port,
        security=security,
        auth=auth or NoLogin(),
        ssl_context=context or ssl.create_default_context(),
        local_hostname="posthouse.test",
        connect_timeout=connect_timeout,
        reply_timeout=reply_timeout,
        content_timeout=reply_timeout,
        end_timeout=reply_timeout,
    )
    transport = SmtpTransport(name="smtp", server=server, clock=SystemClock())
    try:
        yield transport
    finally:
        await transport.close()


def trusting(emulator: Emulator) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(emulator.ca_file))


@contextlib.asynccontextmanager
async def submission(emulator: Emulator, auth: Auth):
    async with smtp_to(
        emulator.smtp_host, emulator.smtp_port, context=trusting(emulator), security="starttls", auth=auth
    ) as transport:
        yield transport


# --- the emulator ----------------------------------------------------------------------------------------------------


async def test_an_app_token_logs_in_and_the_content_arrives_unchanged(microsoft365):
    body = b".first\r\n..second\r\n.\r\nGr\xc3\xbc\xc3\x9fe\r\n"
    one = dispatch(
        message(to=("bob@example.org", "hidden@example.org")), body=Bytes(body), to=b"bob@example.org, stranger@x.org"
    )
    async with tokens_of(microsoft365) as tokens, submission(microsoft365, XOAuth2(tokens, SMTP_SCOPE)) as smtp:
        outcome = await smtp.send(one)
    assert isinstance(outcome, Sent)
    assert outcome.receipt
    (received,) = microsoft365.world.received
    assert received.mime == one.content.header + b"\r\n" + body
    assert sorted(received.recipients) == ["bob@example.org", "hidden@example.org"]
    assert (received.mailbox, received.transport) == (ALERTS, "smtp")


async def test_connections_are_reused_and_at_most_three_of_an_account_are_open(microsoft365):
    login = Login(ALERTS, lambda: microsoft365.smtp_password(ALERTS))
    async with submission(microsoft365, login) as smtp:
        outcomes = await asyncio.gather(*(smtp.send(dispatch()) for _ in range(12)))
        assert all(isinstance(outcome, Sent) for outcome in outcomes)
        assert microsoft365.world.counters.smtp_sessions == 3
        assert microsoft365.world.counters.smtp_accepted == 12


async def test_an_idle_connection_that_the_server_closed_is_replaced(microsoft365):
    login = Login(ALERTS, lambda: microsoft365.smtp_password(ALERTS))
    async with submission(microsoft365, login) as smtp:
        assert isinstance(await smtp.send(dispatch()), Sent)
        await microsoft365.stop_smtp()
        assert isinstance(await smtp.send(dispatch()), TransientFailure)
        await microsoft365.start_smtp()
        assert isinstance(await smtp.send(dispatch()), Sent)


async def test_a_wrong_password_blocks_the_mailbox_and_is_tried_once(microsoft365):
    async with submission(microsoft365, Login(ALERTS, lambda: "wrong")) as smtp:
        outcome = await smtp.send(dispatch())
    assert isinstance(outcome, Blocked)
    assert (outcome.scope, outcome.answer.fix) == (Scope.MAILBOX, "smtp.password")
    assert "wrong" not in repr(outcome)


async def test_smtp_auth_that_is_off_for_the_tenant_blocks_the_transport(microsoft365):
    microsoft365.world.settings = dataclasses.replace(microsoft365.world.settings, smtp_enabled=False)
    async with tokens_of(microsoft365) as tokens, submission(microsoft365, XOAuth2(tokens, SMTP_SCOPE)) as smtp:
        outcome = await smtp.send(dispatch())
    assert isinstance(outcome, Blocked)
    assert (outcome.scope, outcome.answer.fix) == (Scope.TRANSPORT, "smtp.disabled_tenant")


async def test_a_refused_token_is_not_kept(microsoft365):
    async with tokens_of(microsoft365) as tokens, submission(microsoft365, XOAuth2(tokens, SMTP_SCOPE)) as smtp:
        await tokens.warm()
        microsoft365.world.tokens.clear()
        outcome = await smtp.send(dispatch())
        assert isinstance(outcome, Blocked)
        assert outcome.scope is Scope.MAILBOX
        assert isinstance(await smtp.send(dispatch()), Sent)


async def test_another_from_without_the_right_blocks_the_sender(microsoft365):
    async with tokens_of(microsoft365) as tokens, submission(microsoft365, XOAuth2(tokens, SMTP_SCOPE)) as smtp:
        outcome = await smtp.send(dispatch(message(sender="boss@contoso.com")))
    assert isinstance(outcome, Blocked)
    assert (outcome.scope, outcome.answer.fix) == (Scope.SENDER, "smtp.send_as")
    assert microsoft365.world.counters.smtp_accepted == 0


async def test_without_a_token_nothing_connects(microsoft365):
    async with (
        tokens_of(microsoft365, secret=lambda: "wrong") as tokens,
        submission(microsoft365, XOAuth2(tokens, SMTP_SCOPE)) as smtp,
    ):
        outcome = await smtp.send(dispatch())
    assert isinstance(outcome, Blocked)
    assert outcome.answer.code == "AADSTS7000215"
    assert microsoft365.world.counters.smtp_sessions == 0


async def test_a_large_message_is_poured_through(microsoft365):
    body = (b".dots begin every line of this\r\n" * 32_768) * 8
    async with tokens_of(microsoft365) as tokens, submission(microsoft365, XOAuth2(tokens, SMTP_SCOPE)) as smtp:
        outcome = await smtp.send(dispatch(body=Bytes(body)))
    assert isinstance(outcome, Sent)
    assert microsoft365.world.received[0].mime.endswith(b"\r\n\r\n" + body)


async def test_international_addresses_travel_as_utf8(microsoft365):
    async with tokens_of(microsoft365) as tokens, submission(microsoft365, XOAuth2(tokens, SMTP_SCOPE)) as smtp:
        outcome = await smtp.send(dispatch(message(to=("jürgen@exämple.org",)), to="jürgen@exämple.org".encode()))
    assert isinstance(outcome, Sent)
    assert microsoft365.world.received[0].recipients == ("jürgen@exämple.org",)


async def test_the_probe_needs_no_login_and_sends_nothing(microsoft365):
    async with submission(microsoft365, Login(ALERTS, lambda: "wrong")) as smtp:
        assert await smtp.probe() is True
        await microsoft365.stop_smtp()
        assert await smtp.probe() is False
    assert microsoft365.world.counters.smtp_accepted == 0


# --- a server that fails where it is told ----------------------------------------------------------------------------

DROP, HANG = "drop", "hang"
FINE = {
    "connect": "220 mx.test ESMTP",
    "EHLO": "250-mx.test\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250 SMTPUTF8",
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "RSET": "250 2.0.0 ok",
    "DATA": "354 go",
    "body": "",
    ".": "250 2.0.0 OK <id-1>",
    "QUIT": "221 bye",
}


@dataclass
class Script:
    """Answers each stage as FINE says unless told otherwise; keeps the commands and the mails that were complete."""

    answers: dict[str, str] = field(default_factory=dict)
    recipients: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)
    sessions: int = 0
    one_mail_a_session: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sessions += 1
        try:
            await self.talk(reader, writer)
        finally:
            self.ended.set()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await self.say("connect", reader, writer):
            return
        while line := await reader.readline():
            command = line.decode().strip()
            self.commands.append(command)
            verb = command[:4].upper()
            if verb == "RCPT" and (special := self.special(command)):
                if not await self.reply(special, reader, writer):
                    return
                continue
            if not await self.say(verb, reader, writer) or verb == "QUIT":
                return
            if verb == "DATA" and self.answer("DATA").startswith("354"):
                if self.answer("body") and not await self.say("body", reader, writer):
                    return
                self.mails.append(await reader.readuntil(b"\r\n.\r\n"))
                if not await self.say(".", reader, writer):
                    return
                if self.one_mail_a_session:
                    await reader.readline()
                    return

    def special(self, command: str) -> str | None:
        return next((reply for name, reply in self.recipients.items() if f"<{name}>" in command), None)

    def answer(self, stage: str) -> str:
        return self.answers.get(stage, FINE.get(stage, "502 5.5.1 unknown"))

    async def say(self, stage: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        return await self.reply(self.answer(stage), reader, writer)

    async def reply(self, answer: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if answer == HANG:
            await reader.read()
        if answer in {DROP, HANG}:
            return False
        writer.write(answer.encode() + b"\r\n")
        await writer.drain()
        return not answer.startswith("421")


async def send_to(
    script: Script,
    one: Dispatch | None = None,
    *,
    security: Security = "none",
    auth: Auth | None = None,
    connect_timeout: float = 10.0,
    reply_timeout: float = 60.0,
) -> Outcome:
    async with (
        listening(script) as port,
        smtp_to(
            "127.0.0.1",
            port,
            security=security,
            auth=auth,
            connect_timeout=connect_timeout,
            reply_timeout=reply_timeout,
        ) as smtp,
    ):
        return await smtp.send(one or dispatch())


@pytest.mark.parametrize("what", [DROP, HANG, "421 4.3.2 closing", "gibberish"])
@pytest.mark.parametrize("stage", ["connect", "EHLO", "MAIL", "RCPT", "DATA"])
async def test_what_breaks_before_the_content_is_certain(stage, what):
    script = Script({stage: what})
    outcome = await send_to(script, reply_timeout=0.3, connect_timeout=0.3)
    assert (name_of(outcome), scope_of(outcome)) == ("transient_failure", Scope.TRANSPORT)
    assert script.mails == []
    assert script.sessions == 1


@pytest.mark.parametrize(
    ("stage", "what"),
    [
        ("body", DROP),
        (".", DROP),
        (".", HANG),
        (".", "gibberish"),
        (".", "251 what"),
        (".", "354 more"),
        (".", "250-never ending"),
    ],
)
async def test_what_breaks_after_the_content_began_is_doubt_and_never_sent_again(stage, what):
    script = Script({stage: what})
    outcome = await send_to(script, reply_timeout=0.3)
    assert isinstance(outcome, Unconfirmed)
    assert script.sessions == 1
    assert sum(command == "DATA" for command in script.commands) == 1


@pytest.mark.parametrize(
    ("stage", "reply", "kind", "scope"),
    [
        ("connect", "554 no service", "blocked", Scope.TRANSPORT),
        ("EHLO", "550 go away", "blocked", Scope.TRANSPORT),
        ("MAIL", "550 5.9.9 no", "blocked", Scope.MAILBOX),
        ("MAIL", "432 4.3.2 Concurrent connections limit exceeded", "transient_failure", Scope.MAILBOX),
        ("RCPT", "550 5.1.1 unknown", "permanent_failure", Scope.MESSAGE),
        ("RCPT", "450 4.2.0 later", "transient_failure", Scope.MESSAGE),
        ("RCPT", "550 5.7.705 tenant has exceeded threshold", "blocked", Scope.TRANSPORT),
        ("DATA", "554 5.5.1 no", "permanent_failure", Scope.MESSAGE),
        (".", "554 5.6.0 bad", "permanent_failure", Scope.MESSAGE),
        (".", "451 4.3.0 later", "transient_failure", Scope.MESSAGE),
        (".", "554 5.2.2 mailbox full", "blocked", Scope.MAILBOX),
        (".", "432 4.3.2 Concurrent connections limit exceeded", "transient_failure", Scope.MAILBOX),
    ],
)
async def test_a_definite_reply_decides_by_stage(stage, reply, kind, scope):
    outcome = await send_to(Script({stage: reply}))
    assert (name_of(outcome), scope_of(outcome)) == (kind, scope)


async def test_a_refused_mail_leaves_the_connection_fit_for_the_next():
    script = Script({"MAIL": "550 5.9.9 no"})
    async with listening(script) as port, smtp_to("127.0.0.1", port) as smtp:
        assert isinstance(await smtp.send(dispatch()), Blocked)
        script.answers.clear()
        assert isinstance(await smtp.send(dispatch()), Sent)
    assert script.sessions == 1


async def test_a_cancelled_send_gives_its_connection_up_so_that_no_reply_meets_the_wrong_mail():
    script = Script({".": HANG})
    async with listening(script) as port, smtp_to("127.0.0.1", port) as smtp:
        sending = asyncio.create_task(smtp.send(dispatch()))
        while not script.mails:
            await asyncio.sleep(0.01)
        sending.cancel()
        await asyncio.wait({sending})
        assert sending.cancelled()
        await script.ended.wait()
        script.answers.clear()
        assert isinstance(await smtp.send(dispatch()), Sent)
    assert script.sessions == 2


async def test_a_kept_connection_that_ends_at_the_next_command_is_replaced():
    script = Script(one_mail_a_session=True)
    async with listening(script) as port, smtp_to("127.0.0.1", port) as smtp:
        for _ in range(3):
            assert isinstance(await smtp.send(dispatch()), Sent)
    assert (script.sessions, len(script.mails)) == (3, 3)


# --- recipients ------------------------------------------------------------------------------------------------------

TWO = message(to=("good@example.org", "bad@example.org"))


async def test_refused_recipients_are_written_down_before_data_and_the_others_are_served():
    script = Script(recipients={"bad@example.org": "550 5.1.1 unknown"})
    notes = Notes()
    outcome = await send_to(script, dispatch(TWO, notes=notes))
    expected = (RefusedRecipient("bad@example.org", 550, "5.1.1 unknown"),)
    assert isinstance(outcome, Sent)
    assert outcome.refused == tuple(notes.refused) == expected
    assert len(script.mails) == 1


async def test_where_the_refusals_cannot_be_written_down_nothing_is_sent():
    async def broken(_: object) -> None:
        raise SpoolUnavailableError("disk full")

    script = Script(recipients={"bad@example.org": "550 5.1.1 unknown"})
    outcome = await send_to(script, dataclasses.replace(dispatch(TWO), note_refused=broken))
    assert isinstance(outcome, TransientFailure)
    assert outcome.scope is Scope.MESSAGE
    assert "DATA" not in script.commands


async def test_a_deferred_recipient_holds_all_back_at_first():
    script = Script(recipients={"bad@example.org": "450 4.2.1 later"})
    notes = Notes()
    outcome = await send_to(script, dispatch(TWO, notes=notes))
    assert isinstance(outcome, TransientFailure)
    assert (outcome.scope, outcome.answer.status) == (Scope.MESSAGE, "4.2.1")
    assert script.commands[-2:] == ["RSET", "QUIT"] or script.commands[-1] == "RSET"
    assert "DATA" not in script.commands
    assert notes.refused == []


async def test_a_deferred_recipient_counts_as_refused_in_the_end():
    script = Script(recipients={"bad@example.org": "450 4.2.1 later"})
    notes = Notes()
    outcome = await send_to(script, dispatch(TWO, notes=notes, refuse_deferred=True))
    assert isinstance(outcome, Sent)
    assert [one.address for one in outcome.refused] == [one.address for one in notes.refused] == ["bad@example.org"]


async def test_all_refused_is_failed_with_every_reply():
    script = Script(recipients={"good@example.org": "550 5.1.1 a", "bad@example.org": "550 5.1.1 b"})
    outcome = await send_to(script, dispatch(TWO))
    assert isinstance(outcome, PermanentFailure)
    assert [(one.address, one.text) for one in outcome.refused] == [
        ("good@example.org", "5.1.1 a"),
        ("bad@example.org", "5.1.1 b"),
    ]
    assert "DATA" not in script.commands


# --- what the server can carry ---------------------------------------------------------------------------------------


async def test_mail_from_is_the_account_and_carries_the_parameters_that_the_server_offers():
    script = Script()
    one = dispatch()
    await send_to(script, one)
    size = one.content.size
    assert f"MAIL FROM:<{ALERTS}> SIZE={size} BODY=8BITMIME" in script.commands


@pytest.mark.parametrize("account", [ALERTS, "relay@contoso.com"])
async def test_mail_from_is_the_account_that_logs_in_whoever_the_mail_is_from(account: str):
    script = Script({"EHLO": "250-mx.test\r\n250 AUTH PLAIN", "AUTH": "235 2.7.0 ok"})
    one = dataclasses.replace(dispatch(message(sender="info@contoso.com")), account=account)
    assert isinstance(await send_to(script, one, auth=Login(account, lambda: "secret")), Sent)
    assert f"MAIL FROM:<{account}>" in script.commands


async def test_with_a_user_name_that_is_no_address_mail_from_is_the_mailbox():
    script = Script({"EHLO": "250-mx.test\r\n250 AUTH PLAIN", "AUTH": "235 2.7.0 ok"})
    one = dataclasses.replace(dispatch(), account="relay-user")
    outcome = await send_to(script, one, auth=Login("relay-user", lambda: "secret"))
    assert isinstance(outcome, Sent)
    assert f"MAIL FROM:<{ALERTS}>" in script.commands


async def test_a_message_over_the_servers_size_is_not_even_offered():
    script = Script({"EHLO": "250-mx.test\r\n250 SIZE 100"})
    outcome = await send_to(script, dispatch(body=Bytes(b"x" * 101)))
    assert isinstance(outcome, PermanentFailure)
    assert outcome.answer.status == "5.3.4"
    assert not any(command.startswith("MAIL") for command in script.commands)


@pytest.mark.parametrize(
    ("line", "offered"), [("250 SIZE 100", 100), ("250 SIZE", 0), ("250 SIZE 0", 0), ("250 HELP", None)]
)
async def test_the_size_that_a_server_offers_is_remembered_for_the_door(line, offered):
    script = Script({"EHLO": f"250-mx.test\r\n{line}"})
    async with listening(script) as port, smtp_to("127.0.0.1", port) as smtp:
        assert smtp.offered is None
        assert await smtp.probe()
        assert smtp.offered == offered
        script.answers["EHLO"] = "250-mx.test\r\n250 SIZE 5000000"
        await smtp.send(dispatch())
        assert smtp.offered == 5_000_000


class Unread(Bytes):
    """A body of 64 MB that tells how much of it was asked for."""

    def __init__(self) -> None:
        super().__init__(b"y" * 62 + b"\r\n")
        object.__setattr__(self, "asked", 0)

    @property
    def size(self) -> int:
        return 64_000_000

    async def blocks(self):
        for _ in range(1_000):
            object.__setattr__(self, "asked", object.__getattribute__(self, "asked") + 64_000)
            yield self.data * 1_000


def test_a_server_that_does_not_read_is_waited_for_and_nothing_piles_up_here():
    """On the loop of the service: its transports are not those of asyncio."""
    body = Unread()

    async def case() -> None:
        ca = trustme.CA()
        context, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
        ca.issue_cert("127.0.0.1").configure_cert(context)
        ca.configure_trust(client)
        stuck = asyncio.Event()

        class Deaf(Script):
            async def say(self, stage, reader, writer):
                said = await super().say(stage, reader, writer)
                if stage == "DATA":
                    writer.transport.pause_reading()
                    await stuck.wait()
                return said

        async with (
            listening(Deaf({"EHLO": "250-mx.test\r\n250 8BITMIME"}), context=context) as port,
            smtp_to("127.0.0.1", port, context=client, security="tls", reply_timeout=1.0) as smtp,
        ):
            assert isinstance(await smtp.send(dispatch(body=body)), Unconfirmed)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(case())
    assert 0 < object.__getattribute__(body, "asked") < 16_000_000


async def test_8_bit_content_needs_a_server_that_takes_it():
    script = Script({"EHLO": "250 mx.test"})
    assert isinstance(await send_to(script), Sent)
    outcome = await send_to(script, dispatch(body=Bytes("Grüße\r\n".encode())))
    assert isinstance(outcome, PermanentFailure)
    assert outcome.answer.status == "5.6.3"


async def test_international_headers_need_a_server_that_takes_them():
    script = Script({"EHLO": "250-mx.test\r\n250 8BITMIME"})
    outcome = await send_to(script, dispatch(headers="X-Note: Grüße\r\n".encode()))
    assert isinstance(outcome, PermanentFailure)
    assert outcome.answer.status == "5.6.7"


@pytest.mark.parametrize("address", ["a@b> SIZE=1", "a b@c", "a@b\r\nRSET"])
async def test_an_address_that_would_end_the_command_fails_the_message(address):
    script = Script()
    outcome = await send_to(script, dispatch(message(to=(address,))))
    assert isinstance(outcome, PermanentFailure)
    assert not any("RCPT" in command for command in script.commands)


# --- security --------------------------------------------------------------------------------------------------------


async def test_a_server_without_starttls_gets_nothing():
    script = Script()
    outcome = await send_to(script, security="starttls")
    assert isinstance(outcome, Blocked)
    assert (outcome.scope, outcome.answer.fix) == (Scope.TRANSPORT, "smtp.no_starttls")
    assert not any(command.startswith(("MAIL", "AUTH")) for command in script.commands)


async def test_a_server_without_the_login_blocks_the_transport():
    outcome = await send_to(Script(), auth=Login("u", lambda: "p"))
    assert isinstance(outcome, Blocked)
    assert outcome.answer.fix == "smtp.no_auth"


async def test_a_password_that_cannot_be_read_blocks_without_a_connection():
    def unreadable() -> str:
        raise FileNotFoundError

    script = Script()
    outcome = await send_to(script, auth=Login("u", unreadable))
    assert isinstance(outcome, Blocked)
    assert script.sessions == 0


@pytest.mark.parametrize("trusted", [True, False])
async def test_tls_from_the_start_verifies_the_certificate(trusted):
    ca = trustme.CA()
    context, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    ca.issue_cert("127.0.0.1").configure_cert(context)
    if trusted:
        ca.configure_trust(client)
    script = Script()
    async with (
        listening(script, context=context) as port,
        smtp_to("127.0.0.1", port, context=client, security="tls") as smtp,
    ):
        outcome = await smtp.send(dispatch())
    assert isinstance(outcome, Sent if trusted else TransientFailure)
    if not trusted:
        assert outcome.answer.fix == "network.certificate"
        assert script.commands == []


async def test_an_untrusted_certificate_at_starttls_is_certain(microsoft365):
    async with smtp_to(microsoft365.smtp_host, microsoft365.smtp_port, security="starttls") as smtp:
        outcome = await smtp.send(dispatch())
    assert isinstance(outcome, TransientFailure)
    assert outcome.answer.fix == "network.certificate"


async def test_a_refused_connection_and_an_unknown_name_are_certain():
    async with listening(Script()) as port:
        pass
    async with smtp_to("127.0.0.1", port) as smtp:
        refused = await smtp.send(dispatch())
    async with smtp_to("smtp.invalid", 587, security="starttls") as smtp:
        unknown = await smtp.send(dispatch())
    assert isinstance(refused, TransientFailure)
    assert isinstance(unknown, TransientFailure)
    assert (refused.answer.code, unknown.answer.code) == ("network_refused", "network_dns")
    assert "smtp.invalid" not in unknown.answer.text


def test_clear_text_to_another_machine_is_refused_at_the_start():
    with pytest.raises(ValueError, match="this machine only"):
        Server(
            host="smtp.example.org",
            port=25,
            security="none",
            auth=NoLogin(),
            ssl_context=ssl.create_default_context(),
            local_hostname="x",
        )
