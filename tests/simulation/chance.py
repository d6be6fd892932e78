"""Streams of chance by name: what one part of a plan draws never changes what another draws."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Chance(Random):
    """Draws that come again with the same seed and names, on every machine and in every process."""

    def __init__(self, *names: object) -> None:
        super().__init__("/".join(map(str, names)))  # a text is hashed by SHA-512, not by Python's own hash

    def happens(self, share: float) -> bool:
        return self.random() < share

    def one(self, *of: T) -> T:
        return of[int(self.random() * len(of))]

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.random()

    def some(self, of: Sequence[T], share: float) -> list[T]:
        return [one for one in of if self.random() < share]

    def often_short(self, longest: float) -> float:
        """Mostly near nothing, seldom the longest."""
        return longest * self.random() ** 4
