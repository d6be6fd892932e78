"""Composes what a client wrote in JSON, and says what cannot be written by the names of its fields."""

from posthouse.compose import Plan, Unfit
from posthouse.doors.http.reading import unfit
from posthouse.doors.letters import Written, composed
from posthouse.submission import Identity


def planned(written: Written, identity: Identity, *, seed: str | None = None) -> Plan:
    """How a letter is written as RFC 5322; raises Refused."""
    try:
        return composed(written.letter, identity, seed=seed)
    except Unfit as fault:
        raise unfit(fault, root=written.root) from None
