"""Large messages: a file that is made while it is sent, and how much memory a process needed meanwhile."""

import hashlib
import json
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

BLOCK = 65_536
_BOUNDARY = "a-boundary-of-the-client"


class File:
    """Random bytes from a seed; never in memory as a whole."""

    def __init__(self, size: int, *, seed: int) -> None:
        self.size = size
        self._seed = seed

    def blocks(self) -> Iterator[bytes]:
        chance = random.Random(self._seed)
        for at in range(0, self.size, BLOCK):
            yield chance.randbytes(min(BLOCK, self.size - at))

    def digest(self) -> str:
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        return digest.hexdigest()


async def form(message: dict[str, object], files: dict[str, File]) -> AsyncIterator[bytes]:
    """The message and its files as multipart/form-data."""
    yield _head("message") + json.dumps(message).encode()
    for name, file in files.items():
        yield b"\r\n" + _head(name)
        for block in file.blocks():
            yield block
    yield f"\r\n--{_BOUNDARY}--\r\n".encode()


CONTENT_TYPE = f"multipart/form-data; boundary={_BOUNDARY}"


def _head(name: str) -> bytes:
    return f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()


def forget_peak(pid: int) -> None:
    """From now on the peak counts anew (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def resident(pid: int, name: str) -> int:
    """VmRSS or VmHWM of a process, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(name)
