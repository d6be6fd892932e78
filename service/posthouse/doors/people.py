"""Reads addresses as clients write them in JSON: ``a@b``, ``Name <a@b>`` or ``{name, address}``, one or a list."""

import re
from typing import Final

from posthouse.compose import Person
from posthouse.doors.address import is_address
from posthouse.doors.rules import RuleError
from posthouse.headers import decoded_words

_QUOTED_NAME: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_PLAIN_NAME: Final = re.compile(r'[^()<>\[\]:;@\\,"]*')
_QUOTED_PAIR: Final = re.compile(r"\\(.)")


def person(value: object) -> Person:
    """One address with its display name; raises RuleError."""
    if isinstance(value, str):
        return _named(value) if value[-1:] == ">" or not is_address(value) else Person("", value)
    if isinstance(value, dict):
        return _from_object(value)
    raise RuleError("an address is a string 'Name <a@b>' or an object {name, address}")


def people(value: object) -> tuple[Person, ...]:
    """One address or a list of them; raises RuleError for the first that is none."""
    if not isinstance(value, list):
        return (person(value),)
    found: list[Person] = []
    for index, item in enumerate(value):
        try:
            found.append(person(item))
        except RuleError as fault:
            raise RuleError(str(fault), at=f"/{index}{fault.at}") from None
    return tuple(found)


def _named(text: str) -> Person:
    name, bracket, rest = text.strip().rpartition("<")
    address = rest.removesuffix(">")
    if not bracket or address == rest or not is_address(address):
        if text.count("@") > 1 and not bracket:
            raise RuleError("one string holds one address; write several as a list")
        raise RuleError("an address is local-part@domain (RFC 5321 §4.1.2), or 'Name <local-part@domain>'")
    name = name.strip()
    quoted = _QUOTED_NAME.fullmatch(name)
    if quoted:
        return Person(_QUOTED_PAIR.sub(r"\1", quoted[1]), address)
    if not _PLAIN_NAME.fullmatch(name):
        raise RuleError(
            'a name with any of ()<>[]:;@\\," stands in double quotes (RFC 5322 §3.2.5), or use {name, address}'
        )
    return Person(decoded_words(name), address)  # as email.utils.formataddr and its kin write a name (RFC 2047 §5)


def _from_object(value: dict[object, object]) -> Person:
    unknown = [key for key in value if key not in ("name", "address")]
    if unknown:
        raise RuleError("an address object has name and address, nothing else", at=f"/{unknown[0]}")
    name, address = value.get("name", ""), value.get("address")
    if not isinstance(address, str) or not is_address(address):
        raise RuleError("an address is local-part@domain (RFC 5321 §4.1.2)", at="/address")
    if not isinstance(name, str | None):
        raise RuleError("a name is a string", at="/name")
    return Person(name or "", address)
