"""Opens a spool's file in the right order: look, refuse or migrate, unlock; only then is anything written."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import apsw

from posthouse.message import Millis
from posthouse.spool.refused import SpoolRefusedError
from posthouse.spool.sealing import Keyring, Secrets
from posthouse.spool.sqlite import contents
from posthouse.spool.sqlite.database import Database, load_verbs, open_reader, open_writer
from posthouse.spool.sqlite.guard import Lock, refuse_network
from posthouse.spool.sqlite.health import damaged, refuse_damaged
from posthouse.spool.sqlite.restoring import MOVED_AT
from posthouse.spool.sqlite.schema import FACTS_SINCE, check_file, migrate, schema_of
from posthouse.spool.sqlite.unlocking import refuse_locked, unlock

READERS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What ``open_file`` found and made; ``unchecked``: it is too large to be looked through before the start."""

    path: Path
    owner: str
    lock: Lock
    keyring: Keyring
    unchecked: bool
    writer: Database
    readers: tuple[Database, ...]
    worker: int
    last_key: int


def make_room(path: Path, *, create: bool) -> None:
    """The folder of the spool; raises SpoolRefusedError."""
    if not create and not path.exists():
        raise SpoolRefusedError(f"there is no spool at {path}; `posthouse serve` or `posthouse keys create` makes one.")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    refuse_network(path.parent)


def open_file(path: Path, owner: str, *, secrets: Secrets, now: Millis, lock: Lock, moved: bool = False) -> Opened:
    """The connections of this process; raises SpoolRefusedError and leaves a file that it refuses as it was.

    ``moved``: also a spool whose place another took.
    """
    verbs = load_verbs()
    unchecked = path.exists() and bool(path.stat().st_size) and _inspect(path, verbs, secrets, moved=moved)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)  # the log and the index beside it get the same mode
    writer = open_writer(path, verbs)
    try:
        migrate(writer)
        keyring = unlock(writer, path, secrets, now=now)
        contents.drop_lost(writer)
        boot = {"owner": owner, "host": platform.node(), "version": version("posthouse"), "at": now}
        return Opened(
            path=path,
            owner=owner,
            lock=lock,
            keyring=keyring,
            unchecked=unchecked,
            writer=writer,
            readers=tuple(open_reader(path, verbs) for _ in range(READERS)),
            worker=writer.number("boot", boot) or 0,
            last_key=writer.number("last_key", {}) or 0,
        )
    except BaseException:
        writer.connection.close()
        raise


def stands(path: Path) -> int:
    """The schema of a spool that is there; raises SpoolRefusedError."""
    make_room(path, create=False)
    db = open_reader(path, load_verbs())
    try:
        check_file(db, path)
        return schema_of(db)
    except (apsw.NotADBError, apsw.CorruptError) as fault:
        raise SpoolRefusedError(f"{path} cannot be read: {fault}") from fault
    finally:
        db.connection.close()


def refuse_moved(db: Database, path: Path) -> None:
    """Raise SpoolRefusedError where another spool goes on with this one's messages."""
    if db.number("fact", {"name": MOVED_AT}) is not None:
        raise SpoolRefusedError(
            f"the spool {path} was moved to PostgreSQL, or such a move was broken off. To finish it, run `posthouse spool "
            "copy` again; to go back to this file, run `posthouse spool restored`: what the other may have sent since is "
            "then looked for first."
        )


def _inspect(path: Path, verbs: Mapping[str, str], secrets: Secrets, *, moved: bool) -> bool:
    """Look through a file that is there, by a connection that cannot write; whether it is too large to look at all."""
    try:
        db = open_reader(path, verbs)
        try:
            check_file(db, path)
            unchecked = refuse_damaged(db, path)
            if schema_of(db) >= FACTS_SINCE:
                if not moved:
                    refuse_moved(db, path)
                refuse_locked(db, path, secrets)
            return unchecked
        finally:
            db.connection.close()
    except apsw.NotADBError:
        raise SpoolRefusedError(f"{path} is not a spool of posthouse, nor any SQLite database.") from None
    except apsw.CorruptError as fault:
        raise SpoolRefusedError(damaged(path, str(fault)), fix="spool.damaged") from fault
