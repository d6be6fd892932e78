"""From settings to those who are told: operators by alerts, senders of failed mail by reports; opens nothing."""

import socket
from collections.abc import Callable, Sequence
from datetime import time
from functools import partial

from posthouse.alerts.duty import Alerts, Channels, Tools
from posthouse.alerts.letters import Letters
from posthouse.alerts.standing import Seen, Thresholds
from posthouse.alerts.webhook import Target, Webhook
from posthouse.dsn import Reports
from posthouse.dsn import Tools as ReportTools
from posthouse.metrics import Sources
from posthouse.pace import DAY_HOURS, HOUR
from posthouse.ports import Diagnosis
from posthouse.settings.checks import webhook, webhook_secret
from posthouse.settings.model import AlertSettings, Settings, SmtpSettings
from posthouse.settings.secret import Secret, SecretError
from posthouse.submission import DoorStep
from posthouse.transports.clouds import CLOUDS
from posthouse.transports.proxies import Proxies
from posthouse.verdict import standing_of


def alerts_of(settings: Settings, sources: Sources, *, step: DoorStep, diagnosis: Diagnosis) -> Alerts:
    """Who looks whether something is wrong, and tells whom the settings name."""
    limits = settings.limits
    return Alerts(
        Tools(
            spool=sources.spool,
            clock=sources.clock,
            look=partial(_look, sources, passwords_of(settings)),
            thresholds=Thresholds(
                lane_age=int(settings.alerts.lane_age * 1000),
                recipients_per_day=limits.recipients_per_day,
                tenant_recipients_per_day=limits.tenant_recipients_per_day,
                floor_bytes=settings.spool.floor_bytes,
            ),
            channels=_channels(settings.alerts, settings.proxies, step),
            diagnosis=diagnosis,
            host=socket.gethostname(),
        )
    )


def reports_of(settings: Settings, sources: Sources, *, step: DoorStep, diagnosis: Diagnosis) -> Reports | None:
    """Who tells the senders of failed mail; None where the settings name no address for it."""
    sender = settings.smtp_door.dsn_from
    if sender is None:
        return None
    return Reports(ReportTools(spool=sources.spool, step=step, clock=sources.clock, diagnosis=diagnosis, sender=sender))


def passwords_of(settings: Settings) -> tuple[str, ...]:
    """The transports that log in at Exchange Online's SMTP AUTH with a password."""
    hosts = {cloud.smtp_host for cloud in CLOUDS.values()}
    return tuple(
        name
        for name, one in settings.transports.items()
        if isinstance(one, SmtpSettings)
        and one.auth == "login"
        and (one.host or CLOUDS[(one.entra or settings.entra).cloud].smtp_host).lower() in hosts
    )


def _channels(alerts: AlertSettings, proxies: Proxies, step: DoorStep) -> Channels:
    target = None

    def proxy(url: str) -> str | None:
        way = proxies.to(url)
        return None if way is None else way.url

    if alerts.webhook is not None:
        secret = None if alerts.webhook_secret is None else partial(_read, webhook_secret, alerts.webhook_secret)
        target = Target(url=partial(_read, webhook, alerts.webhook), form=alerts.format, secret=secret, proxy=proxy)
    return Channels(
        webhook=None if target is None else Webhook(target),
        letters=Letters(step, to=alerts.mail_to, senders=alerts.mail_from) if alerts.mail_to else None,
        summary_at=time.fromisoformat(alerts.summary_at) if alerts.daily_summary else None,
    )


def _read(read: Callable[[Secret], str], place: Secret) -> str:
    try:
        return read(place)
    except SecretError as error:
        raise ValueError(str(error)) from error


async def _look(sources: Sources, passwords: Sequence[str]) -> Seen:
    spool, now = sources.spool, sources.clock.now()
    standing = await standing_of(spool, now=now, ready=await sources.ready(), transports=await sources.transports())
    return Seen(
        standing=standing,
        credentials=sources.credentials(),
        space=await spool.space(),
        tenant_hours=await spool.recipient_hours(since=now - DAY_HOURS * HOUR),
        passwords=passwords,
        clock_ahead=sources.clock.apart(),
        bounced=await spool.tenant_bounces(since=now - DAY_HOURS * HOUR),
    )
