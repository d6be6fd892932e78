"""Backups of the real program: taken under way, restored elsewhere, nothing lost and nothing sent twice (PROMISES §5)."""

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from posthouse.message import MessageId, id_bytes
from posthouse.sandbox.emulator import Emulator
from posthouse.spool.sealing import new_master
from tests.system.harness import Service, letter

SENDERS = tuple(f"app{number}@contoso.example" for number in range(4))
SENT_BEFORE, SENT_SINCE, WAITING, SCHEDULED = 12, 20, 20, 4
WANTED = ((0, SENT_BEFORE), (50, len(SENDERS)), (100, SENT_SINCE), (200, WAITING))


def numbers(emulator: Emulator) -> Counter[str]:
    return Counter(one.subject for one in emulator.world.received)


async def submit(service: Service, first: int, count: int, **changes: object) -> list[str]:
    letters = [letter(SENDERS[n % len(SENDERS)], n, **changes) for n in range(first, first + count)]
    return [await service.submit(one) for one in letters]


def elsewhere(service: Service, emulator: Emulator, home: Path) -> Service:
    """The same settings with an empty state directory, on another machine as it were."""
    home.mkdir()
    other = Service(home, emulator)
    other.key = service.key
    other.http.headers["authorization"] = service.http.headers["authorization"]
    return other


@pytest.mark.timeout(300)
async def test_a_backup_restored_in_an_empty_place_loses_nothing_and_doubles_nothing(launch, emulator, tmp_path):
    service = await launch()
    await service.make_key(*SENDERS)
    # the witnesses: what waits now may go by each transport
    before = [*await submit(service, 0, SENT_BEFORE), *await submit(service, 50, len(SENDERS), transport="smtp")]
    await service.until(before)
    lanes = (await service.admin("GET", "/v1/lanes")).json()["data"]
    assert lanes == []
    gone = await submit(service, 100, SENT_SINCE, send_in="1h")
    waiting = await submit(service, 200, WAITING, send_in="1h")
    later = await submit(service, 300, SCHEDULED, send_in="2d")

    copy, master = tmp_path / "usb" / "spool", tmp_path / "safe" / "master"
    for place in (copy, master):
        place.parent.mkdir()
    out = await checked(service, "spool", "backup", str(copy), "--with-master", str(master), "--json")
    assert json.loads(out)["file"] == str(copy)
    assert [one.name for one in copy.parent.iterdir()] == ["spool"]
    code, _, error = await service.run("spool", "backup", str(tmp_path / "nowhere" / "spool"))
    assert (code, error) == (1, f"posthouse: {tmp_path / 'nowhere'}: there is no such folder\n")

    await service.stop()
    hasten(service.state / "spool.sqlite", gone)
    await service.start()
    assert set((await service.until(gone)).values()) == {"sent"}  # sent after the copy was made
    await service.kill()

    other = elsewhere(service, emulator, tmp_path / "other")
    try:
        shutil.copy(copy, other.state / "spool.sqlite")
        await refused_without_its_master(other)
        shutil.copy(master, other.state / "spool.sqlite.master")
        hasten(other.state / "spool.sqlite", [*gone, *waiting])  # an hour has passed
        await other.start()

        assert set((await other.until([*gone, *waiting])).values()) == {"sent"}
        assert set((await other.until(later, wanted=frozenset({"scheduled"}))).values()) == {"scheduled"}
        received = numbers(emulator)
        assert set(received) == {f"number {n}" for first, count in WANTED for n in range(first, first + count)}
        assert max(received.values()) == 1
        events = (await other.http.get(f"/v1/messages/{gone[0]}/events")).json()["data"]
        assert [one["type"] for one in events][-2:] == ["message.settled", "message.sent"]
        assert '"event": "spool.restored"' in other.log.read_text()
        assert json.loads(await checked(other, "spool", "check", "--json"))["ok"]

        await other.stop()
        await other.start()
        assert other.log.read_text().count('"event": "spool.restored"') == 1
    finally:
        await other.close()


async def refused_without_its_master(other: Service) -> None:
    """Neither without a master nor with another does it start; a look at it says which one is wanted."""
    code, _, error = await other.run("serve")
    assert (code, "there is none" in error) == (3, True)
    settings = other.config.read_text()
    other.config.write_text(re.sub("client_secret = .*", 'client_secret = "file:/run/credentials/gone"', settings))
    code, out, _ = await other.run("spool", "check")  # a service that is down shows its secrets to nobody
    other.config.write_text(settings)
    assert (code, "put it back, then look again" in out, "restore a backup" in out) == (1, True, False)
    (other.state / "spool.sqlite.master").write_text(new_master())
    code, _, error = await other.run("serve")
    assert (code, "sealed under the master" in error) == (3, True)


async def checked(service: Service, *command: str) -> str:
    code, out, error = await service.run(*command)
    assert code == 0, error
    return out


def hasten(path: Path, ids: list[str]) -> None:
    """Let the time of scheduled messages come, while no service runs."""
    spool = apsw.Connection(str(path))
    for one in ids:
        spool.execute("update messages set due_at = accepted_at where public_id = ?", (id_bytes(MessageId(one)),))
    spool.execute("update lanes set next_at = 1")
    spool.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("may_look", [True, False])
async def test_a_snapshot_is_put_into_the_same_state_by_a_command(may_look, launch, emulator, tmp_path):
    service = await launch()
    await service.make_key(*SENDERS)
    witnesses = [await submit(service, at, len(SENDERS), transport=by) for at, by in ((0, "graph"), (50, "smtp"))]
    await service.until([one for some in witnesses for one in some])
    ids = await submit(service, 100, 8, send_in="1h")
    await service.stop()
    snapshot = tmp_path / "snapshot"
    shutil.copytree(service.state, snapshot)
    hasten(service.state / "spool.sqlite", ids[:4])
    await service.start()
    code, _, error = await service.run("spool", "restored")
    assert (code, "another process has the spool" in error) == (3, True)
    await service.until(ids[:4])
    await service.kill()

    shutil.rmtree(service.state)
    shutil.copytree(snapshot, service.state)
    hasten(service.state / "spool.sqlite", ids)
    assert "a copy of" in await checked(service, "spool", "restored")
    if not may_look:
        emulator.world.settings = without_look_ups(emulator)
    await service.start()
    statuses = await service.until(ids, wanted=frozenset({"sent"} if may_look else {"held"}))
    assert len(statuses) == 8
    assert max(numbers(emulator).values()) == 1
    assert len(numbers(emulator)) == 2 * len(SENDERS) + (8 if may_look else 4)


def without_look_ups(emulator: Emulator):
    settings = emulator.world.settings
    return replace(settings, grants=settings.grants - {"Mail.ReadBasic"})


@pytest.mark.timeout(300)
async def test_a_backup_of_a_service_under_load_is_whole(launch, emulator, tmp_path):
    service = await launch(limits={"concurrent_requests": 1})
    await service.make_key(*SENDERS)
    copy = tmp_path / "copy"
    ids: list[str] = []
    for first in range(0, 90, 30):
        ids += await submit(service, first, 30)
        await checked(service, "spool", "backup", str(copy))
        other = elsewhere(service, emulator, tmp_path / f"other{first}")
        shutil.copy(copy, other.state / "spool.sqlite")
        shutil.copy(service.state / "spool.sqlite.master", other.state)
        report = json.loads(await checked(other, "spool", "check", "--json"))
        assert (report["ok"], report["keys"][0]["contents"] >= first) == (True, True)
    assert set((await service.until(ids)).values()) == {"sent"}
    assert json.loads(await checked(service, "spool", "check", "--json"))["ok"]
