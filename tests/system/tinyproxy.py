"""tinyproxy, a proxy for HTTPS that we did not write."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final

from tests.system.harness import free_port

APT: Final = "needs tinyproxy: apt-get install -y --no-install-recommends tinyproxy-bin"

CONFIG: Final = """
Port {port}
Listen {listen}
Timeout 60
MaxClients 50
LogFile "{log}"
LogLevel Info
{says}
"""


@contextlib.contextmanager
def tinyproxy(home: Path, *, listen: str = "127.0.0.1", says: str = "", before: Sequence[str] = ()) -> Generator[int]:
    """Run it as long as the context lasts, with these lines in its settings; the port. What it did is in ``home``/log."""
    program = shutil.which("tinyproxy", path=f"/usr/sbin:{os.environ['PATH']}")
    assert program is not None, APT
    home.mkdir(parents=True, exist_ok=True)
    port, log, settings = free_port(), home / "log", home / "tinyproxy.conf"
    settings.write_text(CONFIG.format(port=port, listen=listen, log=log, says=says))
    with (home / "words").open("wb") as words:
        process = subprocess.Popen([*before, program, "-d", "-c", str(settings)], stdout=words, stderr=words)
    try:
        deadline = time.monotonic() + 20
        while not (log.exists() and "Accepting connections" in log.read_text()):
            assert process.poll() is None, (home / "words").read_text()
            assert time.monotonic() < deadline, (home / "words").read_text()
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(20)
