"""The whole examination: settings, spool, and every way out (CONTRACT §6)."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

from posthouse.doctor.entra import EntraExam
from posthouse.doctor.graph import GraphExam
from posthouse.doctor.network import Http
from posthouse.doctor.plan import EntraPlan, Plan, Sender
from posthouse.doctor.smtp import SmtpExam
from posthouse.doctor.steps import Seen, Step, examine, finding_of, selected
from posthouse.doctor.ways import CONFIGURATION, Trip, graph_steps, smtp_steps
from posthouse.findings import Finding, Wish
from posthouse.policy import folded
from posthouse.transports.tokens import TokenSource

SPOOL: Final = "spool"


async def examine_all(plan: Plan, wish: Wish) -> AsyncGenerator[Finding]:
    """Every step's finding, in order; raises UnknownStepError before the first."""
    async with AsyncExitStack() as stack:
        trip = Trip(await _senders(plan, wish), wish.send_to)
        steps = [*_here(plan), *_ways(plan, trip, stack)]
        findings = examine(selected(steps, wish.step), monotonic=plan.monotonic)
        stack.push_async_callback(findings.aclose)
        async for finding in findings:
            yield finding


def unread(seen: Seen) -> Finding:
    """The one finding where there are no settings at all."""
    return finding_of(_configuration(_told(seen)), seen)


async def _senders(plan: Plan, wish: Wish) -> Sequence[Sender]:
    known = [wish.sender] if wish.sender else list(dict.fromkeys(await plan.senders()))
    chosen = known if wish.every_sender else known[:1]
    found = [
        Sender(address, folded(mailbox))
        for address in chosen
        for mailbox in plan.mailboxes.get(folded(address)) or (address,)
    ]
    return list(dict.fromkeys(found))


def _here(plan: Plan) -> list[Step]:
    """What is looked at on this machine."""
    return [
        _configuration(plan.configuration),
        Step(
            name=SPOOL,
            tried="write into the spool, and look at the room on its disk",
            why="what cannot be kept durably is not accepted",
            look=plan.storage,
            needs=() if plan.sound else (CONFIGURATION,),
        ),
    ]


def _configuration(look: Callable[[], Awaitable[Seen]]) -> Step:
    return Step(
        name=CONFIGURATION,
        tried="read the settings, and every file and variable that they name",
        why="with settings that are wrong the service does not start",
        look=look,
    )


def _told(seen: Seen) -> Callable[[], Awaitable[Seen]]:
    async def look() -> Seen:
        return seen

    return look


def _ways(plan: Plan, trip: Trip, stack: AsyncExitStack) -> list[Step]:
    """The steps of all ways; one app of Entra is asked once, however many transports use it."""
    apps: dict[EntraPlan, EntraExam] = {}

    def app(entra: EntraPlan) -> EntraExam:
        if entra not in apps:
            exam = apps[entra] = EntraExam(entra, Http(entra.trust, entra.options.proxies), wall=plan.wall)
            stack.push_async_callback(exam.close)
        return apps[entra]

    steps: list[Step] = []
    for graph in plan.graphs:
        http = Http(graph.trust, graph.proxies)
        exam = GraphExam(graph, app(graph.entra), http, senders=trip.senders, wall=plan.wall)
        stack.push_async_callback(exam.close)
        steps += graph_steps(graph, exam, app(graph.entra), trip)
    for smtp in plan.smtps:
        login = None if smtp.entra is None else app(smtp.entra)
        talk = SmtpExam(smtp, tokens=_tokens_of(login), wall=plan.wall)
        stack.callback(talk.close)
        steps += smtp_steps(smtp, talk, login, trip)
    return steps


def _tokens_of(exam: EntraExam | None) -> Callable[[], TokenSource]:
    def tokens() -> TokenSource:
        if exam is None:
            raise LookupError("this login needs no token")
        return exam.tokens

    return tokens
