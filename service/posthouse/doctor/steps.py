"""The engine: steps that wait for those they need, all at once, told in their order; none can hold up the others."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from posthouse.findings import Finding, Result, Trouble, UnknownStepError, trouble

DEADLINE: Final = 20.0
"""Seconds for one step, beyond those that its own waits allow: a step that ignores them ends here."""

_BLOCKING: Final = frozenset({Result.FAILED, Result.SKIPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How a step ended, in words, with what is wrong."""

    result: Result = Result.PASSED
    words: str = ""
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One look: ``needs`` are keys of steps without whose success it makes no sense, ``after`` of those it waits for."""

    name: str
    tried: str
    why: str
    look: Callable[[], Awaitable[Seen]]
    needs: Sequence[str] = ()
    after: Sequence[str] = ()
    mailbox: str | None = None
    deadline: float = DEADLINE

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return key_of(self.name, self.mailbox)

    def answers_to(self, name: str) -> bool:
        """Whether a person means it: by its name, the last part of it, or its transport's."""
        return name in {self.name, self.name.rpartition(".")[2], self.name.partition(".")[0]}


def key_of(name: str, mailbox: str | None = None) -> str:
    """The key of a step, for one mailbox or for all."""
    return f"{name} {mailbox}" if mailbox else name


def selected(steps: Sequence[Step], name: str | None) -> Sequence[Step]:
    """The steps that a person asked for, with those that they need; all without a name. Raises UnknownStepError."""
    if name is None:
        return steps
    wanted = {step.key for step in steps if step.answers_to(name)}
    if not wanted:
        names = ", ".join(dict.fromkeys(step.name for step in steps))
        raise UnknownStepError(f"there is no step {name!r}; there are {names}")
    for step in reversed(steps):  # what is needed stands before who needs it
        if step.key in wanted:
            wanted.update(step.needs, step.after)
    return [step for step in steps if step.key in wanted]


def failed(fix: str, words: str = "") -> Seen:
    """A failure that a key of ``fixes`` explains."""
    return Seen(result=Result.FAILED, words=words, trouble=trouble(fix))


async def examine(steps: Sequence[Step], *, monotonic: Callable[[], float]) -> AsyncGenerator[Finding]:
    """What each step found, in their order, as soon as it is known."""
    tasks: dict[str, asyncio.Task[Finding]] = {}
    for step in steps:
        needs = [tasks[key] for key in step.needs if key in tasks]
        after = [tasks[key] for key in step.after if key in tasks]
        tasks[step.key] = asyncio.create_task(_one(step, needs, after, monotonic))
    try:
        for task in tasks.values():
            yield await task
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


async def _one(
    step: Step,
    needs: Sequence[asyncio.Task[Finding]],
    after: Sequence[asyncio.Task[Finding]],
    monotonic: Callable[[], float],
) -> Finding:
    before = [await task for task in needs]
    await asyncio.gather(*after)
    blocking = next((one for one in before if one.result in _BLOCKING), None)
    if blocking is not None:
        cause = blocking.because_of or key_of(blocking.step, blocking.mailbox)
        return finding_of(step, Seen(result=Result.SKIPPED), because_of=cause)
    began = monotonic()
    seen = await _looked(step)
    return finding_of(step, seen, seconds=monotonic() - began)


async def _looked(step: Step) -> Seen:
    try:
        async with asyncio.timeout(step.deadline):
            return await step.look()
    except TimeoutError:
        return failed("network.path", f"no end within {step.deadline:g} s")
    except Exception as fault:  # noqa: BLE001 - a fault of the doctor's own must not hide what the other steps see
        return Seen(result=Result.UNKNOWN, words=f"the doctor itself failed here: {type(fault).__name__}")


def finding_of(step: Step, seen: Seen, *, seconds: float = 0.0, because_of: str | None = None) -> Finding:
    """A step with how it ended."""
    return Finding(
        step=step.name,
        mailbox=step.mailbox,
        tried=step.tried,
        why=step.why,
        result=seen.result,
        seconds=seconds,
        seen=seen.words,
        trouble=seen.trouble,
        because_of=because_of,
    )
