"""The one source of Entra tokens for all transports: single flight, renewed ahead of time, never hammering.

azure-identity has no single flight of its own and keeps what it fetched (SDK §4); so every fetch here uses a new
credential object, which also reads secret files again.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Final, Protocol, Self

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError
from azure.identity import CredentialUnavailableError
from azure.identity.aio import (
    CertificateCredential,
    ClientSecretCredential,
    DefaultAzureCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)

from posthouse.fixes import ENTRA_CONFIGURATION, ENTRA_PASSING, entra_fix
from posthouse.outcome import Answer, Blocked, Scope, TransientFailure
from posthouse.ports import Clock
from posthouse.transports.faults import Fault, by_proxy, fault_of, network_answer, retry_after
from posthouse.transports.proxies import NO_PROXIES, Proxies

CONNECT_SECONDS: Final = 5
READ_SECONDS: Final = 10
FETCH_SECONDS: Final = 30.0
"""The whole of one fetch, name resolution included."""

FIRST_PAUSE: Final = 5.0
LONGEST_PAUSE: Final = 300.0
"""Seconds between failing fetches of one scope: 5, doubling to 300 (FACTS C2: AADSTS50196 blocks who hammers)."""

RENEW_AT: Final = 2 / 3
"""The share of a token's life after which the next one is fetched in the background (FACTS C1)."""

USABLE_UNTIL: Final = 30.0
"""Seconds before its end (or a tenth of a shorter life) in which a token is used no more."""

ASSUMED_LIFE: Final = 300.0
"""Seconds that a fresh token is trusted although it looks over: then a clock is wrong, not the token."""

_PASSING_STATUS: Final = frozenset({408, 429})
_CLIENT_ERRORS: Final = range(400, 500)


class NoToken(Exception):
    """There is no token now; ``outcome`` is what that means for a mail: nothing was sent (PROMISES §4)."""

    def __init__(self, outcome: Blocked | TransientFailure) -> None:
        super().__init__(outcome.answer.code)
        self.outcome = outcome


class Credential(AbstractAsyncContextManager["Credential"], Protocol):
    """What azure-identity's asynchronous credentials have in common."""

    async def get_token(self, *scopes: str) -> AccessToken:
        """A token for the scopes; raises AzureError, OSError or ValueError."""
        ...


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A secret, read anew for every fetch."""

    read: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its private key in PEM or PKCS#12, read anew for every fetch, and its password."""

    read: Callable[[], bytes]
    password: Callable[[], str] | None = None


@dataclass(frozen=True, slots=True)
class ManagedIdentity:
    """The identity of the machine; ``client_id`` names a user-assigned one."""

    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class WorkloadIdentity:
    """A federated token in a file; without a path the one that AZURE_FEDERATED_TOKEN_FILE names."""

    token_file: str | None = None


@dataclass(frozen=True, slots=True)
class DefaultChain:
    """Whatever azure-identity's default chain finds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntraOptions:
    """Who asks whom for tokens; ``authority`` other than a cloud's own is a sandbox or a proxy, with ``ca_file``."""

    tenant_id: str
    client_id: str
    credential: ClientSecret | Certificate | ManagedIdentity | WorkloadIdentity | DefaultChain = field(repr=False)
    authority: str
    own_authority: bool = False
    ca_file: str | None = None
    proxies: Proxies = NO_PROXIES

    @property
    def by_proxy(self) -> bool:
        """Whether the authority is reached by a proxy."""
        return self.proxies.to(self.authority) is not None


def credential_factory(options: EntraOptions) -> Callable[[], Credential]:
    """Makes a new credential object at each call; the call raises what reading a secret raises."""
    return partial(_make, options)


def _make(options: EntraOptions) -> Credential:
    # the environment is read in one place for all (settings), and a machine's own identity is asked without a proxy
    quick = {
        "retry_total": 0,
        "connection_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
        "use_env_settings": False,
    }
    here: dict[str, object] = {
        **quick,
        "authority": options.authority,
        "disable_instance_discovery": options.own_authority,
    }
    if options.ca_file is not None:
        here["connection_verify"] = options.ca_file
    proxy = options.proxies.to(options.authority)
    if proxy is not None:
        here["proxies"] = {"https": proxy.url}
    tenant, client = options.tenant_id, options.client_id
    match options.credential:
        case ClientSecret(read):
            return ClientSecretCredential(tenant, client, read().strip(), **here)
        case Certificate(read, password):
            if password is not None:
                here["password"] = password()
            return CertificateCredential(tenant, client, None, certificate_data=read(), **here)
        case ManagedIdentity(client_id):
            return ManagedIdentityCredential(client_id=client_id, identity_config=None, **quick)
        case WorkloadIdentity(token_file):
            return WorkloadIdentityCredential(tenant_id=tenant, client_id=client, token_file_path=token_file, **here)
        case DefaultChain():
            return DefaultAzureCredential(**here)


@dataclass(frozen=True, slots=True)
class _Held:
    token: AccessToken = field(repr=False)
    ends_at: float
    renew_at: float
    usable_until: float


@dataclass(frozen=True, slots=True)
class _Failure:
    outcome: Blocked | TransientFailure
    times: int
    until: float


class TokenSource:
    """Gives tokens as kiota and XOAUTH2 ask for them; ``get_token`` raises NoToken and nothing else.

    A burst costs one fetch, a failure is remembered for its pause, a renewal that fails leaves the old token in use.
    ``wall`` gives the Unix seconds from which azure-identity reckons ``expires_on``; what is left of a token's life is
    then counted by ``clock``, so that a wall clock that is set makes no token old or young. ``by_proxy``: a proxy
    stands between, and is what cannot be reached where there is no connection.
    """

    def __init__(
        self,
        *,
        factory: Callable[[], Credential],
        scopes: tuple[str, ...],
        clock: Clock,
        wall: Callable[[], float] = time.time,
        by_proxy: bool = False,
    ) -> None:
        self._by_proxy = by_proxy
        self._factory = factory
        self._scopes = scopes
        self._clock = clock
        self._wall = wall
        self._held: dict[str, _Held] = {}
        self._failures: dict[str, _Failure] = {}
        self._flights: dict[str, asyncio.Task[AccessToken | _Failure]] = {}

    async def get_token(
        self,
        *scopes: str,
        claims: str | None = None,  # noqa: ARG002 - kiota's protocol; CAE is off (PROMISES §4)
        tenant_id: str | None = None,  # noqa: ARG002
        enable_cae: bool = False,  # noqa: ARG002
        **_: object,
    ) -> AccessToken:
        """The token of the one scope; claims, tenants and CAE, which kiota may ask for, are not served."""
        (scope,) = scopes
        held, now = self._held.get(scope), self._now()
        if held is None or now >= held.usable_until:
            return await self._next(scope)
        if now >= held.renew_at and not self._paused(scope):
            self._flight(scope)
        return held.token

    async def drop(self, token: str) -> None:
        """Forget this token, which was just refused; the next one comes from a new credential object."""
        for scope, held in list(self._held.items()):
            if held.token.token == token:
                del self._held[scope]

    async def warm(self) -> None:
        """See that every scope has a token that lasts; never raises. To be called at start and about each minute."""
        for scope in self._scopes:
            with suppress(NoToken):
                await self.get_token(scope)

    def expires_on(self, scope: str) -> float | None:
        """When the held token of a scope ends, in Unix seconds; None where there is none."""
        held = self._held.get(scope)
        return None if held is None else held.ends_at

    def failure(self, scope: str) -> Answer | None:
        """Why the latest fetch of a scope failed; None after a success."""
        failure = self._failures.get(scope)
        return None if failure is None else failure.outcome.answer

    async def close(self) -> None:
        """End what is under way; idempotent."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    async def __aenter__(self) -> Self:
        """Nothing is opened before the first fetch."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close."""
        await self.close()

    def _now(self) -> float:
        return self._clock.now() / 1000

    def _paused(self, scope: str) -> _Failure | None:
        failure = self._failures.get(scope)
        return failure if failure is not None and self._clock.monotonic() < failure.until else None

    async def _next(self, scope: str) -> AccessToken:
        paused = self._paused(scope)
        if paused is not None and scope not in self._flights:
            raise NoToken(paused.outcome)
        # shielded: the fetch serves all who wait, so one that is cancelled does not take it from the others
        got = await asyncio.shield(self._flight(scope))
        if isinstance(got, _Failure):
            raise NoToken(got.outcome)
        return got

    def _flight(self, scope: str) -> asyncio.Task[AccessToken | _Failure]:
        flight = self._flights.get(scope)
        if flight is None:
            flight = self._flights[scope] = asyncio.create_task(self._fetch(scope))
            flight.add_done_callback(lambda _: self._flights.pop(scope, None))
        return flight

    async def _fetch(self, scope: str) -> AccessToken | _Failure:
        try:
            async with asyncio.timeout(FETCH_SECONDS), self._factory() as credential:
                token = await credential.get_token(scope)
        except Exception as error:  # noqa: BLE001 - whatever a credential raises means only: no token now
            return self._failed(scope, token_outcome(error, now=self._now(), proxied=self._by_proxy))
        now, life = self._now(), token.expires_on - self._wall()
        life = life if life > 0 else ASSUMED_LIFE
        self._held[scope] = _Held(token, now + life, now + life * RENEW_AT, now + life - min(USABLE_UNTIL, life / 10))
        self._failures.pop(scope, None)
        return token

    def _failed(self, scope: str, outcome: Blocked | TransientFailure) -> _Failure:
        before = self._failures.get(scope)
        times = 1 if before is None else before.times + 1
        pause = min(FIRST_PAUSE * 2.0 ** min(times - 1, 16), LONGEST_PAUSE)
        pause = max(pause, outcome.answer.retry_after or 0.0)
        failure = _Failure(outcome, times, self._clock.monotonic() + pause)
        self._failures[scope] = failure
        return failure


def token_outcome(error: Exception, *, now: float, proxied: bool = False) -> Blocked | TransientFailure:
    """What a failing fetch means: Blocked where the set-up is wrong, else transient; ``now`` in Unix seconds."""
    match error:
        case CredentialUnavailableError():
            return _unreadable("no credential of the configured kind is available here")
        case HttpResponseError():
            return _answered(error, now=now)
        case ServiceRequestError() | ServiceResponseError() | TimeoutError():
            fault = fault_of(error, otherwise=Fault.SILENCE)
            if proxied and isinstance(error, ServiceRequestError):
                fault = by_proxy(fault)
            answer = network_answer(fault, where="asking Entra ID for a token", status="4.4.1")
            return TransientFailure(scope=Scope.TRANSPORT, answer=answer)
        case _:
            return _unreadable("the credential could not be read")


def _unreadable(text: str) -> Blocked:
    answer = Answer(status="4.3.5", text=text, code="credential_unreadable", fix="entra.secret_unreadable")
    return Blocked(scope=Scope.TRANSPORT, answer=answer)


def _answered(error: HttpResponseError, *, now: float) -> Blocked | TransientFailure:
    body = _body(error)
    codes = _codes(body, error)
    word = body.get("error")
    reply = error.status_code
    configuration = any(code in ENTRA_CONFIGURATION for code in codes)
    passing = any(code in ENTRA_PASSING for code in codes) or word == "temporarily_unavailable"
    unclear = reply is None or reply in _PASSING_STATUS or reply not in _CLIENT_ERRORS
    transient = not configuration and (passing or unclear)
    trace = body.get("trace_id")
    headers = getattr(error.response, "headers", None) or {}
    answer = Answer(
        status="4.3.2" if transient else "4.3.5",
        text="Entra ID gave no token" + (f": AADSTS{codes[0]}" if codes else f" (HTTP {reply})"),
        code=f"AADSTS{codes[0]}" if codes else f"entra_{reply or 'unreadable'}",
        reply=reply,
        request_id=trace if isinstance(trace, str) else None,
        retry_after=retry_after(headers.get("Retry-After"), now=now),
        fix=entra_fix(codes) or ("entra.busy" if transient else "entra.refused"),
    )
    return (TransientFailure if transient else Blocked)(scope=Scope.TRANSPORT, answer=answer)


def _body(error: HttpResponseError) -> Mapping[str, object]:
    read = getattr(error.response, "text", None)
    if read is None:
        return {}
    try:
        parsed = json.loads(read() if callable(read) else read)
    except (ValueError, TypeError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _codes(body: Mapping[str, object], error: HttpResponseError) -> list[int]:
    listed = body.get("error_codes")
    if isinstance(listed, list):
        return [code for code in listed if isinstance(code, int)]
    return [int(code) for code in re.findall(r"AADSTS(\d{4,7})", str(error.message))]
