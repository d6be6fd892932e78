"""The command line beside a running service, and where none runs (CONTRACT §5, PROMISES §9)."""

import asyncio
import email
import email.policy
import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import pytest

from posthouse.sandbox.chaos import Rule, Target
from tests.system.harness import POSTHOUSE, Service, letter

SENDER = "app@contoso.example"
MAIL = ("--from", SENDER, "--to", "r@example.net", "--subject", "by hand", "--text", "hello")


class Shell:
    """Runs commands of the program as a user would: beside the service, or with ``key`` as another machine would."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.key: str | None = None
        self.errors = ""

    @property
    def environment(self) -> dict[str, str]:
        if self.key is None:
            return self.service.environment
        return {"POSTHOUSE_URL": f"http://127.0.0.1:{self.service.port}", "POSTHOUSE_KEY": self.key}

    async def __call__(self, *arguments: str, code: int = 0, program: tuple[str, ...] = POSTHOUSE) -> str:
        """What a command wrote as data; its exit code must be ``code``."""
        process = await asyncio.create_subprocess_exec(
            *program, *arguments, env=self.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, errors = await asyncio.wait_for(process.communicate(), 40)
        self.errors = errors.decode()
        assert process.returncode == code, f"{arguments}: {process.returncode}\n{out.decode()}\n{self.errors}"
        return out.decode()

    async def json(self, *arguments: str, code: int = 0) -> list[dict]:
        """The same with --json: an object a line."""
        return [json.loads(line) for line in (await self(*arguments, "--json", code=code)).splitlines()]


@pytest.fixture
async def shell(launch) -> Shell:
    return Shell(await launch())


async def test_a_new_key_is_printed_once_with_lines_that_work(shell):
    (key,) = await shell.json("keys", "create", "shop", "--sender", SENDER, "--expires", "90d")
    assert key["url"] == f"http://127.0.0.1:{shell.service.port}"
    out = await shell("keys", "create", "till", "--sender", SENDER)
    curl = out[out.index("curl") :].partition("\n\n")[0].replace("curl", "curl -sf")
    answer = await shell("-c", curl, program=("/bin/sh",))
    assert json.loads(answer)["status"] == "queued"
    assert key["key"] not in await shell("keys", "list")


async def test_send_waits_until_the_message_is_sent_and_files_arrive_unchanged(shell, emulator, tmp_path):
    data = bytes(range(256)) * 40
    file = tmp_path / "prüfung, final.bin"
    file.write_bytes(data)
    out = await shell("send", *MAIL, "--bcc", "blind@example.net", "--attach", str(file), "--wait")

    assert out.split() == [out.split()[0], "sent"]
    (arrived,) = emulator.world.received
    assert set(arrived.recipients) == {"r@example.net", "blind@example.net"}
    mail = email.message_from_bytes(arrived.mime, policy=email.policy.default)
    part = next(part for part in mail.walk() if part.get_content_disposition() == "attachment")
    assert part.get_filename() == file.name
    assert part.get_payload(decode=True) == data


async def test_a_complete_message_goes_as_it_is(shell, emulator, tmp_path):
    file = tmp_path / "mail.eml"
    file.write_bytes(
        f"From: {SENDER}\r\nTo: r@example.net\r\nBcc: b@example.net\r\nSubject: raw\r\n\r\nhi\r\n".encode()
    )
    await shell("send", "--eml", str(file), "--wait")
    await shell("send", "--eml", str(file), "--to", "only@example.net", "--wait")
    assert [set(one.recipients) for one in emulator.world.received] == [
        {"r@example.net", "b@example.net"},
        {"only@example.net"},
    ]


async def test_an_idempotency_key_submits_once(shell, emulator):
    first = await shell("send", *MAIL, "--idempotency-key", "order-1", "--wait")
    assert await shell("send", *MAIL, "--idempotency-key", "order-1", "--wait") == first
    assert len(emulator.world.received) == 1


async def test_send_tells_failed_from_not_sent_yet(shell, emulator):
    await shell("send", *MAIL, "--to", "failed@simulator.test", "--wait", code=1)
    emulator.world.faults = [Rule(target=Target.GRAPH, fault="429", retry_after=60)]
    out = await shell("send", *MAIL, "--wait=0.5", code=8)
    assert out.split()[1] == "deferred"


async def test_a_lane_that_waits_is_in_the_queue_with_its_reason(shell, emulator):
    assert await shell("queue") == ""
    emulator.world.faults = [Rule(target=Target.GRAPH, fault="429", retry_after=60)]
    await shell("send", *MAIL, "--wait=0.5", code=8)
    (lane,) = await shell.json("queue")
    assert (lane["account"], lane["waiting"]) == (SENDER, 1)
    line = (await shell("queue")).splitlines()[1]
    assert SENDER in line
    assert lane["pauses"][0]["reason"] in line


@pytest.mark.timeout(300)
async def test_a_mailbox_and_a_transport_are_paused_and_resumed_and_the_queue_says_who_waits_for_that(shell, emulator):
    await shell("lanes", "resume", SENDER, code=6)
    assert await shell("lanes", "pause", SENDER) == f"{SENDER} is paused\n"
    await shell("lanes", "pause", "nonsense", code=6)
    await shell("send", *MAIL)
    (lane,) = await shell.json("lanes", "list")
    assert (lane["waits_for"]["reason"], lane["pauses"][0]["until"]) == ("paused_by_person", None)
    (line,) = (await shell("queue")).splitlines()[1:]
    assert line.split() == [SENDER, "1", "0", "0", "0", "paused_by_person"]
    assert "posthouse lanes resume" in shell.errors
    (paused,) = await shell.json("transports", "pause", "graph")
    assert (paused["state"], paused["until"]) == ("paused", None)
    await shell("transports", "pause", "carrier-pigeon", code=6)
    assert "paused: " in await shell("transports", "list")
    await shell.service.stop()
    assert await shell("lanes", "resume", SENDER) == f"{SENDER} tries again now\n"  # without a service too
    await shell.service.start()
    await shell("send", *MAIL, "--wait")
    assert await shell("transports", "resume", "graph") == "graph tries again now\n"
    await shell("send", *MAIL, "--wait")
    assert [one.transport for one in emulator.world.received] == ["smtp", "smtp", "graph"]
    assert await shell("queue") == ""


@pytest.mark.timeout(300)
async def test_what_waits_is_changed_by_a_command(shell):
    await shell.service.make_key(SENDER)
    waits = [await shell.service.submit(letter(SENDER, n, send_in="1h")) for n in range(2)]
    await shell("messages", "change", *waits, code=2)
    told = await shell("messages", "change", *waits, "--send", "2h", "--priority", "high", "--expires", "3h")
    assert told == "".join(f"{one} scheduled\n" for one in waits)
    first = await shell.service.get(waits[0])
    assert (first["priority"], first["expires_at"] > first["scheduled_at"]) == ("high", True)
    (changed,) = await shell.json("messages", "change", waits[0], "--expires", "never", "--send", "now")
    assert changed["expires_at"] is None
    assert await shell.service.until(waits[:1]) == {waits[0]: "sent"}
    assert "changed (" in await shell("messages", "show", waits[0])
    await shell("messages", "change", waits[1], "--priority", "urgent", code=1)


async def test_exit_codes_tell_scripts_whose_fault_it_is(shell):
    await shell("send", *MAIL, "--to", "nobody", code=1)
    assert "/to/1" in shell.errors
    await shell("send", "--subject", "x", code=2)
    await shell("sned", code=2)
    await shell("messages", "show", "msg_00000000000000000000000000", code=6)
    key = await shell.service.make_key(SENDER)
    shell.key = key
    await shell("send", *MAIL, "--wait")
    await shell("send", "--from", "boss@contoso.example", "--to", "r@example.net", "--text", "x", code=4)
    assert SENDER in shell.errors
    shell.key = key[:-1] + ("x" if key[-1] != "x" else "y")
    await shell("send", *MAIL, code=4)
    assert "ph_live" not in shell.errors.replace("ph_live_…", "")
    await shell.service.stop()
    await shell("send", *MAIL, code=5)


async def test_a_revoked_key_ends_at_once(shell):
    (key,) = await shell.json("keys", "create", "shop", "--sender", SENDER)
    await shell("keys", "revoke", key["id"])
    assert "revoked" in await shell("keys", "list")
    await shell("keys", "revoke", "0000000000", code=6)
    shell.key = key["key"]
    await shell("send", *MAIL, code=4)


async def test_messages_are_listed_narrowed_and_told_as_a_story(shell):
    await shell("send", *MAIL, "--reference", "order-1", "--wait")
    await shell(
        "send", "--from", SENDER, "--to", "failed@simulator.test", "--subject", "\u202egnp.exe", "--wait", code=1
    )
    failed, sent = await shell.json("messages", "list")
    assert (failed["status"], sent["status"]) == ("failed", "sent")
    assert [one["id"] for one in await shell.json("messages", "list", "--reference", "order-1")] == [sent["id"]]
    assert [one["id"] for one in await shell.json("messages", "list", "--limit", "1")] == [failed["id"]]
    assert await shell.json("messages", "list", "--since", "2h", "--until", "1h") == []

    listed = await shell("messages", "list", "--status", "failed")
    assert listed.splitlines()[0].split() == ["ID", "STATUS", "ACCEPTED", "FROM", "TO", "SUBJECT"]
    assert "\u202e" not in listed

    (shown,) = await shell.json("messages", "show", failed["id"])
    story = await shell("messages", "show", failed["id"])
    assert "ErrorInvalidRecipients" in story
    assert f"request id {shown['attempts'][0]['request_id']}" in story
    assert f"why      {shown['diagnosis']['class']}: {shown['diagnosis']['cause']}" in story
    assert f"fix      {shown['diagnosis']['fix']}" in story
    types = [event["type"] for event in await shell.json("messages", "events", failed["id"])]
    assert types == ["message.accepted", "message.sending", "message.failed"]
    assert "hello" in await shell("messages", "content", sent["id"])


async def test_what_is_held_in_doubt_is_settled_by_the_operators_word(shell, emulator):
    emulator.world.settings = replace(emulator.world.settings, grants=frozenset({"Mail.Send"}))
    emulator.world.faults = [
        Rule(target=Target.GRAPH, fault="504-after-send", times=1),
        Rule(target=Target.GRAPH, fault="504", times=1),
    ]
    await shell.service.make_key(SENDER)
    ids = [await shell.service.submit(letter(SENDER, number)) for number in range(2)]
    await shell.service.until(ids, wanted=frozenset({"held"}))
    assert "Mail.ReadBasic" in await shell("messages", "show", ids[0])
    missing = next(one for one in ids if one not in emulator.world.received[0].message_id)
    arrived = next(one for one in ids if one != missing)

    await shell("messages", "release", "msg_00000000000000000000000000", missing, code=7)
    await shell("messages", "settle", arrived, "--as", "sent")
    await shell("messages", "settle", missing, "--as", "not-sent")

    assert set((await shell.service.until(ids)).values()) == {"sent"}
    assert sorted(one.subject for one in emulator.world.received) == ["number 0", "number 1"]


async def test_keys_can_be_made_before_the_first_start_and_send_never_opens_a_spool(tmp_path, emulator):
    service = Service(tmp_path, emulator)
    shell = Shell(service)
    await shell("messages", "list", code=5)
    await shell("send", *MAIL, code=5)
    assert not (service.state / "spool.sqlite").exists()
    (key,) = await shell.json("keys", "create", "shop", "--sender", SENDER)
    assert [one["id"] for one in await shell.json("keys", "list")] == [key["id"]]
    await shell("send", *MAIL, code=5)
    try:
        await service.start()
        shell.key = key["key"]
        await shell("send", *MAIL, "--wait")
    finally:
        await service.close()


async def test_config_names_every_mistake_and_shows_no_secret(tmp_path, emulator):
    service = Service(tmp_path, emulator)
    shell = Shell(service)
    assert "ok" in await shell("config", "check")
    shown = await shell("config", "show")
    assert emulator.options.client_secret not in shown
    assert 'retry_first = "200ms"' not in shown
    service.config.write_text(shown.replace('"***"', '"again"'))
    assert await shell("config", "show") == shown
    assert "transports" in json.loads(await shell("config", "schema"))["properties"]

    service.config.write_text("[http]\nlisten = 5\n[delivry]\n")
    await shell("config", "check", code=3)
    for place in ("http.listen", "delivry", "entra.tenant_id", "entra.client_id"):
        assert f"\n{place}: " in shell.errors
    await shell("serve", code=3)
    assert "\nentra.tenant_id: " in f"\n{shell.errors}"
    (found,) = await shell.json("config", "check", code=3)
    assert {"path": "delivry", "rule": "there is no such setting", "hint": "did you mean 'delivery'?"} in found[
        "problems"
    ]


def test_a_key_is_hashed_for_settings_and_a_mistyped_one_is_refused():
    key = "ph_live_gpjQBrdnxW_6hIMUfhQLUOYwFsCdS29bBAT03Kp1rCm1D9gaE"
    for text, code in ((key, 0), (key.replace("6h", "h6"), 2)):
        done = subprocess.run(
            [*POSTHOUSE, "keys", "hash"], input=text, capture_output=True, text=True, timeout=20, check=False
        )
        assert done.returncode == code
        assert key not in done.stdout + done.stderr
        assert (done.stdout.strip() == hashlib.sha256(key.encode()).hexdigest()) is (code == 0)


def test_help_imports_nothing_heavy():
    """What keeps ``posthouse --help`` within half a second."""
    program = "import sys, posthouse.cli.main as m; m.application(); print(*{n.partition('.')[0] for n in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)
    assert "typer" in done.stdout
    assert set(done.stdout.split()).isdisjoint({"httpx", "pydantic", "fastapi", "msgraph", "azure", "apsw", "aiohttp"})
