"""What contents are sealed with, as the settings say; imports nothing heavy, so that a look at the spool stays quick."""

from posthouse.settings.model import Settings
from posthouse.spool.sealing import Secrets


def secrets_of(settings: Settings) -> Secrets:
    """The masters as they are now; raises SecretError where a file vanished since the settings were checked."""
    secrets = settings.secrets
    return Secrets(
        master=None if secrets.master is None else secrets.master.read().strip(),
        previous=tuple(one.read().strip() for one in secrets.previous),
        seal=settings.spool.encrypt_content,
    )
