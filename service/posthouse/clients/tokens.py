"""Access tokens of our own: what stands for a key for an hour, where an app would ask Entra (CONTRACT §2.2)."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import jwt

from posthouse.clients.keys import Keys
from posthouse.policy import Client
from posthouse.ports import Clock
from posthouse.refusal import Condition, Refused

LIFE: Final = 3_600
"""Seconds that a token lasts, as Entra's do; the key behind it is asked at every request."""

_ALGORITHM: Final = "HS256"
_NAME: Final = "posthouse"
"""Issuer and audience: who makes these tokens is who takes them."""
_DOTS: Final = 2
_CHECKED_BY_OUR_CLOCK: Final = ("verify_exp", "verify_iat", "verify_nbf")


@dataclass(frozen=True, slots=True)
class Issued:
    """A token and the seconds that it lasts."""

    text: str = field(repr=False)
    seconds: int


class Tokens:
    """Makes and takes tokens; ``signing`` are the keys they are signed with, by their names, the one in force first."""

    def __init__(self, keys: Keys, *, signing: Mapping[str, bytes], clock: Clock) -> None:
        self._keys = keys
        self._signing = signing
        self._clock = clock

    def issue(self, client_id: str, secret: str | None, *, source: str) -> Issued:
        """A token for a key, which is the secret, and its id; raises Refused as ``Keys.authenticate`` does."""
        key_id = self._keys.authenticate(secret, source=source).key_id or ""
        if not hmac.compare_digest(client_id.encode(), key_id.encode()):
            raise self._keys.refusal("the key is not that of client_id", key_id, source=source)
        now = self._clock.now() // 1000
        row = self._keys.find(key_id)
        end = now + LIFE if row is None or row.expires_at is None else min(now + LIFE, row.expires_at // 1000)
        name, signing = next(iter(self._signing.items()))
        claims = {"iss": _NAME, "aud": _NAME, "sub": key_id, "iat": now, "exp": end}
        return Issued(jwt.encode(claims, signing, algorithm=_ALGORITHM, headers={"kid": name}), end - now)

    def ours(self, text: str) -> bool:
        """Whether a credential says that it is such a token; nothing is checked yet."""
        return self._name_in(text) in self._signing

    def client(self, text: str, *, source: str) -> Client:
        """The client of the key behind a token; raises Refused (INVALID_KEY, TOKEN_EXPIRED, QUOTA_EXCEEDED)."""
        key_id, end = self._subject(text, source=source)
        if end * 1000 <= self._clock.now():
            why = "the token has expired; ask for a new one"
            raise self._keys.refusal(why, key_id, source=source, condition=Condition.TOKEN_EXPIRED)
        return self._keys.standing(key_id, source=source)

    def _subject(self, text: str, *, source: str) -> tuple[str, int]:
        """What a sound token says: one algorithm, whatever its own header names (RFC 8725 §3.1), issuer, audience."""
        try:
            claims = jwt.decode(
                text,
                self._signing[self._name_in(text)],
                algorithms=[_ALGORITHM],
                issuer=_NAME,
                audience=_NAME,
                options={
                    "require": ["iss", "aud", "sub", "iat", "exp"],
                    **dict.fromkeys(_CHECKED_BY_OUR_CLOCK, False),
                },
            )
            return claims["sub"], int(claims["exp"])
        except (jwt.PyJWTError, KeyError, ValueError, TypeError):
            raise self._invalid(source) from None

    def _invalid(self, source: str) -> Refused:
        return self._keys.refusal("not a token of this service", None, source=source)

    def _name_in(self, text: str) -> str:
        if text.count(".") != _DOTS:
            return ""
        try:
            name = jwt.get_unverified_header(text).get("kid")
        except (jwt.PyJWTError, RecursionError):
            return ""
        return name if isinstance(name, str) else ""
