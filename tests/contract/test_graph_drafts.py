"""Mail over Graph's request limit goes as a draft: made, filled, written down, sent once (FACTS A5, A6; PROMISES §4)."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from functools import cache
from hashlib import sha256

import pytest

from posthouse import headers
from posthouse.compose import Attachment, Letter, Person, compose
from posthouse.message import Bytes, Content, EarlierDraft, Message, MessageId
from posthouse.outcome import Blocked, PermanentFailure, Scope, Sent, TransientFailure, Unconfirmed
from posthouse.ports import Dispatch, NotBegunError, SpoolUnavailableError
from posthouse.records import DraftNote, DraftState, Sightings, Stray
from posthouse.sandbox.chaos import Rule, Stage, Target
from posthouse.sandbox.emulator import Emulator
from posthouse.transports.graph.draft_json import MARK
from posthouse.transports.graph.transport import GraphTransport
from tests.contract.transport_kit import ALERTS, Notes, dispatch, graph_to, message, tokens_of

pytest_plugins = ["posthouse.sandbox.pytest_plugin"]

SMALL = random.Random(1).randbytes(999_999)
LARGE = random.Random(2).randbytes(7_900_001)
RANGES = 3
BEGUN, SUBMITTED, MISSING = DraftState.BEGUN, DraftState.SUBMITTED, DraftState.MISSING


@pytest.fixture
async def graph(microsoft365: Emulator) -> AsyncGenerator[GraphTransport]:
    settings = microsoft365.world.settings
    microsoft365.world.settings = replace(settings, grants=settings.grants | {"Mail.ReadWrite"})
    async with (
        tokens_of(microsoft365) as tokens,
        graph_to(microsoft365.graph_url, tokens, microsoft365.ca_file, drafts=True) as transport,
    ):
        yield transport


def mail(*files: bytes, **fields: str) -> EmailMessage:
    written = EmailMessage(policy=SMTP)
    written["From"], written["To"], written["Subject"] = ALERTS, "Bob <bob@example.org>", "Größe"
    written["Message-ID"] = message().message_id
    for name, value in fields.items():
        written[name.replace("_", "-")] = value
    written.set_content("Guten Tag\n")
    for number, file in enumerate(files):
        written.add_attachment(file, maintype="application", subtype="x-test", filename=f"datei {number} ä.bin")
    return written


@cache
def ordinary() -> tuple[bytes, bytes]:
    """Writing one takes a second."""
    return headers.split(bytes(mail(LARGE)))


@cache
def two_files() -> EmailMessage:
    return mail(SMALL, LARGE)


def letter(
    written: EmailMessage | None = None,
    *,
    notes: Notes | None = None,
    one: Message | None = None,
    to: Sequence[str] = (),
) -> Dispatch:
    header, body = ordinary() if written is None else headers.split(bytes(written))
    one = one or message(to=to or ("bob@example.org",))
    return replace(dispatch(one, notes=notes), content=Content(header, Bytes(body)))


async def test_a_large_mail_arrives_as_it_was_written_and_leaves_no_draft(microsoft365, graph) -> None:
    written = mail(
        LARGE,
        SMALL,
        Cc="carol@example.org",
        Reply_To="Desk <desk@example.org>",
        Importance="high",
        In_Reply_To="<old@example.org>",
        X_Ticket="4711",
    )
    image = b"\x89PNG" + bytes(range(256))
    written.add_attachment(
        image, maintype="image", subtype="png", cid="<logo@x>", disposition="inline", filename="l.png"
    )
    notes = Notes()
    outcome = await graph.send(letter(written, notes=notes, to=("bob@example.org", "hidden@example.org")))
    assert isinstance(outcome, Sent), outcome
    assert outcome.receipt
    (got,) = microsoft365.world.received
    assert got.recipients == ("bob@example.org", "hidden@example.org")  # Carol is in the header alone (PROMISES §8)
    assert (got.message_id, got.subject, got.sender) == (message().message_id, "Größe", ALERTS)
    assert [(one.name, one.kind, one.content_id, one.inline, one.content) for one in got.files] == [
        ("datei 0 ä.bin", "application/x-test", None, False, LARGE),
        ("datei 1 ä.bin", "application/x-test", None, False, SMALL),
        ("l.png", "image/png", "logo@x", True, image),
    ]
    for said in (b"Reply-To: Desk <desk@example.org>", b"Importance: high", b"In-Reply-To: <old@", b"X-Ticket: 4711"):
        assert said.lower() in got.mime.lower()
    assert b"hidden@" not in got.mime
    draft = got.own_id
    assert notes.drafts == [DraftNote(BEGUN), DraftNote(BEGUN, draft), DraftNote(SUBMITTED, draft)]
    counters = microsoft365.world.counters
    assert (counters.posts, counters.drafts_made, counters.files_posted, counters.sessions) == (0, 1, 2, 1)
    assert counters.ranges == RANGES
    assert not microsoft365.world.drawer.drafts


async def test_an_html_goes_instead_of_its_text_and_a_mail_in_a_mail_as_a_file(microsoft365, graph) -> None:
    written = EmailMessage(policy=SMTP)
    written["From"], written["To"], written["Subject"], written["Message-ID"] = ALERTS, "bob@example.org", "x", "<m@x>"
    written.set_content("text\n")
    written.add_alternative("<p>Schön</p>\n", subtype="html")
    written.add_attachment(mail(b"inner"))
    written.add_attachment(LARGE, maintype="video", subtype="mp4")
    assert isinstance(await graph.send(letter(written)), Sent)
    (got,) = microsoft365.world.received
    assert b"text/html" in got.mime
    assert [(one.name, one.kind) for one in got.files] == [
        ("attachment-1.eml", "message/rfc822"),
        ("attachment-2", "video/mp4"),
    ]
    inner = got.files[0].content
    assert inner is not None
    assert inner.startswith(b"From: alerts@contoso.com\r\n")
    assert got.files[1].content == LARGE


async def test_what_a_draft_would_lose_is_refused_before_any_request(microsoft365, graph) -> None:
    written = mail(LARGE)
    written.replace_header("Content-Type", 'multipart/signed; protocol="application/pkcs7-signature"; boundary="b"')
    outcome = await graph.send(letter(written))
    assert isinstance(outcome, PermanentFailure)
    assert "multipart/signed" in outcome.answer.text
    assert microsoft365.world.counters.tokens_asked == 0


@pytest.mark.parametrize(("size", "sessions"), [(2_999_999, 0), (3_000_000, 1)])
async def test_files_go_in_one_request_up_to_its_limit(microsoft365, graph, size, sessions) -> None:
    file = Attachment(filename="a.bin", content=bytes(size), content_type="application/x-test")
    header, body = compose(
        Letter(sender=Person("", ALERTS), to=(Person("", "bob@example.org"),), attachments=(file,)),
        message_id=message().message_id,
        date=datetime(2026, 11, 24, tzinfo=UTC),
        boundary="b",
    )
    sent = replace(dispatch(message()), content=Content(header, Bytes(body)))
    assert isinstance(await graph.send(sent), Sent)
    assert microsoft365.world.counters.sessions == sessions
    assert [(one.size, one.digest) for got in microsoft365.world.received for one in got.files] == [
        (size, sha256(bytes(size)).hexdigest())
    ]


@pytest.mark.parametrize(
    ("charset", "written", "shown"),
    [
        (b"", "Größe".encode(), "Größe"),
        (b"; charset=utf-8", "Größe".encode(), "Größe"),
        (b"; charset=iso-8859-1", "Größe".encode("latin-1"), "Größe"),
        (b"; charset=windows-1252", "5 €".encode("cp1252"), "5 €"),
        (b"; charset=utf-8", "Größe".encode("latin-1"), "Gr��e"),
    ],
)
async def test_a_text_is_read_as_it_was_written(microsoft365, graph, charset, written, shown) -> None:
    one = dispatch(message(), headers=b"Content-Type: multipart/mixed; boundary=b\r\n")
    body = b"--b\r\nContent-Type: text/plain" + charset + b"\r\n\r\n" + written + b"\r\n--b\r\n"
    body += b"Content-Type: image/png\r\n\r\n" + bytes(3_200_000) + b"\r\n--b--\r\n"
    assert isinstance(await graph.send(replace(one, content=Content(one.content.header, Bytes(body)))), Sent)
    (got,) = microsoft365.world.received
    (text,) = [
        part for part in message_from_bytes(got.mime, policy=SMTP).walk() if part.get_content_type() == "text/plain"
    ]
    assert text.get_content().strip() == shown


CREATE = [
    ("500", TransientFailure, Scope.TRANSPORT),
    ("504", TransientFailure, Scope.TRANSPORT),
    ("504-after-send", TransientFailure, Scope.TRANSPORT),
    ("502", TransientFailure, Scope.TRANSPORT),
    ("503", TransientFailure, Scope.TRANSPORT),
    ("202", TransientFailure, Scope.TRANSPORT),
    ("302", TransientFailure, Scope.TRANSPORT),
    ("drop", TransientFailure, Scope.TRANSPORT),
    ("reset", TransientFailure, Scope.TRANSPORT),
    ("reset-after-send", TransientFailure, Scope.TRANSPORT),
    ("429", TransientFailure, Scope.MAILBOX),
    ("401", TransientFailure, Scope.MESSAGE),
    ("403", Blocked, Scope.MESSAGE),
    ("507", Blocked, Scope.MAILBOX),
    ("400", PermanentFailure, Scope.MESSAGE),
    ("413", PermanentFailure, Scope.MESSAGE),
]


@pytest.mark.parametrize(("fault", "kind", "scope"), CREATE)
async def test_whatever_goes_wrong_when_a_draft_is_made_is_certain(microsoft365, graph, fault, kind, scope) -> None:
    microsoft365.world.faults = [Rule(target=Target.DRAFT, fault=fault, times=1)]
    notes = Notes()
    outcome = await graph.send(letter(notes=notes))
    assert isinstance(outcome, kind), outcome
    assert outcome.scope is scope
    assert notes.drafts == [DraftNote(BEGUN)]
    assert microsoft365.world.counters.sends == 0


@pytest.mark.parametrize("stage", [Stage.ATTACHMENT, Stage.SESSION])
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("500", TransientFailure),
        ("504-after-send", TransientFailure),
        ("503", TransientFailure),
        ("200", TransientFailure),
        ("drop", TransientFailure),
        ("reset-after-send", TransientFailure),
        ("429", TransientFailure),
        ("401", TransientFailure),
        ("404", Blocked),
        ("403", Blocked),
        ("413", PermanentFailure),
    ],
)
async def test_whatever_goes_wrong_when_a_draft_is_filled_is_certain(microsoft365, graph, stage, fault, kind) -> None:
    microsoft365.world.faults = [Rule(target=Target.UPLOAD, fault=fault, stage=stage, times=1)]
    notes = Notes()
    outcome = await graph.send(letter(two_files(), notes=notes))
    assert isinstance(outcome, kind), outcome
    assert SUBMITTED not in {note.state for note in notes.drafts}
    assert microsoft365.world.counters.sends == 0


PASSING = ["500", "503", "504", "408", "429", "302", "drop", "reset", "504-after-send", "reset-after-send", "504-late"]


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("which", ["first", "middle", "last", "each second"])
async def test_a_range_that_failed_is_resumed_where_the_session_stands(microsoft365, graph, fault, which) -> None:
    """Its file is in the mail once, and byte for byte."""
    every = {"first": 1, "middle": 2, "last": RANGES, "each second": 2}[which]
    times = None if which == "each second" else 1
    microsoft365.world.faults = [
        Rule(
            target=Target.UPLOAD, fault=fault, stage=Stage.RANGE, every=every, times=times, retry_after=0.1, seconds=0.1
        )
    ]
    assert isinstance(await graph.send(letter()), Sent)
    (got,) = microsoft365.world.received
    assert [one.content for one in got.files] == [LARGE]
    assert microsoft365.world.counters.drafts_made == 1


async def test_a_file_whose_end_was_lost_and_is_not_there_is_not_sent_without_it(microsoft365, graph) -> None:
    microsoft365.world.faults = [
        Rule(target=Target.UPLOAD, fault="drop-after-send", stage=Stage.RANGE, every=RANGES, times=1),
        Rule(target=Target.UPLOAD, fault="500", stage=Stage.FILES),
    ]
    outcome = await graph.send(letter())
    assert isinstance(outcome, TransientFailure)
    assert outcome.answer.code == "upload_lost"
    assert microsoft365.world.counters.sends == 0


@pytest.mark.parametrize("fault", ["503", "drop"])
async def test_a_session_that_takes_nothing_any_more_ends_the_attempt(microsoft365, graph, fault) -> None:
    microsoft365.world.faults = [Rule(target=Target.UPLOAD, fault=fault, stage=Stage.RANGE)]
    outcome = await graph.send(letter())
    assert isinstance(outcome, TransientFailure)
    assert outcome.scope is Scope.MESSAGE
    assert microsoft365.world.counters.draft_requests[f"range {fault}"] == 6
    assert microsoft365.world.counters.sends == 0


@pytest.mark.parametrize(
    ("fault", "kind"), [("401", TransientFailure), ("403", TransientFailure), ("413", PermanentFailure)]
)
async def test_a_range_that_is_refused_is_not_tried_again(microsoft365, graph, fault, kind) -> None:
    microsoft365.world.faults = [Rule(target=Target.UPLOAD, fault=fault, stage=Stage.RANGE)]
    outcome = await graph.send(letter())
    assert isinstance(outcome, kind)
    assert outcome.scope is Scope.MESSAGE
    assert microsoft365.world.counters.draft_requests[f"range {fault}"] == 1


async def test_who_asks_to_wait_for_long_ends_the_attempt(microsoft365, graph) -> None:
    microsoft365.world.faults = [Rule(target=Target.UPLOAD, fault="429", stage=Stage.RANGE, retry_after=300)]
    outcome = await graph.send(letter())
    assert isinstance(outcome, TransientFailure)
    assert (outcome.scope, outcome.answer.retry_after) == (Scope.MAILBOX, 300.0)


@pytest.mark.parametrize("target", [Target.DRAFT, Target.SEND])
@pytest.mark.parametrize(("own", "scope"), [(True, Scope.MAILBOX), (False, Scope.SENDER)])
async def test_a_sender_without_send_as_is_blocked_wherever_graph_says_so(
    microsoft365, graph, target, own, scope
) -> None:
    one = message() if own else message(sender="other@contoso.com")
    microsoft365.world.faults = [Rule(target=target, fault="403", code="ErrorSendAsDenied")]
    outcome = await graph.send(letter(one=one))
    assert isinstance(outcome, Blocked)
    assert outcome.scope is scope


async def test_a_draft_that_is_still_worked_on_is_sent_again_later(microsoft365, graph) -> None:
    microsoft365.world.faults = [Rule(target=Target.SEND, fault="409", code="ErrorIrresolvableConflict")]
    outcome = await graph.send(letter())
    assert isinstance(outcome, TransientFailure)
    assert outcome.scope is Scope.MESSAGE


SEND = [
    ("500", Unconfirmed),
    ("504", Unconfirmed),
    ("504-after-send", Unconfirmed),
    ("504-late", Unconfirmed),
    ("502", Unconfirmed),
    ("200", Unconfirmed),
    ("302", Unconfirmed),
    ("408", Unconfirmed),
    ("drop", Unconfirmed),
    ("reset", Unconfirmed),
    ("reset-after-send", Unconfirmed),
    ("503", TransientFailure),
    ("429", TransientFailure),
    ("401", TransientFailure),
    ("403", Blocked),
    ("507", Blocked),
    ("400", PermanentFailure),
]


@pytest.mark.parametrize(("fault", "kind"), SEND)
async def test_the_answer_to_the_sending_means_what_it_means_for_every_mail(microsoft365, graph, fault, kind) -> None:
    microsoft365.world.faults = [Rule(target=Target.SEND, fault=fault, times=1, seconds=0.1)]
    notes = Notes()
    outcome = await graph.send(letter(notes=notes))
    assert isinstance(outcome, kind), outcome
    assert notes.drafts[-1].state is SUBMITTED
    assert microsoft365.world.counters.sends == 1


def left(draft: str, *, transport: str = "graph", account: str = ALERTS) -> Message:
    return replace(message(), draft=EarlierDraft(transport=transport, account=account, id=draft))


async def test_a_draft_that_was_not_sent_is_sent_again_and_no_other_is_made(microsoft365, graph) -> None:
    microsoft365.world.faults = [Rule(target=Target.SEND, fault="429", times=1)]
    first, second = Notes(), Notes()
    assert isinstance(await graph.send(letter(notes=first)), TransientFailure)
    draft = first.drafts[-1].id
    assert draft is not None
    assert isinstance(await graph.send(letter(notes=second, one=left(draft))), Sent)
    assert second.drafts == [DraftNote(SUBMITTED, draft)]
    assert microsoft365.world.counters.drafts_made == 1
    assert [one.own_id for one in microsoft365.world.received] == [draft]


@pytest.mark.parametrize("other", [{"transport": "elsewhere"}, {"account": "other@contoso.com"}])
async def test_the_draft_of_another_transport_or_mailbox_is_not_sent(microsoft365, graph, other) -> None:
    assert isinstance(await graph.send(letter(one=left("AAkAnother", **other))), Sent)
    assert microsoft365.world.counters.drafts_made == 1


async def test_a_draft_that_is_gone_leaves_doubt_for_it_may_have_been_sent(microsoft365, graph) -> None:
    first, second = Notes(), Notes()
    microsoft365.world.faults = [Rule(target=Target.SEND, fault="504-after-send", times=1)]
    assert isinstance(await graph.send(letter(notes=first)), Unconfirmed)
    draft = first.drafts[-1].id
    assert draft is not None
    outcome = await graph.send(letter(notes=second, one=left(draft)))
    assert isinstance(outcome, Unconfirmed)
    assert second.drafts == [DraftNote(SUBMITTED, draft), DraftNote(MISSING, draft)]
    assert len(microsoft365.world.received) == 1


@pytest.mark.parametrize(("state", "drafts", "sends"), [(BEGUN, 0, 0), (SUBMITTED, 1, 0)])
async def test_an_attempt_that_was_taken_over_ends_before_its_next_step(
    microsoft365, graph, state, drafts, sends
) -> None:
    outcome = await graph.send(letter(notes=Notes(taken_at=state)))
    assert isinstance(outcome, TransientFailure)
    assert outcome.answer.code == "taken_over"
    counters = microsoft365.world.counters
    assert (counters.drafts_made, counters.sends) == (drafts, sends)


class Broken(Notes):
    async def note_draft(self, note: DraftNote) -> bool:
        if note.state is SUBMITTED:
            raise SpoolUnavailableError("the disk is full", full=True)
        return await super().note_draft(note)


async def test_what_cannot_be_written_down_is_not_sent(microsoft365, graph) -> None:
    outcome = await graph.send(letter(notes=Broken()))
    assert isinstance(outcome, TransientFailure)
    assert microsoft365.world.counters.sends == 0


async def test_without_the_right_the_message_alone_waits_and_the_fix_is_named(microsoft365, graph) -> None:
    settings = microsoft365.world.settings
    microsoft365.world.settings = replace(settings, grants=settings.grants - {"Mail.ReadWrite"})
    outcome = await graph.send(letter())
    assert isinstance(outcome, Blocked)
    assert (outcome.scope, outcome.answer.code, outcome.answer.fix) == (Scope.MESSAGE, *2 * ("draft_permission",))


async def test_a_transport_without_drafts_refuses_what_is_too_large(microsoft365) -> None:
    async with (
        tokens_of(microsoft365) as tokens,
        graph_to(microsoft365.graph_url, tokens, microsoft365.ca_file) as transport,
    ):
        assert isinstance(await transport.send(letter()), PermanentFailure)
    assert microsoft365.world.counters.drafts_made == 0


@pytest.mark.parametrize(
    "rule",
    [
        Rule(target=Target.DRAFT, fault="hang"),
        Rule(target=Target.DRAFT, fault="hang-after-send"),
        Rule(target=Target.UPLOAD, fault="hang", stage=Stage.ATTACHMENT),
        Rule(target=Target.UPLOAD, fault="hang", stage=Stage.SESSION),
        Rule(target=Target.UPLOAD, fault="hang", stage=Stage.RANGE),
    ],
    ids=str,
)
async def test_an_attempt_that_is_cut_before_it_sends_has_certainly_sent_nothing(microsoft365, graph, rule) -> None:
    microsoft365.world.faults = [rule]
    sending = asyncio.create_task(graph.send(letter(two_files())))
    while not all(microsoft365.world.chaos.struck):
        await asyncio.sleep(0.01)
    sending.cancel()
    await asyncio.wait({sending})
    assert isinstance(sending.exception(), NotBegunError)


@pytest.mark.parametrize("fault", ["hang", "hang-after-send"])
@pytest.mark.parametrize("every", [1, 2, RANGES])
async def test_a_range_without_an_answer_is_resumed_too(microsoft365, fault, every) -> None:
    settings = microsoft365.world.settings
    microsoft365.world.settings = replace(settings, grants=settings.grants | {"Mail.ReadWrite"})
    microsoft365.world.faults = [Rule(target=Target.UPLOAD, fault=fault, stage=Stage.RANGE, every=every, times=1)]
    async with (
        tokens_of(microsoft365) as tokens,
        graph_to(microsoft365.graph_url, tokens, microsoft365.ca_file, drafts=True, read_timeout=2.0) as graph,
    ):
        assert isinstance(await graph.send(letter()), Sent)
    assert [one.content for got in microsoft365.world.received for one in got.files] == [LARGE]


async def test_an_attempt_that_is_cut_while_it_sends_leaves_doubt(microsoft365, graph) -> None:
    microsoft365.world.faults = [Rule(target=Target.SEND, fault="hang")]
    sending = asyncio.create_task(graph.send(letter()))
    while not microsoft365.world.counters.sends:
        await asyncio.sleep(0.01)
    sending.cancel()
    await asyncio.wait({sending})
    assert sending.cancelled()


# --- what stays behind -----------------------------------------------------------------------------------------------


def stray(sent: str | None = None) -> Stray:
    one = message()
    return Stray(
        key=1,
        id=one.id,
        account=ALERTS,
        transport="graph",
        message_id=one.message_id,
        sent=sent,
        again=False,
    )


async def test_all_drafts_of_a_message_are_swept_but_nobody_elses(microsoft365, graph) -> None:
    microsoft365.world.faults = [Rule(target=Target.SEND, fault="500")]
    for _ in range(3):
        await graph.send(letter())
    other = replace(message(), id=MessageId("msg_2"))
    await graph.send(letter(one=other))
    drafts = microsoft365.world.drawer.drafts
    ours = [one.item_id for one in drafts.values() if one.properties[MARK] == "msg_1"]
    assert len(ours) == 3
    assert await graph.sweep(stray(ours[0]))
    assert {one.item_id for one in drafts.values() if one.properties[MARK] == "msg_1"} == {ours[0]}
    assert await graph.sweep(stray())
    assert [one.properties[MARK] for one in drafts.values()] == ["msg_2"]
    assert microsoft365.world.counters.drafts_deleted == 3


async def test_what_was_sent_is_never_swept(microsoft365, graph) -> None:
    await graph.send(letter())
    assert await graph.sweep(stray())
    assert microsoft365.world.sent_items(ALERTS)
    assert microsoft365.world.counters.drafts_deleted == 0


@pytest.mark.parametrize(
    "rule",
    [
        Rule(target=Target.LOOKUP, fault="503"),
        Rule(target=Target.LOOKUP, fault="drop"),
        Rule(target=Target.DRAFT, fault="500", stage=Stage.DELETE),
        Rule(target=Target.DRAFT, fault="reset", stage=Stage.DELETE),
    ],
    ids=str,
)
async def test_a_mailbox_that_could_not_be_swept_is_swept_again(microsoft365, graph, rule) -> None:
    microsoft365.world.faults = [Rule(target=Target.SEND, fault="500")]
    await graph.send(letter())
    microsoft365.world.faults = [rule]
    assert not await graph.sweep(stray())
    microsoft365.world.faults = []
    assert await graph.sweep(stray())
    assert not microsoft365.world.drawer.drafts


async def test_a_new_draft_takes_the_place_of_what_earlier_attempts_left(microsoft365, graph) -> None:
    """Its creation was answered 504 although it was done: nobody knows its id."""
    microsoft365.world.faults = [Rule(target=Target.DRAFT, fault="504-after-send", times=1)]
    assert isinstance(await graph.send(letter()), TransientFailure)
    assert len(microsoft365.world.drawer.drafts) == 1
    again = replace(message(), draft=EarlierDraft(transport="graph", account=ALERTS))
    assert isinstance(await graph.send(letter(one=again)), Sent)
    assert not microsoft365.world.drawer.drafts
    assert len(microsoft365.world.received) == 1


async def test_look_ups_tell_drafts_by_their_ids(microsoft365, graph) -> None:
    microsoft365.world.faults = [Rule(target=Target.SEND, fault="500", times=1)]
    notes = Notes()
    await graph.send(letter(notes=notes))
    draft = notes.drafts[-1].id
    assert draft is not None
    for by_id in ({draft: True}, {draft: False}):
        sight = await graph.look_up(account=ALERTS, message_ids=[message().message_id])
        assert isinstance(sight, Sightings)
        assert sight.by_id == by_id
        await graph.send(letter(one=left(draft)))
