"""Finds the master of a spool, makes it with a new one, and refuses a spool whose contents it cannot open (PROMISES §9)."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

from posthouse.message import Millis
from posthouse.spool.refused import SpoolRefusedError
from posthouse.spool.sealing import Keyring, Secrets, new_master
from posthouse.spool.sqlite.database import Database
from posthouse.spool.sqlite.files import place_whole

SHORTEST: Final = 32
"""Characters that a master has at least: it is no password, nothing stretches it (RFC 5869 §4)."""


def beside(path: Path) -> Path:
    """Where the master of a spool lies that was made with it."""
    return path.with_name(path.name + ".master")


def refuse_locked(db: Database, path: Path, secrets: Secrets) -> None:
    """Raise SpoolRefusedError where a content depends on a master that is not at hand; by reading alone."""
    known = key_ids(db)
    keyring = at_hand(path, secrets)
    if keyring is None and known:
        raise SpoolRefusedError(_missing(path, known), fix="spool.master")
    if keyring is not None:
        lost = [name for name in known if name not in keyring.key_ids and db.row("sealed_under", {"key_id": name})]
        if lost:
            raise SpoolRefusedError(_strange(path, lost, keyring), fix="spool.master")


def unlock(db: Database, path: Path, secrets: Secrets, *, now: Millis) -> Keyring:
    """The keyring of a spool that ``refuse_locked`` let pass; a master is made only where the spool never knew one."""
    keyring = at_hand(path, secrets)
    if keyring is None:
        master = new_master()
        place_whole(beside(path), f"{master}\n".encode())
        keyring = Keyring(master, seal=secrets.seal)
    known = set(key_ids(db))
    for name in known - keyring.key_ids:  # nothing depends on it any more
        db.run("forget_master", {"key_id": name})
    if keyring.seals and keyring.key_id not in known:
        db.run("add_master", {"key_id": keyring.key_id, "at": now})
    return keyring


def at_hand(path: Path, secrets: Secrets) -> Keyring | None:
    """The keyring of the masters that are there, of which the one beside the spool is the last; None without any."""
    master = secrets.master or kept(path)
    return None if master is None else Keyring(master, previous=secrets.previous, seal=secrets.seal)


def key_ids(db: Database) -> Sequence[str]:
    """The key ids of the masters that contents may depend on, the earliest first."""
    return [cast("str", row[0]) for row in db.rows("masters", {})]


def kept(path: Path) -> str | None:
    """The master that lies beside the spool; None where there is none; raises SpoolRefusedError where it is broken."""
    place = beside(path)
    try:
        text = place.read_text("ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as fault:
        raise SpoolRefusedError(f"the spool's master {place} cannot be read: {fault}", fix="spool.master") from fault
    if len(text) < SHORTEST:
        raise SpoolRefusedError(f"the spool's master {place} is cut short: put the whole one back.", fix="spool.master")
    with contextlib.suppress(OSError):  # read-only, or another's: reading is what counts
        place.chmod(0o600)
    return text


def _strange(path: Path, lost: Sequence[str], keyring: Keyring) -> str:
    return (
        f"the contents of {path} are sealed under the master with the key id {', '.join(lost)}; the one given has "
        f"{keyring.key_id}. Nothing was changed. Give the master that belongs to this spool as [secrets] master, or in "
        "[secrets] previous where you are rotating it."
    )


def _missing(path: Path, known: Sequence[str]) -> str:
    return (
        f"the contents of {path} are sealed under the master with the key id {', '.join(known)}, and there is none: "
        f"{beside(path)} is gone and [secrets] master is not set. Put the master back there (mode 0600), or set "
        "[secrets] master to where you keep it. A new one is never made for an old spool: it could open nothing."
    )
