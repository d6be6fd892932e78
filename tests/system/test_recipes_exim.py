"""The recipe for Exim, followed to the letter with Debian's Exim: mail of the machine arrives through posthouse."""

import asyncio
import email
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.system.exim import APT
from tests.system.following import SENDER, opened

pytestmark = pytest.mark.apt

# Exim's own folders are other ones for this process alone: it finds the printed file where the recipe puts it.
ALONE = """
mount --bind "$1/etc" /etc/exim4 && mount --bind "$1/spool" /var/spool/exim4 && mount --bind "$1/log" /var/log/exim4
{commands}
exec "$2" -odf -i you@contoso.com
"""


async def test_exim_with_the_printed_configuration_hands_its_mail_over(launch, emulator, tmp_path):
    program = shutil.which("exim4", path="/usr/sbin:" + os.environ["PATH"])
    assert program is not None, APT
    door = await opened(launch, tmp_path)
    printed = await replace(door, ca_file=Path("/etc/exim4/ca.pem")).recipe("exim")
    folder = await asyncio.to_thread(prepared, printed.files, door.ca_file)
    try:
        commands = "\n".join(line for line in printed.commands if line.startswith(("chown", "chmod")))
        process = await asyncio.create_subprocess_exec(
            *("unshare", "--mount", "sh", "-ec", ALONE.format(commands=commands), "sh", folder, program),
            stdin=asyncio.subprocess.PIPE,
        )
        await asyncio.wait_for(process.communicate(b"Subject: from exim\n\nhello\n"), 30)
        assert process.returncode == 0
        ids = [message["id"] for message in (await door.service.http.get("/v1/messages")).json()["data"]]
        assert len(ids) == 1, (folder / "log" / "mainlog").read_text()
        await door.service.until(ids)
    finally:
        shutil.rmtree(folder)
    (arrived,) = emulator.world.received
    assert (arrived.sender, arrived.recipients, arrived.subject) == (SENDER, ("you@contoso.com",), "from exim")
    assert SENDER in email.message_from_bytes(arrived.mime)["From"]


def prepared(files: dict[str, str], ca_file: Path) -> Path:
    """Exim's folders, with what the recipe prints; not below pytest's, which Exim's user may not enter."""
    folder = Path(tempfile.mkdtemp(prefix="exim-recipe-"))
    folder.chmod(0o755)
    for name in ("etc", "spool", "log"):
        (folder / name).mkdir()
        shutil.chown(folder / name, "Debian-exim", "Debian-exim")
    for path, text in files.items():
        (folder / "etc" / Path(path).name).write_text(text)
    shutil.copy(ca_file, folder / "etc" / "ca.pem")
    (folder / "etc" / "ca.pem").chmod(0o644)
    return folder
