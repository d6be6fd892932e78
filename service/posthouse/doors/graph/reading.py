"""Reads the JSON of Graph's clients: names in any case, null as if absent, annotations put aside; then validated."""

from typing import Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json

from posthouse.doors.graph.errors import GraphRefused
from posthouse.doors.graph.models import NAMES, TYPE, GraphRuleError, SendMailIn
from posthouse.doors.http.reading import refusal
from posthouse.refusal import Condition, FieldError, Refused

UNKNOWN: Final = "RequestBodyRead"
"""What Graph says of a property that it does not know (microsoftgraph/msgraph-sdk-python#440)."""


def send_mail(raw: bytes) -> SendMailIn:
    """The parameters of sendMail; raises Refused, naming every field at fault."""
    try:
        document = from_json(raw, allow_inf_nan=False)
    except ValueError as fault:
        raise Refused(Condition.INVALID_JSON, f"the body cannot be read as JSON: {fault}") from None
    try:
        return SendMailIn.model_validate(_plain(document, at=""))
    except ValidationError as fault:
        raise _refused(fault, SendMailIn) from None


def _plain(value: object, *, at: str) -> object:
    """Names as Graph's documents write them, without nulls and without annotations but that of the type."""
    if isinstance(value, list):
        return [_plain(item, at=f"{at}/{index}") for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    found: dict[str, object] = {}
    for written, item in value.items():
        name = NAMES.get(written.lower(), written)
        if item is None or ("@odata." in name and name != TYPE):
            continue
        place = f"{at}/{name}"
        if name in found:
            detail = "this property stands twice"
            error = FieldError(place, detail)
            raise GraphRefused(Condition.VALIDATION_ERROR, f"{place}: {detail}", code=UNKNOWN, errors=(error,))
        found[name] = _plain(item, at=place)
    return found


def _refused(fault: ValidationError, model: type[BaseModel]) -> Refused:
    plain = refusal(fault, model=model)
    code = _code_of(fault.errors(include_url=False, include_input=False)[0])
    if code is None:
        return plain
    return GraphRefused(plain.condition, plain.detail, code=code, errors=plain.errors)


def _code_of(error: ErrorDetails) -> str | None:
    """Graph's own code for what is at fault, where there is one."""
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, GraphRuleError):
        return cause.code
    return UNKNOWN if error["type"] == "extra_forbidden" else None
