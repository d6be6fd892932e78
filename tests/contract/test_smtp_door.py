"""The SMTP door, with clients that we did not write (smtplib, aiosmtplib) and with bytes that no client would send."""

import asyncio
import smtplib
import ssl
import warnings
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiosmtplib
import pytest
import trustme

from posthouse.clients.keys import Grant
from posthouse.doors.listener import Tls
from posthouse.doors.smtp.listener import Address, SmtpListener
from posthouse.identities import KeyRow
from posthouse.message import MessageId, Priority
from posthouse.policy import Terms
from posthouse.refusal import Condition
from tests.contract.certificates import issued, old_tls
from tests.contract.rest_door import RULES, Door, rest_door

FROM = "noreply@contoso.com"
HEADER = b"From: Shop <noreply@contoso.com>\r\nTo: jo@example.org\r\nSubject: Order 7\r\nDate: Tue, 24 Nov 2026 09:30:00 +0100\r\nMessage-ID: <own.1@contoso.com>\r\n"
BODY = b"Hello\r\n.\r\n..twice\r\n.begins with one\r\nthe end\r\n"
MAIL = HEADER + b"\r\n" + BODY
STUFFED = MAIL.replace(b"\r\n.", b"\r\n..")
"""As it goes over the wire."""


@dataclass
class Bench:
    """A door that listens, and a key for it."""

    door: Door
    listener: SmtpListener
    key: str

    @property
    def port(self) -> int:
        return self.listener.port

    async def send(self, *to: str, mail: bytes = MAIL, sender: str = FROM, **client) -> tuple[dict, str]:
        """Send with aiosmtplib: who was refused, and what the last reply said."""
        smtp = aiosmtplib.SMTP(hostname="127.0.0.1", port=self.port, start_tls=False, use_tls=False, **client)
        async with smtp:
            await smtp.login("anybody", self.key)
            return await smtp.sendmail(sender, list(to) or ["jo@example.org"], mail)

    async def kept(self, reply: str) -> tuple[bytes, bytes]:
        """Header and body of the message that a reply names."""
        key = await self.door.spool.key_of(self.id_of(reply))
        content = await self.door.spool.content(key or 0)
        assert content is not None
        return content.header, b"".join([block async for block in content.body.blocks()])

    async def record(self, reply: str):
        record = await self.door.spool.get(self.id_of(reply), now=self.door.clock.now())
        assert record is not None
        return record

    @staticmethod
    def id_of(reply: str) -> MessageId:
        assert reply.startswith("2.0.0 Queued as msg_"), reply
        return MessageId(reply.rpartition(" ")[2])

    async def count(self) -> int:
        """Messages in the spool."""
        http = await self.door.http("read")
        return len((await http.get("/v1/messages")).json()["data"])

    @asynccontextmanager
    async def talk(self, *, logged_in: bool = True) -> "AsyncGenerator[Talk]":
        """A client that says what it likes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        talk = Talk(reader, writer)
        assert (await talk.hear()).startswith("220 ")
        await talk.say("EHLO tester")
        if logged_in:
            await talk.say("AUTH PLAIN " + b64encode(b"\0me\0" + self.key.encode()).decode())
        yield talk
        writer.close()


@dataclass
class Talk:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, line: str | bytes) -> str:
        self.writer.write((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return await self.hear()

    async def hear(self) -> str:
        lines = [await asyncio.wait_for(self.reader.readline(), 10)]
        while lines[-1][3:4] == b"-":
            lines.append(await asyncio.wait_for(self.reader.readline(), 10))
        return b"".join(lines).decode().strip()

    async def ended(self) -> bool:
        return await asyncio.wait_for(self.reader.read(), 10) == b""

    async def envelope(self, *to: str) -> None:
        assert (await self.say(f"MAIL FROM:<{FROM}>")).startswith("250 ")
        for address in to or ("jo@example.org",):
            assert (await self.say(f"RCPT TO:<{address}>")).startswith("250 ")
        assert (await self.say("DATA")).startswith("354 ")


def fields_named(header: bytes, name: bytes) -> list[bytes]:
    """The lines of the header that begin a field of this name: an id inside of another may hold its letters."""
    return [line for line in header.split(b"\r\n") if line.partition(b":")[0].strip().lower() == name]


@asynccontextmanager
async def listening(door: Door, **address) -> AsyncGenerator[SmtpListener]:
    given = Address(listen="127.0.0.1:0", hostname="mail.contoso.example", clear=True)
    listener = SmtpListener(replace(given, **address), step=door.step, keys=door.keys, keeper=door.keeper)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop()


@pytest.fixture
async def on(tmp_path: Path) -> AsyncGenerator[Bench]:
    async with rest_door(tmp_path) as door, listening(door) as listener:
        yield Bench(door, listener, await door.key())


# --- mail -----------------------------------------------------------------------------------------------------------


async def test_a_message_is_kept_byte_for_byte_before_it_is_answered(on: Bench) -> None:
    refused, reply = await on.send()
    assert refused == {}
    assert await on.kept(reply) == (HEADER, BODY)
    record = await on.record(reply)
    assert (record.door, record.client, record.subject, record.sender) == ("smtp", "shop", "Order 7", FROM)
    assert record.message_id == "<own.1@contoso.com>"


async def test_smtplib_sends_too_with_auth_login_and_after_a_refusal(on: Bench) -> None:
    def send() -> dict:
        with smtplib.SMTP("127.0.0.1", on.port) as smtp:
            with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
                smtp.login("me", "ph_live_nothing")
            assert refused.value.smtp_code == 535
            smtp.user, smtp.password = "me", on.key
            assert smtp.auth("LOGIN", smtp.auth_login, initial_response_ok=False)[0] == 235
            with pytest.raises(smtplib.SMTPSenderRefused):
                smtp.sendmail("ceo@fabrikam.com", ["jo@example.org"], MAIL)
            return smtp.sendmail(FROM, ["jo@example.org"], MAIL)

    assert await asyncio.to_thread(send) == {}
    assert await on.count() == 1


async def test_recipients_are_the_envelopes_and_who_stands_in_no_header_is_a_blind_copy(on: Bench) -> None:
    mail = (
        HEADER.replace(b"To: jo@example.org", b"To: jo@example.org, header@example.org\r\nBcc: bcc@example.org")
        + b"\r\nhi\r\n"
    )
    _, reply = await on.send("jo@example.org", "blind@example.org", mail=mail)
    record = await on.record(reply)
    assert {one.address: one.kind for one in record.recipients} == {"jo@example.org": "to", "blind@example.org": "bcc"}
    header = (await on.kept(reply))[0]
    assert fields_named(header, b"bcc") == []
    assert b"bcc@example.org" not in header


async def test_a_recipient_that_is_refused_leaves_the_others(on: Bench) -> None:
    on.key = await on.door.key(domains=("example.org",))
    refused, reply = await on.send("jo@example.org", "eve@elsewhere.net")
    assert refused["eve@elsewhere.net"].code == 550
    assert refused["eve@elsewhere.net"].message.startswith("5.7.1 ")
    assert [one.address for one in (await on.record(reply)).recipients] == ["jo@example.org"]


async def test_a_null_reverse_path_is_taken_from_who_may_send_as_the_address_in_from(on: Bench) -> None:
    async with on.talk() as talk:
        assert await talk.say("MAIL FROM:<>") == "250 2.0.0 OK"
        await talk.say("RCPT TO:<jo@example.org>")
        await talk.say("DATA")
        assert "Queued as" in await talk.say(STUFFED + b".")
        await talk.say("MAIL FROM:<>")
        await talk.say("RCPT TO:<jo@example.org>")
        await talk.say("DATA")
        forged = STUFFED.replace(b"noreply@contoso.com", b"ceo@fabrikam.com")
        assert (await talk.say(forged + b".")).startswith("550 5.7.1 ")
    assert await on.count() == 1


async def test_a_message_of_many_megabytes_arrives_whole(on: Bench) -> None:
    lines = b"".join(b"%08d " % number + b"x" * 900 + b"\r\n" for number in range(3_000))
    on.door.step.rules = replace(RULES, default_route=("smtp",))
    _, reply = await on.send(mail=HEADER + b"\r\n" + lines + b".dot\r\n", timeout=50)
    assert (await on.kept(reply))[1] == lines + b".dot\r\n"


@pytest.mark.parametrize("size", [65_530, 65_531, 65_532, 65_533, 65_534, 65_535, 65_536, 65_537, 65_538])
async def test_an_end_mark_is_found_wherever_blocks_meet(size: int, on: Bench) -> None:
    line = b"y" * 76 + b"\r\n"
    body = line * 2_000
    body = body[: size - len(HEADER) - 2] + b"\r\n.leading\r\n..\r\n"
    body = body.replace(b"\r\r\n", b"\r\n")
    async with on.talk() as talk:
        await talk.envelope()
        talk.writer.write(HEADER + b"\r\n" + body.replace(b"\r\n.", b"\r\n..") + b".\r\nNOOP\r\n")
        reply = await talk.hear()
        assert await talk.hear() == "250 2.0.0 OK"
    assert (await on.kept(reply.removeprefix("250 ")))[1] == body


async def test_commands_that_came_together_are_answered_in_order(on: Bench) -> None:
    async with on.talk() as talk:
        talk.writer.write(f"MAIL FROM:<{FROM}>\r\nRCPT TO:<jo@example.org>\r\nDATA\r\n".encode())
        assert [await talk.hear() for _ in range(3)][2].startswith("354 ")
        talk.writer.write(STUFFED + b".\r\nRSET\r\nQUIT\r\n")
        assert "Queued as" in await talk.hear()
        assert (await talk.hear(), (await talk.hear())[:3]) == ("250 2.0.0 OK", "221")


async def test_an_idempotency_key_counts_with_the_envelope_and_whatever_a_relay_adds(on: Bench) -> None:
    mail = b"Idempotency-Key: order-7\r\n" + MAIL
    _, first = await on.send("jo@example.org", "kim@example.org", mail=mail)
    relayed = b"Received: from a by b; Tue, 24 Nov 2026 09:31:00 +0100\r\n" + mail.replace(b"09:30:00", b"09:31:00")
    _, again = await on.send("kim@example.org", "jo@example.org", mail=relayed)
    assert first == again
    assert b"idempotency" not in (await on.kept(first))[0].lower()
    _, part = await on.send("kim@example.org", mail=mail)
    assert part != first, "a smart host splits one mail by its recipients, each part with the same key"
    with pytest.raises(aiosmtplib.SMTPDataError) as other:
        await on.send("kim@example.org", mail=mail.replace(b"Hello", b"Other"))
    assert (other.value.code, other.value.message[:6]) == (554, "5.6.0 ")
    assert await on.count() == 2


async def test_fields_of_ours_say_what_smtp_has_no_place_for_and_are_taken_out(on: Bench) -> None:
    ours = b"x-posthouse-priority: high\r\nX-Posthouse-Expires-In: 15m\r\nX-Posthouse-Reference: order 7\r\n"
    tags = b"X-Posthouse-Tag: kind=invoice\r\nX-Posthouse-Tag: year = 2026\r\n"
    _, reply = await on.send(mail=ours + tags + MAIL)
    record = await on.record(reply)
    assert record.priority is Priority.HIGH
    assert record.reference == "order 7"
    assert record.tags == {"kind": "invoice", "year": "2026"}
    assert record.expires_at == record.created_at + 15 * 60_000
    assert (await on.kept(reply))[0] == HEADER


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"X-Posthouse-Priority: urgent", "X-Posthouse-Priority: "),
        (b"X-Posthouse-Expires-In: soon", "a duration is a number of seconds"),
        (b"X-Posthouse-Prioritty: high", "x-posthouse-prioritty: there are X-Posthouse-Priority"),
        (b"X-Posthouse-Tag: invoice", "a tag is name=value"),
        (b"X-Posthouse-Reference: a\r\nX-Posthouse-Reference: b", "stands in the header once"),
        (b"Idempotency-Key: a\r\nIdempotency-Key: b", "stands in the header once"),
    ],
)
async def test_a_field_of_ours_that_breaks_a_rule_refuses_the_mail_by_name(on: Bench, line: bytes, says: str) -> None:
    with pytest.raises(aiosmtplib.SMTPDataError) as refused:
        await on.send(mail=line + b"\r\n" + MAIL)
    assert refused.value.code == 554
    assert says in refused.value.message
    assert await on.count() == 0


@pytest.mark.parametrize("more", ["AUTH=<>", "SIZE=500 AUTH=root@web1", "auth=e+3Dmc2@x.com BODY=8BITMIME SIZE=9"])
async def test_who_wrote_a_mail_as_relays_say_it_is_taken(on: Bench, more: str) -> None:
    """RFC 4954 §5: Postfix and Exim say AUTH= to every server that takes logins."""
    async with on.talk() as talk:
        assert (await talk.say(f"MAIL FROM:<{FROM}> {more}")).startswith("250 ")
        await talk.say("RSET")
        assert (await talk.say(f"MAIL FROM:<{FROM}> {more} NOTIFY=NEVER")).startswith("555 ")
        assert (await talk.say(f"MAIL FROM:<{FROM}> SIZE=5000000000 {more}")).startswith(("552 ", "501 "))


async def test_addresses_of_other_than_ascii_need_smtputf8(on: Bench) -> None:
    async with on.talk() as talk:
        assert (await talk.say(f"MAIL FROM:<{FROM}>")).startswith("250")
        assert (await talk.say("RCPT TO:<grüße@example.org>")).startswith("553 5.6.7 ")
        await talk.say("RSET")
        assert (await talk.say(f"MAIL FROM:<{FROM}> BODY=8BITMIME SMTPUTF8")).startswith("250")
        assert (await talk.say("RCPT TO:<grüße@example.org>")).startswith("250")
        await talk.say("DATA")
        assert "Queued as" in await talk.say(STUFFED.replace(b"Order 7", "Grüße".encode()) + b".")


# --- refusals -------------------------------------------------------------------------------------------------------


async def test_nothing_is_taken_from_who_did_not_log_in(on: Bench) -> None:
    async with on.talk(logged_in=False) as talk:
        for command in (f"MAIL FROM:<{FROM}>", "RCPT TO:<jo@example.org>", "DATA"):
            assert (await talk.say(command))[:3] in {"530", "503"}, command
        assert (await talk.say("AUTH CRAM-MD5")).startswith("504 5.5.4 ")
        assert (await talk.say("AUTH PLAIN !!!")).startswith("501 5.5.2 ")
        assert (await talk.say("AUTH PLAIN " + b64encode(b"no zeros").decode())).startswith("501 5.5.2 ")


async def test_who_fails_to_log_in_three_times_is_cut_and_every_failure_is_answered(on: Bench) -> None:
    wrong = b64encode(b"\0me\0ph_live_wrong").decode()
    async with on.talk(logged_in=False) as talk:
        for _ in range(3):
            assert (await talk.say(f"AUTH PLAIN {wrong}")).startswith("535 5.7.8 ")
        assert (await talk.hear()).startswith("421 4.7.0 ")
        assert await talk.ended()


async def test_a_key_without_the_scope_may_not_submit(on: Bench) -> None:
    on.key = await on.door.key("read")
    with pytest.raises(aiosmtplib.SMTPSenderRefused) as refused:
        await on.send()
    assert (refused.value.code, refused.value.message[:6]) == (550, "5.7.1 ")


@pytest.mark.parametrize("name", ["From", "Sender"])
async def test_the_header_is_held_against_policy_too(name: str, on: Bench) -> None:
    forged = f"{name}: ceo@fabrikam.com\r\n".encode()
    mail = MAIL.replace(b"From: Shop <noreply@contoso.com>\r\n", b"") if name == "From" else MAIL
    with pytest.raises(aiosmtplib.SMTPDataError) as refused:
        await on.send(mail=forged + mail)
    assert (refused.value.code, refused.value.message[:6]) == (550, "5.7.1 ")
    assert await on.count() == 0


async def test_what_is_too_large_is_refused_at_mail_from_or_at_its_end_and_the_session_goes_on(on: Bench) -> None:
    on.door.step.rules = replace(RULES, max_message_bytes=100_000)
    async with on.talk() as talk:
        assert (await talk.say(f"MAIL FROM:<{FROM}> SIZE=100001")).startswith("552 5.3.4 ")
        await talk.envelope()
        talk.writer.write(HEADER + b"\r\n" + (b"z" * 76 + b"\r\n") * 4_000 + b".\r\n")
        assert (await talk.hear()).startswith("552 5.3.4 ")
        await talk.envelope()
        assert "Queued as" in await talk.say(STUFFED + b".")
    assert await on.count() == 1


async def test_what_the_senders_route_cannot_carry_is_refused_by_size(on: Bench) -> None:
    on.door.step.rules = replace(RULES, default_route=("graph",))
    async with on.talk() as talk:
        assert (await talk.say(f"MAIL FROM:<{FROM}> SIZE=5000000")).startswith("552 5.3.4 ")


async def test_too_many_recipients_are_refused_one_by_one(on: Bench) -> None:
    on.door.step.rules = replace(RULES, recipients_per_message=2)
    refused, reply = await on.send("a@example.org", "b@example.org", "c@example.org")
    assert (refused["c@example.org"].code, refused["c@example.org"].message[:6]) == (452, "4.5.3 ")
    assert len((await on.record(reply)).recipients) == 2


@pytest.mark.parametrize(
    ("condition", "codes"), [(Condition.DRAINING, "421 4.3.2 "), (Condition.STORAGE_LOW, "452 4.3.1 ")]
)
async def test_what_cannot_be_kept_is_not_taken(condition: Condition, codes: str, on: Bench) -> None:
    async with on.talk() as talk:
        on.door.state.closed = condition
        assert (await talk.say(f"MAIL FROM:<{FROM}>")).startswith(codes)


async def test_a_full_disk_is_said_after_the_content_and_nothing_is_kept(on: Bench) -> None:
    async with on.talk() as talk:
        await talk.envelope()
        await on.door.fill_disk()
        assert (await talk.say(STUFFED + b"a line\r\n" * 50_000 + b".")).startswith("452 4.3.1 ")


@pytest.mark.parametrize(
    "content",
    [
        b"a bare\nLF\r\n",
        b"a bare\rCR\r\n",
        b"smuggled\n.\r\nMAIL FROM:<noreply@contoso.com>\r\n",
        b"smuggled\n.\nMAIL FROM:<noreply@contoso.com>\r\n",
        b"smuggled\r.\r\nMAIL FROM:<noreply@contoso.com>\r\n",
        b"smuggled\r\n.\nMAIL FROM:<noreply@contoso.com>\r\n",
        b"smuggled\r\n.\rMAIL FROM:<noreply@contoso.com>\r\n",
        b"\x00 a NUL\r\n",
        b"x" * 2_000 + b"\r\n",
    ],
)
async def test_content_that_another_server_might_read_otherwise_is_refused_whole(content: bytes, on: Bench) -> None:
    async with on.talk() as talk:
        await talk.envelope()
        assert (await talk.say(HEADER + b"\r\n" + content + b".")).startswith("554 5.6.0 ")
        assert await talk.say("NOOP") == "250 2.0.0 OK"
    assert await on.count() == 0


@pytest.mark.parametrize(
    "content", [b"", b"\r\n", b"\r\n\r\n", b"no header\r\n", b"To: jo@example.org\r\n\r\nno From\r\n"]
)
async def test_what_is_no_message_is_refused_and_the_session_goes_on(content: bytes, on: Bench) -> None:
    async with on.talk() as talk:
        await talk.envelope()
        assert (await talk.say(content + b".")).startswith("554 5.6.0 ")
        assert await talk.say("NOOP") == "250 2.0.0 OK"


@pytest.mark.parametrize(
    ("command", "codes"),
    [
        ("MAIL FROM:<not an address>", "501 5.1.7 "),
        ("MAIL FROM:<a@b..c>", "553 5.1.3 "),
        ("MAIL FROM:<noreply@contoso.com> NOTIFY=NEVER", "555 5.5.4 "),
        ("MAIL", "501 5.5.4 "),
        ("RCPT TO:<jo@example.org>", "503 5.5.1 "),
        ("DATA", "503 5.5.1 "),
        ("BDAT 3 LAST", "500 5.5.2 "),
        ("VRFY jo@example.org", "252 2.5.0 "),
        ("EHLO", "501 5.5.4 "),
        ("HELO", "501 5.5.4 "),
    ],
)
async def test_every_reply_has_an_enhanced_code(command: str, codes: str, on: Bench) -> None:
    async with on.talk() as talk:
        assert (await talk.say(command)).startswith(codes)


async def test_a_hello_has_none(on: Bench) -> None:
    async with on.talk() as talk:
        assert await talk.say("HELO tester") == "250 mail.contoso.example"
        said = (await talk.say("EHLO tester")).splitlines()
        assert said[0] == "250-mail.contoso.example"
        assert {"250-PIPELINING", "250-8BITMIME", "250-SMTPUTF8", "250-ENHANCEDSTATUSCODES"} <= set(said)


async def test_a_client_that_goes_in_the_middle_of_a_message_leaves_nothing(on: Bench) -> None:
    async with on.talk() as talk:
        await talk.envelope()
        talk.writer.write(STUFFED + b"x" * 70_000)
        await talk.writer.drain()
    _, reply = await on.send()
    assert await on.count() == 1
    assert await on.kept(reply) == (HEADER, BODY)


async def test_one_source_has_no_more_than_its_connections(on: Bench) -> None:
    held = [await asyncio.open_connection("127.0.0.1", on.port) for _ in range(50)]
    assert all([(await reader.readline()).startswith(b"220 ") for reader, _ in held])
    reader, writer = await asyncio.open_connection("127.0.0.1", on.port)
    assert (await reader.readline()).startswith(b"421 4.7.0 ")
    for _, one in [*held, (reader, writer)]:
        one.close()
        await one.wait_closed()
    await on.send()


async def test_a_message_under_way_arrives_while_the_service_stops_and_idle_clients_are_told(on: Bench) -> None:
    async with on.talk() as idle, on.talk() as busy:
        await busy.envelope()
        busy.writer.write(HEADER + b"\r\n")
        stopping = asyncio.create_task(on.listener.stop())
        assert (await idle.hear()).startswith("421 4.3.2 ")
        assert "Queued as" in await busy.say(b"the rest\r\n.")
        await stopping
    assert await on.count() == 1


# --- TLS ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Tls, ssl.SSLContext]:
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1")
    files = Tls(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    made.cert_chain_pems[0].write_to_path(files.certificate)
    made.private_key_pem.write_to_path(files.key)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return files, trusting


async def test_starttls_is_asked_for_before_a_login_and_forgets_what_was_said(on: Bench, certificate) -> None:
    files, trusting = certificate
    async with listening(on.door, certificate=files, clear=False) as listener:
        bench = Bench(on.door, listener, on.key)
        async with bench.talk(logged_in=False) as talk:
            assert "AUTH" not in await talk.say("EHLO tester")
            assert (await talk.say("AUTH PLAIN AAAA")).startswith("538 5.7.11 ")
        smtp = aiosmtplib.SMTP(hostname="127.0.0.1", port=listener.port, start_tls=True, tls_context=trusting)
        async with smtp:
            await smtp.ehlo()
            assert "auth" in smtp.esmtp_extensions
            assert "starttls" not in smtp.esmtp_extensions
            await smtp.login("me", on.key)
            refused, reply = await smtp.sendmail(FROM, ["jo@example.org"], MAIL)
        assert refused == {}
        assert await bench.kept(reply) == (HEADER, BODY)


async def test_commands_before_tls_that_came_with_starttls_count_for_nothing(on: Bench, certificate) -> None:
    files, trusting = certificate
    async with listening(on.door, certificate=files, clear=False) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        await reader.readline()
        writer.write(b"STARTTLS\r\nEHLO injected\r\n")
        assert (await reader.readline()).startswith(b"220 2.0.0 ")
        await writer.start_tls(trusting, server_hostname="127.0.0.1")
        writer.write(b"NOOP\r\n")
        assert await reader.readline() == b"250 2.0.0 OK\r\n"
        writer.close()


async def test_implicit_tls_speaks_nothing_else(on: Bench, certificate) -> None:
    files, trusting = certificate
    async with listening(on.door, certificate=files, implicit=True, clear=False) as listener:
        smtp = aiosmtplib.SMTP(hostname="127.0.0.1", port=listener.port, use_tls=True, tls_context=trusting)
        async with smtp:
            await smtp.login("me", on.key)
            refused, _ = await smtp.sendmail(FROM, ["jo@example.org"], MAIL)
        assert refused == {}


# --- devices, networks, load balancers, certificates ----------------------------------------------------------------


def network(*networks: str, **changes) -> KeyRow:
    row = KeyRow(
        id="settings:scanner",
        client="scanner",
        key_hash=b"",
        kind="network",
        senders=("scanner@contoso.com",),
        recipient_domains=("contoso.com",),
        networks=networks,
    )
    return replace(row, **changes)


@asynccontextmanager
async def opened(tmp_path: Path, *fixed: KeyRow, terms: dict[str, Terms] | None = None, **address):
    async with rest_door(tmp_path, fixed=fixed, terms=terms) as door, listening(door, **address) as listener:
        yield Bench(door, listener, await door.key())


SCAN = b"From: scanner@contoso.com\r\nTo: jo@contoso.com\r\nSubject: Scan\r\n\r\nPage 1\r\n"


async def test_a_device_of_a_named_network_sends_without_a_login_to_its_own_domain_only(tmp_path: Path) -> None:
    async with opened(tmp_path, network("127.0.0.1/32"), clear=False) as on, on.talk(logged_in=False) as talk:
        assert (await talk.say("MAIL FROM:<jo@contoso.com>")).startswith("550 5.7.1 ")
        assert (await talk.say("MAIL FROM:<scanner@contoso.com>")).startswith("250 ")
        assert (await talk.say("RCPT TO:<jo@example.org>")).startswith("550 5.7.1 ")
        assert (await talk.say("RCPT TO:<jo@contoso.com>")).startswith("250 ")
        await talk.say("DATA")
        reply = await talk.say(SCAN + b".")
        assert (await on.record(reply.removeprefix("250 "))).client == "scanner"


async def test_a_device_of_another_network_must_log_in(tmp_path: Path) -> None:
    async with opened(tmp_path, network("127.0.0.2/32")) as on, on.talk(logged_in=False) as talk:
        assert (await talk.say("MAIL FROM:<scanner@contoso.com>")).startswith("530 5.7.0 ")
        (one,) = await on.door.keeper.refusals()
        assert (one.door, one.source, one.sender) == ("smtp", "127.0.0.1", "scanner@contoso.com")


async def test_the_smallest_network_decides_which_client_it_is(tmp_path: Path) -> None:
    wide = network("127.0.0.0/8", id="settings:any", client="any", senders=("any@contoso.com",))
    async with opened(tmp_path, wide, network("127.0.0.1")) as on, on.talk(logged_in=False) as talk:
        assert (await talk.say("MAIL FROM:<any@contoso.com>")).startswith("550 5.7.1 ")
        assert (await talk.say("MAIL FROM:<scanner@contoso.com>")).startswith("250 ")


async def test_over_its_rate_a_device_waits_and_is_not_refused(tmp_path: Path) -> None:
    terms = {"scanner": Terms(rate_per_minute=1)}
    async with opened(tmp_path, network("127.0.0.1"), terms=terms) as on:
        sent = []
        for _ in range(2):
            async with aiosmtplib.SMTP(hostname="127.0.0.1", port=on.port, start_tls=False) as smtp:
                sent.append((await smtp.sendmail("scanner@contoso.com", ["jo@contoso.com"], SCAN))[1])
        first, second = [await on.record(reply) for reply in sent]
        assert first.due_at == first.created_at
        assert second.due_at >= first.created_at + 60_000


async def test_mail_of_a_device_that_cannot_be_changed_goes_as_a_sender_it_may_use(tmp_path: Path) -> None:
    terms = {"scanner": Terms(rewrite_from="scanner@contoso.com")}
    async with (
        opened(tmp_path, network("127.0.0.1"), terms=terms) as on,
        aiosmtplib.SMTP(hostname="127.0.0.1", port=on.port, start_tls=False) as smtp,
    ):
        mail = b"From: =?utf-8?q?B=C3=BCro?= 3 <root@localhost>\r\nSender: root@localhost\r\nTo: jo@contoso.com\r\nSubject: Scan\r\n\r\nPage\r\n"
        _, reply = await smtp.sendmail("root@localhost", ["jo@contoso.com"], mail)
        header = (await on.kept(reply))[0]
        assert header.startswith(b"To: jo@contoso.com\r\nSubject: Scan\r\n")
        assert b"From: =?utf-8?b?QsO8cm8gMw==?= <scanner@contoso.com>\r\n" in header
        assert b"root@localhost" not in header
        assert (await on.record(reply)).sender == "scanner@contoso.com"
        _, own = await smtp.sendmail("scanner@contoso.com", ["jo@contoso.com"], SCAN)
        assert b"From: scanner@contoso.com\r\n" in (await on.kept(own))[0]


async def test_a_listener_for_named_networks_hears_no_others(tmp_path: Path) -> None:
    async with opened(tmp_path, networks=("10.2.0.0/16",)) as on:
        reader, writer = await asyncio.open_connection("127.0.0.1", on.port)
        assert (await reader.readline()).startswith(b"554 5.7.1 ")
        assert await reader.read() == b""
        writer.close()
        (one,) = await on.door.keeper.refusals()
        assert (one.code, one.source) == ("network_not_allowed", "127.0.0.1")


@pytest.mark.parametrize("version", [1, 2])
async def test_behind_a_load_balancer_the_device_counts_and_not_the_balancer(tmp_path: Path, version: int) -> None:
    said = {
        1: b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 25\r\n",
        2: b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes([192, 0, 2, 7, 192, 0, 2, 1]) + b"\x9c\x40\x00\x19",
    }[version]
    async with opened(tmp_path, network("192.0.2.7"), proxies=("127.0.0.1/32",), networks=("192.0.2.0/24",)) as on:
        reader, writer = await asyncio.open_connection("127.0.0.1", on.port)
        talk = Talk(reader, writer)
        writer.write(said)
        assert (await talk.hear()).startswith("220 ")
        await talk.say("EHLO scanner")
        assert (await talk.say("MAIL FROM:<scanner@contoso.com>")).startswith("250 ")
        writer.close()


@pytest.mark.parametrize(
    ("proxies", "said"),
    [
        (("10.0.0.1/32",), b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 25\r\n"),
        (("127.0.0.1/32",), b"PROXY TCP4 198.51.100.1 192.0.2.1 40000 25\r\n"),
        (("127.0.0.1/32",), b"PROXY TCP4 nonsense\r\n"),
        (("127.0.0.1/32",), b"EHLO scanner\r\n"),
    ],
    ids=["a stranger", "another network", "nonsense", "no proxy line"],
)
async def test_who_is_no_trusted_balancer_or_says_nonsense_is_not_heard(
    tmp_path: Path, proxies: tuple[str, ...], said: bytes
) -> None:
    async with opened(tmp_path, network("192.0.2.7"), proxies=proxies, networks=("192.0.2.0/24",)) as on:
        reader, writer = await asyncio.open_connection("127.0.0.1", on.port)
        writer.write(said)
        try:
            answer = await asyncio.wait_for(reader.read(), 20)
        except ConnectionResetError:
            answer = b""
        assert not answer.startswith(b"220")
        writer.close()


async def test_a_listener_without_proxies_takes_a_proxy_line_for_no_command(on: Bench) -> None:
    async with on.talk(logged_in=False) as talk:
        assert (await talk.say("PROXY TCP4 192.0.2.7 192.0.2.1 40000 25"))[:1] == "5"


async def test_a_login_counts_more_than_the_network_that_it_comes_from(tmp_path: Path) -> None:
    async with opened(tmp_path, network("127.0.0.1")) as on, on.talk(logged_in=False) as talk:
        assert (await talk.say(f"MAIL FROM:<{FROM}>")).startswith("550 5.7.1 ")
        assert (await talk.say("AUTH PLAIN " + b64encode(b"\0me\0" + on.key.encode()).decode())).startswith("235 ")
        assert (await talk.say(f"MAIL FROM:<{FROM}>")).startswith("250 ")


@pytest.mark.parametrize("implicit", [False, True])
async def test_old_tls_is_refused_unless_a_listener_is_made_for_it_and_the_refusal_is_kept(
    tmp_path: Path, *, implicit: bool
) -> None:
    tls = issued(tmp_path / "tls", trustme.CA())
    old = old_tls()

    def client(listener: SmtpListener) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname="127.0.0.1", port=listener.port, use_tls=implicit, start_tls=not implicit, tls_context=old
        )

    async with rest_door(tmp_path) as door:
        async with listening(door, certificate=tls, clear=False, implicit=implicit) as listener:
            with pytest.raises((aiosmtplib.SMTPException, OSError)):
                async with client(listener):
                    pass
        (kept,) = await door.keeper.refusals()
        assert (kept.code, kept.source, kept.detail) == ("tls_failed", "127.0.0.1", "UNSUPPORTED_PROTOCOL")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            async with (
                listening(door, certificate=tls, clear=False, implicit=implicit, oldest="1.0") as listener,
                client(listener) as smtp,
            ):
                assert (await smtp.login("app", await door.key())).code == 235


async def test_a_device_logs_in_with_its_short_password_and_a_wrong_one_is_listed_with_its_user(on: Bench) -> None:
    grant = Grant(client="scan", senders=("scanner@contoso.com",), kind="device")
    device, _ = await on.door.keys.create(grant, by="test")
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=on.port, start_tls=False) as smtp:
        await smtp.login(device.id, device.text)
        await smtp.sendmail("scanner@contoso.com", ["jo@example.org"], SCAN)
        with pytest.raises(aiosmtplib.SMTPSenderRefused):
            await smtp.sendmail(FROM, ["jo@example.org"], MAIL)
    for user, password in ((device.id, "wrong"), (on.key, "written into the wrong field")):
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=on.port, start_tls=False) as smtp:
            with pytest.raises(aiosmtplib.SMTPAuthenticationError):
                await smtp.login(user, password)
    found = {one.code: one for one in await on.door.keeper.refusals() if one.login.startswith("d-")}
    assert found.keys() == {"invalid_key", "sender_not_allowed"}
    assert found["invalid_key"].login == device.id
    assert found["invalid_key"].detail == "not a key of this service"
    assert on.key not in str(await on.door.keeper.refusals())
