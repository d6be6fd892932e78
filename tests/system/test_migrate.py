"""``posthouse migrate``: 5,000 lines of Microsoft's reports become a plan, and the plan becomes clients that can send."""

import asyncio
import csv
import json
import os
import random
import resource
import smtplib
import stat
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.system.harness import POSTHOUSE, free_port

HEAD = ("Sender address", "Domain", "TLS 1.0", "TLS 1.1", "TLS 1.2", "Authentication Protocol", "Messages sent")
SIGN_INS = ("Date (UTC)", "Request ID", "User", "Username", "IP address", "Status", "Sign-in error code", "Client app")
TRACE = ("origin_timestamp", "sender_address", "recipient_status", "message_subject", "total_bytes", "message_id")
START = datetime(2026, 11, 1, tzinfo=UTC)


def save(path: Path, *rows, encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows(rows)
    return path


async def posthouse(
    *arguments: str | Path, environment: dict[str, str] | None = None, code: int = 0
) -> tuple[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("POSTHOUSE_")}
    process = await asyncio.create_subprocess_exec(
        *POSTHOUSE,
        *map(str, arguments),
        env=environment or own,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == code, f"{process.returncode}: {out.decode()}{errors.decode()}"
    return out.decode(), errors.decode()


@dataclass
class Truth:
    """What is in the files, summed while they are made."""

    messages: Counter[str] = field(default_factory=Counter)
    oauth: Counter[str] = field(default_factory=Counter)
    old_tls: set[str] = field(default_factory=set)
    sources: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    failed: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    people: Counter[str] = field(default_factory=Counter)
    outside: Counter[str] = field(default_factory=Counter)


def write_report(path: Path, names: list[str], truth: Truth, chance: random.Random) -> None:
    rows = [HEAD]
    for name in (chance.choice(names) for _ in range(5000)):
        number, oauth, old = chance.randrange(1, 40_000), chance.random() < 0.1, chance.random() < 0.2
        truth.messages[name] += number
        truth.oauth[name] += number * oauth
        truth.old_tls |= {name} if old else set()
        protocol = "OAuth" if oauth else "Basic"
        rows.append((name, "contoso.com", "40%" if old else "0%", "0%", "60%", protocol, f"{number:,}"))
    save(path, *rows, encoding="utf-16")


def write_sign_ins(path: Path, names: list[str], truth: Truth, chance: random.Random) -> None:
    rows = [SIGN_INS]
    for number in range(8000):
        name, good, address = chance.choice(names), chance.random() < 0.7, f"198.51.100.{chance.randrange(1, 6)}"
        truth.sources[name] |= {address} if good else set()
        truth.failed[name] += not good
        status, error = ("Success", "0") if good else ("Failure", "50126")
        rows.append((START.isoformat(), f"r{number}", "", name.upper(), address, status, error, "Authenticated SMTP"))
        rows.append((START.isoformat(), f"b{number}", "", name, "192.0.2.1", "Success", "0", "Browser"))
    save(path, *rows)


def write_trace(path: Path, names: list[str], truth: Truth, chance: random.Random) -> None:
    """All within one day: then the fullest day is the sum."""
    rows = [TRACE]
    for number in range(20_000):
        name, at = chance.choice(names), START + timedelta(seconds=chance.randrange(86_000))
        to = [
            f"p{n}@{'contoso.com' if chance.random() < 0.5 else 'example.net'}" for n in range(chance.randrange(1, 4))
        ]
        truth.sent[name] += 1
        truth.people[name] += len(to)
        truth.outside[name] += sum(one.endswith("net") for one in to)
        status = ";".join(f"{one}##Receive, Send" for one in to)
        rows.append((at.isoformat(), name, status, "s", "2000", f"<{number}@x>"))
    save(path, *rows)


async def test_five_thousand_lines_become_a_plan_with_the_right_sums_in_seconds(tmp_path):
    chance, truth = random.Random(20261130), Truth()
    names = [f"scanner{n}@contoso.com" for n in range(1800)] + [f"erp{n}@contoso.com" for n in range(1700)]
    traced = names[:300]
    report, log, trace = (tmp_path / name for name in ("report.csv", "signins.csv", "trace.csv"))
    write_report(report, names, truth, chance)
    write_sign_ins(log, names, truth, chance)
    write_trace(trace, traced, truth, chance)

    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    files = (report, "--sign-ins", log, "--message-trace", trace)
    out, _ = await posthouse("migrate", "smtp-auth", *files, "--days", "30", "--json")
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 15
    plan = json.loads(out)

    found, messages = {one["address"]: one for one in plan["senders"]}, truth.messages
    assert plan["messages"] == sum(messages.values())
    assert {name: one["messages"] for name, one in found.items()} == messages
    assert {name: one["oauth"] for name, one in found.items()} == {name: truth.oauth[name] for name in messages}
    assert {name for name, one in found.items() if one["old_tls"]} == truth.old_tls
    assert {name: set(one["sources"]) for name, one in found.items()} == {n: truth.sources[n] for n in messages}
    assert {name: one["failed_sign_ins"] for name, one in found.items()} == {n: truth.failed[n] for n in messages}
    kinds = {(name.partition("@")[0].rstrip("0123456789"), one["kind"]) for name, one in found.items()}
    assert kinds == {("scanner", "device"), ("erp", "app")}
    volumes = {name: found[name]["volume"] for name in traced if name in found}
    assert {name: one["peak_day"] for name, one in volumes.items()} == {name: truth.sent[name] for name in volumes}
    assert {name: one["recipients_day"] for name, one in volumes.items()} == {n: truth.people[n] for n in volumes}
    assert plan["outside_recipients_per_day"] == sum(truth.outside[name] for name in volumes)
    untraced = set(messages) - set(traced)
    needed = {name: max(-(-messages[name] // 30 // 10_000), 1) for name in untraced}
    assert {name: found[name]["volume"]["mailboxes"] for name in untraced} == needed
    basic = [name for name in messages if truth.oauth[name] < messages[name]]
    assert Counter(one["sender"] for one in plan["clients"]) == {n: len(truth.sources[n]) or 1 for n in basic}
    assert {one["device"] for one in plan["clients"] if one["sender"].startswith("erp")} == {False}
    assert sum("Add-DistributionGroupMember" in line for line in plan["script"]) == len(basic)


def small(tmp_path: Path) -> tuple[Path, Path]:
    rows = (("scanner@contoso.example", "", "0%", "0%", "100%", "Basic", "70"),)
    rows += (("noreply@contoso.example", "", "0%", "0%", "100%", "Basic", "700"),)
    report = save(tmp_path / "report.csv", HEAD, *rows)
    one = (START.isoformat(), "r", "", "scanner@contoso.example", "198.51.100.7", "Success", "0", "Authenticated SMTP")
    return report, save(tmp_path / "signins.csv", SIGN_INS, one, (*one[:4], "198.51.100.8", *one[5:]))


async def test_the_plan_tells_dates_volumes_clients_and_rights_and_aligns_in_a_pipe(tmp_path):
    report, log = small(tmp_path)
    out, _ = await posthouse("migrate", "smtp-auth", report, "--sign-ins", log)
    for words in (
        "end of December 2026:     off by default in existing tenants; an administrator can switch them on again",
        "second half of 2027:      Microsoft announces the date of the final removal",
        "550 5.7.30 Basic authentication is not supported for Client Submission.",
        "2 senders, 770 messages in 7 days",
        "New-ManagementScope -Name posthouse",
        '-Role "Application Mail.Send" -CustomResourceScope posthouse',
    ):
        assert words in out
    table = out[out.index("SENDER ") :].splitlines()[:3]
    assert [line.index(word) for line, word in zip(table, ("KIND", "app", "device"), strict=True)] == [25] * 3
    clients = out[out.index("CLIENT ") :].splitlines()[1:4]
    assert [line.split() for line in clients] == [
        ["noreply", "noreply@contoso.example", "-", "api"],
        ["scanner-198.51.100.7", "scanner@contoso.example", "198.51.100.7", "device"],
        ["scanner-198.51.100.8", "scanner@contoso.example", "198.51.100.8", "device"],
    ]


async def test_what_is_wrong_with_a_file_is_told_by_file_line_column_and_rule(tmp_path):
    wrong = save(tmp_path / "wrong.csv", HEAD, ("scanner", "", "", "", "", "", "x"))
    _, errors = await posthouse("migrate", "smtp-auth", wrong, code=1)
    assert f"{wrong} is not the export that it should be" in errors
    assert "line 2, Sender address: an address is local-part@domain" in errors
    assert "line 2, Messages sent: a count is digits" in errors
    await posthouse("migrate", "smtp-auth", wrong, "--out", tmp_path / "x.csv", code=2)
    assert not (tmp_path / "x.csv").exists()


async def test_apply_makes_every_client_once_and_its_card_sends_mail(launch, emulator, tmp_path):
    port = free_port()
    service = await launch(smtp_door={"listeners": [{"listen": f"127.0.0.1:{port}"}]})
    report, log = small(tmp_path)
    cards = tmp_path / "devices.csv"
    first = ("migrate", "smtp-auth", report, "--apply", "--out", cards)

    out, _ = await posthouse(*first, environment=service.environment)
    assert [line.split()[:2] for line in out.splitlines()] == [["noreply", "made"], ["scanner", "made"]]
    assert stat.S_IMODE(cards.stat().st_mode) == 0o600
    made = read(cards)
    assert {(one["host"], one["port"], one["encryption"]) for one in made} == {("127.0.0.1", str(port), "none")}
    assert [(one["kind"], len(one["password"])) for one in made] == [("api", 57), ("device", 24)]
    assert made[1]["user"].startswith("d-")
    for card in made:
        await asyncio.to_thread(send, card)
    while len(emulator.world.received) < 2:
        await asyncio.sleep(0.05)
    assert {one.mailbox for one in emulator.world.received} == {"noreply@contoso.example", "scanner@contoso.example"}

    # a second run finds the two cards; with the sign-ins it knows two addresses of the scanner, and adds them behind
    again, errors = await posthouse(*first, "--sign-ins", log, "--json", environment=service.environment)
    assert [json.loads(line)["state"] for line in again.splitlines()] == ["exists", "made", "made"]
    assert "2 keys made, 1 in the file already" in errors
    assert read(cards)[:2] == made
    assert [one["client"] for one in read(cards)[2:]] == ["scanner-198.51.100.7", "scanner-198.51.100.8"]
    listed = (await service.admin("GET", "/v1/keys")).json()["data"]
    assert sorted(key["client"] for key in listed) == sorted(one["client"] for one in read(cards))
    assert not any(card["password"] in service.log.read_text() for card in made)


async def test_what_breaks_half_way_leaves_what_was_made_and_a_key_whose_card_was_lost_is_named(launch, tmp_path):
    service = await launch()
    await service.admin("POST", "/v1/keys", json={"client": "lost", "senders": ["lost@contoso.example"]})
    head, lines = (HEAD[0], HEAD[-1]), [("good@contoso.example", "9"), ("lost@contoso.example", "5")]
    half, cards = save(tmp_path / "half.csv", head, *lines, ("bad@con..toso", "1")), tmp_path / "cards.csv"
    arguments = (
        "migrate",
        "smtp-auth",
        half,
        "--apply",
        "--keys",
        "api",
        "--host",
        "h",
        "--port",
        "25",
        "--out",
        cards,
    )

    out, errors = await posthouse(*arguments, environment=service.environment, code=7)
    assert "lost has a key already" in out
    assert "bad: validation_error: /senders/0" in errors
    assert [(one["client"], one["host"], one["port"]) for one in read(cards)] == [("good", "h", "25")]

    assert "posthouse keys revoke" in errors

    save(half, head, *lines)
    (key,) = [key for key in (await service.admin("GET", "/v1/keys")).json()["data"] if key["client"] == "lost"]
    await service.admin("POST", f"/v1/keys/{key['id']}/revoke")
    await posthouse(*arguments, environment=service.environment)
    assert [one["client"] for one in read(cards)] == ["good", "lost"]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def send(card: dict[str, str]) -> None:
    """As the device would with what was typed into it."""
    with smtplib.SMTP(card["host"], int(card["port"])) as smtp:
        smtp.login(card["user"], card["password"])
        text = f"From: {card['sender']}\r\nTo: office@example.net\r\nSubject: card\r\n\r\nhi\r\n"
        assert smtp.sendmail(card["sender"], ["office@example.net"], text) == {}
