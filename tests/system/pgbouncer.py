"""PgBouncer in transaction mode between the program and PostgreSQL; a pooler that we did not write."""

import asyncio
import os
import shutil
import signal
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.postgres import NOBODY, Server
from tests.system.harness import free_port

APT: Final = "pgbouncer is missing: apt-get install pgbouncer"

CONFIG: Final = """
[databases]
* = host=127.0.0.1 port={server_port} user=posthouse

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
logfile =
pidfile =
"""


class PgBouncer:
    """Runs as long as the context lasts; ``dsn`` is the way through it to a database."""

    def __init__(self, server: Server) -> None:
        self._server = server
        # a folder of its own: PgBouncer refuses to be root, and its user may not enter pytest's
        self._folder = tempfile.TemporaryDirectory(prefix="pgbouncer-")
        self.home = Path(self._folder.name)
        self._process: asyncio.subprocess.Process | None = None
        self.port = free_port()

    def dsn(self, database: str) -> str:
        """The same database of the server, through the pooler."""
        return f"postgresql://posthouse@127.0.0.1:{self.port}/{database.rpartition('/')[2]}"

    async def __aenter__(self) -> Self:
        program = shutil.which("pgbouncer", path="/usr/sbin:" + os.environ["PATH"])
        assert program is not None, APT
        self.home.chmod(0o755)
        config = self.home / "pgbouncer.ini"
        config.write_text(CONFIG.format(port=self.port, server_port=self._server.port))
        user = NOBODY if os.geteuid() == 0 else None
        with (self.home / "log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                program, str(config), stdout=log, stderr=log, user=user, group=user
            )
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                assert self._process.returncode is None, (self.home / "log").read_text()
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return self
        raise AssertionError((self.home / "log").read_text())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGINT)
            await asyncio.wait_for(self._process.wait(), 10)
        self._folder.cleanup()
