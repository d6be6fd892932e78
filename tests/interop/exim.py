"""Exim as an application's machine has it: it takes the mail from a program and relays it to its smart host, the SMTP door."""

import getpass
import os
import shutil
import tempfile
from pathlib import Path

from tests.interop.house import House
from tests.interop.mail import Mail
from tests.interop.programs import Said, run
from tests.system.exim import APT, USER

CONFIG = """
primary_hostname = app.contoso.example
exim_user = {user}
exim_group = {group}
never_users =
spool_directory = {home}/spool
log_file_path = {home}/%slog
deliver_drop_privilege = true
keep_environment =

begin routers
smarthost:
  driver = manualroute
  transport = posthouse
  route_list = * localhost::{port} byname
  self = send

begin transports
posthouse:
  driver = smtp
  hosts_require_tls = *
  hosts_require_auth = *
  tls_verify_certificates = {home}/ca.pem
  tls_verify_hosts = *

begin retry
*  *  F,2h,15m

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  client_send = ^anything^{key}
"""


async def exim(house: House, mail: Mail, key: str) -> Said:
    """Its queue has the mail in any case; what became of it stands in its log."""
    program = shutil.which("exim4", path="/usr/sbin:" + os.environ["PATH"])
    assert program is not None, APT
    # a folder of its own: Exim's user may not enter pytest's
    with tempfile.TemporaryDirectory(prefix="exim-client-") as folder:
        home = Path(folder)
        config = _configured(home, house, key)
        relayed = await run(
            house,
            *(program, "-C", config, "-odf", "-oi", "-f", mail.sender[1], "--", *mail.recipients),
            given=mail.complete().replace(b"\r\n", b"\n"),
        )
        log = (home / "mainlog").read_text()
    delivered = relayed.sent and all(f"> {address} " in log for address in mail.recipients)
    return Said(delivered, relayed.words + log)


def _configured(home: Path, house: House, key: str) -> Path:
    root = os.geteuid() == 0
    user = USER if root else getpass.getuser()
    home.chmod(0o755)
    (home / "spool").mkdir()
    shutil.copy(house.ca_file, home / "ca.pem")
    config = home / "exim.conf"
    config.write_text(
        CONFIG.format(home=home, user=user, group=user if root else home.group(), port=house.ports["starttls"], key=key)
    )
    if root:
        shutil.chown(home, user)
        shutil.chown(home / "spool", user)
    return config
