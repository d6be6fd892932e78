"""A secret value of the settings, or the place where it lies; imports nothing heavy, because ``sendmail`` reads one too."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

MASK: Final = "***"


class SecretError(Exception):
    """A secret cannot be read now; says where it should be, never what it is."""


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A secret value, or where it lies (``env:NAME``, ``file:PATH``); its repr shows the place and never the value."""

    reference: str
    environ: Mapping[str, str] = field(default_factory=dict, compare=False)

    def read(self) -> str:
        """The value as it is now, read again each time; without the line end of a file.

        Raises:
            SecretError: the variable is not set, the file cannot be read, or the value is empty.
        """
        kind, _, place = self.reference.partition(":")
        if kind == "env":
            value = self.environ.get(place, "")
        elif kind == "file":
            value = _read(Path(place))
        else:
            value = self.reference
        if not value:
            raise SecretError(f"{self.shown} is empty or not set")
        return value

    @property
    def shown(self) -> str:
        """The place, or a mask where the value itself stands in the settings."""
        return self.reference if self.reference.startswith(("env:", "file:")) else MASK

    def __repr__(self) -> str:
        """Without the value."""
        return f"Secret({self.shown})"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise SecretError(f"file:{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SecretError(f"file:{path} is not text in UTF-8") from error
