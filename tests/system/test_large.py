"""A message of 150 MB costs the service no more memory than a small one."""

import time

import pytest

from tests.system.harness import letter
from tests.system.large import CONTENT_TYPE, File, forget_peak, form, resident

SENDER = "app@contoso.example"
ROOM = 160_000_000
FILE = File(105_000_000, seed=7)


@pytest.mark.timeout(120)
async def test_150_mb_by_smtp(launch, emulator):
    service = await launch(limits={"max_message_bytes": ROOM})
    await service.make_key(SENDER)
    await service.until([await service.submit(letter(SENDER, 0))])
    pid = service.process.pid
    idle = resident(pid, "VmRSS")
    forget_peak(pid)
    t = time.monotonic()
    message = letter(SENDER, 1, attachments=[{"filename": "large.bin", "part": "file"}])
    answer = await service.http.post(
        "/v1/messages", content=form(message, {"file": FILE}), headers={"content-type": CONTENT_TYPE}
    )
    print(answer.text, time.monotonic() - t, (resident(pid, "VmHWM") - idle) / 1e6)
    t = time.monotonic()
    await service.until([answer.json()["id"]], seconds=100)
    print(time.monotonic() - t, idle / 1e6, (resident(pid, "VmHWM") - idle) / 1e6)
    print([(len(m.mime), m.transport) for m in emulator.world.received])
