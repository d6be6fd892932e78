"""When a transport may be used (PROMISES §6)."""

import pytest

from posthouse.circuit import Circuit, Patience, State

NOW = 1_800_000_000_000


@pytest.fixture
def circuit() -> Circuit:
    return Circuit("graph", patience=Patience())


def fail(circuit: Circuit, key: int, *, retry_after: float | None = None, now: int = NOW) -> bool:
    return circuit.failed(now, key=key, retry_after=retry_after, reason="refused")


def doubt(circuit: Circuit, key: int) -> bool:
    return circuit.doubted(NOW, key=key, retry_after=None, reason="504")


def test_three_failures_from_different_messages_open_it(circuit):
    assert [fail(circuit, key) for key in (1, 1, 1, 2)] == [False] * 4
    assert fail(circuit, 3)
    assert circuit.usable_at(NOW) == NOW + 30_000


def test_five_doubtful_messages_open_it_and_a_proof_of_life_between_starts_the_count_again(circuit):
    assert [doubt(circuit, key) for key in (1, 2, 3, 4)] == [False] * 4
    circuit.alive(NOW)
    assert [doubt(circuit, key) for key in (5, 6, 7, 8, 9)] == [False] * 4 + [True]
    assert circuit.usable_at(NOW) is not None


def test_it_stays_open_for_a_longer_retry_after(circuit):
    for key in (1, 2, 3):
        fail(circuit, key, retry_after=120.0)

    assert circuit.usable_at(NOW) == NOW + 120_000


def test_first_the_probe_then_one_message_alone_then_all(circuit):
    for key in (1, 2, 3):
        fail(circuit, key)
    later = NOW + 30_000
    assert not circuit.admits(later, key=4, expires_at=None)
    assert circuit.wants_probe(later)
    circuit.probed(later, alive=True)
    assert circuit.state is State.TRIAL
    assert not circuit.admits(later, key=5, expires_at=later + 60_000)
    assert circuit.admits(later, key=6, expires_at=None)
    assert not circuit.admits(later, key=7, expires_at=None)
    assert circuit.alive(NOW)
    assert circuit.admits(later, key=7, expires_at=None)


def test_the_time_doubles_up_to_the_longest_when_probe_or_trial_fails(circuit):
    for key in (1, 2, 3):
        fail(circuit, key)
    now, waits = NOW + 30_000, []
    for _ in range(5):
        circuit.probed(now, alive=False)
        waits.append((circuit.until - now) // 1000)
        now = circuit.until
    assert waits == [60, 120, 240, 300, 300]
    circuit.probed(now, alive=True)
    assert circuit.admits(now, key=9, expires_at=None)
    fail(circuit, 9, now=now)
    assert circuit.state is State.OPEN
    assert circuit.until == now + 300_000


def test_a_block_lets_one_message_try_at_its_probe_and_ends_with_a_proof_of_life(circuit):
    assert circuit.block(NOW, reason="secret_expired")
    assert not circuit.block(NOW, reason="secret_expired")
    assert circuit.usable_at(NOW + 899_999) is not None
    assert circuit.admits(NOW + 900_000, key=1, expires_at=None)
    assert not circuit.admits(NOW + 900_000, key=2, expires_at=None)
    circuit.alive(NOW)
    assert circuit.usable_at(NOW) is None


def test_a_restart_finds_it_as_it_was_and_a_trial_as_open(circuit):
    for key in (1, 2, 3):
        fail(circuit, key)
    circuit.probed(NOW + 30_000, alive=True)
    again = Circuit("graph", patience=Patience())
    again.restore(circuit.row())

    assert again.state is State.OPEN
    assert again.until == NOW + 30_000


def test_a_message_near_its_expiry_is_the_trial_only_where_it_has_no_other_way(circuit):
    for key in (1, 2, 3):
        fail(circuit, key)
    later = NOW + 30_000
    circuit.probed(later, alive=True)
    assert not circuit.admits(later, key=4, expires_at=later + 60_000)
    assert circuit.admits(later, key=4, expires_at=later + 60_000, alone=True)


def test_the_end_of_a_block_is_remembered(circuit):
    circuit.block(NOW, reason="secret_expired")
    circuit.alive(NOW + 5)

    assert circuit.block_ended_at == NOW + 5
