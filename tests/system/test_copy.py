"""From one SQLite file to PostgreSQL with the commands that an operator types (SPOOL §8)."""

import json
from collections import Counter

import pytest

from posthouse.spool.sealing import new_master
from tests.system.harness import letter

SENDER = "app@contoso.example"


@pytest.mark.timeout(300)
async def test_a_spool_moves_with_its_waiting_mail_keys_and_answers(launch, emulator, database):
    service = await launch()
    await service.make_key(SENDER)
    sent = [await service.submit(letter(SENDER, n)) for n in range(5)]
    await service.until(sent)
    waiting = [
        await service.submit(letter(SENDER, n, send_in="1h"), **{"idempotency-key": f"k{n}"}) for n in range(5, 9)
    ]
    await service.stop()

    file, master, config = service.state / "spool.sqlite", service.home / "master", service.config.read_text()
    master.write_text(new_master())
    service.config.write_text(
        f'{config}[spool]\nurl = "{database}"\n[secrets]\nmaster = "file:{master}"\nprevious = ["file:{file}.master"]\n'
    )
    code, out, error = await service.run("spool", "copy", str(file), "--json")
    assert code == 0, error
    assert json.loads(out)["rows"]["messages"] == 9
    assert "serves no more" in error
    code, out, _ = await service.run("spool", "check")
    assert (code, "ok" in out) == (0, True)
    assert (await service.run("spool", "migrate"))[0] == 0
    code, _, error = await service.run("spool", "backup", str(service.home / "copy"))
    assert (code, "pg_dump" in error) == (3, True)

    await service.start()
    again = await service.post(letter(SENDER, 5, send_in="1h"), **{"idempotency-key": "k5"})
    assert (again.status_code, again.json()["id"]) == (202, waiting[0])
    for message_id in waiting:
        assert (await service.http.patch(f"/v1/messages/{message_id}", json={"send_in": "0s"})).status_code == 200
    assert set((await service.until([*sent, *waiting])).values()) == {"sent"}
    assert set(Counter(one.subject for one in emulator.world.received).values()) == {1}
    assert len(emulator.world.received) == 9

    await service.stop()
    service.config.write_text(config)
    code, _, error = await service.run("serve", "--config", str(service.config))
    assert (code, "moved to PostgreSQL" in error) == (3, True)
