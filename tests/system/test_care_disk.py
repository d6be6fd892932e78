"""A disk that fills up under the service: nothing torn, nothing accepted lost, all of it sent when there is room (PROMISES §1)."""

import asyncio
import itertools
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from posthouse.sandbox.chaos import Rule, Target
from posthouse.sweep import EVERY
from tests.system.harness import POSTHOUSE, Service, letter

pytestmark = [pytest.mark.apt, pytest.mark.timeout(300)]
SENDERS = tuple(f"app{number}@contoso.example" for number in range(4))
DISK = "200m"
FLOOR = 64 * 1024 * 1024
TEXT = "a line of a mail that fills the disk\n" * 5_000
CLIENTS = 8


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 MB under the state directory; needs root, as the other tests of this mark."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "posthouse-test", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.fail(f"a small disk cannot be mounted, which needs root: {made.stderr}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def free(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def fill(file: Path) -> None:
    """A foreign file that takes the last byte."""
    with file.open("wb", buffering=0) as out:
        try:
            while True:
                out.write(bytes(65_536))
        except OSError:
            return


async def hammer(service: Service, first: int, *, refusals: int) -> tuple[list[str], Counter[str]]:
    """Submit from several clients until it was refused so often; the ids taken, and the codes of the refusals."""
    taken: list[str] = []
    codes: Counter[str] = Counter()
    numbers = iter(range(first, first + 100_000))

    async def client() -> None:
        for number in numbers:
            if codes.total() >= refusals:
                return
            sender = SENDERS[number % len(SENDERS)]
            answer = await service.post(letter(sender, number, text=TEXT))
            if answer.status_code == 202:
                taken.append(answer.json()["id"])
                continue
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0
            codes[answer.json()["code"]] += 1

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return taken, codes


async def started_on_a_full_disk(service: Service) -> None:
    """It either says why it cannot start, or starts where the log has room and takes nothing."""
    with service.log.open("ab") as log:
        service.process = await asyncio.create_subprocess_exec(
            *POSTHOUSE, "serve", env=service.environment, stdout=log, stderr=log
        )
    while service.process.returncode is None:
        try:
            answer = await service.http.get("/readyz")
        except httpx.TransportError:
            await asyncio.sleep(0.1)
            continue
        assert answer.status_code == 503
        refused = await service.post(letter(SENDERS[0], 5_000_000))
        assert (refused.status_code, refused.json()["code"]) in {(503, "storage_low"), (503, "spool_full")}
        return
    assert service.process.returncode == 3
    assert "Traceback" not in service.log.read_text()


def exactly_once(emulator, ids: list[str]) -> None:
    arrived = Counter(one.subject for one in emulator.world.received)
    assert max(arrived.values()) == 1
    assert len(arrived) == len(ids)


async def test_nothing_is_taken_below_the_floor_and_everything_taken_is_sent(launch, emulator, small_disk):
    emulator.world.faults = [Rule(target=Target.GRAPH, fault="429", retry_after=1)]
    service = await launch(delivery={"route": ["graph"]})
    await service.make_key(*SENDERS)
    ids, codes = await hammer(service, 0, refusals=40)

    assert set(codes) == {"storage_low"}
    assert len(ids) > 100
    assert FLOOR * 0.75 < free(small_disk) < FLOOR * 1.5  # of 200 MB: it stopped at the floor, not at the end
    further = itertools.count(1_000_000, 100_000)
    async with asyncio.timeout(2 * EVERY):
        # the log takes less of the file than was reckoned: then there is room again, and who is ready takes mail
        while (await service.http.get("/readyz")).status_code != 503:
            more, _ = await hammer(service, next(further), refusals=1)
            ids += more
    emulator.world.faults = []
    assert set((await service.until(ids, seconds=120)).values()) == {"sent"}
    exactly_once(emulator, ids)
    code, out, _ = await service.run("spool", "check", "--json")
    assert (code, json.loads(out)["ok"]) == (0, True)


async def test_a_disk_filled_at_once_and_a_kill_on_it_tear_nothing_and_lose_nothing(launch, emulator, small_disk):
    emulator.world.faults = [Rule(target=Target.GRAPH, fault="429", retry_after=1)]
    service = await launch(delivery={"route": ["graph"]}, spool={"floor_bytes": 1_000_000})
    await service.make_key(*SENDERS)
    foreign = small_disk / "foreign"
    hammering = asyncio.create_task(hammer(service, 0, refusals=60))
    await asyncio.sleep(1)
    await asyncio.to_thread(fill, foreign)
    ids, codes = await hammering
    assert set(codes) <= {"spool_full", "storage_low"}
    emulator.world.faults = []
    await asyncio.sleep(1)  # attempts on a full disk: what cannot be marked is not sent
    await service.kill()

    await started_on_a_full_disk(service)
    code, out, _ = await service.run("spool", "check", "--json")
    assert (code, json.loads(out)["ok"]) == (0, True)
    foreign.unlink()
    if service.process is not None and service.process.returncode is None:
        await service.kill()
    await service.start()
    assert set((await service.until(ids, seconds=120)).values()) == {"sent"}
    more = await service.submit(letter(SENDERS[0], 999_999))
    await service.until([more])
    exactly_once(emulator, [*ids, more])
    code, out, _ = await service.run("spool", "check", "--json")
    assert (code, json.loads(out)["ok"]) == (0, True)
