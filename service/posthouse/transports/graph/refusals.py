"""Remembers what happened to the latest tokens, so that a 401 can be judged (PROMISES §4, the row 401)."""

from dataclasses import dataclass, field
from typing import Final

from posthouse.transports.graph.replies import Refused

_REMEMBERED: Final = 4
"""Tokens kept in mind: the one in use and those that requests in flight may still carry."""


@dataclass(slots=True)
class _Life:
    renewed: bool
    seen: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    ended: Refused | None = None


class Refusals:
    """The lives of the tokens of one transport; accounts are lanes."""

    def __init__(self) -> None:
        self._lives: dict[str, _Life] = {}
        self._renew_next = False
        self._active: frozenset[str] = frozenset()

    def accepted(self, account: str, token: str) -> None:
        """A 202 came for this token."""
        life = self._life(account, token)
        life.accepted.add(account)
        life.refused.discard(account)

    def refused(self, account: str, token: str) -> Refused:
        """What a 401 for this token means; RENEW and TRANSPORT ask the caller to drop the token.

        A token fetched after a refusal is renewed again only for an account that it had served: then it was revoked.
        """
        life = self._life(account, token)
        if life.ended is not None:
            return life.ended
        if not life.renewed or account in life.accepted:
            return self._end(life, Refused.RENEW)
        life.refused.add(account)
        everyone = life.refused >= (life.seen | self._active)
        if not life.accepted and (len(life.refused) > 1 or everyone):
            return self._end(life, Refused.TRANSPORT)
        return Refused.MAILBOX

    def _end(self, life: _Life, verdict: Refused) -> Refused:
        life.ended = verdict
        self._renew_next = True
        return verdict

    def _life(self, account: str, token: str) -> _Life:
        life = self._lives.get(token)
        if life is None:
            latest = next(reversed(self._lives.values()), None)
            self._active = frozenset() if latest is None else frozenset(latest.seen)
            life = self._lives[token] = _Life(renewed=self._renew_next)
            self._renew_next = False
            while len(self._lives) > _REMEMBERED:
                del self._lives[next(iter(self._lives))]
        life.seen.add(account)
        return life
