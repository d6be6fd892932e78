"""Callers that prove themselves with a token of their Entra app (CONTRACT §3): whose token it is, and what it may.

Entra's signing keys are fetched when they are needed and looked at again while nobody waits; where Microsoft cannot be
reached the known ones go on (learn.microsoft.com/entra/identity-platform/signing-key-rollover).
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import RSAAlgorithm

from posthouse.clients.keys import Keys
from posthouse.message import Millis
from posthouse.policy import Client, Right
from posthouse.ports import Clock
from posthouse.refusal import Condition, Refused

LEEWAY: Final[Millis] = 300_000
"""By how much Microsoft's libraries let clocks differ."""
FRESH: Final[Millis] = 86_400_000
"""Age of the keys from which on they are fetched again (Microsoft: at least once a day)."""
AGAIN: Final[Millis] = 300_000
"""Time between fetches at least, so that made-up key ids cause none."""
RETRY_AFTER: Final = 10

_ALGORITHM: Final = "RS256"
_ISSUERS: Final = ("https://login.microsoftonline.com/{}/v2.0", "https://sts.windows.net/{}/")

Fetch = Callable[[], Awaitable[bytes]]
"""Entra's signing keys as a JWK set (RFC 7517 §5); raises OSError where they cannot be had."""
Claims = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerRules:
    """Whose tokens count: of one tenant, for one of these audiences.

    ``senders`` are those of an app that no client lists and that has the role ``submit``; ``issuers`` those of a cloud.
    """

    tenant_id: str
    audiences: Sequence[str]
    senders: tuple[str, ...] = ()
    issuers: Sequence[str] = _ISSUERS


@dataclass(slots=True)
class _Known:
    keys: Mapping[str, RSAPublicKey] = field(default_factory=dict)
    fetched_at: Millis | None = None
    tried_at: Millis | None = None


class EntraCallers:
    """Tells who is behind a token."""

    def __init__(self, rules: CallerRules, *, fetch: Fetch, keys: Keys, clock: Clock) -> None:
        self._rules = rules
        self._fetch = fetch
        self._keys = keys
        self._clock = clock
        self._known = _Known()
        self._fetching: asyncio.Task[None] | None = None

    async def caller(self, token: str, *, source: str) -> Client:
        """The client behind a token; raises Refused, and counts it against its source."""
        try:
            claims = self._checked(token, await self._key(token))
        except _BadTokenError as bad:
            raise self._keys.refusal(bad.why, None, source=source, condition=bad.condition) from None
        app = str(claims.get("azp") or claims.get("appid") or "")
        listed = self._keys.by_app(app)
        if listed is not None:
            return listed
        rights = _rights(claims)
        if not rights:
            why = f"the app {app} is no client's entra_app_id, and its token has none of the app roles {_ROLES}"
            raise self._keys.refusal(why, None, source=source, condition=Condition.MISSING_ROLE)
        return Client(name=f"entra:{app}", senders=self._rules.senders, rights=rights)

    async def close(self) -> None:
        """Fetch nothing more."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    async def _key(self, token: str) -> RSAPublicKey:
        """The key that a token says it is signed with."""
        try:
            head = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise _BadTokenError("this is no token of Entra ID") from None
        if head.get("alg") != _ALGORITHM:
            raise _BadTokenError(f"a token of Entra ID is signed with {_ALGORITHM}")
        known, kid, now = self._known, str(head.get("kid", "")), self._clock.now()
        if kid not in known.keys and (known.tried_at is None or now - known.tried_at >= AGAIN or not known.keys):
            await self._refresh()
        elif known.fetched_at is not None and now - known.fetched_at >= FRESH:
            self._begin()
        if not known.keys:
            detail = "the signing keys of Entra ID cannot be fetched now; nothing was accepted, try again"
            raise Refused(Condition.CALLERS_UNAVAILABLE, detail, retry_after=RETRY_AFTER)
        if kid not in known.keys:
            raise _BadTokenError("the token is signed with a key that Entra ID does not have")
        return known.keys[kid]

    async def _refresh(self) -> None:
        await asyncio.shield(self._begin())

    def _begin(self) -> "asyncio.Task[None]":
        """One fetch for all that wait."""
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._load())
        return self._fetching

    async def _load(self) -> None:
        self._known.tried_at = self._clock.now()
        try:
            found = json.loads(await self._fetch())["keys"]
            made = {str(one["kid"]): RSAAlgorithm.from_jwk(one) for one in found if one.get("kty") == "RSA"}
        except (OSError, ValueError, KeyError, TypeError, jwt.PyJWTError):
            return
        keys = {kid: key for kid, key in made.items() if isinstance(key, RSAPublicKey)}
        if keys:
            self._known.keys, self._known.fetched_at = keys, self._known.tried_at

    def _checked(self, token: str, key: RSAPublicKey) -> Claims:
        rules, now = self._rules, self._clock.now()
        try:
            claims = cast(
                "Claims",
                jwt.decode(
                    token,
                    key,
                    algorithms=[_ALGORITHM],
                    # time is an argument here, and each of the rest has an answer of its own
                    options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False},
                ),
            )
        except jwt.PyJWTError:
            raise _BadTokenError("the signature of the token is wrong") from None
        ends, begins = _seconds(claims, "exp"), _seconds(claims, "nbf")
        if ends is None or ends * 1000 + LEEWAY <= now:
            raise _BadTokenError("the token has expired", Condition.TOKEN_EXPIRED)
        if begins is not None and begins * 1000 - LEEWAY > now:
            raise _BadTokenError("the token is not valid yet; is this machine's clock right?")
        if claims.get("tid") != rules.tenant_id or claims.get("iss") not in _of(rules):
            raise _BadTokenError(f"the token is not of the tenant {rules.tenant_id}", Condition.TOKEN_WRONG_TENANT)
        if claims.get("aud") not in rules.audiences:
            wanted = ", ".join(rules.audiences)
            raise _BadTokenError(f"the token is for another audience than {wanted}", Condition.TOKEN_WRONG_AUDIENCE)
        if "scp" in claims:
            raise _BadTokenError(
                "this is a person's token; programs ask with client credentials", Condition.MISSING_ROLE
            )
        return claims


class _BadTokenError(Exception):
    def __init__(self, why: str, condition: Condition = Condition.INVALID_KEY) -> None:
        super().__init__(why)
        self.why = why
        self.condition = condition


_ROLES: Final = ", ".join(Right)


def _of(rules: CallerRules) -> set[str]:
    return {issuer.format(rules.tenant_id) for issuer in rules.issuers}


def _seconds(claims: Claims, name: str) -> float | None:
    value = claims.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _rights(claims: Claims) -> frozenset[Right]:
    roles = claims.get("roles")
    named = {str(role).lower() for role in roles} if isinstance(roles, list) else set()
    return frozenset(right for right in Right if right.value in named)
