"""Looks whether something is wrong or will be soon, and tells whoever the settings name; the log hears it always.

An alert is told when it begins, when it gets worse and when it has ended, by one of all processes. Where the spool
cannot be written, the webhook is told without it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Final

from posthouse.alerts.letters import Letters
from posthouse.alerts.standing import Seen, Thresholds, alerts, summary
from posthouse.alerts.webhook import Webhook
from posthouse.alerts.words import SUMMARY, TEST, Telling, telling
from posthouse.message import Millis
from posthouse.ports import Clock, Diagnosis, Spool, SpoolUnavailableError
from posthouse.records import Alert, AlertRow
from posthouse.telemetry import ALERT_ENDED, ALERT_RAISED, ALERT_UNTOLD, log

EVERY: Final = 30.0
LASTS: Final[Millis] = 600_000
"""How long nobody must see an alert until it has ended: what comes and goes is one alert."""
_UNSPOOLED: Final = "spool.unwritable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """Who is told, beside the log."""

    webhook: Webhook | None = None
    letters: Letters | None = None
    summary_at: time | None = None
    """When the daily line is due, in UTC; None: never."""

    @property
    def any(self) -> bool:
        """Whether a person is told."""
        return self.webhook is not None or self.letters is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What alerts work with; ``look`` raises SpoolUnavailableError, ``host`` names this machine."""

    spool: Spool
    clock: Clock
    look: Callable[[], Awaitable[Seen]]
    thresholds: Thresholds
    channels: Channels
    diagnosis: Diagnosis
    host: str


class Alerts:
    """Looks and tells until cancelled."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._unspooled: Millis | None = None

    async def run(self) -> None:
        """Look, tell, rest, again."""
        while True:
            await self.once()
            await asyncio.sleep(EVERY)

    async def once(self) -> None:
        """One round."""
        tools, now = self._tools, self._tools.clock.now()
        try:
            seen = await tools.look()
            found = [*alerts(seen, tools.thresholds), *self._line(seen, now)]
            await tools.spool.see_alerts(found, now=now, before=now - LASTS, passing=(SUMMARY,))
            self._unspooled = None
            for row in await tools.spool.claim_alerts(now=now):
                await self._tell(row)
        except SpoolUnavailableError as fault:
            await self._tell_unspooled(str(fault), now)

    async def test(self) -> dict[str, str | None]:
        """Tell every channel that this is a test; by channel None, or why it could not be told."""
        alert = Alert(key=TEST, subject="channel", text="this is a test of [alerts]; there is nothing to do")
        now = self._tools.clock.now()
        told = self._told(AlertRow(alert=alert, raised_at=now, ended_at=None, told_at=None))
        return await self._say(told, alert)

    def _line(self, seen: Seen, now: Millis) -> Sequence[Alert]:
        """The daily line, from its hour on until the day ends."""
        channels, at = self._tools.channels, datetime.fromtimestamp(now / 1000, UTC)
        if channels.summary_at is None or not channels.any or at.time() < channels.summary_at:
            return ()
        return (Alert(key=SUMMARY, subject=f"{at:%Y-%m-%d}", text=summary(seen.standing)),)

    async def _tell(self, row: AlertRow) -> None:
        alert, event = row.alert, ALERT_RAISED if row.ended_at is None else ALERT_ENDED
        if alert.key != SUMMARY:
            log(event, level=logging.WARNING, key=alert.key, subject=alert.subject, detail=alert.text)
        failures = {name: why for name, why in (await self._say(self._told(row), row.alert)).items() if why is not None}
        for name, why in failures.items():
            log(ALERT_UNTOLD, level=logging.WARNING, channel=name, key=row.alert.key, error=why)
        if not failures:
            await self._tools.spool.alert_told(row, at=self._tools.clock.now())

    async def _say(self, told: Telling, about: Alert) -> dict[str, str | None]:
        tools, channels = self._tools, self._tools.channels
        said: dict[str, str | None] = {}
        if channels.webhook is not None:
            said["webhook"] = await channels.webhook.post(told, at=tools.clock.now() / 1000)
        if channels.letters is not None:
            said["mail"] = await channels.letters.send(told, about)
        return said

    def _told(self, row: AlertRow) -> Telling:
        return telling(row, self._tools.diagnosis, host=self._tools.host)

    async def _tell_unspooled(self, why: str, now: Millis) -> None:
        """No mail can be kept, so none can say so."""
        webhook = self._tools.channels.webhook
        if self._unspooled is not None:
            return
        alert = Alert(key=_UNSPOOLED, subject="spool", text=f"mail is not taken: {why}")
        log(ALERT_RAISED, level=logging.WARNING, key=alert.key, subject=alert.subject, detail=alert.text)
        told = self._told(AlertRow(alert=alert, raised_at=now, ended_at=None, told_at=None))
        failed = None if webhook is None else await webhook.post(told, at=now / 1000)
        if failed is None:
            self._unspooled = now
        else:
            log(ALERT_UNTOLD, level=logging.WARNING, channel="webhook", key=alert.key, error=failed)
