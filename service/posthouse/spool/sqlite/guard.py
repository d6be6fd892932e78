"""Keeps a second process and network file systems away from a spool, because SQLite's promises end there.

SQLite's log needs one machine's shared memory and honest locks (sqlite.org/wal.html, "all processes on the same host";
sqlite.org/howtocorrupt.html §2.1): a network file system gives neither.
"""

import asyncio
import errno
import fcntl
import os
import re
from pathlib import Path
from typing import Final

from posthouse.ports import Clock
from posthouse.spool.refused import SpoolRefusedError

_POLL: Final = 0.05
_NETWORK: Final = frozenset(
    [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "pvfs2",
        "smb2",
        "smb3",
        "smbfs",
        "vboxsf",
        "vmhgfs",
    ]
)
_NETWORK_FUSE: Final = frozenset(
    [
        "beegfs",
        "blobfuse",
        "blobfuse2",
        "ceph-fuse",
        "ceph",
        "cifs",
        "cvmfs2",
        "davfs",
        "davfs2",
        "gcsfuse",
        "glusterfs",
        "goofys",
        "grpcfuse",
        "juicefs",
        "mount-s3",
        "rclone",
        "s3fs",
        "seaweedfs",
        "smbnetfs",
        "sshfs",
        "vmhgfs-fuse",
    ]
)
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


class Lock:
    """An operating system's lock on a file beside the spool, held until ``release`` or the process's end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Let another process in; idempotent. The file stays, so that nobody locks a deleted one."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


async def lock_spool(path: Path, *, owner: str, clock: Clock, wait: float) -> Lock:
    """Lock the spool for this process, waiting up to ``wait`` seconds; raises SpoolRefusedError naming the holder."""
    file = path.with_name(path.name + ".lock")
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    end = clock.monotonic() + wait
    while not _try_lock(descriptor):
        if clock.monotonic() >= end:
            holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip() or "an unknown process"
            os.close(descriptor)
            raise SpoolRefusedError(
                f"another process has the spool {path} open: {holder}. One process may serve a SQLite spool: stop that "
                "one, or speak to it by its socket or POSTHOUSE_URL.",
                fix="spool.locked",
            )
        await asyncio.sleep(_POLL)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"pid {os.getpid()}, {owner}\n".encode(), 0)
    return Lock(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        if fault.errno in {errno.EWOULDBLOCK, errno.EACCES}:
            return False
        raise
    return True


def refuse_network(folder: Path) -> None:
    """Raise SpoolRefusedError where ``folder`` lies on a file system that is known as a network's."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "replace")
    except OSError:
        return  # not Linux, or no /proc: nothing is known against it
    kind = network_file_system(folder.resolve(), mounts)
    if kind is not None:
        raise SpoolRefusedError(
            f"the folder {folder} lies on a network file system ({kind}), where SQLite can lose mail. Put the spool on "
            "a local disk, or use a postgresql:// spool.",
            fix="spool.network_disk",
        )


def network_file_system(folder: Path, mounts: str) -> str | None:
    """The kind of network file system that holds ``folder`` by proc(5)'s mountinfo; None where it is another kind."""
    best, found = -1, ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:  # noqa: PLR2004 - the fifth field of proc_pid_mountinfo(5) is the mount point
            continue
        point = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[4]))
        # of two mounts on one point the later one lies on top
        if folder.is_relative_to(point) and len(point.parts) >= best:
            best, found = len(point.parts), after.split()[0]
    kind, _, subtype = found.partition(".")
    if kind in {"fuse", "fuseblk"}:
        return found if subtype in _NETWORK_FUSE else None
    return found if kind in _NETWORK else None
