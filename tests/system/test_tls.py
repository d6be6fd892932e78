"""TLS from the first byte at the real program, on the loop that it really has: mail comes in, and who fails is listed."""

import asyncio
import smtplib
import socket
import ssl
from pathlib import Path

import trustme

from posthouse.sandbox.emulator import Emulator, Options
from tests.contract.certificates import old_tls
from tests.system.harness import Service, free_port, letter

SENDER = "app0@contoso.example"


def fails(port: int) -> bool:
    """Whether an old client cannot connect."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as wire:
        try:
            old_tls().wrap_socket(wire).close()
        except OSError:
            return True
        return False


def by_smtp(port: int, key: str, trusting: ssl.SSLContext) -> None:
    with smtplib.SMTP_SSL("localhost", port, timeout=20, context=trusting) as smtp:
        smtp.login("anything", key)
        smtp.sendmail(SENDER, ["jo@example.org"], f"From: {SENDER}\r\nTo: jo@example.org\r\n\r\nHello\r\n")


async def test_mail_comes_in_under_tls_and_who_speaks_an_old_one_is_listed(tmp_path: Path) -> None:
    authority, port = trustme.CA(), free_port()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    files = {"tls_cert": str(tmp_path / "cert.pem"), "tls_key": str(tmp_path / "key.pem")}
    issued.cert_chain_pems[0].write_to_path(files["tls_cert"])
    issued.private_key_pem.write_to_path(files["tls_key"])
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    listener = {"listen": f"127.0.0.1:{port}", "tls": "implicit", **files}
    async with Emulator(Options(directory=tmp_path / "microsoft")) as emulator:
        service = Service(tmp_path, emulator, trusting=trusting, http=files, smtp_door={"listeners": [listener]})
        await service.start()
        try:
            key = await service.make_key(SENDER)
            message = await service.submit(letter(SENDER, 1))
            await asyncio.to_thread(by_smtp, port, key, trusting)
            await service.until([message])
            assert [await asyncio.to_thread(fails, where) for where in (port, service.port)] == [True, True]
            found = (await service.admin("GET", "/v1/refusals")).json()["data"]
            assert {(one["door"], one["code"], one["detail"]) for one in found} == {
                ("smtp", "tls_failed", "UNSUPPORTED_PROTOCOL"),
                ("http", "tls_failed", "UNSUPPORTED_PROTOCOL"),
            }
        finally:
            await service.close()
