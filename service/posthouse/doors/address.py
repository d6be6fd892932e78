"""What every door takes for an address."""

import re
from typing import Final

from posthouse.encoded import ADDRESS

_LOCAL_LIMIT: Final = 64  # octets, RFC 5321 §4.5.3.1.1
_DOMAIN_LIMIT: Final = 255  # octets, RFC 5321 §4.5.3.1.2
_LABEL: Final = r"[a-zA-Z0-9\u00a1-\U0010ffff](?:[a-zA-Z0-9\u00a1-\U0010ffff-]{0,61}[a-zA-Z0-9\u00a1-\U0010ffff])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*|\[[!-Z^-~]+\]")  # RFC 5321 §4.1.2, RFC 6531 §3.3
_SIMPLE: Final = re.compile(
    r"[a-zA-Z0-9_+-]+(?:\.[a-zA-Z0-9_+-]+)*@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)+"
)
_SIMPLE_LIMIT: Final = 64


def is_address(text: str) -> bool:
    """Whether text is an address that a mail system could have (RFC 5321 §4.1.2, RFC 6531 §3.3)."""
    if len(text) <= _SIMPLE_LIMIT and _SIMPLE.fullmatch(text):
        return True
    local, _, domain = text.rpartition("@")
    return (
        ADDRESS.fullmatch(text) is not None
        and len(local.encode()) <= _LOCAL_LIMIT
        and len(domain.encode()) <= _DOMAIN_LIMIT
        and _DOMAIN.fullmatch(domain) is not None
    )
