"""Entra's signing key, for tokens that somebody checks: made when the first is asked for."""

import secrets
from collections.abc import Mapping

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

_BITS = 2048


class SigningKey:
    """An RSA key with its id."""

    def __init__(self) -> None:
        self._key: rsa.RSAPrivateKey | None = None
        self._id = secrets.token_urlsafe(20)

    def signed(self, claims: Mapping[str, object]) -> str:
        """A token with these claims (RS256)."""
        return jwt.encode(dict(claims), self._made(), algorithm="RS256", headers={"kid": self._id})

    def published(self) -> Mapping[str, object]:
        """The JWK set of ``/{tenant}/discovery/v2.0/keys``."""
        public = RSAAlgorithm.to_jwk(self._made().public_key(), as_dict=True)
        return {"keys": [{**public, "kid": self._id, "use": "sig"}]}

    def _made(self) -> rsa.RSAPrivateKey:
        if self._key is None:
            self._key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
        return self._key
