"""Reads what a client sent: bounded body, media type, JSON into a model; every fault becomes a Refused with pointers."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Final, TypeVar, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request

from posthouse.compose import Unfit
from posthouse.doors.http.incoming import GoneError, arriving
from posthouse.doors.idempotency import checked_key
from posthouse.doors.rules import RuleError
from posthouse.refusal import Condition, FieldError, Refused

JSON_LIMIT: Final = 10 * 1024 * 1024
"""Bytes of a JSON body (HOUSE: larger goes as message/rfc822)."""

HEAVY: Final = 256 * 1024
"""Bytes of a body from which on reading and composing leave the event loop to others."""

JSON: Final = b"application/json"
RAW: Final = b"message/rfc822"
FORM: Final = b"multipart/form-data"

LARGER: Final = "; larger messages go to /v1/messages as multipart/form-data or message/rfc822"

_WAIT: Final = re.compile(rb"(?:^|[,;])[ \t]*wait[ \t]*=[ \t]*\"?(\d{1,9})\"?[ \t]*(?=[,;]|$)", re.IGNORECASE)
_LONGEST_WAIT: Final = 30

Model = TypeVar("Model")
Result = TypeVar("Result")
Headers = Mapping[bytes, bytes]


def media_type(headers: Headers, known: Sequence[bytes] = (JSON, FORM, RAW)) -> bytes:
    """One of the ``known`` ones; raises Refused(UNSUPPORTED_MEDIA_TYPE) for anything else."""
    essence, _, parameters = headers.get(b"content-type", b"").partition(b";")
    essence = essence.strip().lower()
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Refused(Condition.UNSUPPORTED_MEDIA_TYPE, "send the body as it is, without Content-Encoding")
    if essence not in known:
        given = essence.decode("ascii", "replace") or "no Content-Type"
        kinds = b" or ".join((b", ".join(known[:-1]), known[-1])).decode()
        raise Refused(Condition.UNSUPPORTED_MEDIA_TYPE, f"send {kinds}; this is {given[:100]!r}")
    if essence == JSON and b"charset" in parameters.lower() and b"utf-8" not in parameters.lower():
        raise Refused(Condition.UNSUPPORTED_MEDIA_TYPE, "JSON is UTF-8 (RFC 8259 §8.1)")
    return essence


async def body(
    request: Request, *, monotonic: Callable[[], float], limit: int = JSON_LIMIT, larger: str = LARGER
) -> bytes:
    """The whole body of a JSON request; raises Refused(MESSAGE_TOO_LARGE) as soon as it is known to exceed the limit.

    ``larger`` says how more of it could go.
    """
    receive = request.receive
    refuse_length(dict(request.scope["headers"]), limit, larger=larger)
    message = await receive()
    if message["type"] != "http.request":
        raise GoneError
    first = message.get("body", b"")
    if len(first) > limit:
        raise too_large(limit, larger=larger)
    if not message.get("more_body"):
        return first
    pieces, size = [first], len(first)
    async for piece in arriving(receive, monotonic=monotonic):
        size += len(piece)
        if size > limit:
            raise too_large(limit, larger=larger)
        pieces.append(piece)
    return b"".join(pieces)


async def in_turn(raw: bytes, work: Callable[[], Result]) -> Result:
    """What ``work`` makes of a body, in a thread where that takes long."""
    return work() if len(raw) < HEAVY else await asyncio.to_thread(work)


def refuse_length(headers: Headers, limit: int, *, larger: str = "") -> None:
    """Raises Refused(MESSAGE_TOO_LARGE) for an announced length above ``limit`` bytes, before the body is read."""
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > limit:
        raise too_large(limit, larger=larger)


def parsed(adapter: TypeAdapter[Model], raw: bytes, *, model: type[BaseModel]) -> Model:
    """The validated request; raises Refused (INVALID_JSON, INVALID_ATTACHMENT, VALIDATION_ERROR).

    ``model`` is whose field names are offered for a mistyped one.
    """
    try:
        return adapter.validate_json(raw)
    except ValidationError as fault:
        raise refusal(fault, model=model) from None


def from_query(model: type[Model], query: Mapping[str, object]) -> Model:
    """The same for parameters of the address line; pointers stand under /query."""
    try:
        return TypeAdapter(model).validate_strings(query)
    except ValidationError as fault:
        raise refusal(fault, root="/query", model=model) from None


def no_more(request: Request, *known: str) -> None:
    """Raises Refused for a parameter of the address line that is none of these."""
    if not request.scope["query_string"]:
        return
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        detail = f"unknown parameter; there are {', '.join(known)}" if known else "unknown parameter; there are none"
        error = FieldError(f"/query/{unknown[0]}", detail)
        raise Refused(Condition.VALIDATION_ERROR, f"{error.pointer}: {detail}", errors=(error,))


def idempotency_key(headers: Headers) -> str | None:
    """The client's own key; raises Refused(INVALID_IDEMPOTENCY_KEY)."""
    key = headers.get(b"idempotency-key")
    return None if key is None else checked_key(key)


def wait_of(headers: Headers) -> int:
    """Seconds of ``Prefer: wait=N`` (RFC 7240 §4.3), at most 30; 0 where nobody waits."""
    prefer = headers.get(b"prefer")
    match = _WAIT.search(prefer) if prefer else None
    return min(int(match[1]), _LONGEST_WAIT) if match else 0


def unfit(fault: Unfit, *, root: str = "") -> Refused:
    """What composing could not write, as a refusal."""
    return _refused((FieldError(root + fault.pointer, str(fault)),), root)


def refusal(fault: ValidationError, *, root: str = "", model: type) -> Refused:
    """What pydantic found, as a refusal that names every field and never shows a value."""
    found = fault.errors(include_url=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return Refused(Condition.INVALID_JSON, found[0]["msg"])
    return _refused(tuple(_field_error(error, root, model) for error in found), root)


def _refused(errors: tuple[FieldError, ...], root: str) -> Refused:
    files = all("/attachments/" in error.pointer.removeprefix(root) for error in errors)
    condition = Condition.INVALID_ATTACHMENT if files else Condition.VALIDATION_ERROR
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    place = f"{errors[0].pointer}: " if errors[0].pointer else ""
    return Refused(condition, f"{place}{errors[0].detail}{more}", errors=errors)


def _field_error(error: ErrorDetails, root: str, model: type) -> FieldError:
    place = [str(step) for step in error["loc"] if step != "[key]"]
    pointer = root + "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in place)
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, RuleError):
        return FieldError(pointer + cause.at, str(cause), missing=cause.missing)
    if error["type"] == "extra_forbidden":
        return FieldError(pointer, _unknown(place, model))
    if error["type"] == "missing":
        return FieldError(pointer, "this field is required", missing=True)
    return FieldError(pointer, error["msg"])


def _unknown(place: list[str], model: type) -> str:
    names = _names_at(place[:-1], model)
    near = get_close_matches(place[-1], names, n=1)
    return f"unknown field; did you mean {near[0]!r}?" if near else f"unknown field; there are {', '.join(names)}"


def _names_at(place: Sequence[str], model: type) -> Sequence[str]:
    """The names that clients may write at a place inside of a request."""
    for step in place:
        if not issubclass(model, BaseModel):
            break
        field = next((one for name, one in model.model_fields.items() if step in (one.alias, name)), None)
        model = model if field is None else _model_in(field.annotation) or model
    if not issubclass(model, BaseModel):
        return ()
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model that a field holds, alone, optional or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def too_large(limit: int, *, larger: str = "") -> Refused:
    """The refusal of a body of more than ``limit`` bytes."""
    return Refused(Condition.MESSAGE_TOO_LARGE, f"the body has more than {limit} bytes{larger}", limit_bytes=limit)
