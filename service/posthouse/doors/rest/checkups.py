"""What a diagnosis looks like in JSON: the one form of the API, the command line and the published schema."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from posthouse.doors.address import is_address
from posthouse.doors.rules import RuleError
from posthouse.findings import Finding, Result, Wish, first_failure, verdict
from posthouse.fixes import Kind

ALL = "all"
"""What stands in the place of a sender for every one that is known."""


def _sender(value: str) -> str:
    if value != ALL and not is_address(value):
        raise RuleError("a sender is one address, local-part@domain, or 'all'")
    return value


def _address(value: str) -> str:
    if not is_address(value):
        raise RuleError("a recipient is one address, local-part@domain")
    return value


class DiagnoseIn(BaseModel):
    """What to examine: all steps, or one with those that it needs; ``send_to`` gets real messages."""

    model_config = ConfigDict(extra="forbid", strict=True)

    step: Annotated[str, Field(max_length=200)] | None = None
    sender: Annotated[str, AfterValidator(_sender)] | None = None
    send_to: Annotated[str, AfterValidator(_address)] | None = None

    @property
    def wish(self) -> Wish:
        """The same as the doctor takes it."""
        every = self.sender == ALL
        sender = None if every else self.sender
        return Wish(step=self.step, sender=sender, every_sender=every, send_to=self.send_to)


class TroubleOut(BaseModel):
    """What is wrong and what mends it, in the words of a message's diagnosis; ``text``, ``code`` and ``request_id`` are Microsoft's."""

    model_config = ConfigDict(extra="forbid")

    key: str
    kind: Annotated[Kind, Field(alias="class")]
    cause: str
    fix: str
    text: str | None
    code: str | None
    request_id: str | None


class StepOut(BaseModel):
    """One step; ``because_of`` is the failed step for which it was skipped."""

    model_config = ConfigDict(extra="forbid")

    step: str
    mailbox: str | None
    tried: str
    why: str
    result: Result
    seconds: Annotated[float, Field(ge=0)]
    seen: str
    trouble: TroubleOut | None
    because_of: str | None


class DiagnosisOut(BaseModel):
    """A whole diagnosis; ``verdict`` is one sentence for a person, ``result`` unknown where something is not proved."""

    model_config = ConfigDict(extra="forbid")

    verdict: str
    result: Literal["passed", "failed", "unknown"]
    first_failure: str | None
    version: str
    at: datetime
    seconds: Annotated[float, Field(ge=0)]
    steps: list[StepOut]


def step_out(finding: Finding) -> StepOut:
    """A finding in JSON's form."""
    what = finding.trouble
    shown = None
    if what is not None:
        shown = TroubleOut.model_validate(
            {
                "key": what.fix,
                "class": what.kind,
                "cause": what.cause,
                "fix": what.remedy,
                "text": what.said,
                "code": what.code,
                "request_id": what.request_id,
            }
        )
    return StepOut(
        step=finding.step,
        mailbox=finding.mailbox,
        tried=finding.tried,
        why=finding.why,
        result=finding.result,
        seconds=round(finding.seconds, 3),
        seen=finding.seen,
        trouble=shown,
        because_of=finding.because_of,
    )


def diagnosis(findings: Sequence[Finding], *, version: str, at: datetime, seconds: float) -> dict[str, object]:
    """The whole of it, ready for JSON."""
    failed = first_failure(findings)
    unsure = any(one.result is Result.UNKNOWN for one in findings)
    whole = DiagnosisOut(
        verdict=verdict(findings),
        result="failed" if failed is not None else "unknown" if unsure else "passed",
        first_failure=None if failed is None else failed.step,
        version=version,
        at=at,
        seconds=round(seconds, 3),
        steps=[step_out(one) for one in findings],
    )
    return whole.model_dump(mode="json", by_alias=True)


def schema() -> dict[str, object]:
    """The published JSON Schema of a diagnosis."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **DiagnosisOut.model_json_schema(by_alias=True)}
