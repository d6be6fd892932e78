"""A caller's own rate as the SDKs of Resend read it; of several that of which least is left."""

from collections.abc import Sequence

from posthouse.doors.http.allowance import Fields
from posthouse.refusal import Allowance


def rate_fields(allowance: Sequence[Allowance]) -> Fields:
    """``ratelimit-limit``, ``-remaining`` and ``-reset``; nothing where the caller has no rate."""
    if not allowance:
        return []
    least = min(allowance, key=lambda one: one.remaining)
    shown = {"limit": least.quota, "remaining": least.remaining, "reset": least.reset}
    return [(f"ratelimit-{name}".encode(), str(value).encode()) for name, value in shown.items()]
