"""One attempt, when the spool, our own code or the end of the service comes between (PROMISES §3)."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import apsw
import pytest

from posthouse.board import Board
from posthouse.circuit import Circuit, Patience
from posthouse.delivery import Policy
from posthouse.dispatcher.attempt import Tools
from posthouse.dispatcher.dispatcher import Dispatcher
from posthouse.dispatcher.effects import Effects
from posthouse.dispatcher.gates import Gates
from posthouse.lanes import TENANT_DAY_USED
from posthouse.limits import Discipline, Limits, Use
from posthouse.message import Bytes, Content, MessageId, Status
from posthouse.outcome import Outcome
from posthouse.ports import Dispatch, NotBegunError, SpoolUnavailableError
from posthouse.records import Action, Mark, Pause
from posthouse.sandbox.chaos import Rule, Target
from posthouse.sandbox.emulator import Emulator
from posthouse.sandbox.options import Options
from posthouse.spool.postgres.store import PostgresSpool
from posthouse.spool.sqlite.store import SqliteSpool
from posthouse.transports.graph.transport import GraphTransport
from posthouse.watch import Watch
from tests.contract.spools import DATABASES, DAY, HOUR, NOON, SECOND, SHOP, House, house
from tests.contract.transport_kit import dispatch, graph_to, listening, tokens_of

LIMITS = Limits(messages_per_minute=30, concurrent_requests=4)
HEADER = b"From: shop@contoso.com\r\nTo: bob@fabrikam.com\r\nSubject: hello\r\n"


@dataclass
class Office:
    """A dispatcher at work on a real spool, in front of the emulator."""

    house: House
    emulator: Emulator
    board: Board
    dispatcher: Dispatcher
    stop: Callable[[float], Awaitable[None]]

    async def put(self, **changes) -> MessageId:
        header = HEADER.replace(SHOP.encode(), changes.get("account", SHOP).encode())
        given = {"route": ("graph",), **changes}
        return await self.house.put(content=Content(header, Bytes(b"hello\r\n")), **given)

    async def until(self, message_id: MessageId, status: Status) -> None:
        """Wait until the message stands there."""
        while await self.house.status(message_id) is not status:
            await asyncio.sleep(0.01)

    async def ends(self, message_id: MessageId) -> Status:
        """Let time pass until nothing more happens to the message."""
        while not (status := await self.house.status(message_id)).final:
            self.house.clock.at += SECOND // 50
            await asyncio.sleep(0.02)
        return status

    async def under_way(self, number: int = 1) -> None:
        """Wait until Graph has had so many requests."""
        while self.emulator.world.counters.posts < number:
            await asyncio.sleep(0.005)

    def refuse_writes(self, *, refuse: bool) -> None:
        """SQLite's own connection refuses every change, as on a disk that became read-only."""
        self.house.sqlite._writer._db.connection.pragma("query_only", refuse)


@asynccontextmanager
async def office(
    folder: Path,
    *,
    url: str | None = None,
    chance: Callable[[int], bytes] = bytes,
    policy: Policy = Policy(retry_first=0.05),  # noqa: B008 - frozen
    limits: Limits = LIMITS,
    app: str = "",
    relay: str = "",
    per_day_of_all: int = 0,
) -> AsyncGenerator[Office]:
    async with (
        house(folder) as spool,
        Emulator(Options(directory=folder / "microsoft")) as emulator,
        tokens_of(emulator) as tokens,
        graph_to(url or emulator.graph_url, tokens, emulator.ca_file) as graph,
    ):
        board, clock = Board(), spool.clock
        ways = {"graph": graph, "relay": graph} if relay else {"graph": graph}
        circuits = {name: Circuit(name, patience=Patience()) for name in ways}
        gates = Gates(circuits=circuits, transports=ways, spool=spool.spool, clock=clock, proven=frozenset())
        tools = Tools(
            spool=spool.spool,
            transports=ways,
            accounts=lambda name, mailbox: relay if name == "relay" else mailbox,
            gates=gates,
            effects=Effects(spool=spool.spool, policy=policy, clock=clock, chance=bytes, proven=set()),
            policy=policy,
            clock=clock,
            chance=chance,
            watch=Watch(),
            sent=lambda *_: None,
        )
        uses = dict.fromkeys(ways, Use(pace="", limits=limits, slots=0, app=app))
        discipline = Discipline(uses=uses, tenant_recipients_per_day=per_day_of_all)
        dispatcher = Dispatcher(owner="me", tools=tools, board=board, discipline=discipline)
        spool.spool.on_wake(dispatcher.wake)
        running = asyncio.create_task(dispatcher.run())

        async def stop(seconds: float) -> None:
            await dispatcher.stop(seconds=seconds)
            await running

        try:
            yield Office(spool, emulator, board, dispatcher, stop)
        finally:
            await stop(5.0)


async def test_an_outcome_that_cannot_be_written_is_repeated_with_its_slot_taken_and_never_sent_again(
    tmp_path: Path,
) -> None:
    async with office(tmp_path) as at:
        at.emulator.world.faults = (Rule(target=Target.GRAPH, fault="slow", seconds=0.3),)
        message = await at.put()
        await at.under_way()
        at.refuse_writes(refuse=True)
        while at.emulator.world.counters.accepted == 0:
            await asyncio.sleep(0.01)
        await asyncio.sleep(1.3)
        assert await at.house.status(message) is Status.SENDING
        assert at.board.lane(SHOP).in_flight == 1
        at.refuse_writes(refuse=False)
        await at.until(message, Status.SENT)
        assert at.emulator.world.counters.posts == 1
        while at.board.lane(SHOP).in_flight:
            await asyncio.sleep(0.01)


async def test_a_fault_of_ours_in_writing_an_outcome_does_not_lose_it(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        at.emulator.world.faults = (Rule(target=Target.GRAPH, fault="slow", seconds=0.3),)
        message = await at.put()
        await at.under_way()
        await at.house.plant(
            "create trigger planted before update of outcome on attempts begin select raise(abort, 'planted'); end"
        )
        while at.emulator.world.counters.accepted == 0:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert await at.house.status(message) is Status.SENDING
        await at.house.plant("drop trigger planted")
        await at.until(message, Status.SENT)
        assert at.emulator.world.counters.posts == 1


async def test_a_mark_that_cannot_be_written_sends_nothing_and_goes_when_it_can(tmp_path: Path) -> None:
    """The lane is leased already, and its owner reads what is due: only the mark fails."""
    async with office(tmp_path) as at:
        at.emulator.world.faults = (Rule(target=Target.GRAPH, fault="slow", seconds=0.3, times=1),)
        first, second = await at.put(), await at.put(due_at=at.house.clock.at + 1_000)
        await at.under_way()
        at.refuse_writes(refuse=True)
        at.house.clock.at += 1_000
        await asyncio.sleep(1.5)
        assert at.emulator.world.counters.posts == 1
        at.refuse_writes(refuse=False)
        await at.until(first, Status.SENT)
        await at.until(second, Status.SENT)
        assert await at.house.history(second) == ["accepted", "sending", "sent"]
        assert at.emulator.world.counters.posts == 2


async def test_a_mark_whose_answer_was_lost_is_taken_back_and_the_message_goes_once(tmp_path: Path) -> None:
    """The commit is on disk, its answer an error: nothing was sent, so it waits for no look-up."""
    lost: list[str] = []

    async with office(tmp_path) as at:
        message = await at.put(due_at=at.house.clock.at + 1_000)

        def break_once(connection: apsw.Connection, _name: str, _pages: int) -> int:
            if not lost and connection.execute("select 1 from messages where status = 'sending'").fetchall():
                lost.append("once")
                raise apsw.IOError("planted")
            return apsw.SQLITE_OK

        await at.house.sqlite._writer.write(lambda db: db.connection.set_wal_hook(break_once))
        at.house.clock.at += 1_000
        await at.until(message, Status.SENT)
        assert lost
        assert await at.house.history(message) == ["accepted", "sending", "deferred", "sending", "sent"]
        assert at.emulator.world.counters.posts == 1


async def test_a_fault_of_ours_after_the_answer_leaves_doubt_not_silence(tmp_path: Path) -> None:
    """What follows from an outcome could not be reckoned: the message may have been sent, so it is looked for."""

    def broken(number: int) -> bytes:
        if number == 4:
            raise ZeroDivisionError
        return bytes(number)

    async with office(tmp_path, chance=broken) as at:
        message = await at.put()
        await at.until(message, Status.UNCONFIRMED)
        assert at.emulator.world.counters.posts == 1
        assert (await at.house.spool.attempts(message))[0].code == "ZeroDivisionError"
        assert at.board.lane(SHOP).in_flight == 0


async def test_what_is_cut_before_anything_left_goes_again_what_is_cut_later_is_in_doubt(tmp_path: Path) -> None:
    async def mute(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(mute) as port, office(tmp_path / "mute", url=f"https://127.0.0.1:{port}/v1.0") as at:
        message = await at.put()
        while await at.house.status(message) is not Status.SENDING:
            await asyncio.sleep(0.01)
        await at.stop(0.1)
        assert await at.house.status(message) is Status.DEFERRED
    async with office(tmp_path / "hang") as at:
        at.emulator.world.faults = (Rule(target=Target.GRAPH, fault="hang"),)
        message = await at.put()
        await at.under_way()
        await at.stop(0.1)
        assert await at.house.status(message) is Status.UNCONFIRMED


async def test_nothing_goes_before_it_is_known_what_is_left_of_the_tenants_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office(tmp_path, per_day_of_all=1) as at:
        assert await at.ends(await at.put()) is Status.SENT
    known = PostgresSpool.recipient_hours if DATABASES.get(tmp_path) else SqliteSpool.recipient_hours
    asked: list[int] = []

    async def busy_at_first(spool, *, since: int):
        asked.append(since)
        if len(asked) == 1:
            raise SpoolUnavailableError("busy")
        return await known(spool, since=since)

    monkeypatch.setattr(SqliteSpool, "recipient_hours", busy_at_first)
    monkeypatch.setattr(PostgresSpool, "recipient_hours", busy_at_first)
    async with office(tmp_path, per_day_of_all=1) as at:
        await at.put(account="other@contoso.com")
        lane = at.board.lane("other@contoso.com")
        while lane.standing(None) is None and lane.standing("graph") is None:
            await asyncio.sleep(0.01)
        stands = lane.standing(None) or lane.standing("graph")
        assert stands is not None
        assert stands.reason == TENANT_DAY_USED
        assert at.emulator.world.counters.posts == 0


async def test_what_was_canceled_after_it_was_read_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with office(tmp_path) as at:
        mark = at.house.spool.mark

        async def after_a_cancel(one: Mark) -> bool:
            await at.house.obey(Action.CANCEL, one.id)
            return await mark(one)

        monkeypatch.setattr(at.house.spool, "mark", after_a_cancel)
        message = await at.put()
        await at.until(message, Status.CANCELED)
        while at.board.lane(SHOP).in_flight or at.dispatcher.live():
            await asyncio.sleep(0.01)
        assert at.emulator.world.counters.posts == 0
        assert await at.house.history(message) == ["accepted", "canceled"]


async def test_what_is_not_on_the_wire_when_its_mailbox_is_told_to_rest_rests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office(tmp_path) as at:
        mark, rest = at.house.spool.mark, NOON + 5 * SECOND

        async def while_it_is_told(one: Mark) -> bool:
            pause = Pause(None, rest, "graph.throttled", blocked=False, since=one.started_at)
            at.board.lane(SHOP).pause(pause)
            return await mark(one)

        monkeypatch.setattr(at.house.spool, "mark", while_it_is_told)
        message = await at.put()
        await at.until(message, Status.DEFERRED)
        monkeypatch.undo()
        while at.house.clock.at < rest - SECOND // 50:
            at.house.clock.at += SECOND // 50
            await asyncio.sleep(0)
        assert at.emulator.world.counters.posts == 0
        assert await at.ends(message) is Status.SENT


async def test_a_send_ends_at_its_deadline_and_is_in_doubt(tmp_path: Path) -> None:
    async with office(tmp_path, policy=Policy(attempt_timeout=0.3)) as at:
        at.emulator.world.faults = (Rule(target=Target.GRAPH, fault="hang"),)
        message = await at.put()
        await at.until(message, Status.UNCONFIRMED)
        (attempt,) = await at.house.spool.attempts(message)
        assert (attempt.code, at.emulator.world.counters.posts) == ("no_answer", 1)


@pytest.mark.parametrize(("blocked", "ends"), [(False, Status.EXPIRED), (True, Status.SENT)])
async def test_the_time_of_a_block_does_not_count_towards_the_default_expiry(
    tmp_path: Path, *, blocked: bool, ends: Status
) -> None:
    async with office(tmp_path) as at:
        at.emulator.world.faults = (Rule(target=Target.GRAPH, fault="503", times=2),)
        if blocked:
            at.board.lane(SHOP).block_ended_at = NOON - HOUR
        message = await at.put(gives_up_at=NOON - DAY)
        assert await at.ends(message) is ends


async def test_recipients_that_are_deferred_count_as_refused_after_four_hours_or_where_no_other_try_would_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office(tmp_path) as at:
        asked: list[bool] = []
        graph = at.dispatcher._tools.transports["graph"]
        send = graph.send

        async def heard(dispatch: Dispatch) -> Outcome:
            asked.append(dispatch.refuse_deferred)
            return await send(dispatch)

        monkeypatch.setattr(graph, "send", heard)
        at.emulator.world.faults = (Rule(target=Target.GRAPH, fault="503", times=1),)
        message = await at.put()
        await at.until(message, Status.DEFERRED)
        at.house.clock.at += 4 * HOUR
        await at.ends(message)
        assert asked == [False, True]
        for left in (HOUR, 45):
            await at.until(await at.put(expires_at=at.house.clock.at + left), Status.SENT)
        assert asked == [False, True, False, True]


async def test_a_fault_of_ours_before_the_wire_is_certain(tmp_path: Path) -> None:
    """A header that nobody can read breaks our own code, not the mail: nothing has left."""
    async with (
        Emulator(Options(directory=tmp_path)) as emulator,
        tokens_of(emulator) as tokens,
        graph_to(emulator.graph_url, tokens, emulator.ca_file) as graph,
    ):
        one = dispatch()
        broken = Content(None, one.content.body)  # ty: ignore[invalid-argument-type] - that is the fault
        with pytest.raises(NotBegunError) as caught:
            await send_with(graph, one, broken)
        assert isinstance(caught.value.__cause__, Exception)
        assert emulator.world.counters.posts == 0


async def send_with(graph: GraphTransport, one, content: Content) -> object:
    return await graph.send(replace(one, content=content))
