"""A caller's own rate in the header of an answer (draft-ietf-httpapi-ratelimit-headers-10)."""

from collections.abc import Sequence

from posthouse.refusal import Allowance

Fields = list[tuple[bytes, bytes]]


def allowance_fields(allowance: Sequence[Allowance]) -> Fields:
    """``RateLimit-Policy`` and ``RateLimit``; nothing where the caller has no rate."""
    if not allowance:
        return []
    policy = ", ".join(f'"{one.name}";q={one.quota};w={one.window}' for one in allowance)
    left = ", ".join(f'"{one.name}";r={one.remaining};t={one.reset}' for one in allowance)
    return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", left.encode())]
