"""Puts files beside a spool whole or not at all: a temporary name, a sync, then the name that counts."""

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path


def place_whole(target: Path, data: bytes) -> None:
    """Write a file that only its owner can read; after this returns it survives power loss."""

    def write(part: Path) -> None:
        part.write_bytes(data)

    place(target, write)


def place(target: Path, make: Callable[[Path], None]) -> None:
    """Let ``make`` fill a new empty file of mode 0600, then give it its name; raises OSError and leaves no half file."""
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(target.parent))
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        make(part)
        sync(part)
        part.rename(target)
        sync(target.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """What lies in a file, or the names in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
