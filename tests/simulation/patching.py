"""Constants and functions of the running service, replaced for a while and put back."""

from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def replaced(*replacements: tuple[object, str, object]) -> Generator[None]:
    """Each is an owner, a name and what stands there meanwhile."""
    were = [(of, name, getattr(of, name)) for of, name, _ in replacements]
    try:
        for of, name, value in replacements:
            setattr(of, name, value)
        yield
    finally:
        for of, name, value in were:
            setattr(of, name, value)
