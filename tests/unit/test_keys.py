"""API keys: their form, who stands behind one, what is kept and logged of them."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.clients.failures import PER_MINUTE as FAILURES_PER_MINUTE
from posthouse.clients.forms import hash_key, key_id_of, make_key
from posthouse.identities import KeyRow
from posthouse.policy import Right
from posthouse.refusal import Condition, Refused
from tests.contract.rest_door import Door, rest_door


@pytest.fixture
async def door(tmp_path: Path) -> AsyncGenerator[Door]:
    async with rest_door(tmp_path) as opened:
        yield opened


def refusal(door: Door, text: str | None, source: str = "192.0.2.1") -> Refused:
    with pytest.raises(Refused) as refused:
        door.keys.authenticate(text, source=source)
    return refused.value


def test_a_key_has_the_form_that_scanners_and_people_recognise() -> None:
    new = make_key(os.urandom)
    assert new.text.startswith(f"ph_live_{new.id}_")
    assert len(new.id) == 10
    assert len(new.text) == len("ph_live_") + 10 + 1 + 32 + 6
    assert key_id_of(new.text) == new.id
    assert new.text not in repr(new)


@given(st.binary(min_size=64, max_size=64), st.integers(0, 55), st.sampled_from("0aZ_9 é"))
def test_a_mistyped_key_is_recognised_without_asking_anybody(seed: bytes, place: int, letter: str) -> None:
    drawn = iter(range(1000))
    new = make_key(lambda count: bytes((seed[i % 64] + i) % 248 for i in [next(drawn) for _ in range(count)]))
    wrong = new.text[:place] + letter + new.text[place + 1 :]
    assert key_id_of(new.text) == new.id
    assert wrong == new.text or key_id_of(wrong) is None


def test_bytes_that_would_make_some_letters_likelier_are_thrown_away() -> None:
    """256 is no multiple of 62."""
    answers = iter([b"\xf9" * 10, b"\xff" * 10])
    assert make_key(lambda count: next(answers, bytes(count))).id == "0" * 10


async def test_a_key_stands_for_its_client_with_senders_and_scopes(door: Door) -> None:
    text = await door.key("submit", "read", senders=("noreply@contoso.com",), domains=("example.org",))
    client = door.keys.authenticate(text, source="192.0.2.1")
    assert client.name == "shop"
    assert client.senders == ("noreply@contoso.com",)
    assert client.recipient_domains == ("example.org",)
    assert client.rights == {Right.SUBMIT, Right.READ}
    assert client.key_id == key_id_of(text)


async def test_only_the_hash_of_a_key_is_kept(door: Door, tmp_path: Path) -> None:
    text = await door.key()
    kept = (await door.spool.identities()).keys
    assert [row.key_hash for row in kept] == [hash_key(text)]
    await door.spool.close()
    files = await asyncio.to_thread(lambda: [file.read_bytes() for file in tmp_path.iterdir()])
    assert files
    assert all(text.encode() not in file for file in files)


async def test_keys_survive_a_restart(tmp_path: Path) -> None:
    async with rest_door(tmp_path) as door:
        text = await door.key("manage")
    async with rest_door(tmp_path) as door:
        assert door.keys.authenticate(text, source="").rights == {Right.MANAGE}


async def test_a_revoked_key_ends_at_once(door: Door) -> None:
    text, other = await door.key(), await door.key()
    row = await door.keys.revoke(str(key_id_of(text)), by="test")
    assert row is not None
    assert row.revoked_at is not None
    assert refusal(door, text).condition is Condition.INVALID_KEY
    door.keys.authenticate(other, source="")


async def test_revoking_a_key_that_does_not_exist_says_so(door: Door) -> None:
    assert await door.keys.revoke("0123456789", by="test") is None


async def test_an_expired_key_is_refused_from_its_expiry_on(door: Door) -> None:
    text = await door.key(expires_at=door.clock.now() + 60_000)
    door.keys.authenticate(text, source="")
    door.clock.ahead = 60_001
    assert "expired" in refusal(door, text).detail


async def test_a_key_of_the_settings_works_beside_those_of_the_spool(tmp_path: Path) -> None:
    new = make_key(os.urandom)
    row = KeyRow(
        id="settings",
        client="erp",
        key_hash=new.hash,
        senders=("erp@contoso.com",),
    )
    async with rest_door(tmp_path, fixed=[row]) as door:
        assert door.keys.authenticate(new.text, source="").name == "erp"
        made = await door.key()
        assert door.keys.authenticate(made, source="").name == "shop"
        assert {kept.client for kept in await door.keys.rows()} == {"erp", "shop"}


async def test_the_last_use_is_written_at_most_once_a_minute(door: Door) -> None:
    text = await door.key()

    async def used_at() -> int | None:
        await door.keys.close()
        return (await door.spool.identities()).keys[0].last_used_at

    assert await used_at() is None
    door.keys.authenticate(text, source="")
    first = await used_at()
    assert first is not None
    door.clock.ahead = 30_000
    door.keys.authenticate(text, source="")
    assert await used_at() == first
    door.clock.ahead = 61_000
    door.keys.authenticate(text, source="")
    assert (await used_at() or 0) >= first + 61_000 - 1_000


@pytest.mark.parametrize("text", ["", "x", "ph_live_", "ph_live_0123456789_" + "a" * 38, "ph_live_" + "é" * 49])
async def test_what_is_no_key_is_refused(door: Door, text: str) -> None:
    assert refusal(door, text).condition is Condition.INVALID_KEY


async def test_no_key_is_another_condition_than_a_wrong_one(door: Door) -> None:
    assert refusal(door, None).condition is Condition.MISSING_CREDENTIALS


async def test_failures_are_logged_with_source_and_key_id_and_never_with_the_key(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    text = await door.key()
    await door.keys.revoke(str(key_id_of(text)), by="test")
    with caplog.at_level(logging.WARNING, "posthouse"):
        refusal(door, text, "192.0.2.7")
    fields = vars(caplog.records[-1])["fields"]
    assert fields["source"] == "192.0.2.7"
    assert fields["key"] == key_id_of(text)
    assert text not in str(fields)
    assert text not in caplog.text


async def test_a_source_that_fails_often_is_slowed_but_good_keys_and_other_sources_are_not(door: Door) -> None:
    good = await door.key()
    for _ in range(FAILURES_PER_MINUTE):
        assert refusal(door, "wrong").condition is Condition.INVALID_KEY
    slowed = refusal(door, "wrong")
    assert slowed.condition is Condition.QUOTA_EXCEEDED
    assert 0 < (slowed.retry_after or 0) <= 60
    door.keys.authenticate(good, source="192.0.2.1")
    assert refusal(door, "wrong", "192.0.2.2").condition is Condition.INVALID_KEY
    door.clock.ahead = 61_000
    assert refusal(door, "wrong").condition is Condition.INVALID_KEY
