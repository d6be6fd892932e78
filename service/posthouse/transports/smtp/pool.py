"""Keeps connections for the next mail: at most three of an account (FACTS B1), idle ones closed after a while."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import aiosmtplib

from posthouse.outcome import Answer, Scope, TransientFailure
from posthouse.transports.smtp.connection import Over

PER_ACCOUNT: Final = 3
"""Connections at a time that Exchange allows a mailbox (learn smtp-submission-improvements)."""

IDLE_SECONDS: Final = 30.0
SLOT_SECONDS: Final = 10.0


@dataclass(slots=True)
class _Account:
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PER_ACCOUNT))
    users: int = 0
    idle: list[tuple[aiosmtplib.SMTP, asyncio.TimerHandle]] = field(default_factory=list)


class Pool:
    """Idle connections by account, and the slots of each account."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}

    @asynccontextmanager
    async def slot(self, account: str) -> AsyncGenerator[None]:
        """One of the account's slots; raises Over where none becomes free in time."""
        entry = self._accounts.setdefault(account, _Account())
        entry.users += 1
        try:
            try:
                async with asyncio.timeout(SLOT_SECONDS):
                    await entry.slots.acquire()
            except TimeoutError as error:
                raise Over(_no_slot()) from error
            try:
                yield
            finally:
                entry.slots.release()
        finally:
            entry.users -= 1
            self._forget(account)

    def take(self, account: str) -> aiosmtplib.SMTP | None:
        """The connection that was used last and still stands."""
        entry = self._accounts.get(account)
        while entry is not None and entry.idle:
            client, timer = entry.idle.pop()
            timer.cancel()
            if client.is_connected:
                return client
        return None

    def keep(self, account: str, client: aiosmtplib.SMTP) -> None:
        """Keep a connection on which nothing is open; only within one of the account's slots."""
        timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._expire, account, client)
        self._accounts[account].idle.append((client, timer))

    def close(self) -> None:
        """Close all idle connections."""
        for account, entry in list(self._accounts.items()):
            for client, timer in entry.idle:
                timer.cancel()
                leave(client)
            entry.idle.clear()
            self._forget(account)

    def _expire(self, account: str, client: aiosmtplib.SMTP) -> None:
        entry = self._accounts[account]
        entry.idle = [pair for pair in entry.idle if pair[0] is not client]
        leave(client)
        self._forget(account)

    def _forget(self, account: str) -> None:
        entry = self._accounts.get(account)
        if entry is not None and not entry.users and not entry.idle:
            del self._accounts[account]


def leave(client: aiosmtplib.SMTP) -> None:
    """Say QUIT without waiting for the answer, and close."""
    if client.protocol is not None and client.is_connected:
        client.protocol.write(b"QUIT\r\n")
    client.close()


def _no_slot() -> TransientFailure:
    text = f"all {PER_ACCOUNT} connections of the account are in use"
    return TransientFailure(
        scope=Scope.MAILBOX, answer=Answer(status="4.3.2", text=text, code="no_slot", fix="smtp.connections")
    )
