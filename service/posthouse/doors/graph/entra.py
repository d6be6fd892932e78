"""Where apps would ask Entra: a key and its id for an access token of ours, and the documents that lead there.

Nothing is asked of the real Entra, and no secret of it is good here: the client secret is a key of this service.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final
from urllib.parse import parse_qsl, unquote_plus

from fastapi import FastAPI, Request, Response
from pydantic_core import to_json

from posthouse.doors.graph.drafts import DOOR
from posthouse.doors.http.application import Door
from posthouse.doors.http.parts import SOURCE, Parts
from posthouse.doors.http.reading import Headers, body, media_type
from posthouse.doors.http.source import source_of
from posthouse.doors.problems import status_of
from posthouse.ports import Clock
from posthouse.refusal import Condition, Refused

FORM: Final = b"application/x-www-form-urlencoded"
FORM_LIMIT: Final = 16 * 1024
"""Bytes of a token request; one with a key has some 300."""
FIELDS: Final = 32

_NO_STORE: Final = {"cache-control": "no-store", "pragma": "no-cache"}  # RFC 6749 §5.1
_TENANT: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_PATHS: Final = re.compile(
    rf"/{_TENANT}/(?:oauth2/v2\.0/token|v2\.0/\.well-known/openid-configuration|discovery/v2\.0/keys)"
    r"|/common/discovery/instance",
    re.IGNORECASE,
)
_BESIDE: Final = frozenset({"openid", "profile", "offline_access"})
"""Scopes that MSAL for Java asks for besides, and that mean nothing for an app (cmaneu/entra-local#28)."""


class Denied(Refused):
    """A token request that is refused: Entra's number, and the error of RFC 6749 §5.2."""

    def __init__(self, number: int, error: str, detail: str, *, condition: Condition, status: int = 400) -> None:
        super().__init__(condition, detail)
        self.number = number
        self.error = error
        self.status = status


@dataclass(frozen=True, slots=True)
class Credential:
    """Who asks, and with which secret."""

    client_id: str
    secret: str = field(repr=False)


def door(clock: Clock, *, public_url: str) -> Door:
    """The token endpoint and its discovery documents; they name ``public_url``, else the host that was asked."""
    return Door(
        name=DOOR,
        install=partial(_install, public_url=public_url),
        speaks=lambda path: _PATHS.fullmatch(path) is not None,
        refused=partial(_refused, clock=clock),
        fault=partial(_fault, clock=clock),
    )


def _install(app: FastAPI, parts: Parts, *, public_url: str) -> None:
    async def token(request: Request) -> Response:
        return await _token(parts, request)

    async def configuration(request: Request) -> Response:
        return _document(_configuration(_base(request, public_url), request.path_params["tenant"]))

    async def keys(_request: Request) -> Response:
        return _document({"keys": []})

    async def instance(request: Request) -> Response:
        return _document(_instance(_base(request, public_url)))

    app.post("/{tenant}/oauth2/v2.0/token", include_in_schema=False)(token)
    app.get("/{tenant}/v2.0/.well-known/openid-configuration", include_in_schema=False)(configuration)
    app.get("/{tenant}/discovery/v2.0/keys", include_in_schema=False)(keys)
    app.get("/common/discovery/instance", include_in_schema=False)(instance)


async def _token(parts: Parts, request: Request) -> Response:
    """RFC 6749 §4.4: an access token for a key."""
    headers: Headers = dict(request.scope["headers"])
    media_type(headers, (FORM,))
    fields = _fields(await body(request, monotonic=parts.clock.monotonic, limit=FORM_LIMIT, larger=""))
    if fields.get("grant_type") != "client_credentials":
        detail = "grant_type is client_credentials"
        raise Denied(70003, "unsupported_grant_type", detail, condition=Condition.VALIDATION_ERROR)
    given = _credential(headers, fields)
    _check_scope(fields.get("scope", ""))
    if parts.tokens is None:
        raise Refused(Condition.NOT_FOUND, "no tokens are given here ([graph_door] token_endpoint)")
    request.scope[SOURCE] = source = source_of(request.scope, parts.proxies)
    try:
        issued = parts.tokens.issue(given.client_id, given.secret, source=source)
    except Refused as refused:
        if refused.condition is not Condition.INVALID_KEY:
            raise
        detail = "Invalid client secret provided: client_id is the id of a key of posthouse, client_secret the key"
        raise _no_client(7000215, detail) from None
    answer = {"token_type": "Bearer", "expires_in": issued.seconds, "ext_expires_in": issued.seconds}
    return Response(to_json(answer | {"access_token": issued.text}), headers=_NO_STORE, media_type="application/json")


def _fields(raw: bytes) -> Mapping[str, str]:
    """The form, each parameter once (RFC 6749 §3.2)."""
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, strict_parsing=bool(raw), max_num_fields=FIELDS)
    except ValueError:
        raise _no_request("the body is not application/x-www-form-urlencoded") from None
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _no_request("a parameter stands twice")
    return found


def _credential(headers: Headers, fields: Mapping[str, str]) -> Credential:
    """Of the form or of HTTP Basic, never of both (RFC 6749 §2.3.1)."""
    client_id, secret = fields.get("client_id", ""), fields.get("client_secret", "")
    scheme, _, text = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() == "basic":
        basic = _basic(text)
        if secret or client_id not in ("", basic.client_id):
            raise _no_request("the client is named twice")
        return basic
    if not client_id:
        raise _no_request("the request body must contain the parameter client_id", number=900144)
    if "client_assertion" in fields:
        raise _no_client(700027, "posthouse knows no certificates of clients: client_secret is a key")
    if not secret:
        raise _no_client(7000218, "the request body must contain the parameter client_secret")
    return Credential(client_id, secret)


def _basic(text: str) -> Credential:
    try:
        client_id, colon, secret = b64decode(text.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if not colon:
        raise _no_client(7000218, "Authorization: Basic has base64 of client_id:client_secret (RFC 7617 §2)")
    return Credential(unquote_plus(client_id), unquote_plus(secret))


def _check_scope(text: str) -> None:
    """Whose ``.default`` it is does not matter: a key says what its client may do."""
    asked = [scope for scope in text.split(" ") if scope and scope not in _BESIDE]
    if len(asked) != 1 or not asked[0].endswith("/.default") or asked[0] == "/.default":
        detail = "Client credential flows must have a scope value with /.default suffixed to the resource identifier"
        raise Denied(1002012, "invalid_scope", detail, condition=Condition.VALIDATION_ERROR)


def _configuration(base: str, tenant: str) -> Mapping[str, object]:
    """OpenID Connect Discovery §3, as far as MSAL reads it."""
    login = f"{base}/{tenant}"
    return {
        "issuer": f"{login}/v2.0",
        "token_endpoint": f"{login}/oauth2/v2.0/token",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "authorization_endpoint": f"{login}/oauth2/v2.0/authorize",
        "jwks_uri": f"{login}/discovery/v2.0/keys",
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "subject_types_supported": ["public"],
    }


def _instance(base: str) -> Mapping[str, object]:
    """This host is a cloud of its own, with itself as its only name."""
    host = base.partition("://")[2]
    return {
        "tenant_discovery_endpoint": f"{base}/common/v2.0/.well-known/openid-configuration",
        "api-version": "1.1",
        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
    }


def _base(request: Request, public_url: str) -> str:
    return public_url or str(request.base_url).rstrip("/")


def _document(content: Mapping[str, object]) -> Response:
    return Response(to_json(content), media_type="application/json")


def _no_request(detail: str, *, number: int = 9002313) -> Denied:
    return Denied(number, "invalid_request", detail, condition=Condition.VALIDATION_ERROR)


def _no_client(number: int, detail: str) -> Denied:
    return Denied(number, "invalid_client", detail, condition=Condition.INVALID_KEY, status=401)


def _refused(refused: Refused, request_id: str, *, clock: Clock) -> Response:
    if isinstance(refused, Denied):
        number, error, status = refused.number, refused.error, refused.status
    else:
        status = status_of(refused)
        passing = refused.retry_after is not None
        number, error = (90033, "temporarily_unavailable") if passing else (900144, "invalid_request")
    return _error(status, number, error, refused.detail, request_id=request_id, clock=clock)


def _fault(request_id: str, *, clock: Clock) -> Response:
    detail = "a fault of posthouse; its log has more under this trace_id"
    return _error(500, 90033, "temporarily_unavailable", detail, request_id=request_id, clock=clock)


def _error(status: int, number: int, error: str, detail: str, *, request_id: str, clock: Clock) -> Response:
    """An error as Entra writes it (FACTS C3); the number is the one that Entra has for it."""
    at = datetime.fromtimestamp(clock.now() / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    document = {
        "error": error,
        "error_description": f"AADSTS{number}: {detail}. Trace ID: {request_id} Timestamp: {at}",
        "error_codes": [number],
        "timestamp": at,
        "trace_id": request_id,
        "correlation_id": request_id,
    }
    return Response(to_json(document), status, headers=_NO_STORE, media_type="application/json")
