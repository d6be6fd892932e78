"""Entra ID as far as callers' tokens go: a signing key that it publishes, and tokens signed with it."""

import json
from dataclasses import dataclass

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

TENANT = "11111111-2222-3333-4444-555555555555"
APP = "99999999-8888-7777-6666-555555555555"
AUDIENCE = "api://posthouse"


@dataclass
class Microsoft:
    """What it publishes, and how often it was asked."""

    keys: dict[str, rsa.RSAPrivateKey]
    reachable: bool = True
    asked: int = 0

    async def fetch(self) -> bytes:
        self.asked += 1
        if not self.reachable:
            raise OSError("unreachable")
        public = {kid: RSAAlgorithm.to_jwk(one.public_key(), as_dict=True) for kid, one in self.keys.items()}
        return json.dumps({"keys": [{**one, "kid": kid} for kid, one in public.items()]}).encode()


def signed(key: object, *, now: int, kid: str = "k1", algorithm: str = "RS256", **changes: object) -> str:
    """A token of an app, with these claims changed or, where None, left out; ``now`` in seconds."""
    claims: dict[str, object] = {
        "aud": AUDIENCE,
        "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
        "tid": TENANT,
        "azp": APP,
        "exp": now + 3600,
        "nbf": now,
    }
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid})  # ty: ignore[invalid-argument-type]
