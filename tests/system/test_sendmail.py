"""``posthouse-sendmail`` in the place of /usr/sbin/sendmail: what programs hand it arrives, once, or they are told why not."""

import asyncio
import email
import email.policy
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.system.harness import Service, free_port

SENDMAIL = Path(sys.executable).with_name("posthouse-sendmail")
SENDER = "server@contoso.example"
CRON = b"From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@web1> /bin/job\n\nfailed\n.\nbehind the dot\n"


class Sendmail:
    """Calls the program as cron, PHP and others do: settings in a file, the message on standard input."""

    def __init__(self, home: Path, url: str, key: str) -> None:
        (home / "sendmail.key").write_text(f"{key}\n")
        self.file = home / "sendmail.toml"
        self.file.write_text(
            f'url = "{url}"\nkey = "file:{home}/sendmail.key"\nrewrite_from = "{SENDER}"\n'
            'domain = "contoso.example"\n[aliases]\nroot = "it@contoso.example"\n'
        )
        self.errors = ""

    async def start(self, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            SENDMAIL,
            *arguments,
            env={"POSTHOUSE_SENDMAIL": str(self.file), "PATH": "/usr/bin:/bin", **environment},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def __call__(self, message: bytes, *arguments: str, **environment: str) -> int:
        process = await self.start(*arguments, **environment)
        _, errors = await asyncio.wait_for(process.communicate(message), 60)
        self.errors = errors.decode()
        return process.returncode or 0


async def arrived(emulator, count: int) -> list:
    while len(emulator.world.received) < count:
        await asyncio.sleep(0.05)
    return list(emulator.world.received)


async def test_what_programs_hand_over_arrives_and_refusals_have_the_codes_of_sysexits(launch, emulator, tmp_path):
    service: Service = await launch(limits={"max_message_bytes": 2_000_000, "messages_per_minute": 0})
    key = await service.make_key(SENDER)
    url = f"http://127.0.0.1:{service.port}"
    sendmail = Sendmail(tmp_path, url, key)

    assert await sendmail(CRON, "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root") == 0, sendmail.errors
    (cron,) = await arrived(emulator, 1)
    assert (cron.sender, cron.recipients, cron.subject) == (
        SENDER,
        ("it@contoso.example",),
        "Cron <root@web1> /bin/job",
    )
    mail = email.message_from_bytes(cron.mime, policy=email.policy.default)
    assert (str(mail["From"]), str(mail["To"])) == (f"Cron Daemon <{SENDER}>", "it@contoso.example")
    assert mail.get_content().split() == ["failed", ".", "behind", "the", "dot"]
    assert mail["Message-ID"]
    assert mail["Date"]

    php = "To: Jörg <j@example.net>\r\nBcc: secret@example.net\r\nSubject: Größe\r\n\r\nGrüße\r\n.\r\nlost\r\n"
    php_mail = b"Content-Type: text/plain; charset=utf-8\r\n" + php.encode()
    assert await sendmail(php_mail, "-t") == 0, sendmail.errors
    mailed = (await arrived(emulator, 2))[1]
    assert set(mailed.recipients) == {"j@example.net", "secret@example.net"}
    assert "lost" not in mailed.mime.decode(errors="replace")
    large = b"Subject: large\n\n" + b"0123456789" * 150_000 + b"\n"
    lines = large.replace(b"0123456789" * 7, b"0123456789" * 7 + b"\n")
    assert await sendmail(lines, "a@example.net", "b@example.net") == 0, sendmail.errors
    assert set((await arrived(emulator, 3))[2].recipients) == {"a@example.net", "b@example.net"}

    cases = {
        77: [(CRON, ("root",), {"POSTHOUSE_KEY": key[:-1] + ("x" if key[-1] != "x" else "y")})],
        69: [(CRON, ("root",), {"POSTHOUSE_URL": f"{url}/elsewhere"})],
        67: [(CRON, ("a..b@c..d",), {}), (CRON, ("no body",), {})],
        65: [(lines * 2, ("root",), {}), (b"Subject: \0\n\nx\n", ("root",), {}), (b"Subject: s\n\nx\n", ("-t",), {})],
        64: [(CRON, (), {}), (CRON, ("-bs",), {})],
        78: [(CRON, ("root",), {"POSTHOUSE_SENDMAIL": "/none"})],
    }
    for code, some in cases.items():
        for message, arguments, environment in some:
            assert await sendmail(message, *arguments, **environment) == code, sendmail.errors
            assert sendmail.errors.startswith("sendmail: ")
            assert "ph_live_" not in sendmail.errors.replace("ph_live_…", "")
    sendmail.file.write_text(sendmail.file.read_text().replace(SENDER, "boss@contoso.example"))
    assert await sendmail(CRON, "root") == 77
    assert SENDER in sendmail.errors
    assert len(emulator.world.received) == 3


async def test_a_restart_and_lost_answers_neither_lose_nor_double_and_a_service_that_stays_away_is_told(
    launch, emulator, tmp_path
):
    service: Service = await launch()
    key = await service.make_key(SENDER)
    async with losing_answers(service.port) as port:
        sendmail = Sendmail(tmp_path, f"http://127.0.0.1:{port}", key)
        assert await sendmail(CRON, "-i", "root") == 0, sendmail.errors
    assert len((await service.http.get("/v1/messages")).json()["data"]) == 1

    assert await service.stop() == 0
    sendmail = Sendmail(tmp_path, f"http://127.0.0.1:{service.port}", key)
    waiting = await sendmail.start("-i", "root")
    assert waiting.stdin is not None
    waiting.stdin.write(CRON)
    waiting.stdin.close()
    await service.start()
    assert await asyncio.wait_for(waiting.wait(), 60) == 0
    assert len(await arrived(emulator, 2)) == 2

    nobody = Sendmail(tmp_path, f"http://127.0.0.1:{free_port()}", key)
    assert await nobody(CRON, "root") == 75
    assert "it was not accepted, try again later" in nobody.errors


@asynccontextmanager
async def losing_answers(port: int) -> AsyncGenerator[int]:
    """Passes requests on; the first answer does not come back, of the second only its head does."""
    kept = ["nothing", "head"]
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", port)
        pumping = asyncio.ensure_future(pump(reader, forth))
        tasks.add(pumping)
        head = await back.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        body = await back.readexactly(int(length[1]))
        assert b" 202 " in head
        loses = kept.pop(0) if kept else ""
        writer.write({"nothing": b"", "head": head, "": head + body}[loses])
        writer.close()
        forth.close()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while block := await reader.read(65_536):
            writer.write(block)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert kept == []
