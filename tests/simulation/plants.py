"""Bugs that the simulation must find: each takes one mechanism of the service away, by replacing one function or verb."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

Plant = Callable[[], AbstractContextManager[None]]

PLANTS: Final[Mapping[str, Plant]] = {}


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """The service with this bug in it; None: as it is."""
    with nullcontext() if name is None else PLANTS[name]():
        yield
