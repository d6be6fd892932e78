"""When Exchange Online gives up passwords for SMTP AUTH, as Microsoft says it: all clouds, version 3 of 2026-01-29."""

from typing import Final, NamedTuple

SOURCE: Final = "https://techcommunity.microsoft.com/blog/exchange/-/4489835"


class Step(NamedTuple):
    """A time, and what holds from then on."""

    when: str
    what: str


STEPS: Final = (
    Step("until December 2026", "passwords for SMTP AUTH work as before"),
    Step("end of December 2026", "off by default in existing tenants; an administrator can switch them on again"),
    Step("tenants made after that", "not available by default; OAuth only"),
    Step("second half of 2027", "Microsoft announces the date of the final removal"),
)

REFUSAL: Final = "550 5.7.30 Basic authentication is not supported for Client Submission."
"""What Exchange answers after the removal."""
