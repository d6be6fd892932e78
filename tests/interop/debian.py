"""Programs of Debian that send a complete message: swaks and msmtp, as a person or a cron job calls them."""

import shutil

from tests.interop.house import House
from tests.interop.mail import Mail
from tests.interop.programs import HERE, Said, run, script

APT = (
    "needs Debian's packages: apt-get install -y --no-install-recommends "
    "swaks libnet-ssleay-perl msmtp php-cli libphp-phpmailer"
)


async def swaks(house: House, mail: Mail, key: str) -> Said:
    """As its manual page shows it."""
    return await run(
        house,
        *(_found("swaks"), "--server", "localhost", "--port", str(house.ports["starttls"])),
        *("--tls", "--tls-verify", "--tls-ca-path", house.ca_file),
        *("--auth", "LOGIN", "--auth-user", "anything", "--auth-password", key),
        *("--from", mail.sender[1], "--to", ",".join(mail.recipients), "--data", "-"),
        given=mail.complete(),
    )


async def msmtp(house: House, mail: Mail, key: str) -> Said:
    """In place of sendmail, with a file of settings that only its user reads."""
    settings = house.home / f"{mail.tag}.msmtprc"
    settings.touch(mode=0o600)
    settings.write_text(
        f"account default\nhost localhost\nport {house.ports['implicit']}\nauth on\nuser anything\npassword {key}\n"
        f"tls on\ntls_starttls off\ntls_trust_file {house.ca_file}\n"
    )
    return await run(
        house,
        *(_found("msmtp"), f"--file={settings}", f"--from={mail.sender[1]}", "--", *mail.recipients),
        given=mail.complete().replace(b"\r\n", b"\n"),
    )


async def phpmailer(house: House, mail: Mail, key: str) -> Said:
    """A few lines of PHP around it."""
    return await script(_found("php"), HERE / "php" / "phpmailer.php")(house, mail, key)


def _found(program: str) -> str:
    found = shutil.which(program)
    assert found is not None, APT
    return found
