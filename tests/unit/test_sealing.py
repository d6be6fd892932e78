"""Sealing of contents: what opens with what, and that no nonce comes twice under one key."""

from dataclasses import replace

import pytest

from posthouse.ports import ContentUnreadableError
from posthouse.spool.sealing import HEADER, Keyring, Place, Secrets, key_id, new_master

PLACE = Place(b"i" * 16, header_size=10, body_size=20, chunked=True)
OLD, NEW = new_master(), new_master()


def test_a_part_opens_as_what_it_was_and_only_in_its_place():
    seal = Keyring(OLD).new()
    sealed = seal.close(1, b"the first chunk")
    assert seal.open(1, sealed) == b"the first chunk"
    assert b"first" not in sealed
    for part in (HEADER, 2):
        with pytest.raises(ContentUnreadableError, match="changed"):
            seal.open(part, sealed)


@pytest.mark.parametrize("at", [0, 7, -1])
def test_a_part_in_which_one_bit_was_changed_does_not_open(at):
    seal = Keyring(OLD).new()
    sealed = bytearray(seal.close(HEADER, b"Subject: x\r\n"))
    sealed[at] ^= 1
    with pytest.raises(ContentUnreadableError):
        seal.open(HEADER, bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", b"short"])
def test_a_part_that_was_cut_does_not_open(sealed):
    with pytest.raises(ContentUnreadableError):
        Keyring(OLD).new().open(HEADER, sealed)


@pytest.mark.parametrize(
    "other",
    [
        replace(PLACE, id=b"j" * 16),
        replace(PLACE, header_size=11),
        replace(PLACE, body_size=19),
        replace(PLACE, chunked=False),
    ],
)
def test_a_data_key_opens_for_its_own_message_and_sizes_only(other):
    keyring = Keyring(OLD)
    wrapped = keyring.wrap(keyring.new(), PLACE)
    keyring.open(keyring.key_id, wrapped, PLACE)
    with pytest.raises(ContentUnreadableError):
        keyring.open(keyring.key_id, wrapped, other)


def test_another_process_with_the_same_master_opens_it_and_one_with_another_names_what_is_missing():
    keyring = Keyring(OLD)
    seal = keyring.new()
    wrapped = keyring.wrap(seal, PLACE)
    assert Keyring(OLD).open(keyring.key_id, wrapped, PLACE).open(1, seal.close(1, b"x")) == b"x"
    with pytest.raises(ContentUnreadableError, match=keyring.key_id):
        Keyring(NEW).open(keyring.key_id, wrapped, PLACE)


def test_a_data_key_that_was_wrapped_again_needs_the_earlier_master_no_more():
    before = Keyring(OLD)
    seal = before.new()
    rotating = Keyring(NEW, previous=[OLD])
    again = rotating.rewrap(before.key_id, before.wrap(seal, PLACE), PLACE)
    assert Keyring(NEW).open(rotating.key_id, again, PLACE).key == seal.key
    with pytest.raises(ContentUnreadableError):
        Keyring(OLD).open(before.key_id, again, PLACE)


def test_no_nonce_comes_twice_under_one_wrapping_key():
    rings = [Keyring(OLD) for _ in range(3)]
    firsts = [ring.wrap(ring.new(), PLACE)[:28] for ring in rings for _ in range(200)]
    assert len(set(firsts)) == 600
    assert len({first[:16] for first in firsts}) == 3  # each process's life has a wrapping key of its own


def test_every_content_has_a_data_key_of_its_own():
    keyring = Keyring(OLD)
    assert len({keyring.new().key for _ in range(100)}) == 100


def test_a_key_id_names_its_master_and_shows_nothing_of_it():
    assert key_id(OLD) == key_id(OLD) != key_id(NEW)
    assert key_id(OLD) not in OLD
    assert len(key_id(OLD)) == 16
    assert Keyring(OLD).log_key != Keyring(NEW).log_key


def test_secrets_do_not_show_their_masters():
    assert OLD not in repr(Secrets(master=OLD, previous=(OLD,)))
