"""The ways out of one life: real ports, whose far side is the world; its answers are judged by the transports' own tables."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from posthouse.message import Message
from posthouse.outcome import (
    Answer,
    Outcome,
    PermanentFailure,
    RefusedRecipient,
    Scope,
    Sent,
    TransientFailure,
    Unconfirmed,
)
from posthouse.ports import Broom, Clock, Dispatch, Evidence, Letterbox, SpoolUnavailableError, Transport
from posthouse.records import Credential, NoSight, Sightings, TransportKind
from posthouse.settings.model import Settings
from posthouse.transports.faults import Fault, network_answer
from posthouse.transports.graph.refusals import Refusals
from posthouse.transports.graph.replies import Facts, Refused, Reply, failed_answer
from posthouse.transports.graph.replies import outcome as graph_outcome
from posthouse.transports.smtp.replies import Reply as SmtpReply
from posthouse.transports.smtp.replies import Stage, concerns_recipient
from posthouse.transports.smtp.replies import outcome as smtp_outcome
from tests.simulation import fates
from tests.simulation.life import Life
from tests.simulation.world import Call, World

FOREVER = 1e9
REFUSED_TEXT = {550: "5.1.1 User unknown", 450: "4.2.1 Mailbox busy"}


class SimulatedWays:
    """All transports of the settings, and Graph's look-up where there is a Graph."""

    def __init__(
        self, settings: Settings, *, clock: Clock, unproven: Callable[[Message], bool], world: World, life: Life
    ) -> None:
        made = {
            name: Way(name, t.kind, clock=clock, unproven=unproven, world=world, life=life)
            for name, t in settings.transports.items()
        }
        self.by_name: Mapping[str, Transport] = made
        graphs = {name: way for name, way in made.items() if way.kind == "graph"}
        first = next(iter(graphs.values()), None)
        self.evidence: Mapping[str, Evidence] = (
            {} if first is None else {name: graphs.get(name, first) for name in made}
        )
        self.brooms: Mapping[str, Broom] = {}
        self.letterboxes: Mapping[str, Letterbox] = {}

    def offered(self, name: str) -> None:  # noqa: ARG002 - no server of this world names a SIZE
        return

    def tokens(self) -> Sequence[Credential]:
        return ()

    async def warm(self) -> None:
        await asyncio.sleep(FOREVER)

    async def close(self) -> None:
        return


class Way:
    """One transport."""

    def __init__(
        self,
        name: str,
        kind: TransportKind,
        *,
        clock: Clock,
        unproven: Callable[[Message], bool],
        world: World,
        life: Life,
    ) -> None:
        self.name = name
        self.kind: TransportKind = kind
        self._clock = clock
        self._unproven = unproven
        self._world = world
        self._life = life
        self._refusals = Refusals()
        self._token_at = world.loop.time()

    async def send(self, dispatch: Dispatch) -> Outcome:
        call, outcome = await self._send(dispatch)
        self._world.concluded(call, outcome)
        return outcome

    async def _send(self, dispatch: Dispatch) -> tuple[Call, Outcome]:
        message = dispatch.message
        body = b"".join([block async for block in dispatch.content.body.blocks()])
        if not body.startswith(self._world.name_of(message).encode()):
            self._world.complain("content", f"{message.id} has another message's content")
        call = self._begin(dispatch.account, message)
        try:
            if self.kind == "graph":
                self._world.serve(call)
                return call, self._judged(call, await call.answer, message)
            return call, await self._by_smtp(call, dispatch)
        finally:
            self._world.end(call)

    async def look_up(self, *, account: str, message_ids: Sequence[str]) -> Sightings | NoSight:
        call = self._begin(account, None)
        self._world.serve(call)
        try:
            answer = await call.answer
        finally:
            self._world.end(call)
        if isinstance(answer, fates.Unreached | fates.Broken):
            return NoSight(network_answer(Fault.REFUSED, where="connecting to Graph", status="4.4.1"))
        assert isinstance(answer, fates.Http)
        if answer.status == 401:
            self._refused_token(call)
        if answer.status != 200:
            fix = "graph.read_permission" if answer.status in {401, 403} else "graph.service"
            return NoSight(failed_answer(self._reply(answer, waited=0.0), fix=fix))
        return Sightings(self._world.find(account, message_ids, ours=self._clock.now()))

    async def probe(self) -> bool:
        await asyncio.sleep(0.05)
        return not any(self._world.trouble(what, self.name) for what in ("outage", "black_hole", "busy"))

    async def close(self) -> None:
        return

    def _begin(self, account: str, message: Message | None) -> Call:
        return self._world.begin(
            self.name, self.kind, account, message=message, life=self._life, token_at=self._token_at
        )

    # --- Graph

    def _judged(self, call: Call, answer: fates.Answer, message: Message) -> Outcome:
        match answer:
            case fates.Unreached(fault):
                return TransientFailure(
                    scope=Scope.TRANSPORT,
                    answer=network_answer(Fault(fault), where="connecting to Graph", status="4.4.1"),
                )
            case fates.Broken(fault):
                return Unconfirmed(answer=network_answer(Fault(fault), where="after the request began", status="4.4.2"))
            case fates.Http():
                refused = self._refused_token(call) if answer.status == 401 else Refused.MAILBOX
                if answer.status == 202:
                    self._refusals.accepted(call.account, f"token {call.token_at}")
                own_from = message.sender.casefold() == message.mailbox.casefold()
                facts = Facts(own_from=own_from, unproven=self._unproven(message), refused=refused)
                waited = self._world.loop.time() - call.arrived
                return graph_outcome(self._reply(answer, waited=waited), facts)
            case _:
                raise AssertionError(answer)

    def _refused_token(self, call: Call) -> Refused:
        verdict = self._refusals.refused(call.account, f"token {call.token_at}")
        if verdict is not Refused.MAILBOX:
            self._token_at = max(self._token_at, self._world.loop.time())
        return verdict

    def _reply(self, answer: fates.Http, *, waited: float) -> Reply:
        headers = {"request-id": "r"}
        if answer.retry_after is not None:
            headers["retry-after"] = str(answer.retry_after)
        return Reply(
            status=answer.status,
            headers=headers,
            body=_body(answer.code),
            waited=waited,
            now=self._clock.now() / 1000,
        )

    # --- SMTP

    async def _by_smtp(self, call: Call, dispatch: Dispatch) -> Outcome:
        message, refused = dispatch.message, ()
        if (code := call.fate.refused) is not None and not isinstance(call.fate.answer, fates.Unreached):
            refused = (RefusedRecipient(message.envelope.addresses[0], code, REFUSED_TEXT[code]),)
            outcome = await self._refused_recipients(refused, dispatch)
            if outcome is not None:
                return outcome
        self._world.serve(call)
        answer = await call.answer
        own_from = message.sender.casefold() == message.mailbox.casefold()
        match answer:
            case fates.Unreached(fault):
                return TransientFailure(
                    scope=Scope.TRANSPORT,
                    answer=network_answer(Fault(fault), where="SMTP, at greeting", status="4.4.2"),
                )
            case fates.Broken(fault, stage):
                lost = network_answer(Fault(fault), where=f"SMTP, at {stage}", status="4.4.2")
                return (
                    Unconfirmed(answer=lost)
                    if stage == Stage.END
                    else TransientFailure(scope=Scope.TRANSPORT, answer=lost)
                )
            case fates.Said(stage, code, text):
                return smtp_outcome(SmtpReply(code, text), Stage(stage), own_from=own_from)
            case fates.Took():
                reply = Answer(status="2.0.0", text="250 OK", reply=250)
                return Sent(answer=reply, receipt="250 OK", refused=refused)
            case _:
                raise AssertionError(answer)

    async def _refused_recipients(self, refused: tuple[RefusedRecipient, ...], dispatch: Dispatch) -> Outcome | None:
        """What the real transport does at RCPT: nothing goes, or the refused are written down before DATA."""
        first = SmtpReply(refused[0].reply, refused[0].text)
        assert concerns_recipient(first)
        if first.code == 450 and not dispatch.refuse_deferred:
            return smtp_outcome(first, Stage.RCPT, own_from=True)
        if len(refused) == len(dispatch.message.envelope.addresses):
            answer = Answer(status="5.1.1", text="all recipients were refused", code="5.1.1")
            return PermanentFailure(scope=Scope.MESSAGE, answer=answer, refused=refused)
        try:
            await dispatch.note_refused(refused)
        except SpoolUnavailableError:
            answer = Answer(status="4.3.0", text="could not be written down", code="spool_unavailable")
            return TransientFailure(scope=Scope.MESSAGE, answer=answer)
        return None


@cache
def _body(code: str | None) -> bytes:
    return b"<html>" if code is None else json.dumps({"error": {"code": code, "message": ""}}).encode()
