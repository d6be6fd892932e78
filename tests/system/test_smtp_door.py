"""Legacy senders change host and password, nothing else: SMTP in, Graph out, with the real program."""

import asyncio
import smtplib
import ssl
from collections import Counter
from email.message import EmailMessage
from email.policy import SMTP

import trustme

from tests.likeness import leaves
from tests.system.harness import free_port

SENDER = "scanner@contoso.example"
MESSAGES = 40


def mail(number: int) -> EmailMessage:
    message = EmailMessage()
    message["From"] = f"Scanner <{SENDER}>"
    message["To"] = "office@example.net"
    message["Subject"] = f"Scan {number} – Büro"
    message.set_content(f"Scan {number}\n.\n..two dots\nGrüße\n")
    message.add_attachment(bytes(range(256)) * 40, maintype="application", subtype="pdf", filename=f"scan {number}.pdf")
    return message


def send_all(port: int, key: str, numbers: range, *, trusting: ssl.SSLContext | None = None) -> list[str]:
    """Send with Python's own client; what the service said of each."""
    with smtplib.SMTP("127.0.0.1", port) as smtp:
        if trusting is not None:
            smtp.starttls(context=trusting)
        smtp.login("scanner", key)
        replies = []
        for number in numbers:
            smtp.mail(SENDER)
            smtp.rcpt("office@example.net")
            code, text = smtp.data(mail(number).as_bytes(policy=SMTP))
            assert code == 250, text
            replies.append(text.decode().rpartition(" ")[2])
        return replies


async def test_what_was_answered_250_arrives_once_and_unchanged_also_after_a_sigkill(launch, emulator):
    port = free_port()
    service = await launch(smtp_door={"listeners": [{"listen": f"127.0.0.1:{port}"}]})
    key = await service.make_key(SENDER)
    ids = await asyncio.to_thread(send_all, port, key, range(MESSAGES))
    await service.kill()
    await service.start()

    assert set((await service.until(ids)).values()) == {"sent"}
    arrived = Counter(one.subject for one in emulator.world.received)
    assert arrived == Counter(f"Scan {number} – Büro" for number in range(MESSAGES))
    assert {one.transport for one in emulator.world.received} == {"graph"}
    for one in emulator.world.received:
        number = int(one.subject.split()[1])
        assert leaves(one.mime) == leaves(mail(number).as_bytes(policy=SMTP)), one.subject
    assert (await service.get(ids[0]))["door"] == "smtp"
    code, out, _ = await service.run("messages", "list", "--json")
    assert (code, "scanner@contoso.example" in out) == (0, True)
    assert "office@example.net" not in service.log.read_text()
    assert key not in service.log.read_text()


async def test_starttls_and_implicit_tls_carry_a_login_and_mail(launch, emulator, tmp_path):
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1")
    made.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    made.private_key_pem.write_to_path(tmp_path / "key.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    files = {"tls_cert": str(tmp_path / "cert.pem"), "tls_key": str(tmp_path / "key.pem")}
    ports = {"starttls": free_port(), "implicit": free_port()}
    listeners = [{"listen": f"127.0.0.1:{port}", "tls": tls} | files for tls, port in ports.items()]
    service = await launch(smtp_door={"listeners": listeners})
    key = await service.make_key(SENDER)
    ids = await asyncio.to_thread(send_all, ports["starttls"], key, range(3), trusting=trusting)

    def implicit() -> dict:
        with smtplib.SMTP_SSL("127.0.0.1", ports["implicit"], context=trusting) as smtp:
            smtp.login("scanner", key)
            return smtp.send_message(mail(3))

    assert await asyncio.to_thread(implicit) == {}
    assert set((await service.until(ids)).values()) == {"sent"}
    while len(emulator.world.received) < 4:
        await asyncio.sleep(0.05)
    assert {one.subject for one in emulator.world.received} == {f"Scan {number} – Büro" for number in range(4)}
    assert await service.stop() == 0
