"""The token endpoint: a key and its id for a token that lasts an hour and no longer than its key; nothing else counts."""

import hmac
import json
import logging
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from posthouse.clients.entra import CallerRules, EntraCallers
from posthouse.clients.failures import PER_MINUTE as FAILURES_PER_MINUTE
from posthouse.clients.forms import key_id_of
from posthouse.clients.keys import Keys
from posthouse.clients.tokens import LIFE, Tokens
from posthouse.spool.sealing import Keyring
from tests.contract.entra_kit import AUDIENCE, TENANT, Microsoft
from tests.contract.entra_kit import signed as entra_token
from tests.contract.graph_door import SIMPLE, URL
from tests.contract.rest_door import Clock, Door, rest_door

TOKEN = "/contoso.com/oauth2/v2.0/token"
RSA = generate_private_key(65537, 2048)
SCOPE = "https://graph.microsoft.com/.default"


@pytest.fixture
async def door(tmp_path: Path) -> AsyncGenerator[Door]:
    async with rest_door(tmp_path, admin=False) as opened:
        yield opened


async def ask(door: Door, key: str, /, **changes: str | None) -> httpx.Response:
    form = {"grant_type": "client_credentials", "client_id": key_id_of(key), "client_secret": key, "scope": SCOPE}
    return await door.anonymous().post(TOKEN, data={name: value for name, value in (form | changes).items() if value})


async def token(door: Door, key: str) -> str:
    answer = await ask(door, key)
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"]


async def use(door: Door, bearer: str) -> httpx.Response:
    return await door.anonymous(authorization=f"Bearer {bearer}").post(URL, json={"message": SIMPLE})


async def test_a_key_gets_a_token_that_is_good_at_every_http_door_until_its_hour_is_over(door: Door) -> None:
    key = await door.key()
    answer = await ask(door, key)
    assert (answer.status_code, answer.headers["cache-control"], answer.headers["pragma"]) == (
        200,
        "no-store",
        "no-cache",
    )
    given = answer.json()
    assert (given["token_type"], given["expires_in"], given["ext_expires_in"]) == ("Bearer", LIFE, LIFE)
    sent = await use(door, given["access_token"])
    own = door.anonymous(authorization=f"Bearer {given['access_token']}")
    assert (await own.get(sent.headers["location"])).json()["client"] == "shop"
    assert key not in given["access_token"]
    door.clock.ahead += (LIFE - 5) * 1000
    assert (await use(door, given["access_token"])).status_code == 202
    door.clock.ahead += 6_000
    late = await use(door, given["access_token"])
    assert (late.status_code, late.json()["error"]["code"]) == (401, "InvalidAuthenticationToken")
    assert "expired" in late.json()["error"]["message"]


async def test_a_token_ends_with_its_key(door: Door) -> None:
    ending = await door.key(expires_at=door.clock.now() + 60_000)
    answer = await ask(door, ending)
    assert 55 <= answer.json()["expires_in"] <= 60
    key = await door.key()
    bearer = await token(door, key)
    assert (await use(door, bearer)).status_code == 202
    await door.keys.revoke(key_id_of(key) or "", by="test")
    assert (await use(door, bearer)).status_code == 401
    assert (await ask(door, key)).status_code == 401


async def test_the_secret_may_come_by_basic_and_the_form_may_ask_for_more_that_means_nothing(door: Door) -> None:
    key = await door.key()
    basic = b64encode(f"{key_id_of(key)}:{key}".encode()).decode()
    form = {"grant_type": "client_credentials", "scope": f"{SCOPE} openid profile offline_access"}
    by_basic = door.anonymous(authorization=f"Basic {basic}")
    assert (await by_basic.post(TOKEN, data=form)).status_code == 200
    assert (await by_basic.post(TOKEN, data=form | {"client_id": key_id_of(key)})).status_code == 200
    twice = await by_basic.post(TOKEN, data=form | {"client_secret": key})
    assert (twice.status_code, twice.json()["error"]) == (400, "invalid_request")
    broken = await door.anonymous(authorization="Basic !").post(TOKEN, data=form)
    assert (broken.status_code, broken.json()["error"]) == (401, "invalid_client")


ENTRA_SECRET = "Abc8Q~real.entra_secret-that.somebody-pasted_1"


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"client_secret": ENTRA_SECRET}, 401, ("invalid_client", 7000215)),
        ({"client_id": "5a4d0000-0000-4000-8000-0000000000a9"}, 401, ("invalid_client", 7000215)),
        ({"client_secret": None}, 401, ("invalid_client", 7000218)),
        ({"client_secret": None, "client_assertion": "a.b.c"}, 401, ("invalid_client", 700027)),
        ({"client_id": None}, 400, ("invalid_request", 900144)),
        ({"grant_type": "password"}, 400, ("unsupported_grant_type", 70003)),
        ({"grant_type": None}, 400, ("unsupported_grant_type", 70003)),
        ({"scope": None}, 400, ("invalid_scope", 1002012)),
        ({"scope": "https://graph.microsoft.com/Mail.Send"}, 400, ("invalid_scope", 1002012)),
        ({"scope": f"{SCOPE} https://outlook.office365.com/.default"}, 400, ("invalid_scope", 1002012)),
        ({"scope": "/.default"}, 400, ("invalid_scope", 1002012)),
    ],
)
async def test_what_is_no_request_for_a_token_is_refused_as_entra_refuses_it(
    changes: dict[str, str | None], status: int, said: tuple[str, int], door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    key = await door.key()
    with caplog.at_level(logging.DEBUG, "posthouse"):
        answer = await ask(door, key, **changes)
    found, (error, number) = answer.json(), said
    assert (answer.status_code, found["error"], found["error_codes"]) == (status, error, [number])
    assert found["error_description"].startswith(f"AADSTS{number}: ")
    assert found["trace_id"] == answer.headers["x-request-id"]
    assert answer.headers["cache-control"] == "no-store"
    logged = str([vars(one) for one in caplog.records])
    for secret in (ENTRA_SECRET, key):
        assert secret not in answer.text + logged


async def test_what_is_no_form_is_refused(door: Door) -> None:
    http = door.anonymous()
    form = {"content-type": "application/x-www-form-urlencoded"}
    key = await door.key()
    whole = f"grant_type=client_credentials&client_id={key_id_of(key)}&client_secret={key}&scope={SCOPE}".encode()
    assert (await http.post(TOKEN, content=whole, headers=form)).status_code == 200
    for content in (whole + b"&client_id=other", b"\xff=1", b"no pairs", b"&".join([b"a=1"] * 99)):
        answer = await http.post(TOKEN, content=content, headers=form)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), content
    answer = await http.post(TOKEN, content=b"a=" + b"x" * 20_000, headers=form)
    assert (answer.status_code, answer.json()["error"]) == (413, "invalid_request")
    assert (await http.post(TOKEN, json={})).json()["error"] == "invalid_request"
    assert (await http.get(TOKEN)).status_code == 405


async def test_who_guesses_is_slowed_and_who_has_a_key_is_not(door: Door) -> None:
    key = await door.key()
    wrong = [await ask(door, key, client_secret="guess") for _ in range(FAILURES_PER_MINUTE + 1)]
    assert [answer.status_code for answer in wrong] == [401] * FAILURES_PER_MINUTE + [429]
    assert wrong[-1].json()["error"] == "temporarily_unavailable"
    assert int(wrong[-1].headers["retry-after"]) > 0
    assert (await use(door, "ph_live_guess")).status_code == 429
    assert (await ask(door, key)).status_code == 200


async def test_the_documents_lead_to_the_endpoint_of_the_host_that_was_asked(door: Door) -> None:
    http = door.anonymous()
    found = (await http.get("/contoso.com/v2.0/.well-known/openid-configuration")).json()
    assert found["token_endpoint"] == f"http://door{TOKEN}"
    assert found["issuer"] == "http://door/contoso.com/v2.0"
    assert (await http.get(found["jwks_uri"])).json() == {"keys": []}
    instance = (await http.get("/common/discovery/instance?api-version=1.1&authorization_endpoint=x")).json()
    assert instance["metadata"] == [{"preferred_network": "door", "preferred_cache": "door", "aliases": ["door"]}]
    assert (await http.get(instance["tenant_discovery_endpoint"])).status_code == 200


async def test_tokens_of_ours_and_of_entra_are_told_apart(tmp_path: Path) -> None:
    rules = CallerRules(tenant_id=TENANT, audiences=(AUDIENCE,), senders=("*@contoso.com",))
    microsoft = Microsoft({"k1": RSA})

    def callers(keys: Keys, clock: Clock) -> EntraCallers:
        return EntraCallers(rules, fetch=microsoft.fetch, keys=keys, clock=clock)

    async with rest_door(tmp_path, admin=False, callers=callers) as door:
        assert (await use(door, await token(door, await door.key()))).status_code == 202
        assert microsoft.asked == 0
        now = door.clock.now() // 1000
        assert (await use(door, entra_token(RSA, now=now, roles=["submit"]))).status_code == 202
        wrong = (
            entra_token(RSA, now=now, aud="https://graph.microsoft.com"),
            entra_token(RSA, now=now, exp=now - 4000),
            entra_token(RSA, now=now, tid="another"),
            entra_token(RSA, now=now),  # an app that no client lists, without a role
        )
        for bearer in wrong:
            refused = await use(door, bearer)
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "InvalidAuthenticationToken")
            assert refused.headers["www-authenticate"].startswith("Bearer")


# --- forged tokens --------------------------------------------------------------------------------------------------

ED25519 = Ed25519PrivateKey.generate()
Forge = Callable[[dict[str, object], str, bytes], str]


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def by_hand(secret: bytes, algorithm: str, kid: str, claims: dict[str, object]) -> str:
    """What no library would make."""
    parts = (json.dumps(part).encode() for part in ({"alg": algorithm, "kid": kid}, claims))
    text = b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = hmac.digest(secret, text, {"HS256": "sha256", "HS512": "sha512"}[algorithm])
    return (text + b"." + urlsafe_b64encode(signature).rstrip(b"=")).decode()


def signed(
    key: bytes | Ed25519PrivateKey | RSAPrivateKey | None, algorithm: str, kid: str, claims: dict[str, object]
) -> str:
    return jwt.encode(claims, key or "", algorithm=algorithm, headers={"kid": kid})


FORGED: dict[str, Forge] = {
    "alg none": lambda claims, kid, _: signed(None, "none", kid, claims),
    "another secret": lambda claims, kid, _: signed(b"x" * 32, "HS256", kid, claims),
    "a public key as secret": lambda claims, kid, _: by_hand(public(ED25519), "HS256", kid, claims),
    "EdDSA": lambda claims, kid, _: signed(ED25519, "EdDSA", kid, claims),
    "RS256": lambda claims, kid, _: signed(RSA, "RS256", kid, claims),
    "another algorithm with our key": lambda claims, kid, key: by_hand(key, "HS512", kid, claims),
    "another audience": lambda claims, kid, key: signed(key, "HS256", kid, claims | {"aud": "https://graph"}),
    "another issuer": lambda claims, kid, key: signed(key, "HS256", kid, claims | {"iss": "https://sts"}),
    "no audience": lambda claims, kid, key: signed(key, "HS256", kid, {k: v for k, v in claims.items() if k != "aud"}),
    "no end": lambda claims, kid, key: signed(key, "HS256", kid, {k: v for k, v in claims.items() if k != "exp"}),
    "an end that is no number": lambda claims, kid, key: signed(key, "HS256", kid, claims | {"exp": "never"}),
    "an end in the past": lambda claims, kid, key: signed(key, "HS256", kid, claims | {"exp": 1}),
    "a key that is none": lambda claims, kid, key: signed(key, "HS256", kid, claims | {"sub": "0000000000"}),
    "an unknown name of the key": lambda claims, _, key: signed(key, "HS256", "nobody", claims),
    "a changed claim": lambda claims, kid, key: ".".join(
        (
            (whole := signed(key, "HS256", kid, claims)).split(".")[0],
            signed(key, "HS256", kid, claims | {"exp": 9_999_999_999}).split(".")[1],
            whole.split(".")[2],
        )
    ),
    "no signature": lambda claims, kid, key: signed(key, "HS256", kid, claims).rpartition(".")[0] + ".",
}


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_token_is_no_credential_and_counts_as_a_failed_login(name: str, door: Door) -> None:
    kid, key = next(iter(door.spool.token_keys.items()))
    now = door.clock.now() // 1000
    subject = key_id_of(await door.key())
    claims: dict[str, object] = {"iss": "posthouse", "aud": "posthouse", "sub": subject, "iat": now, "exp": now + 60}
    assert (await use(door, signed(key, "HS256", kid, claims))).status_code == 202
    forged = FORGED[name](claims, kid, key)
    answer = await use(door, forged)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "InvalidAuthenticationToken")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert forged not in answer.text
    for _ in range(FAILURES_PER_MINUTE):
        answer = await use(door, forged)
    assert answer.status_code == 429


@pytest.mark.parametrize("bearer", ["a.b.c", "..", urlsafe_b64encode(b"[" * 9_000).decode() + ".e30.", "e30.e30.e30"])
async def test_what_only_looks_like_a_token_is_an_unknown_key(bearer: str, door: Door) -> None:
    answer = await use(door, bearer)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "InvalidAuthenticationToken")


async def test_a_token_is_good_after_a_restart(tmp_path: Path) -> None:
    async with rest_door(tmp_path, admin=False) as before:
        bearer = await token(before, await before.key())
    async with rest_door(tmp_path, admin=False) as after:
        assert (await use(after, bearer)).status_code == 202


async def test_a_token_outlives_the_renewal_of_the_master_and_nothing_else(door: Door) -> None:
    key = await door.key()
    old, new, stranger = Keyring("a" * 32), Keyring("b" * 32, previous=["a" * 32]), Keyring("c" * 32)
    tokens = [Tokens(door.keys, signing=one.token_keys, clock=door.clock) for one in (old, new, stranger)]
    issued = tokens[0].issue(key_id_of(key) or "", key, source="here").text
    assert tokens[1].client(issued, source="here").name == "shop"
    assert [one.ours(issued) for one in tokens] == [True, True, False]
    assert not tokens[0].ours(tokens[1].issue(key_id_of(key) or "", key, source="here").text)
    assert len({old.token_keys[old.key_id], old.log_key}) == 2
