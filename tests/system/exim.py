"""A real Exim 4 as SMTP submission: STARTTLS, AUTH LOGIN, every accepted mail into a file of its own."""

import asyncio
import os
import shutil
import signal
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme

from tests.system.harness import free_port

USER = "Debian-exim"
APT = "needs Exim: apt-get install -y --no-install-recommends exim4-daemon-heavy"
CONFIG = """
primary_hostname = relay.contoso.example
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
exim_user = {user}
exim_group = {user}
never_users =
spool_directory = {home}/spool
log_file_path = {home}/log-%s
pid_file_path = {home}/exim.pid
tls_advertise_hosts = *
tls_certificate = {home}/server.pem
tls_privatekey = {home}/server.key
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}
acl_smtp_mail = check_mail
acl_smtp_rcpt = check_rcpt
acl_smtp_data = accept
keep_environment =
qualify_domain = contoso.example
message_size_limit = 35M
smtp_accept_max = 200
smtp_accept_queue_per_connection = 0
remote_max_parallel = 1

begin acl
check_mail:
  deny !authenticated = *
       message = 5.7.57 Client not authenticated to send mail
  accept
check_rcpt:
  accept

begin routers
all:
  driver = accept
  transport = keep

begin transports
keep:
  driver = appendfile
  directory = {home}/mail
  maildir_format
  create_directory
  delivery_date_add
  envelope_to_add
  user = {user}
  group = {user}

begin retry
*  *  F,2h,15m

begin authenticators
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${{if and{{{{eq{{$auth1}}{{{username}}}}}{{eq{{$auth2}}{{{password}}}}}}}}}
  server_set_id = $auth1
  server_advertise_condition = ${{if eq{{$tls_in_cipher}}{{}}{{no}}{{yes}}}}
"""


class Exim:
    """Runs as long as the context lasts."""

    def __init__(self, *, username: str, password: str) -> None:
        # a folder of its own: Exim's user may not enter pytest's
        self._folder = tempfile.TemporaryDirectory(prefix="exim-")
        self.home = Path(self._folder.name)
        self.port = free_port()
        self.ca_file = self.home / "ca.pem"
        # a file and no pipe: the children that serve idle connections would keep a pipe open
        self._words = self.home / "stderr"
        self._login = (username, password)
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        program = shutil.which("exim4", path="/usr/sbin:" + os.environ["PATH"])
        assert program is not None, APT
        self.home.chmod(0o755)
        ca = trustme.CA()
        ca.cert_pem.write_to_path(self.ca_file)
        issued = ca.issue_cert("localhost", "127.0.0.1")
        issued.private_key_pem.write_to_path(self.home / "server.key")
        (self.home / "server.pem").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        username, password = self._login
        for folder in ("spool", "mail"):
            (self.home / folder).mkdir()
            shutil.chown(self.home / folder, USER)
        shutil.chown(self.home, USER)
        shutil.chown(self.home / "server.key", USER)
        config = self.home / "exim.conf"
        config.write_text(
            CONFIG.format(port=self.port, home=self.home, user=USER, username=username, password=password)
        )
        with self._words.open("wb") as words:
            self._process = await asyncio.create_subprocess_exec(
                program, "-C", str(config), "-bdf", "-q1h", stderr=words
            )
        await self._answering()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(self._process.wait(), 10)
        self._folder.cleanup()

    @property
    def mails(self) -> list[bytes]:
        """What was delivered."""
        return [path.read_bytes() for path in sorted((self.home / "mail" / "new").glob("*"))]

    async def delivered(self, count: int) -> list[bytes]:
        """What was delivered, once it is ``count`` copies, one a recipient: Exim accepts first and delivers then."""
        for _ in range(300):
            if len(self.mails) >= count:
                break
            await asyncio.sleep(0.1)
        return self.mails

    async def _answering(self) -> None:
        assert self._process is not None
        for _ in range(200):
            if self._process.returncode is not None:
                break
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return
        raise AssertionError(f"exim did not start: {self._words.read_text()}")
