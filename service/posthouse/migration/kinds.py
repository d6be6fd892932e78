"""Device or application: what an account's name and its mail tell, and which of them told it."""

import re
from enum import StrEnum
from typing import Final, NamedTuple

BUSY_MINUTE: Final = 10
BUSY_DAY: Final = 500
"""Messages that no printer sends in a minute, in a day."""

_DEVICE: Final = (
    "scan", "print", "drucker", "kopier", "copier", "multifunk", "mfp", "mfc", "fax", "xerox", "canon", "ricoh",
    "kyocera", "konica", "bizhub", "lexmark", "brother", "epson", "toshiba", "sharp", "hplaser", "laserjet", "camera",
    "kamera", "cctv", "nvr", "dvr", "alarm", "door", "sensor", "thermo", "ups", "usv", "pdu", "nas", "synology", "qnap",
    "idrac", "ilo", "ipmi", "router", "firewall", "switch", "pbx", "voip", "phone", "telefon", "plc", "sps", "hvac",
    "meter", "elevator", "aufzug",
)  # fmt: skip
_APP: Final = (
    "noreply", "donotreply", "app", "api", "web", "shop", "store", "order", "invoice", "rechnung", "billing", "erp",
    "crm", "sap", "navision", "dynamics", "service", "svc", "system", "server", "monitor", "nagios", "zabbix", "grafana",
    "alert", "notif", "jenkins", "gitlab", "jira", "confluence", "wordpress", "sql", "backup", "veeam", "report",
    "job", "batch", "cron", "mailer", "smtp", "relay", "newsletter", "ticket", "helpdesk", "hr", "payroll",
)  # fmt: skip
_WORDS: Final = re.compile(r"[^a-z]+")
_WHOLE: Final = 3
"""Letters up to which a word counts only as a whole: "ups" is none in "upshaw"."""


class Kind(StrEnum):
    """What sends with an account, as far as one can tell."""

    DEVICE = "device"
    APP = "app"
    UNCLEAR = "unclear"


class Guess(NamedTuple):
    """A kind and the reason for it."""

    kind: Kind
    why: str


def guess(account: str, *, old_tls: bool, peak_minute: int | None, per_day: float) -> Guess:
    """What this account is; its name goes before its mail."""
    for kind, words in ((Kind.DEVICE, _DEVICE), (Kind.APP, _APP)):
        if (word := _named(account, words)) is not None:
            return Guess(kind, f"its name: {word}")
    if (peak_minute or 0) >= BUSY_MINUTE:
        return Guess(Kind.APP, f"{peak_minute} in a minute")
    if per_day >= BUSY_DAY:
        return Guess(Kind.APP, f"{round(per_day):,} a day")
    if old_tls:
        return Guess(Kind.DEVICE, "TLS older than 1.2")
    return Guess(Kind.UNCLEAR, "nothing tells")


def _named(account: str, words: tuple[str, ...]) -> str | None:
    local = account.partition("@")[0].lower()
    parts = [part for part in _WORDS.split(local) if part]
    parts.append("".join(parts))  # no-reply is noreply
    for word in words:
        for part in parts:
            if part == word or (len(word) > _WHOLE and part.startswith(word)):
                return word
    return None
