"""The emulator's SMTP submission seen by clients that we did not write: aiosmtplib and smtplib."""

import asyncio
import smtplib
import ssl
from contextlib import asynccontextmanager
from dataclasses import replace
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8

import aiosmtplib
import httpx
import pytest
import uvloop

from posthouse.sandbox.chaos import SMTP_STAGES, Rule, Stage, Target
from posthouse.sandbox.emulator import Emulator, Options

pytest_plugins = ["posthouse.sandbox.pytest_plugin"]

ALERTS = "alerts@contoso.com"
ANN = "ann@example.com"


def mime(*, sender=ALERTS, text="Good morning.\n", message_id="<1@contoso.com>", policy=SMTP):
    mail = EmailMessage(policy=policy)
    mail["From"], mail["To"], mail["Subject"], mail["Message-ID"] = sender, ANN, "hello", message_id
    mail.set_content(text)
    return mail.as_bytes()


def trusted(emulator):
    return ssl.create_default_context(cafile=str(emulator.ca_file))


async def token(emulator, resource="https://outlook.office365.com"):
    options = emulator.options
    form = {"grant_type": "client_credentials", "scope": f"{resource}/.default"}
    form |= {"client_id": options.client_id, "client_secret": options.client_secret}
    async with httpx.AsyncClient(verify=trusted(emulator)) as http:
        answer = await http.post(f"{emulator.authority}/{options.tenant_id}/oauth2/v2.0/token", data=form)
    return answer.json()["access_token"]


@asynccontextmanager
async def session(emulator, *, mailbox=ALERTS, password=None, oauth=None):
    """A client that is logged in, by XOAUTH2 where ``oauth`` is a token."""

    async def generator():
        return oauth

    credential = (
        {"oauth_token_generator": generator} if oauth else {"password": password or emulator.smtp_password(mailbox)}
    )
    smtp = aiosmtplib.SMTP(
        hostname=emulator.smtp_host,
        port=emulator.smtp_port,
        start_tls=True,
        tls_context=trusted(emulator),
        username=mailbox,
        timeout=5,
        **credential,
    )
    try:
        await smtp.connect()
        yield smtp
    finally:
        smtp.close()


def settle(emulator, **changes):
    emulator.world.settings = replace(emulator.world.settings, **changes)


async def test_login_sends_and_the_mail_lies_in_sent_items_of_the_account(microsoft365):
    async with session(microsoft365) as smtp:
        refused, reply = await smtp.sendmail(ALERTS, [ANN, "hidden@example.com"], mime())
    assert refused == {}
    assert reply.startswith("2.0.0 OK <")
    (got,) = microsoft365.world.received
    assert (got.mime, got.recipients, got.transport) == (mime(), (ANN, "hidden@example.com"), "smtp")
    url = f"{microsoft365.graph_url}/users/{ALERTS}/messages?$filter=internetMessageId eq '<1@contoso.com>'"
    headers = {"authorization": f"Bearer {await token(microsoft365, 'https://graph.microsoft.com')}"}
    async with httpx.AsyncClient(verify=trusted(microsoft365)) as http:
        assert len((await http.get(url, headers=headers)).json()["value"]) == 1


async def test_xoauth2_wants_a_token_for_outlook_and_the_grant(microsoft365):
    good = await token(microsoft365)
    async with session(microsoft365, oauth=good) as smtp:
        await smtp.sendmail(ALERTS, [ANN], mime())
    for bad in (await token(microsoft365, "https://graph.microsoft.com"), "nonsense"):
        with pytest.raises(aiosmtplib.SMTPAuthenticationError) as refused:
            async with session(microsoft365, oauth=bad):
                pass
        assert (refused.value.code, refused.value.message[:5]) == (535, "5.7.3")
    settle(microsoft365, grants=frozenset({"Mail.Send"}))
    with pytest.raises(aiosmtplib.SMTPAuthenticationError, match=r"5\.7\.3"):
        async with session(microsoft365, oauth=good):
            pass


async def in_smtplib(emulator, talk):
    """What ``talk`` gives in a thread, with a connected client of the standard library."""

    def run():
        with smtplib.SMTP("localhost", emulator.smtp_port, timeout=5) as smtp:
            return talk(smtp)

    return await asyncio.to_thread(run)


def secure(smtp, emulator):
    assert smtp.starttls(context=trusted(emulator)) == (220, b"2.0.0 SMTP server ready")
    smtp.ehlo()
    smtp.login(ALERTS, emulator.smtp_password(ALERTS), initial_response_ok=False)


async def test_smtplib_sees_what_smtp_office365_com_offers(microsoft365):
    def talk(smtp):
        smtp.ehlo()
        clear = dict(smtp.esmtp_features)
        assert smtp.docmd("AUTH", "LOGIN")[0] == 504
        assert smtp.docmd("MAIL", f"FROM:<{ALERTS}>")[1].startswith(b"5.7.57 Client not authenticated")
        secure(smtp, microsoft365)
        return clear, dict(smtp.esmtp_features)

    clear, encrypted = await in_smtplib(microsoft365, talk)
    common = {"size", "pipelining", "dsn", "enhancedstatuscodes", "8bitmime", "binarymime", "chunking", "smtputf8"}
    assert clear.keys() == common | {"starttls"}
    assert encrypted.keys() == common | {"auth"}
    assert (encrypted["size"], encrypted["auth"].split()) == ("157286400", ["LOGIN", "XOAUTH2"])
    reader, writer = await asyncio.open_connection("localhost", microsoft365.smtp_port)
    assert b"Microsoft ESMTP MAIL Service ready at" in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_replies_and_parameters_of_a_transaction(microsoft365):
    def talk(smtp):
        smtp.ehlo()
        secure(smtp, microsoft365)
        assert smtp.mail(ALERTS, ["SIZE=157286401"]) == (552, b"5.3.4 Message size exceeds fixed maximum message size")
        assert smtp.rcpt(ANN)[0] == 503
        assert smtp.mail(ALERTS, ["SIZE=100", "BODY=8BITMIME", "RET=HDRS"]) == (250, b"2.1.0 Sender OK")
        assert smtp.rcpt(ANN, ["NOTIFY=NEVER"]) == (250, b"2.1.5 Recipient OK")
        assert smtp.data(b"not a mail")[0] == 554
        assert smtp.rset() == (250, b"2.0.0 Resetting")
        assert smtp.quit() == (221, b"2.0.0 Service closing transmission channel")

    await in_smtplib(microsoft365, talk)


async def test_international_addresses_and_chunks(microsoft365):
    content = mime()

    def talk(smtp):
        smtp.ehlo()
        secure(smtp, microsoft365)
        smtp.command_encoding = "utf-8"
        smtp.docmd("MAIL", f"FROM:<{ALERTS}> SMTPUTF8 BODY=BINARYMIME")
        assert smtp.docmd("RCPT", "TO:<jörg@exämple.com>")[0] == 250
        smtp.send(b"BDAT 50\r\n" + content[:50])
        assert smtp.getreply()[0] == 250
        smtp.send(b"BDAT %d LAST\r\n" % (len(content) - 50) + content[50:])
        assert smtp.getreply()[0] == 250

    await in_smtplib(microsoft365, talk)
    (got,) = microsoft365.world.received
    assert (got.recipients, got.mime) == (("jörg@exämple.com",), content)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"smtp_enabled": False}, "SmtpClientAuthentication is disabled for the Tenant"),
        ({"smtp_disabled": frozenset({ALERTS})}, "SmtpClientAuthentication is disabled for the Mailbox"),
        ({"mailboxes": frozenset()}, "5.7.3 Authentication unsuccessful"),
    ],
)
async def test_smtp_can_be_switched_off(microsoft365, changes, text):
    settle(microsoft365, **changes)
    for oauth in (None, await token(microsoft365)):
        with pytest.raises(aiosmtplib.SMTPAuthenticationError) as refused:
            async with session(microsoft365, oauth=oauth):
                pass
        assert refused.value.code == 535
        assert text in refused.value.message


async def test_a_wrong_password_is_refused(microsoft365):
    with pytest.raises(aiosmtplib.SMTPAuthenticationError, match="credentials were incorrect"):
        async with session(microsoft365, password="wrong"):
            pass


async def test_without_tls_there_is_login_only_where_that_is_allowed(microsoft365):
    settle(microsoft365, tls_required=False)
    smtp = aiosmtplib.SMTP(hostname="localhost", port=microsoft365.smtp_port, start_tls=False, timeout=5)
    async with smtp:
        await smtp.login(ALERTS, microsoft365.smtp_password(ALERTS))
        await smtp.sendmail(ALERTS, [ANN], mime())
    assert len(microsoft365.world.received) == 1


async def test_sending_as_another_needs_the_right(microsoft365):
    async with session(microsoft365) as smtp:
        for sender, header in (("boss@contoso.com", ALERTS), (ALERTS, "boss@contoso.com")):
            with pytest.raises(aiosmtplib.SMTPDataError) as refused:
                await smtp.sendmail(sender, [ANN], mime(sender=header))
            assert refused.value.code == 554
            assert refused.value.message.startswith(
                "5.2.252 SendAsDenied; alerts@contoso.com not allowed to send as boss@"
            )
        settle(microsoft365, send_as={ALERTS: frozenset({"boss@contoso.com"})})
        await smtp.sendmail("boss@contoso.com", [ANN], mime(sender="boss@contoso.com"))
    assert len(microsoft365.world.received) == 1


CONTENT = b"From: alerts@contoso.com\r\nTo: ann@example.com\r\nMessage-ID: <1@c>\r\n\r\n"


@pytest.mark.parametrize(
    "content",
    [
        CONTENT + b".\r\n..\r\n.a\r\n\r\n.\r\nend.\r\n",
        CONTENT + b"x" * 200_000 + b"\r\n",
        CONTENT + b"line of a large mail.\r\n" * 300_000,
        mime(text="Grüße 🐴\n", policy=SMTPUTF8),
    ],
    ids=["dots", "one long line", "7 MB", "8 bit"],
)
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_content_arrives_byte_for_byte_on_either_loop(tmp_path, content, loop):
    async def send():
        async with Emulator(Options(directory=tmp_path)) as emulator:
            async with session(emulator) as smtp:
                await smtp.sendmail(ALERTS, [ANN], content, mail_options=["BODY=8BITMIME"])
            return emulator.world.received[0].mime

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(send()) == content


# --- faults ---------------------------------------------------------------------------------------------------------


async def attempt(emulator):
    """What a client sees of one mail: a reply code, ``lost``, or ``sent``."""
    try:
        async with session(emulator) as smtp:
            await smtp.sendmail(ALERTS, [ANN], mime())
    except aiosmtplib.SMTPRecipientsRefused as refused:
        return refused.recipients[0].code
    except aiosmtplib.SMTPResponseException as answered:
        return answered.code
    except aiosmtplib.SMTPException:
        return "lost"
    return "sent"


@pytest.mark.parametrize("stage", SMTP_STAGES)
async def test_a_fault_strikes_at_every_stage_and_only_once(microsoft365, stage):
    world = microsoft365.world
    world.faults = [Rule(target=Target.SMTP, fault="drop", stage=stage, times=1)]
    assert await attempt(microsoft365) == "lost"
    world.faults = [Rule(target=Target.SMTP, fault="451 4.7.0 Temporary server error", stage=stage, times=1)]
    assert await attempt(microsoft365) in {"lost", 451}  # after a refused EHLO or STARTTLS the client goes by itself
    assert not world.received
    assert await attempt(microsoft365) == "sent"


async def test_accepted_and_then_no_answer(microsoft365):
    world = microsoft365.world
    world.faults = [
        Rule(target=Target.SMTP, fault="drop-after-send", times=1),
        Rule(target=Target.SMTP, fault="451-after-send", times=1),
        Rule(target=Target.SMTP, fault="432", stage=Stage.AFTER_DOT, times=1),
    ]
    assert [await attempt(microsoft365) for _ in range(4)] == ["lost", 451, 432, "sent"]
    assert len(world.received) == world.counters.smtp_accepted == 3


async def test_one_recipient_can_be_refused(microsoft365):
    microsoft365.world.faults = [Rule(target=Target.SMTP, fault="550 5.1.1 no", stage=Stage.RCPT, match="bob@")]
    async with session(microsoft365) as smtp:
        refused, _ = await smtp.sendmail(ALERTS, [ANN, "bob@example.com"], mime())
    assert refused["bob@example.com"].code == 550
    assert microsoft365.world.received[0].recipients == (ANN,)


async def test_simulator_addresses_answer_over_smtp(microsoft365):
    async def tries(name, number, count):
        seen = []
        for _ in range(count):
            try:
                async with session(microsoft365) as smtp:
                    await smtp.sendmail(ALERTS, [f"{name}@simulator.test"], mime(message_id=f"<{number}@contoso.com>"))
                seen.append(250)
            except aiosmtplib.SMTPDataError as answered:
                seen.append(answered.code)
            except aiosmtplib.SMTPServerDisconnected:
                seen.append("lost")
        return seen

    assert await tries("deferred", 1, 3) == [451, 451, 250]
    assert await tries("failed", 2, 1) == [550]
    assert await tries("throttled", 3, 2) == [432, 250]
    assert await tries("unconfirmed", 4, 1) == ["lost"]
    assert len(microsoft365.world.received) == 3


async def test_a_fourth_connection_is_refused_when_limits_are_on(microsoft365):
    settle(microsoft365, enforce_limits=True)
    async with session(microsoft365), session(microsoft365), session(microsoft365), session(microsoft365) as fourth:
        with pytest.raises(aiosmtplib.SMTPSenderRefused) as refused:
            await fourth.sendmail(ALERTS, [ANN], mime())
        assert (refused.value.code, refused.value.message[:5]) == (432, "4.3.2")
    assert await attempt(microsoft365) == "sent"
    assert microsoft365.world.smtp_gauge.peak[ALERTS] == 4


async def test_smtp_refuses_connections_while_stopped_and_comes_back_on_its_port(microsoft365):
    port = microsoft365.smtp_port
    async with session(microsoft365) as smtp:
        await microsoft365.stop_smtp()
        with pytest.raises(aiosmtplib.SMTPException):
            await smtp.noop()
    with pytest.raises(aiosmtplib.SMTPConnectError):
        await aiosmtplib.SMTP(hostname="localhost", port=port, timeout=5).connect()
    await microsoft365.start_smtp()
    assert microsoft365.smtp_port == port
    assert await attempt(microsoft365) == "sent"


async def test_a_client_that_does_not_trust_the_certificate_harms_nobody(microsoft365):
    smtp = aiosmtplib.SMTP(hostname="localhost", port=microsoft365.smtp_port, start_tls=True, timeout=5)
    with pytest.raises((aiosmtplib.SMTPException, ssl.SSLError)):
        await smtp.connect()
    smtp.close()
    assert await attempt(microsoft365) == "sent"
