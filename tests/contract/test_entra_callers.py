"""Callers with a token of their Entra app: whose it is, what it may, and every way in which a token is none."""

import hmac
import json
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest
from azure.identity.aio import ClientSecretCredential
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.utils import base64url_encode

from posthouse.assembly import callers_of
from posthouse.clients.entra import AGAIN, FRESH, CallerRules, EntraCallers
from posthouse.clients.failures import PER_MINUTE
from posthouse.clients.keys import Keys
from posthouse.identities import KeyRow
from posthouse.sandbox.emulator import Emulator, Options
from posthouse.settings.loading import build
from tests.contract.entra_kit import APP, AUDIENCE, TENANT, Microsoft, signed
from tests.contract.rest_door import Clock, Door, rest_door

SIMPLE = {"from": "noreply@contoso.com", "to": "jo@example.org", "subject": "Order 7", "text": "Hello"}
LISTED = KeyRow(
    id=APP,
    client="billing",
    key_hash=b"",
    kind="entra",
    senders=("noreply@contoso.com",),
    recipient_domains=(),
    scopes=("submit",),
    created_at=0,
    expires_at=None,
    revoked_at=None,
    last_used_at=None,
)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class On:
    door: Door
    microsoft: Microsoft
    key: rsa.RSAPrivateKey
    claims: dict[str, object] = field(default_factory=dict)

    def token(self, *, key: object = None, **changes: object) -> str:
        now = self.door.clock.now() // 1000
        return signed(key or self.key, now=now, **changes)  # ty: ignore[invalid-argument-type]

    async def post(self, token: str) -> httpx.Response:
        async with self.door.anonymous(authorization=f"Bearer {token}") as http:
            return await http.post("/v1/messages", json=SIMPLE)


@pytest.fixture
async def on(tmp_path: Path, key: rsa.RSAPrivateKey) -> AsyncGenerator[On]:
    microsoft = Microsoft({"k1": key})
    rules = CallerRules(tenant_id=TENANT, audiences=(AUDIENCE,), senders=("*@contoso.com",))

    def made(keys: Keys, clock: Clock) -> EntraCallers:
        return EntraCallers(rules, fetch=microsoft.fetch, keys=keys, clock=clock)

    async with rest_door(tmp_path, fixed=(LISTED,), callers=made) as door:
        yield On(door, microsoft, key)


async def test_a_token_of_a_listed_app_needs_no_role(on: On) -> None:
    answer = await on.post(on.token())
    assert answer.status_code == 202, answer.text
    assert (await on.post(on.token(azp=None, appid=APP.upper(), iss=f"https://sts.windows.net/{TENANT}/"))).is_success
    assert on.microsoft.asked == 1


async def test_an_app_that_nobody_lists_may_what_its_roles_say(on: On) -> None:
    other = "00000000-1111-2222-3333-444444444444"
    assert (await on.post(on.token(azp=other, roles=["submit"]))).status_code == 202
    assert (await on.post(on.token(azp=other, roles=["read"]))).json()["code"] == "insufficient_scope"
    none = await on.post(on.token(azp=other))
    assert (none.status_code, none.json()["code"]) == (401, "missing_role")
    assert other in none.json()["detail"]


CASES: Mapping[str, tuple[dict[str, object], str]] = {
    "expired": ({"exp": int(time.time()) - 3600}, "token_expired"),
    "without an end": ({"exp": None}, "token_expired"),
    "not valid yet": ({"nbf": int(time.time()) + 3600}, "invalid_key"),
    "another audience": ({"aud": "https://graph.microsoft.com"}, "token_wrong_audience"),
    "no audience": ({"aud": None}, "token_wrong_audience"),
    "several audiences": ({"aud": [AUDIENCE]}, "token_wrong_audience"),
    "another tenant": ({"tid": APP}, "token_wrong_tenant"),
    "another issuer": ({"iss": "https://evil.example/"}, "token_wrong_tenant"),
    "the issuer of another tenant": ({"iss": f"https://sts.windows.net/{APP}/"}, "token_wrong_tenant"),
    "a person's": ({"scp": "Mail.Send"}, "missing_role"),
    "no app at all": ({"azp": None}, "missing_role"),
    "an unknown signing key": ({"kid": "k2"}, "invalid_key"),
}


@pytest.mark.parametrize("name", CASES)
async def test_what_is_wrong_with_a_token_is_told(on: On, name: str) -> None:
    changes, code = CASES[name]
    answer = await on.post(on.token(**changes))
    assert (answer.status_code, answer.json()["code"]) == (401, code), answer.text
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_algorithms_are_not_for_the_caller_to_choose(on: On) -> None:
    public = on.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = base64url_encode(json.dumps({"alg": "none", "kid": "k1"}).encode()).decode()
    body = on.token().split(".")[1]
    hmac_head = base64url_encode(json.dumps({"alg": "HS256", "kid": "k1"}).encode()).decode()
    mac = base64url_encode(hmac.digest(public, f"{hmac_head}.{body}".encode(), "sha256")).decode()
    confused = f"{hmac_head}.{body}.{mac}"
    own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for token in (f"{head}.{body}.", confused, on.token(key=own), on.token()[:-4] + "AAAA", "ey.ey.ey"):
        answer = await on.post(token)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_key"), token


async def test_new_signing_keys_are_fetched_when_they_are_needed_and_made_up_ones_cause_no_flood(on: On) -> None:
    assert (await on.post(on.token())).is_success
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    on.microsoft.keys["k2"] = other
    assert (await on.post(on.token(kid="k2", key=other))).status_code == 401, "fetched a moment ago"
    for number in range(5):
        await on.post(on.token(kid=f"made up {number}"))
    assert on.microsoft.asked == 1
    on.door.clock.ahead += AGAIN
    assert (await on.post(on.token(kid="k2", key=other))).status_code == 202
    assert on.microsoft.asked == 2


async def test_known_keys_go_on_while_microsoft_is_away_and_without_any_the_caller_tries_again(on: On) -> None:
    on.microsoft.reachable = False
    answer = await on.post(on.token())
    assert (answer.status_code, answer.json()["code"]) == (503, "callers_unavailable")
    assert answer.headers["retry-after"]
    on.microsoft.reachable = True
    assert (await on.post(on.token())).is_success
    on.microsoft.reachable = False
    on.door.clock.ahead += 2 * FRESH
    assert (await on.post(on.token())).is_success


async def test_whoever_guesses_tokens_is_slowed_and_listed(on: On) -> None:
    for _ in range(PER_MINUTE):
        await on.post(on.token(tid=APP))
    assert (await on.post(on.token(tid=APP))).status_code == 429
    assert (await on.post(on.token())).status_code == 202
    found = {one.code: one.times for one in await on.door.keeper.refusals()}
    assert found == {"token_wrong_tenant": PER_MINUTE, "quota_exceeded": 1}


async def test_a_program_with_azure_identity_needs_nothing_of_ours(tmp_path: Path) -> None:
    async with Emulator(Options(directory=tmp_path / "emulator")) as emulator:
        tenant = emulator.options
        secret = tenant.client_secret
        entra = {"tenant_id": tenant.tenant_id, "client_id": tenant.client_id, "client_secret": secret}
        entra |= {"authority": emulator.authority, "ca_file": str(emulator.ca_file)}
        settings = build({"entra": entra, "callers": {"tenant_id": tenant.tenant_id, "audience": [AUDIENCE]}}, {})
        row = replace(LISTED, id=tenant.client_id.lower())

        def made(keys: Keys, clock: Clock) -> EntraCallers | None:
            return callers_of(settings, keys=keys, clock=clock)

        async with (
            rest_door(tmp_path, fixed=(row,), callers=made) as door,
            ClientSecretCredential(
                tenant.tenant_id,
                tenant.client_id,
                secret,
                authority=emulator.authority,
                disable_instance_discovery=True,
                connection_verify=str(emulator.ca_file),
            ) as credential,
        ):
            token = (await credential.get_token(f"{AUDIENCE}/.default")).token
            http = door.anonymous(authorization=f"Bearer {token}")
            assert (await http.post("/v1/messages", json=SIMPLE)).status_code == 202
