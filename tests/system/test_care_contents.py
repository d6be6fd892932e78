"""Contents at rest in the real program: what was changed on the disk is held with its cause, keys rotate under way."""

import json
import time

import apsw
import httpx
import pytest

from posthouse.spool.sealing import key_id, new_master
from tests.system.harness import Service, letter

pytestmark = pytest.mark.timeout(300)
SENDER = "app@contoso.example"
LARGE = "a line of a large mail\n" * 40_000


def change(service: Service, statement: str, values: dict[str, int] | None = None) -> None:
    """What happens to the file while no service runs."""
    spool = apsw.Connection(str(service.state / "spool.sqlite"))
    spool.execute(statement, values or {}).fetchall()
    spool.close()


def make_due(service: Service) -> None:
    now = time.time_ns() // 1_000_000
    change(service, "update messages set due_at = :now; update lanes set next_at = :now", {"now": now})


@pytest.mark.parametrize("route", [["graph"], ["smtp"]])
async def test_what_was_changed_on_the_disk_is_held_with_its_cause_and_the_rest_goes_on(route, launch, emulator):
    service = await launch(delivery={"route": route})
    await service.make_key(SENDER)
    small, large, whole = [
        await service.submit(letter(SENDER, n, text=text, send_in="1h")) for n, text in enumerate(["x", LARGE, LARGE])
    ]
    await service.stop()
    change(service, "update contents set body = zeroblob(length(body)) where id = 1")
    change(service, "update chunks set body = zeroblob(length(body)) where content = 2 and n = 2")
    make_due(service)
    await service.start()
    await service.until([whole])
    await service.until([small, large], wanted=frozenset({"held"}))

    for message in (small, large):
        shown = await service.get(message)
        assert shown["held"]["cause"] == "content_unreadable"
        assert not shown["unsettled"]
        assert shown["attempts"][0]["outcome"] == "blocked"
    assert (await service.admin("GET", f"/v1/messages/{small}/content")).status_code == 404
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        await service.admin("GET", f"/v1/messages/{large}/content")
    assert [one.subject for one in emulator.world.received] == ["number 2"]
    _, out, _ = await service.run("messages", "show", small)
    assert "posthouse spool check" in out


async def test_a_master_rotates_without_a_stop_of_mail_and_then_the_earlier_one_may_go(launch, emulator):
    service = await launch()
    await service.make_key(SENDER)
    waiting = [await service.submit(letter(SENDER, n, send_in="1h")) for n in range(30)]
    await service.stop()
    old = service.state / "spool.sqlite.master"
    new = service.home / "master"
    new.write_text(new_master())
    text = service.config.read_text()
    service.config.write_text(f'{text}[secrets]\nmaster = "file:{new}"\n')
    code, _, error = await service.run("serve")
    assert code == 3
    assert key_id(old.read_text().strip()) in error

    service.config.write_text(f'{text}[secrets]\nmaster = "file:{new}"\nprevious = ["file:{old}"]\n')
    await service.start()
    while "spool.resealed" not in service.log.read_text():
        assert "sent" in (await service.until([await service.submit(letter(SENDER, 99))])).values()
    await service.stop()

    old.unlink()
    service.config.write_text(f'{text}[secrets]\nmaster = "file:{new}"\n')
    make_due(service)
    await service.start()
    assert set((await service.until(waiting)).values()) == {"sent"}
    assert len({one.subject for one in emulator.world.received}) == 31


async def test_a_persons_mail_is_erased_by_a_command(launch):
    service = await launch()
    await service.make_key(SENDER)
    sent = await service.submit(letter(SENDER, 1, to=["amy@example.net"]))
    await service.until([sent])
    waiting = await service.submit(letter(SENDER, 2, to=["amy@example.net"], send_in="1h"))
    erase = ("messages", "erase", "--recipient", "Amy@example.net")
    code, _, error = await service.run(*erase)
    assert (code, "--yes" in error) == (2, True)
    code, out, _ = await service.run(*erase, "--dry-run")
    assert (code, out.splitlines()) == (7, ["1 message would be erased", waiting])
    code, out, _ = await service.run(*erase, "--yes", "--json")
    assert (code, json.loads(out)["unfinished_ids"]) == (7, [waiting])
    shown = await service.get(sent)
    assert (shown["subject"], shown["recipients"][0]["address"], shown["status"]) == ("", "erased", "sent")
    assert "amy@" not in service.log.read_text()
    _, out, _ = await service.run("messages", "show", sent)
    assert "erased at a person's request" in out
