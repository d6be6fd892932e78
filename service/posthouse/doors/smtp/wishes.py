"""What a legacy program says in header fields of its own, because SMTP has no place for it; they are taken out."""

from dataclasses import dataclass, field
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from posthouse import headers as edit
from posthouse.doors.idempotency import checked_key
from posthouse.doors.options import Options
from posthouse.doors.rules import RuleError
from posthouse.refusal import Condition, FieldError, Refused

KEY: Final = "Idempotency-Key"
TAG: Final = "X-Posthouse-Tag"
"""``name=value``; it may stand several times."""
OPTIONS: Final = {
    "X-Posthouse-Priority": "priority",
    "X-Posthouse-Expires-In": "expires_in",
    "X-Posthouse-Reference": "reference",
}
"""The fields that stand once, and what the other doors call them."""

_PREFIX: Final = "x-posthouse-"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The header without these fields, and what they say."""

    header: bytes = field(repr=False)
    key: str | None = None
    options: Options = field(default_factory=Options)


def wanted(header: bytes) -> Wanted:
    """What the header asks of us; raises Refused where it cannot be read."""
    names = {one.name.lower() for one in edit.fields(header)}
    ours = {name for name in names if name.startswith(_PREFIX)}
    if KEY.lower() not in names and not ours:
        return Wanted(header)
    known = {name.lower() for name in (*OPTIONS, TAG)}
    if unknown := sorted(ours - known):
        raise _refused(unknown[0], f"there are {', '.join((*OPTIONS, TAG))}")
    return Wanted(edit.without(header, KEY, *OPTIONS, TAG), _key(header), _options(header))


def _key(header: bytes) -> str | None:
    keys = edit.values(header, KEY)
    if len(keys) > 1:
        raise Refused(Condition.INVALID_IDEMPOTENCY_KEY, "an Idempotency-Key stands in the header once")
    return checked_key(keys[0].encode()) if keys else None


def _options(header: bytes) -> Options:
    given: dict[str, object] = {}
    for name, option in OPTIONS.items():
        values = edit.values(header, name)
        if len(values) > 1:
            raise _refused(name, "it stands in the header once")
        if values:
            given[option] = values[0].strip()
    given["tags"] = dict(_tag(text) for text in edit.values(header, TAG))
    try:
        return Options.model_validate_strings(given)
    except ValidationError as fault:
        raise _explained(fault.errors(include_url=False, include_input=False)[0]) from None


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise _refused(TAG, "a tag is name=value")
    return name.strip(), value.strip()


def _explained(error: ErrorDetails) -> Refused:
    name = next((name for name, option in OPTIONS.items() if option == error["loc"][0]), TAG)
    cause = error.get("ctx", {}).get("error")
    return _refused(name, str(cause) if isinstance(cause, RuleError) else error["msg"])


def _refused(name: str, rule: str) -> Refused:
    detail = f"{name}: {rule}"
    return Refused(Condition.VALIDATION_ERROR, detail, errors=(FieldError("", detail),))
