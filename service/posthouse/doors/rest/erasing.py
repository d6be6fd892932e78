"""POST /v1/messages/erase: a person asks that nothing of the mail to him is kept (scope ``admin``)."""

from typing import Annotated, Final

from fastapi import FastAPI, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter

from posthouse.doors.address import is_address
from posthouse.doors.http.parts import Parts, answer
from posthouse.doors.http.reading import body, parsed
from posthouse.doors.people import RuleError
from posthouse.policy import Right, must_have
from posthouse.records import Erasure
from posthouse.telemetry import RECIPIENT_ERASED, log


def _address(value: str) -> str:
    if not is_address(value):
        raise RuleError("a recipient is one address, local-part@domain")
    return value


class EraseIn(BaseModel):
    """Whose mail; a dry run only counts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    recipient: Annotated[str, AfterValidator(_address)]
    dry_run: bool = False


_ERASE: Final = TypeAdapter(EraseIn)


def install(app: FastAPI, parts: Parts) -> None:
    """Mount the route."""

    async def erase(request: Request) -> Response:
        caller = parts.caller(request)
        must_have(caller, Right.ADMIN)
        raw = await body(request, monotonic=parts.clock.monotonic)
        wanted = parsed(_ERASE, raw, model=EraseIn)
        erasure = Erasure(recipient=wanted.recipient, at=parts.clock.now(), by=caller.by, dry_run=wanted.dry_run)
        done = await parts.spool.erase(erasure)
        if not wanted.dry_run:
            log(RECIPIENT_ERASED, by=caller.by, erased=done.erased, unfinished=done.unfinished)
        return answer(
            {
                "erased": done.erased,
                "unfinished": done.unfinished,
                "unfinished_ids": list(done.unfinished_ids),
                "dry_run": wanted.dry_run,
            }
        )

    summary = "Erase what is kept of the final messages to one recipient"
    app.post("/v1/messages/erase", summary=summary)(erase)
