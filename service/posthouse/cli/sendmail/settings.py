"""Where ``sendmail`` submits and what it changes on the way: environment, else /etc/posthouse/sendmail.toml."""

import os
import re
import socket
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from posthouse.cli.sendmail.sysexits import Ended, Exit
from posthouse.settings.problems import nearest
from posthouse.settings.secret import Secret, SecretError

FILE: Final = Path("/etc/posthouse/sendmail.toml")
"""Where the file is unless POSTHOUSE_SENDMAIL names another."""

_MAILNAME: Final = Path("/etc/mailname")
_NAMES: Final = ("url", "key", "domain", "rewrite_from", "aliases")
_ADDRESS: Final = re.compile(r"[^\s@<>,;:\"()]+@[^\s@<>,;:\"()]+")
_LOCAL: Final = re.compile(r"[^\s@<>,;:\"()]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class SendmailSettings:
    """``domain`` completes addresses that have none, ``aliases`` replaces such recipients, ``rewrite_from`` every From."""

    url: str
    key: str = field(repr=False)
    domain: str = ""
    rewrite_from: str = ""
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def completed(self, address: str) -> str:
        """The address with a domain: its own, else the one of the settings, else this machine's."""
        return address if "@" in address else f"{address}@{self.domain or _own_domain()}"


def load(environ: Mapping[str, str]) -> SendmailSettings:
    """The settings; raises Ended(CONFIG) naming the file and the rule."""
    named = environ.get("POSTHOUSE_SENDMAIL")
    path = Path(named) if named else FILE
    table = _table(path, needed=bool(named) or not environ.get("POSTHOUSE_URL"))
    url = environ.get("POSTHOUSE_URL") or _text(table, "url", path)
    reference = environ.get("POSTHOUSE_KEY") or _text(table, "key", path)
    if not url or not reference:
        missing = "key" if url else "url"
        raise Ended(Exit.CONFIG, f"{missing} is missing: in {path}, or as POSTHOUSE_{missing.upper()}")
    try:
        key = Secret(reference, environ).read()
    except SecretError as error:
        raise Ended(Exit.CONFIG, f"the key cannot be read: {error}") from None
    rewrite_from = _text(table, "rewrite_from", path)
    if rewrite_from and not _ADDRESS.fullmatch(rewrite_from):
        raise _wrong(path, "rewrite_from", "it is an address, or is left out")
    return SendmailSettings(
        url=url.rstrip("/"),
        key=key,
        domain=_text(table, "domain", path),
        rewrite_from=rewrite_from,
        aliases=_aliases(table.get("aliases", {}), path),
    )


def _table(path: Path, *, needed: bool) -> Mapping[str, object]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        if not needed and isinstance(error, FileNotFoundError):
            return {}
        raise Ended(Exit.CONFIG, f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Ended(Exit.CONFIG, f"{path} is no TOML: {error}") from None
    for name in table:
        if name not in _NAMES:
            raise _wrong(path, name, f"there is no such setting ({nearest(name, _NAMES)})")
    return table


def _text(table: Mapping[str, object], name: str, path: Path) -> str:
    value = table.get(name, "")
    if not isinstance(value, str):
        raise _wrong(path, name, "it is text")
    return value


def _aliases(value: object, path: Path) -> Mapping[str, tuple[str, ...]]:
    """By local part in lower case: one address or several, with or without a domain."""
    if not isinstance(value, dict):
        raise _wrong(path, "aliases", "it is a table")
    found: dict[str, tuple[str, ...]] = {}
    for name, target in value.items():
        targets = (target,) if isinstance(target, str) else tuple(target) if isinstance(target, list) else ()
        if not targets or not all(isinstance(one, str) and (_ADDRESS.fullmatch(one)) for one in targets):
            raise _wrong(path, f"aliases.{name}", "an alias is one address or a list of them")
        if not _LOCAL.fullmatch(name):
            raise _wrong(path, f"aliases.{name}", "a name here has no domain")
        found[name.lower()] = targets
    return found


def _wrong(path: Path, name: str, rule: str) -> Ended:
    return Ended(Exit.CONFIG, f"{path}: {name}: {rule}")


def _own_domain() -> str:
    """What this machine's mail is from, as Debian says it, else its full name."""
    try:
        name = _MAILNAME.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        name = ""
    return name or socket.getfqdn()


def user_name() -> str:
    """Who calls."""
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user, in a container: KeyError before Python 3.13
        return f"uid{os.getuid()}"
