"""Entra's token endpoint, its discovery documents, and the endpoint of managed identities (FACTS C)."""

import hmac
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Final
from uuid import uuid4

from posthouse.sandbox.answers import Answer, json_answer
from posthouse.sandbox.settings import Settings
from posthouse.sandbox.signing import SigningKey
from posthouse.sandbox.world import Token, World

GRAPH: Final = "https://graph.microsoft.com"
OUTLOOK: Final = "https://outlook.office365.com"
_APIS: Final = "api://"
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FEDERATED: Final = "api://AzureADTokenExchange"
_SMTP_ROLES: Final = frozenset({"SMTP.SendAsApp"})
_PURGE_ABOVE: Final = 1_000

# number: error, status, text (FACTS C3; texts as the endpoint words them, abridged)
_ERRORS: Final[Mapping[str, tuple[str, int, str]]] = {
    "7000215": (
        "invalid_client",
        401,
        (
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, "
            "not the client secret ID, for a secret added to app '{app}'."
        ),
    ),
    "7000222": ("invalid_client", 401, "The provided client secret keys for app '{app}' are expired."),
    "7000218": (
        "invalid_client",
        401,
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    ),
    "700027": (
        "invalid_client",
        401,
        "The certificate with identifier used to sign the client assertion is not valid.",
    ),
    "700024": ("invalid_client", 401, "Client assertion is not within its valid time range."),
    "700016": ("unauthorized_client", 400, "Application with identifier '{app}' was not found in the directory."),
    "7000112": ("unauthorized_client", 401, "Application '{app}' is disabled."),
    "90002": (
        "invalid_request",
        400,
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID.",
    ),
    "900144": ("invalid_request", 400, "The request body must contain the following parameter: '{tenant}'."),
    "70003": ("unsupported_grant_type", 400, "The app requested an unsupported grant type."),
    "70011": ("invalid_scope", 400, "The provided request must include a 'scope' input parameter that is valid."),
    "500011": ("invalid_resource", 400, "The resource principal was not found in the tenant."),
    "53003": ("access_denied", 400, "Access has been blocked by Conditional Access policies."),
    "50196": ("invalid_request", 400, "The server terminated an operation because it encountered a client loop."),
    "90033": ("temporarily_unavailable", 503, "A transient error has occurred. Please try again."),
}
_FAULT_CODES: Final = {401: "7000215", 400: "90002", 403: "53003"}


class Entra:
    """Issues tokens to the one app of the tenant."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._signing = SigningKey()

    def token(self, tenant: str, form: Mapping[str, str], *, host: str) -> Answer:
        """The answer of ``/{tenant}/oauth2/v2.0/token`` for client credentials (FACTS C1); counts the question."""
        world = self._world
        world.counters.tokens_asked += 1
        app = form.get("client_id", "")
        if tenant.lower() != world.tenant.tenant_id:
            return self.refusal("90002", app=app, tenant=tenant)
        if form.get("grant_type") != "client_credentials":
            return self.refusal("70003", app=app, tenant=tenant)
        if app.lower() != world.tenant.client_id:
            return self.refusal("700016", app=app, tenant=tenant)
        trouble = self._credential_trouble(form, app)
        if trouble is not None:
            return self.refusal(trouble, app=app, tenant=tenant)
        scope = form.get("scope", "")
        if not scope.endswith("/.default") or " " in scope:
            return self.refusal("70011", app=app, tenant=tenant)
        resource = _resource(scope.removesuffix("/.default"), host)
        if resource is None:
            return self.refusal("500011", app=app, tenant=tenant)
        lifetime = world.settings.expires_in
        text = self._issue(resource)
        answer = {"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": text}
        return json_answer(200, answer)

    def managed_identity(self, query: Mapping[str, str], header: str | None, *, host: str) -> Answer:
        """The answer of App Service's endpoint: ``resource`` and the secret of ``X-IDENTITY-HEADER``."""
        world = self._world
        world.counters.tokens_asked += 1
        if header is None or not hmac.compare_digest(header, world.tenant.identity_header):
            return json_answer(401, {"statusCode": 401, "message": "X-IDENTITY-HEADER is missing or wrong."})
        resource = _resource(query.get("resource", "").rstrip("/"), host)
        if resource is None:
            return json_answer(400, {"statusCode": 400, "message": "AADSTS500011: resource not found."})
        text = self._issue(resource)
        expires_on = str(int(world.tokens[text].expires_at))
        answer = {"access_token": text, "expires_on": expires_on, "resource": resource, "token_type": "Bearer"}
        return json_answer(200, {**answer, "client_id": world.tenant.client_id})

    def openid_configuration(self, tenant: str, base_url: str) -> Answer:
        """The discovery document, as far as MSAL and azure-identity read it."""
        if tenant.lower() not in {self._world.tenant.tenant_id, "common", "organizations"}:
            return self.refusal("90002", app="", tenant=tenant)
        login = f"{base_url}/{tenant}"
        return json_answer(
            200,
            {
                "token_endpoint": f"{login}/oauth2/v2.0/token",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
                "jwks_uri": f"{login}/discovery/v2.0/keys",
                "authorization_endpoint": f"{login}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{login}/oauth2/v2.0/devicecode",
                "issuer": f"{login}/v2.0",
                "tenant_region_scope": "EU",
                "msgraph_host": self._world.settings.graph_host,
            },
            headers=((b"date", formatdate(self._world.clock(), usegmt=True).encode()),),
        )

    def keys(self) -> Answer:
        """The answer of ``/{tenant}/discovery/v2.0/keys``: what tokens for the tenant's own APIs are signed with."""
        return json_answer(200, self._signing.published())

    def instances(self, base_url: str) -> Answer:
        """The answer of ``/common/discovery/instance``: this host is a cloud of its own."""
        host = base_url.removeprefix("https://")
        endpoint = f"{base_url}/{self._world.tenant.tenant_id}/v2.0/.well-known/openid-configuration"
        names = {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
        document = {"tenant_discovery_endpoint": endpoint, "api-version": "1.1", "metadata": [names]}
        return json_answer(200, document)

    def fault(self, status: int, code: str | None, *, retry_after: str | None) -> Answer:
        """An error that a rule asked for: this status, with this AADSTS number or the usual one."""
        return self.refusal(code or _FAULT_CODES.get(status, "90033"), status=status, retry_after=retry_after)

    def refusal(
        self, code: str, *, app: str = "", tenant: str = "", status: int | None = None, retry_after: str | None = None
    ) -> Answer:
        """An error exactly in Entra's form."""
        error, usual, text = _ERRORS.get(code, ("invalid_request", 400, "The request is not valid."))
        at = datetime.fromtimestamp(self._world.clock(), UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        trace, correlation = str(uuid4()), str(uuid4())
        said = f"AADSTS{code}: {text.format(app=app, tenant=tenant)}"
        body = {
            "error": error,
            "error_description": f"{said} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {at}",
            "error_codes": [int(code)],
            "timestamp": at,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={code}",
        }
        headers = ((b"retry-after", retry_after.encode()),) if retry_after else ()
        return json_answer(status or usual, body, headers=headers)

    def _credential_trouble(self, form: Mapping[str, str], app: str) -> str | None:
        settings = self._world.settings
        secret = form.get("client_secret")
        if secret is not None:
            if not hmac.compare_digest(secret.encode(), settings.client_secret.encode()):
                return "7000215"
            return "7000222" if settings.secret_expired else None
        if form.get("client_assertion_type") != _ASSERTION or "client_assertion" not in form:
            return "7000218"
        return _assertion_trouble(form["client_assertion"], app=app, now=self._world.clock(), settings=settings)

    def _issue(self, resource: str) -> str:
        world = self._world
        now, lifetime = world.clock(), world.settings.expires_in
        if len(world.tokens) > _PURGE_ABOVE:
            world.tokens = {text: one for text, one in world.tokens.items() if one.expires_at > now}
        claims = _claims(world, resource, now)
        text = self._signing.signed(claims) if resource.startswith(_APIS) else _as_jwt(claims)
        world.tokens[text] = Token(world.tenant.client_id, resource, now, now + lifetime)
        world.counters.tokens_issued += 1
        return text


def _resource(asked: str, host: str) -> str | None:
    """The resource that a scope names: an API of the tenant too; the emulator's own host stands for Graph (SDK section 1)."""
    if asked in {GRAPH, OUTLOOK} or asked.startswith(_APIS):
        return asked
    return GRAPH if asked in {f"https://{host}", f"https://{host.partition(':')[0]}"} else None


def _assertion_trouble(assertion: str, *, app: str, now: float, settings: Settings) -> str | None:
    """What is wrong with a client assertion: form, subject (or a pod's audience), certificate, time.

    Its signature is not checked.
    """
    try:
        header, payload, signature = assertion.split(".")
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        head = json.loads(urlsafe_b64decode(header + "=" * (-len(header) % 4)))
        known = head["alg"] and signature
        thumbprint = head.get("x5t#S256") or head.get("x5t")
        expires = float(claims["exp"])
        subject, audience = claims["sub"], claims["aud"]
    except (ValueError, KeyError, TypeError):
        return "700027"
    own = subject == app and claims.get("iss") == app
    if not known or not (own or audience == _FEDERATED or _FEDERATED in audience):
        return "700027"
    strange = settings.thumbprints is not None and thumbprint not in settings.thumbprints
    if own and (settings.certificate_expired or strange):
        return "700027"
    return "700024" if expires <= now else None


def _claims(world: World, resource: str, now: float) -> dict[str, object]:
    """What Entra says in a token of an app (SDK section 7); of an API of the tenant the app has no role."""
    granted = world.settings.grants
    tenant = world.tenant
    return {
        "aud": resource,
        "iss": f"https://sts.windows.net/{tenant.tenant_id}/",
        "iat": int(now),
        "nbf": int(now),
        "exp": int(now + world.settings.expires_in),
        "aio": secrets.token_urlsafe(64),
        "app_displayname": "posthouse sandbox",
        "appid": tenant.client_id,
        "appidacr": "1",
        "idp": f"https://sts.windows.net/{tenant.tenant_id}/",
        "idtyp": "app",
        "rh": secrets.token_urlsafe(48),
        **({"roles": _roles(granted, resource)} if world.settings.scope is None else {}),
        "tid": tenant.tenant_id,
        "uti": secrets.token_urlsafe(16),
        "ver": "1.0",
        "wids": ["0997a1d0-0d1d-4acb-b408-d5ca73121e90"],
        "xms_ftd": secrets.token_urlsafe(48),
    }


def _as_jwt(claims: Mapping[str, object]) -> str:
    """A token of the form and length of Entra's (some 1.5 KB); Microsoft checks it, so that its signature is chance."""
    head = {"typ": "JWT", "nonce": secrets.token_urlsafe(32), "alg": "RS256", "kid": secrets.token_urlsafe(20)}
    parts = (urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (head, claims))
    return ".".join((*parts, secrets.token_urlsafe(256)))


def _roles(granted: frozenset[str], resource: str) -> list[str]:
    if resource.startswith(_APIS):
        return []
    return sorted(granted & _SMTP_ROLES if resource == OUTLOOK else granted - _SMTP_ROLES)
