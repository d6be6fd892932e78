"""Whose turn it is among the clients of one mailbox: start-time fair queueing inside each priority. Pure.

Goyal, Vin and Cheng, "Start-time Fair Queuing" (SIGCOMM 1996), with one message as the unit, because Exchange's pace
counts messages: a client that joins is served after at most one message of each other client, however many wait.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from posthouse.message import Message, Priority

REMEMBERED: Final = 1_000
"""Clients whose turn is remembered before those are forgotten that the others have caught up with."""

Key = tuple[Priority, str]


class Turns:
    """The turns of one lane; a new owner begins with none taken."""

    def __init__(self) -> None:
        self._time: defaultdict[Priority, int] = defaultdict(int)
        self._next: dict[Key, int] = {}

    def order(self, rows: Iterable[Message]) -> list[Message]:
        """The rows in the order in which they are served: priority, then turn, then age."""
        counted: defaultdict[Key, int] = defaultdict(int)
        tagged: list[tuple[Priority, int, int, int, Message]] = []
        for row in sorted(rows, key=_age):
            key = (row.priority, row.client)
            tagged.append((row.priority, self._turn(key) + counted[key], row.due_at, row.key, row))
            counted[key] += 1
        return [row for *_, row in sorted(tagged, key=lambda one: one[:4])]

    def took(self, row: Message) -> None:
        """This one was served."""
        key = (row.priority, row.client)
        turn = self._turn(key)
        self._time[row.priority] = max(self._time[row.priority], turn)
        self._next[key] = turn + 1
        if len(self._next) > REMEMBERED:
            self._next = {one: at for one, at in self._next.items() if at > self._time[one[0]]}

    def _turn(self, key: Key) -> int:
        return max(self._time[key[0]], self._next.get(key, 0))


def _age(row: Message) -> tuple[int, int]:
    return row.due_at, row.key
