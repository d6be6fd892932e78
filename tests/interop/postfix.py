"""Postfix as an application's machine has it: it takes the mail by SMTP and relays it to its relayhost, the SMTP door.

Debian lets no machine have Postfix beside Exim, so its package is unpacked, not installed, and runs with folders of its own.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import smtplib
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

from tests.interop.house import House
from tests.interop.mail import Mail
from tests.interop.programs import Said
from tests.system.harness import free_port

APT = (
    "needs Postfix: apt-get download postfix, dpkg -x into {root}; apt-get install -y --no-install-recommends "
    "libsasl2-modules; and root, because its master gives up rights for each of its daemons"
)
ROOT = Path("/opt/posthouse-tests/postfix")
OWNER, GROUP = "mail", "operator"
"""Accounts that every Debian has, in place of those that the installed package makes."""

MAIN = """
compatibility_level = 3.6
config_directory = {home}/etc
queue_directory = {home}/queue
data_directory = {home}/data
daemon_directory = {root}/usr/lib/postfix/sbin
command_directory = {root}/usr/sbin
shlib_directory = {libraries}
import_environment = MAIL_CONFIG MAIL_LOGTAG LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME LD_LIBRARY_PATH={libraries}
mail_owner = {owner}
setgid_group = {group}
maillog_file = {home}/log
maillog_file_prefixes = {home}
myhostname = app.contoso.example
mynetworks = 127.0.0.0/8
mydestination =
local_recipient_maps =
alias_maps =
relayhost = [localhost]:{port}
smtp_host_lookup = native
smtp_tls_security_level = secure
smtp_tls_CAfile = {home}/ca.pem
smtp_sasl_auth_enable = yes
smtp_sasl_security_options = noanonymous
smtp_sasl_password_maps = inline:{{ {{ [localhost]:{port} = anything:{key} }} }}
"""
DAEMONS = """
{listen} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
scache unix - - n - 1 scache
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


async def postfix(house: House, mail: Mail, key: str, *, more: str = "") -> Said:
    """Its queue has the mail in any case; what became of it stands in its log. ``more`` settings of main.cf."""
    async with _running(house, key, more) as (listen, log):
        queued = await asyncio.to_thread(_hand_over, mail, listen)
        states = re.compile(rf"{queued}: to=<([^>]+)>.* status=(\w+) ")
        for _ in range(600):
            words = log.read_text()
            found = dict(states.findall(words))
            if found.keys() == set(mail.recipients):
                break
            await asyncio.sleep(0.05)
    return Said(set(found.values()) == {"sent"}, words)


def _hand_over(mail: Mail, port: int) -> str:
    """As an application does; the number in the queue."""
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as smtp:
        smtp.ehlo()
        smtp.mail(mail.sender[1], ["BODY=8BITMIME"])
        for address in mail.recipients:
            smtp.rcpt(address)
        code, words = smtp.data(mail.complete())
        assert code == 250, words
        return words.decode().rpartition(" ")[2]


@contextlib.asynccontextmanager
async def _running(house: House, key: str, more: str) -> AsyncGenerator[tuple[int, Path]]:
    """Its port and its log, as long as the context lasts."""
    master = ROOT / "usr/lib/postfix/sbin/master"
    assert master.exists(), APT.format(root=ROOT)
    with tempfile.TemporaryDirectory(prefix="postfix-") as folder:
        home, listen = Path(folder), free_port()
        _configure(home, house, key=key, listen=listen)
        with (home / "etc" / "main.cf").open("a") as settings:
            settings.write(more)
        process = await asyncio.create_subprocess_exec(
            *(master, "-c", home / "etc", "-d"),
            env={"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(ROOT / "usr/lib/postfix")},
            start_new_session=True,  # its daemons are in its group
        )
        try:
            await _answering(process, listen)
            yield listen, home / "log"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            await process.wait()


async def _answering(process: asyncio.subprocess.Process, port: int) -> None:
    for _ in range(200):
        assert process.returncode is None, APT
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.05)
    raise AssertionError("postfix did not start")


def _configure(home: Path, house: House, *, key: str, listen: int) -> None:
    home.chmod(0o755)
    for name in ("etc", "data", "queue", "queue/pid", "queue/public", "queue/private"):
        (home / name).mkdir()
    for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "saved", "trace"):
        (home / "queue" / name).mkdir(mode=0o700)
        shutil.chown(home / "queue" / name, OWNER)
    for name in ("data", "queue/public", "queue/private"):
        shutil.chown(home / name, OWNER, GROUP)
    shutil.copy(house.ca_file, home / "ca.pem")
    (home / "etc" / "main.cf").write_text(
        MAIN.format(
            home=home,
            root=ROOT,
            libraries=ROOT / "usr/lib/postfix",
            owner=OWNER,
            group=GROUP,
            port=house.ports["starttls"],
            key=key,
        )
    )
    (home / "etc" / "master.cf").write_text(DAEMONS.format(listen=f"127.0.0.1:{listen}"))
