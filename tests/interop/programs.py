"""What the table of programs is made of: how each sends, and what its user reads when it may not."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from posthouse.clients.keys import key_id_of
from tests.interop.house import House
from tests.interop.mail import Mail

HERE = Path(__file__).parent
POLICY = "client 'shop' may send as shop@contoso.example, not as ceo@fabrikam.example"
"""Why a foreign sender is refused, whatever door says it."""


class Replay(Enum):
    """What becomes of a mail that a program sends a second time."""

    SAME = auto()
    """It says the same key and the same mail: answered as the first time, one arrives."""
    ANEW = auto()
    """It says the same key, but writes the mail anew, with another boundary: the door cannot know it, one arrives."""
    UNNAMED = auto()
    """It has no way to say a key: each try is a mail of its own."""


@dataclass(frozen=True, slots=True)
class Said:
    """Whether the program took the mail for sent, and what it told its user."""

    sent: bool
    words: str


Send = Callable[[House, Mail, str], Awaitable[Said]]
"""Sends a mail with a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program, and the words in which its user learns of a wrong key and of a sender that policy refuses."""

    name: str
    send: Send
    wrong_key: tuple[str, ...]
    refused: tuple[str, ...]
    replay: Replay = Replay.SAME
    both: bool = True
    """Whether it has a place for text beside html."""
    apt: bool = False
    """Whether it is one of Debian's packages."""


async def run(house: House, *command: str | Path, given: bytes = b"", **environment: str) -> Said:
    """A program as its user starts it, with something to read."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=house.environment | environment,
        cwd=house.home,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(given), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Said(process.returncode == 0, out.decode(errors="replace"))


def script(*command: str | Path, **environment: str) -> Send:
    """A few lines of ours around a library: they read the order as JSON, fail with the library's own error."""

    async def send(house: House, mail: Mail, key: str) -> Said:
        order = {
            "mail": mail.as_json(),
            "complete": mail.complete().decode(),
            "recipients": mail.recipients,
            "url": house.url,
            "host": "localhost",
            "ports": house.ports,
            "key": key,
            "client_id": key_id_of(key),
        }
        return await run(house, *command, given=json.dumps(order).encode(), **environment)

    return send
