"""Values that clients write in the JSON of more than one door."""

import ipaddress
import re
from mimetypes import MimeTypes
from typing import Annotated, Final

import pybase64
from pydantic import Field, PlainValidator

from posthouse.doors.rules import RuleError

LONGEST_WAIT: Final = 366 * 86_400
"""Seconds that send_in and expires_in reach ahead at most."""

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_TYPES: Final = MimeTypes(filenames=())
_DURATION: Final = re.compile(r"(\d{1,9})([smhd]?)")


def seconds_of(value: object) -> float:
    """Seconds as a number, or as text with a unit such as ``15m``."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match:
        value = int(match[1]) * _UNITS[match[2]]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_WAIT:
        raise RuleError("a duration is a number of seconds or a text such as '15m' (s, m, h, d), at most 366 d")
    return float(value)


def content_type_of(filename: str, given: str | None) -> str:
    """The content type of a file, as given or by its name."""
    return given or _TYPES.guess_type(filename, strict=True)[0] or "application/octet-stream"


def decoded(value: object) -> bytes:
    """The bytes of base64 with or without line breaks; raises RuleError."""
    if not isinstance(value, str):
        raise RuleError("content is a string of base64 (RFC 4648 §4)")
    try:
        text = value if "\n" not in value else value.replace("\r", "").replace("\n", "")
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        raise RuleError("content is not base64 (RFC 4648 §4)") from None


def _network(value: object) -> str:
    """An address or a network, in its usual form."""
    try:
        return str(ipaddress.ip_network(value if isinstance(value, str) else "", strict=True))
    except ValueError:
        raise RuleError("a network is an address or a prefix such as 10.2.0.0/16 (RFC 4632 §3.1)") from None


Seconds = Annotated[float, PlainValidator(seconds_of, json_schema_input_type=float | str)]
Base64 = Annotated[bytes, PlainValidator(decoded, json_schema_input_type=str)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Network = Annotated[str, PlainValidator(_network, json_schema_input_type=str)]
