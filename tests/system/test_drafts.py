"""Large mail by drafts, with a fault and with a SIGKILL in every phase: lost 0, doubled 0, no draft left (PROMISES §1, §4)."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from posthouse.sandbox.chaos import Rule, Stage, Target
from posthouse.sandbox.emulator import Emulator
from tests.system.harness import Service, letter
from tests.system.large import CONTENT_TYPE, File, form

SENDERS = tuple(f"app{number}@contoso.example" for number in range(6))
LARGE, SMALL = File(4_500_000, seed=1), File(100_000, seed=2)
RIGHTS = frozenset({"Mail.ReadWrite"})
BY_DRAFT = {"transports__graph": {"drafts": True}, "delivery": {"route": ["graph"]}}
FILES = [{"filename": "small.bin", "part": "small"}, {"filename": "large.bin", "part": "large"}]


@pytest.fixture
def microsoft(emulator: Emulator) -> Emulator:
    settings = emulator.world.settings
    emulator.world.settings = replace(settings, grants=settings.grants | RIGHTS, digest_above=3_500_000)
    return emulator


async def submit(service: Service, subject: str, sender: str, **changes: object) -> str:
    message = letter(sender, 0, subject=subject, attachments=FILES, **changes)
    body = form(message, {"small": SMALL, "large": LARGE})
    answer = await service.http.post("/v1/messages", content=body, headers={"content-type": CONTENT_TYPE})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


async def submit_all(service: Service, subjects: Sequence[str]) -> list[str]:
    return [await submit(service, subject, SENDERS[n % len(SENDERS)]) for n, subject in enumerate(subjects)]


def each_arrived_once(emulator: Emulator, subjects: Sequence[str]) -> None:
    """With both files, byte for byte."""
    received = [one for one in emulator.world.received if one.subject in subjects]
    assert Counter(one.subject for one in received) == Counter(subjects)
    for one in received:
        assert [(file.name, file.digest) for file in one.files] == [
            ("small.bin", SMALL.digest()),
            ("large.bin", LARGE.digest()),
        ]


async def no_draft_is_left(emulator: Emulator) -> None:
    async with asyncio.timeout(30):
        while emulator.world.drawer.drafts:
            await asyncio.sleep(0.05)


CERTAIN = ("500", "502", "503", "504", "504-after-send", "504-late", "429", "401", "drop", "reset", "reset-after-send")
PHASES = {
    "create": (Target.DRAFT, None),
    "attach": (Target.UPLOAD, Stage.ATTACHMENT),
    "session": (Target.UPLOAD, Stage.SESSION),
    "range": (Target.UPLOAD, Stage.RANGE),
    "send": (Target.SEND, None),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("phase", PHASES)
async def test_every_fault_in_this_phase_leaves_one_mail_and_no_draft(launch, microsoft, phase) -> None:
    service = await launch(**BY_DRAFT)
    await service.make_key(*SENDERS)
    await service.until([await service.submit(letter(sender, 900 + n)) for n, sender in enumerate(SENDERS)])
    target, stage = PHASES[phase]
    subjects = [f"fault {fault}!" for fault in CERTAIN]
    microsoft.world.faults = [
        Rule(target=target, stage=stage, fault=fault, match=subject, times=2, retry_after=0.2, seconds=0.6)
        for fault, subject in zip(CERTAIN, subjects, strict=True)
    ]
    ids = await submit_all(service, subjects)
    assert set((await service.until(ids, seconds=200)).values()) == {"sent"}
    assert all(microsoft.world.chaos.struck)
    each_arrived_once(microsoft, subjects)
    await no_draft_is_left(microsoft)


STUCK = {
    "before it is made": Rule(target=Target.DRAFT, fault="hang"),
    "after it was made": Rule(target=Target.DRAFT, fault="hang-after-send"),
    "before a file": Rule(target=Target.UPLOAD, fault="hang", stage=Stage.ATTACHMENT),
    "after a file": Rule(target=Target.UPLOAD, fault="hang-after-send", stage=Stage.ATTACHMENT),
    "before a session": Rule(target=Target.UPLOAD, fault="hang", stage=Stage.SESSION),
    "after a session": Rule(target=Target.UPLOAD, fault="hang-after-send", stage=Stage.SESSION),
    "before a range": Rule(target=Target.UPLOAD, fault="hang", stage=Stage.RANGE),
    "after a range": Rule(target=Target.UPLOAD, fault="hang-after-send", stage=Stage.RANGE),
    "before it is sent": Rule(target=Target.SEND, fault="hang"),
    "after it was sent": Rule(target=Target.SEND, fault="hang-after-send"),
}
IN_DOUBT = {"before it is sent", "after it was sent"}


@pytest.mark.timeout(300)
async def test_a_sigkill_in_every_phase_leaves_one_mail_and_no_draft(launch, microsoft) -> None:
    """What was not about to be sent goes again at once; of the rest the same draft goes again, or is found as sent."""
    service = await launch(**(BY_DRAFT | {"delivery": {"route": ["graph"], "attempt_timeout": "1s"}}))
    await service.make_key(*SENDERS)
    await service.until([await service.submit(letter(sender, 900 + n)) for n, sender in enumerate(SENDERS)])
    microsoft.world.faults = [replace(rule, match=f"{phase}!") for phase, rule in STUCK.items()]
    subjects = [f"{phase}!" for phase in STUCK]
    ids = dict(zip(STUCK, await submit_all(service, subjects), strict=True))
    async with asyncio.timeout(60):
        while not all(microsoft.world.chaos.struck):
            await asyncio.sleep(0.02)
    await service.kill()
    assert service.count("sending") == len(STUCK)
    microsoft.world.faults = []
    await service.start()

    assert set((await service.until(list(ids.values()), seconds=200)).values()) == {"sent"}
    for phase, message_id in ids.items():
        attempts = (await service.get(message_id))["attempts"]
        known = "unconfirmed" if phase in IN_DOUBT else "transient_failure"
        assert (phase, attempts[0]["outcome"], attempts[0]["code"]) == (phase, known, "process_died")
        assert len(attempts) == (1 if phase == "after it was sent" else 2)
    each_arrived_once(microsoft, subjects)
    assert microsoft.world.counters.drafts_made == len(STUCK) - 1 + len(STUCK) - len(IN_DOUBT)
    await no_draft_is_left(microsoft)


async def test_a_draft_that_is_one_still_after_the_window_is_sent_again_and_no_other_is_made(launch, microsoft) -> None:
    service = await launch(**BY_DRAFT)
    await service.make_key(*SENDERS)
    microsoft.world.faults = [Rule(target=Target.SEND, fault="500", times=2)]
    message_id = await submit(service, "again", SENDERS[0])
    assert set((await service.until([message_id])).values()) == {"sent"}
    counters = microsoft.world.counters
    assert (counters.drafts_made, counters.sends, counters.sends_accepted) == (1, 3, 1)
    each_arrived_once(microsoft, ["again"])


@pytest.mark.parametrize("seconds", [0.5, 1.5])
async def test_a_send_that_is_done_long_after_its_504_is_not_done_twice(launch, microsoft, seconds) -> None:
    """Within the settling window, and behind it, when the same draft has gone again."""
    service = await launch(**BY_DRAFT)
    await service.make_key(*SENDERS)
    microsoft.world.faults = [Rule(target=Target.SEND, fault="504-late", seconds=seconds, times=1)]
    message_id = await submit(service, "late", SENDERS[0])
    assert set((await service.until([message_id])).values()) == {"sent"}
    each_arrived_once(microsoft, ["late"])
    await no_draft_is_left(microsoft)


@pytest.mark.parametrize("witness", [True, False])
async def test_a_draft_that_somebody_deleted_is_made_anew_only_where_absence_is_proved(
    launch, microsoft, witness
) -> None:
    service = await launch(**BY_DRAFT)
    await service.make_key(*SENDERS)
    if witness:
        await service.until([await service.submit(letter(SENDERS[0], 900))])
    microsoft.world.faults = [Rule(target=Target.SEND, fault="500", times=1)]
    message_id = await submit(service, "deleted", SENDERS[0])
    await service.until([message_id], wanted=frozenset({"unconfirmed"}))
    for draft in list(microsoft.world.drawer.drafts.values()):
        microsoft.world.drawer.drop(draft)
    if witness:
        assert set((await service.until([message_id])).values()) == {"sent"}
        each_arrived_once(microsoft, ["deleted"])
    else:
        await service.until([message_id], wanted=frozenset({"held"}))
        assert (await service.get(message_id))["held"]["cause"] == "unconfirmed_no_witness"
        assert not microsoft.world.received


async def test_without_the_right_only_large_mail_waits_and_goes_when_it_is_granted(launch, microsoft) -> None:
    settings = microsoft.world.settings
    microsoft.world.settings = replace(settings, grants=settings.grants - RIGHTS)
    service = await launch(**BY_DRAFT)
    await service.make_key(*SENDERS)
    large = await submit(service, "waits", SENDERS[0])
    await service.until([large], wanted=frozenset({"held"}))
    held = (await service.get(large))["held"]
    assert held["cause"] == "draft_permission"
    assert "Application Mail.ReadWrite" in held["advice"]
    small = await service.submit(letter(SENDERS[0], 1))
    assert set((await service.until([small])).values()) == {"sent"}
    microsoft.world.settings = settings
    assert set((await service.until([large])).values()) == {"sent"}
    each_arrived_once(microsoft, ["waits"])


async def test_a_drain_in_the_middle_of_an_upload_leaves_no_doubt(launch, microsoft) -> None:
    service = await launch(**(BY_DRAFT | {"delivery": {"route": ["graph"], "drain_timeout": "0.5s"}}))
    await service.make_key(*SENDERS)
    microsoft.world.faults = [Rule(target=Target.UPLOAD, fault="hang", stage=Stage.RANGE)]
    message_id = await submit(service, "drained", SENDERS[0])
    async with asyncio.timeout(30):
        while not all(microsoft.world.chaos.struck):
            await asyncio.sleep(0.02)
    assert await service.stop() == 0
    assert service.count("queued") == 1
    microsoft.world.faults = []
    await service.start()
    assert set((await service.until([message_id])).values()) == {"sent"}
    each_arrived_once(microsoft, ["drained"])
    await no_draft_is_left(microsoft)


async def test_large_mail_goes_by_smtp_where_that_works_and_else_by_draft(launch, microsoft) -> None:
    """SMTP leaves it as it is, so it comes first; a draft that certainly was not sent falls back as every mail does."""
    service = await launch(transports__graph={"drafts": True})
    await service.make_key(*SENDERS)
    by_smtp = await submit(service, "by smtp", SENDERS[0])
    assert set((await service.until([by_smtp])).values()) == {"sent"}
    await microsoft.stop_smtp()
    by_draft = await submit(service, "by draft", SENDERS[0])
    assert set((await service.until([by_draft])).values()) == {"sent"}
    transports = {one.subject: one.transport for one in microsoft.world.received}
    assert transports == {"by smtp": "smtp", "by draft": "graph"}
    await no_draft_is_left(microsoft)
