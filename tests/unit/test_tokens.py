"""One source of tokens: single flight, ahead of time, never hammering, and what a refusal by Entra means."""

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Self

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError, ServiceResponseTimeoutError
from azure.identity import CredentialUnavailableError

from posthouse.outcome import Blocked, Scope, TransientFailure
from posthouse.transports.clouds import CLOUDS
from posthouse.transports.tokens import NoToken, TokenSource, token_outcome

SCOPE, OTHER = "https://graph.test/.default", "https://smtp.test/.default"


@dataclass
class Time:
    """A clock that moves when told."""

    seconds: float = 1_000_000.0

    def now(self) -> int:
        return int(self.seconds * 1000)

    def monotonic(self) -> float:
        return self.seconds

    def apart(self) -> int:
        return 0

    def anchor(self) -> None:
        return None


@dataclass
class Entra:
    """Counts fetches; each waits for ``gate`` and gives the next answer."""

    time: Time
    life: float = 3600.0
    wrong: float = 0.0
    fetches: list[str] = field(default_factory=list)
    made: int = 0
    closed: int = 0
    error: Exception | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def __call__(self) -> "Entra":
        self.made += 1
        return self

    @property
    def wall(self) -> float:
        """The wall clock, which may be wrong."""
        return self.time.seconds + self.wrong

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closed += 1

    async def get_token(self, *scopes: str) -> AccessToken:
        self.fetches.append(scopes[0])
        number = len(self.fetches)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return AccessToken(f"token-{number}", int(self.wall + self.life))


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def entra(time) -> Entra:
    return Entra(time)


@pytest.fixture
def source(entra, time) -> TokenSource:
    return TokenSource(factory=entra, scopes=(SCOPE, OTHER), clock=time, wall=lambda: entra.wall)


async def flights(source: TokenSource) -> None:
    """Wait for what goes on in the background."""
    await asyncio.gather(*source._flights.values())
    await asyncio.sleep(0)


async def test_a_cold_burst_costs_one_fetch(source, entra):
    got = await asyncio.gather(*(source.get_token(SCOPE) for _ in range(200)))
    assert {token.token for token in got} == {"token-1"}
    assert entra.fetches == [SCOPE]


async def test_a_failing_burst_costs_one_fetch_and_all_get_the_reason(source, entra):
    entra.error = CredentialUnavailableError("no")
    got = await asyncio.gather(*(source.get_token(SCOPE) for _ in range(50)), return_exceptions=True)
    assert all(isinstance(error, NoToken) and isinstance(error.outcome, Blocked) for error in got)
    assert len(entra.fetches) == 1


async def test_failures_are_asked_again_after_5_s_then_10_up_to_5_minutes(source, entra, time):
    entra.error = CredentialUnavailableError("no")
    pauses = []
    for _ in range(9):
        start = time.seconds
        fetched = len(entra.fetches)
        while len(entra.fetches) == fetched:
            with pytest.raises(NoToken):
                await source.get_token(SCOPE)
            time.seconds += 0.5
        pauses.append(time.seconds - 0.5 - start)
    assert pauses == pytest.approx([0, 4.5, 9.5, 19.5, 39.5, 79.5, 159.5, 299.5, 299.5])


async def test_a_failing_scope_does_not_hold_up_the_other(source, entra):
    entra.error = CredentialUnavailableError("no")
    with pytest.raises(NoToken):
        await source.get_token(SCOPE)
    entra.error = None
    assert (await source.get_token(OTHER)).token


async def test_a_token_is_renewed_in_the_background_after_two_thirds_of_its_life(source, entra, time):
    await source.get_token(SCOPE)
    time.seconds += 2399
    assert (await source.get_token(SCOPE)).token == "token-1"
    assert len(entra.fetches) == 1
    time.seconds += 2
    entra.gate.clear()
    got = await asyncio.gather(*(source.get_token(SCOPE) for _ in range(200)))
    assert {token.token for token in got} == {"token-1"}
    entra.gate.set()
    await flights(source)
    assert len(entra.fetches) == 2
    assert (await source.get_token(SCOPE)).token == "token-2"


async def test_a_renewal_that_fails_leaves_the_old_token_and_is_not_repeated_at_once(source, entra, time):
    await source.get_token(SCOPE)
    entra.error = CredentialUnavailableError("no")
    time.seconds += 2500
    for _ in range(20):
        assert (await source.get_token(SCOPE)).token == "token-1"
        await flights(source)
    assert len(entra.fetches) == 2
    assert source.failure(SCOPE) is not None


async def test_a_token_that_is_about_to_end_is_not_handed_out(source, time):
    await source.get_token(SCOPE)
    time.seconds += 3571
    assert (await source.get_token(SCOPE)).token == "token-2"


async def test_short_lives_are_used_too(source, entra, time):
    entra.life = 60
    await source.get_token(SCOPE)
    time.seconds += 39
    assert (await source.get_token(SCOPE)).token == "token-1"
    assert len(entra.fetches) == 1
    time.seconds += 16
    assert (await source.get_token(SCOPE)).token == "token-2"


async def test_a_dropped_token_is_forgotten_once_and_the_next_comes_from_a_new_credential(source, entra):
    old = (await source.get_token(SCOPE)).token
    other = (await source.get_token(OTHER)).token
    await source.drop(old)
    new = (await source.get_token(SCOPE)).token
    assert new != old
    await source.drop(old)
    assert (await source.get_token(SCOPE)).token == new
    assert (await source.get_token(OTHER)).token == other
    assert (entra.made, entra.closed) == (3, 3)


async def test_one_waiter_that_is_cancelled_does_not_take_the_token_from_the_others(source, entra):
    entra.gate.clear()
    first = asyncio.create_task(source.get_token(SCOPE))
    second = asyncio.create_task(source.get_token(SCOPE))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    entra.gate.set()
    assert (await second).token == "token-1"
    assert len(entra.fetches) == 1


async def test_warming_fetches_both_scopes_and_never_raises(source, entra):
    entra.error = CredentialUnavailableError("no")
    await source.warm()
    assert source.expires_on(SCOPE) is None
    entra.error, entra.time.seconds = None, entra.time.seconds + 6
    await source.warm()
    assert source.expires_on(SCOPE) == entra.time.seconds + 3600
    assert source.expires_on(OTHER) == entra.time.seconds + 3600
    assert source.failure(SCOPE) is None


async def test_a_secret_that_cannot_be_read_is_the_administrators(time):
    def broken() -> Entra:
        raise FileNotFoundError("/run/secrets/graph")

    source = TokenSource(factory=broken, scopes=(SCOPE,), clock=time)
    with pytest.raises(NoToken) as caught:
        await source.get_token(SCOPE)
    assert isinstance(caught.value.outcome, Blocked)
    assert caught.value.outcome.answer.fix == "entra.secret_unreadable"
    assert "/run/secrets" not in caught.value.outcome.answer.text


async def test_closing_ends_a_fetch_that_hangs(source, entra):
    entra.gate.clear()
    waiting = asyncio.create_task(source.get_token(SCOPE))
    await asyncio.sleep(0)
    await source.close()
    await asyncio.wait({waiting})
    assert waiting.cancelled()


def network(cause: Exception) -> ServiceRequestError:
    error = ServiceRequestError("no")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (network(ssl.SSLCertVerificationError("x")), "network.certificate"),
        (network(ConnectionRefusedError()), "network.refused"),
        (ServiceResponseTimeoutError("slow"), "network.path"),
        (TimeoutError(), "network.path"),
    ],
)
def test_an_entra_that_cannot_be_reached_is_transient_for_the_transport(error, fix):
    outcome = token_outcome(error, now=0.0)
    assert isinstance(outcome, TransientFailure)
    assert (outcome.scope, outcome.answer.fix) == (Scope.TRANSPORT, fix)


@pytest.mark.parametrize(
    ("text", "kind", "fix"),
    [
        ("(invalid_client) AADSTS7000215: Invalid client secret", Blocked, "entra.secret_wrong"),
        ("(invalid_client) AADSTS7000222: expired", Blocked, "entra.secret_expired"),
        ("AADSTS700027: certificate", Blocked, "entra.certificate"),
        ("AADSTS90002: Tenant not found", Blocked, "entra.tenant_unknown"),
        ("AADSTS90033: temporarily", TransientFailure, "entra.busy"),
        ("AADSTS50196: loop", TransientFailure, "entra.loop"),
        ("no code at all", TransientFailure, "entra.busy"),
    ],
)
def test_a_refusal_is_judged_by_its_code(text, kind, fix):
    outcome = token_outcome(ClientAuthenticationError(message=text), now=0.0)
    assert isinstance(outcome, kind)
    assert (outcome.scope, outcome.answer.fix) == (Scope.TRANSPORT, fix)
    assert "secret" not in outcome.answer.text


def test_every_cloud_has_its_own_graph_and_token_scope_on_that_host():
    assert set(CLOUDS) == {"worldwide", "usgov", "usgovdod", "china"}
    for cloud in CLOUDS.values():
        assert cloud.graph_url == cloud.graph_scope.replace("/.default", "/v1.0")
        assert cloud.authority.startswith("https://")


@pytest.mark.parametrize("wrong", [-3600.0, 3600.0, -86_400.0])
async def test_a_wall_clock_that_was_set_makes_no_token_old_or_young(wrong, source, entra, time):
    """azure-identity reckons with the wall clock, we with a clock that does not jump."""
    entra.wrong = wrong
    for _ in range(3):
        await source.get_token(SCOPE)
    assert entra.fetches == [SCOPE]
    time.seconds += 3599
    await source.get_token(SCOPE)
    await flights(source)
    assert len(entra.fetches) == 2


async def test_a_fresh_token_that_looks_over_is_used_and_not_fetched_again_and_again(source, entra):
    entra.life = -10.0
    for _ in range(3):
        await source.get_token(SCOPE)
    assert entra.fetches == [SCOPE]
