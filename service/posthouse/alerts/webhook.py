"""Tells a webhook of the settings: one POST, no redirects, signed as Standard Webhooks are where there is a secret.

Nobody but the settings says where to: that address is the whole list of what is allowed.
"""

import base64
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx

from posthouse.alerts.words import FORMS, Format, Telling

SECONDS: Final = 15.0
PREFIX: Final = "whsec_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to and in which form; the address may be a secret (Teams and Slack know nothing else), ``secret`` signs.

    Both are read for each POST, so that a new one needs no restart; reading raises ValueError where it is not there.
    ``proxy`` gives the URL of the proxy by which an address is reached, with its login; None: directly.
    """

    url: Callable[[], str]
    form: Format = "standard"
    secret: Callable[[], str] | None = None
    proxy: Callable[[str], str | None] = lambda _url: None


class Webhook:
    """One target."""

    def __init__(self, target: Target) -> None:
        self._target = target

    async def post(self, told: Telling, *, at: float) -> str | None:
        """Tell it, at this Unix time; None where it was taken, else why not, without the address."""
        body = json.dumps(FORMS[self._target.form](told), ensure_ascii=False).encode()
        headers = {"content-type": "application/json", "webhook-id": told.id, "webhook-timestamp": str(int(at))}
        try:
            url = self._target.url()
            secret = None if self._target.secret is None else self._target.secret()
        except ValueError as error:
            return str(error)
        if secret is not None:
            headers["webhook-signature"] = signature(secret, id=told.id, timestamp=int(at), body=body)
        try:
            async with (
                httpx.AsyncClient(
                    timeout=SECONDS, follow_redirects=False, proxy=self._target.proxy(url), trust_env=False
                ) as client,
                client.stream("POST", url, content=body, headers=headers) as response,
            ):
                return None if response.is_success else f"{host_of(url)} answers {response.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return f"{host_of(url)} cannot be told: {type(error).__name__}"


def signature(secret: str, *, id: str, timestamp: int, body: bytes) -> str:  # noqa: A002 - the word of the specification
    """``v1,`` and the base64 of HMAC-SHA256 over id, timestamp and body (standardwebhooks.com, Signature scheme)."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = b".".join((id.encode(), str(timestamp).encode(), body))
    return f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}"


def host_of(url: str) -> str:
    """What may be said of an address."""
    return urlsplit(url).hostname or "the webhook"
