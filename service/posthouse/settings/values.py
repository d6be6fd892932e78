"""The values that settings are written in: durations, addresses, secrets, lists; each says the rule that it breaks."""

import ipaddress
import json
import re
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, ValidationInfo

from posthouse.settings.problems import RuleError
from posthouse.settings.secret import MASK, Secret

_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(s|m|h|d)")
_SECONDS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_ADDRESS: Final = re.compile(r"[^\s@]+@[^\s@]+")
_DOMAIN: Final = re.compile(r"[^\s@*]+")
_PORTS: Final = range(65_536)
_PASSWORD: Final = re.compile(r"(://[^:/@?]*:)[^@/]*@")


class SpoolUrl(Secret):
    """Where the spool lies; a password inside is never shown."""

    @property
    def shown(self) -> str:
        """The place, with a mask for the password."""
        return _PASSWORD.sub(rf"\1{MASK}@", self.reference)

    def __repr__(self) -> str:
        """Without the password."""
        return f"SpoolUrl({self.shown})"


def duration(value: object) -> float:
    """Seconds of ``5s``, ``2m``, ``1.5h``, ``5d``; raises RuleError."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if seconds <= 0:
        raise RuleError("a duration is a number above 0 with a unit", hint="such as '30s', '2m', '1h' or '5d'")
    return seconds


def duration_text(seconds: float) -> str:
    """The same in its largest whole unit."""
    for unit, size in _SECONDS.items():
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:g}s"


def is_loopback(host: str) -> bool:
    """Whether only this machine can be meant (RFC 6761 §6.3 for ``localhost``)."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _listen(value: str) -> str:
    host, colon, port = value.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    six = host != bare
    if not colon or not port.isascii() or not port.isdigit() or int(port) not in _PORTS or not _is_host(bare, six=six):
        raise RuleError("an address to listen on is host:port", hint="such as '127.0.0.1:8080' or '[::1]:8080'")
    return value


def _is_host(text: str, *, six: bool) -> bool:
    if not six:
        return _HOST.fullmatch(text) is not None
    try:
        return ipaddress.ip_address(text).version == 6  # noqa: PLR2004 - IPv6
    except ValueError:
        return False


def _url(value: str) -> str:
    """Empty, https, or http to this machine."""
    try:
        parts = urlsplit(value)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise RuleError("this is not a URL") from None
    local = parts.scheme == "http" and is_loopback(host)
    if value and (not host or parts.query or parts.fragment or not (parts.scheme == "https" or local)):
        raise RuleError("a URL here is https://host/…", hint="http only to this machine")
    return value.rstrip("/")


def _public_url(value: str) -> str:
    if value and not re.fullmatch(r"https?://[^\s/?#]+(?:/[^\s?#]*)?", value):
        raise RuleError("a public URL is http://host/… or https://host/…")
    return value.rstrip("/")


def _pattern(value: str) -> str:
    if value == "*" or _ADDRESS.fullmatch(value):
        return value
    raise RuleError("a pattern is an address, *@domain or *")


def _address(value: str) -> str:
    if _ADDRESS.fullmatch(value) and "*" not in value:
        return value
    raise RuleError("an address is local-part@domain")


def _domain(value: str) -> str:
    if value == "*" or _DOMAIN.fullmatch(value):
        return value
    raise RuleError("a domain is a name without @ and *, or '*' alone for all", hint="such as 'contoso.com'")


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise RuleError("an address or a network in CIDR form", hint="such as '127.0.0.1' or '10.2.0.0/24'") from None


def _transport_name(value: str) -> str:
    if re.fullmatch(r"[a-z][a-z0-9-]*(?:_[a-z0-9-]+)*", value):
        return value
    raise RuleError("a transport's name has lower-case letters, digits, - and _", hint="such as 'graph' or 'smtp_2'")


def _client_name(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        return value
    raise RuleError("a client's name has at most 64 letters, digits, '.', '_' and '-'")


def _key_hash(value: str) -> str:
    if re.fullmatch(r"[0-9a-f]{64}", value):
        return value
    raise RuleError("a key's hash is 64 hexadecimal digits", hint="posthouse keys hash prints it")


def _whole(value: object) -> object:
    """Digits are what the environment has for a number; true is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return "" if isinstance(value, bool) else value


def _flag(value: object) -> object:
    """``true`` and ``false`` are what the environment has for a switch; numbers and other words are none."""
    return {"true": True, "false": False}.get(value, "") if isinstance(value, str) else value


def _listed(value: object) -> object:
    """One string, ``a,b`` or ``["a","b"]`` is what the environment has for a list."""
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            raise RuleError("a list is a,b or a JSON array of strings") from None
    return [item.strip() for item in value.split(",") if item.strip()]


def _secret(value: object, info: ValidationInfo) -> Secret:
    if not isinstance(value, str) or not value.strip():
        raise RuleError("a secret is a text that is not empty", hint="env:NAME, file:PATH or the value itself")
    environ: object = info.context
    return Secret(value, environ) if isinstance(environ, Mapping) else Secret(value)


def _optional_secret(value: object, info: ValidationInfo) -> Secret | None:
    return None if value in ("", None) else _secret(value, info)


def _hour(value: str) -> str:
    if re.fullmatch(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", value):
        return value
    raise RuleError("a time of day is HH:MM in UTC", hint="such as '07:00'")


def _date(value: object) -> date:
    """A date of TOML, or as the environment has it."""
    try:
        if isinstance(value, str):
            return date.fromisoformat(value)
    except ValueError:
        pass
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise RuleError("a date is YYYY-MM-DD", hint="such as 2027-06-30")


def _spool_url(value: object, info: ValidationInfo) -> SpoolUrl | None:
    if value == "":
        return None
    given = _secret(value, info)
    return SpoolUrl(given.reference, given.environ)


def _file(value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise RuleError("a path is a text that is not empty")
    return Path(value)


Duration = Annotated[
    float, PlainValidator(duration, json_schema_input_type=str), PlainSerializer(duration_text, return_type=str)
]
SecretValue = Annotated[
    Secret,
    PlainValidator(_secret, json_schema_input_type=str),
    PlainSerializer(lambda secret: secret.shown, return_type=str),
]
SecretValues = Annotated[tuple[SecretValue, ...], BeforeValidator(_listed)]
OptionalSecret = Annotated[
    Secret | None,
    PlainValidator(_optional_secret, json_schema_input_type=str),
    PlainSerializer(lambda secret: secret.shown if secret is not None else "", return_type=str),
]
Date = Annotated[
    date, PlainValidator(_date, json_schema_input_type=date), PlainSerializer(date.isoformat, return_type=str)
]
Hour = Annotated[str, AfterValidator(_hour)]
SpoolPlace = Annotated[
    SpoolUrl | None,
    PlainValidator(_spool_url, json_schema_input_type=str),
    PlainSerializer(lambda url: url.shown if url is not None else "", return_type=str),
]
FilePath = Annotated[Path, PlainValidator(_file, json_schema_input_type=str), PlainSerializer(str, return_type=str)]
Count = Annotated[int, BeforeValidator(_whole, json_schema_input_type=int), Field(strict=True, ge=0)]
Flag = Annotated[bool, BeforeValidator(_flag, json_schema_input_type=bool), Field(strict=True)]
Port = Annotated[int, BeforeValidator(_whole, json_schema_input_type=int), Field(strict=True, ge=1, le=65_535)]


Listen = Annotated[str, AfterValidator(_listen)]
Url = Annotated[str, AfterValidator(_url)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
TransportName = Annotated[str, AfterValidator(_transport_name)]
ClientName = Annotated[str, AfterValidator(_client_name)]
KeyHash = Annotated[str, AfterValidator(_key_hash)]
Address = Annotated[str, AfterValidator(_address)]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Addresses = Annotated[tuple[Address, ...], BeforeValidator(_listed)]
Patterns = Annotated[tuple[Annotated[str, AfterValidator(_pattern)], ...], BeforeValidator(_listed)]
Domains = Annotated[tuple[Annotated[str, AfterValidator(_domain)], ...], BeforeValidator(_listed)]
Networks = Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], BeforeValidator(_listed)]
Durations = Annotated[tuple[Duration, ...], BeforeValidator(_listed)]
