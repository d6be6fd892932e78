"""What to change in a program so that it sends through posthouse: a text for each, with the operator's own values."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

SYSTEM_CA: Final = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian keeps the authorities that it trusts."""

_FOLDER: Final = files("posthouse.cli.migrate") / "recipes"
_ONLY: Final = re.compile(r"\?([a-z,-]+)\?")
_ENCRYPTIONS: Final = frozenset({"starttls", "tls", "none"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What stands in the place of each mark; ``ca_file`` None: the machine's own authorities."""

    host: str
    port: int
    encryption: str
    user: str
    password: str
    sender: str
    ca_file: str | None

    def marks(self) -> Mapping[str, str]:
        """By mark."""
        return {
            "@HOST@": self.host,
            "@PORT@": str(self.port),
            "@USER@": self.user,
            "@PASSWORD@": self.password,
            "@FROM@": self.sender,
            "@DOMAIN@": self.sender.rpartition("@")[2],
            "@CA@": self.ca_file or SYSTEM_CA,
        }


def titles() -> dict[str, str]:
    """What there is, each with its first line."""
    texts = ((one.name.removesuffix(".txt"), one.read_text(encoding="utf-8")) for one in _FOLDER.iterdir())
    return {name: text.partition("\n")[0] for name, text in sorted(texts)}


def recipe(name: str, values: Values) -> str:
    """The text of one of ``titles`` with these values in it."""
    text = (_FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    marks = values.marks()
    pattern = re.compile("|".join(map(re.escape, marks)))
    return "".join(pattern.sub(lambda mark: marks[mark[0]], line) for line in _lines(text, values))


def _lines(text: str, values: Values) -> Iterator[str]:
    """Lines that hold for these values: ``?starttls,tls?`` before one says for which."""
    true = {values.encryption, "system-ca" if values.ca_file is None else "own-ca"}
    for line in text.splitlines(keepends=True):
        found = _ONLY.match(line)
        wanted = set(found[1].split(",")) if found else set()
        ways, others = wanted & _ENCRYPTIONS, wanted - _ENCRYPTIONS
        if (not ways or ways & true) and others <= true:
            yield line[found.end() :] if found else line
