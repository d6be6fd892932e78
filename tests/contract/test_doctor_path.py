"""What needs a helper to be planted: a path that is broken, a spool that another has; and what the doctor never does."""

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest
import trustme

from posthouse.cli.diagnosis import report_of
from posthouse.clock import SteadyClock
from posthouse.doctor import network
from posthouse.doctor.steps import Seen, Step, examine, finding_of
from posthouse.doctor.turns import one_by_one
from posthouse.findings import Finding, Result, UnknownStepError, Wish
from posthouse.fixes import Kind
from posthouse.sandbox.chaos import Rule, Target
from posthouse.spool.sqlite.store import open_spool
from tests.contract.doctor_kit import (
    SENDER,
    Clinic,
    black_hole,
    certificate,
    exit_code,
    failure,
    inspecting_proxy,
    results,
    saying,
    silent,
    whole,
)
from tests.contract.transport_kit import listening


async def test_a_proxy_that_opens_tls_is_named_by_its_issuer(clinic: Clinic) -> None:
    async with inspecting_proxy() as port:
        clinic.set("transports.graph", base_url=f"https://127.0.0.1:{port}/v1.0")
        findings = await clinic.findings()
    found = failure(findings)
    assert found.told == ("graph.tls", "network.certificate", Kind.NETWORK)
    assert "Contoso Web Gateway" in found.seen
    assert exit_code(findings) == 5
    after = [one for one in findings if one.step.startswith("graph.") and one.result is Result.SKIPPED]
    assert {one.because_of for one in after} == {"graph.tls"}
    assert results(findings)["smtp.envelope"] is Result.PASSED


async def test_a_certificate_after_starttls_is_named_by_its_issuer(clinic: Clinic) -> None:
    foreign = clinic.home / "foreign.pem"
    trustme.CA(organization_name="Somebody else").cert_pem.write_to_path(str(foreign))
    clinic.set("transports.smtp", ca_file=str(foreign))
    found = failure(await clinic.findings())
    assert found.told == ("smtp.starttls", "network.certificate", Kind.NETWORK)
    assert "posthouse sandbox" in found.seen


async def test_a_black_hole_ends_at_a_deadline(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "CONNECT_SECONDS", 0.3)
    with black_hole() as port:
        clinic.set("transports.smtp", port=port)
        found = failure(await clinic.findings())
    assert found.told == ("smtp.tcp", "network.unreachable", Kind.NETWORK)
    assert 0.2 < found.seconds < 2


async def test_a_host_that_accepts_and_stays_silent_ends_at_a_deadline(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "CONNECT_SECONDS", 0.2)
    async with listening(silent) as mute:
        clinic.set("transports.graph", base_url=f"https://127.0.0.1:{mute}/v1.0")
        findings = await clinic.findings(step="graph.tls")
    found = failure(findings)
    assert found.told == ("graph.tls", "network.path", Kind.NETWORK)
    assert found.seconds < 2


async def test_something_else_than_a_mail_server_is_noticed(clinic: Clinic) -> None:
    async with listening(saying(b"HTTP/1.1 400 Bad Request")) as port:
        clinic.set("transports.smtp", port=port)
        found = failure(await clinic.findings())
    assert (found.step, found.trouble.kind) == ("smtp.ehlo", Kind.NETWORK)


async def test_a_server_without_starttls_is_noticed(clinic: Clinic) -> None:
    async with listening(saying(b"220 old.contoso.com ESMTP", b"250 old.contoso.com", b"250 ok")) as port:
        clinic.set("transports.smtp", port=port)
        found = failure(await clinic.findings())
    assert found.told == ("smtp.starttls", "smtp.no_starttls", Kind.CONFIGURATION)


async def test_a_spool_that_another_process_has_open_is_named(clinic: Clinic) -> None:
    (clinic.home / "state").mkdir()
    path = clinic.home / "state" / "spool.sqlite"
    spool = await open_spool(path, owner="another", clock=SteadyClock())
    try:
        findings = await clinic.findings()
    finally:
        await spool.close()
    found = failure(findings)
    assert found.told == ("spool", "spool.locked", Kind.CONFIGURATION)
    assert "another" in found.seen
    assert exit_code(findings) == 3
    assert results(findings)["graph.send"] is Result.PASSED


async def test_a_master_that_is_missing_is_named(clinic: Clinic) -> None:
    (clinic.home / "state").mkdir()
    path = clinic.home / "state" / "spool.sqlite"
    await (await open_spool(path, owner="before", clock=SteadyClock())).close()
    path.with_name("spool.sqlite.master").unlink()
    found = failure(await clinic.findings(step="spool"))
    assert found.told == ("spool", "spool.master", Kind.CONFIGURATION)
    assert not path.with_name("spool.sqlite.master").exists()


async def test_the_doctor_makes_no_spool(clinic: Clinic) -> None:
    await clinic.findings(step="spool")
    assert not (clinic.home / "state").exists()


async def test_what_cannot_be_read_at_all_is_said(clinic: Clinic) -> None:
    clinic.document["entra"] = 5
    findings = await clinic.findings()
    assert failure(findings).step == "configuration"
    assert exit_code(findings) == 3


async def test_wrong_settings_elsewhere_leave_the_spool_examined(clinic: Clinic) -> None:
    clinic.set("entra", client_secret="env:NOWHERE")
    findings = await clinic.findings()
    found = failure(findings)
    assert found.told == ("configuration", "settings.unreadable", Kind.CONFIGURATION)
    assert results(findings)["spool"] is Result.PASSED
    rest = {one.because_of for one in findings if one.step not in {"configuration", "spool"}}
    assert rest == {"configuration"}


async def test_without_a_right_to_look_nothing_fails_and_a_real_message_is_offered(clinic: Clinic) -> None:
    clinic.tenant(grants=frozenset({"Mail.Send", "SMTP.SendAsApp"}), scope=frozenset({SENDER}))
    findings = await clinic.findings()
    found = results(findings)
    assert (found["graph.mailbox"], found["graph.send"], found["graph.proof"]) == (Result.UNKNOWN,) * 3
    assert exit_code(findings) == 0
    proof = next(one for one in findings if one.step == "graph.proof")
    assert "level none" in proof.seen
    assert proof.trouble is not None
    assert "Application Mail.ReadBasic" in proof.trouble.remedy
    assert f"posthouse doctor --sender {SENDER} --send-to" in next(
        one.seen for one in findings if one.step == "graph.send"
    )


async def test_a_real_message_leaves_by_every_transport(clinic: Clinic) -> None:
    findings = await clinic.findings(send_to="you@example.com")
    assert set(results(findings).values()) == {Result.PASSED}
    received = clinic.emulator.world.received
    assert sorted((one.transport, one.recipients) for one in received) == [
        ("graph", ("you@example.com",)),
        ("smtp", ("you@example.com",)),
    ]


async def test_without_a_sender_one_is_asked_for(clinic: Clinic) -> None:
    findings = await clinic.findings(sender=None)
    unknown = [one for one in findings if one.result is Result.UNKNOWN]
    assert [one.step for one in unknown] == ["graph.mailbox", "smtp.auth"]
    assert all("--sender ADDRESS" in one.seen for one in unknown)


async def test_a_single_step_brings_those_that_it_needs(clinic: Clinic) -> None:
    assert list(results(await clinic.findings(step="smtp.starttls"))) == [
        "configuration",
        "smtp.dns",
        "smtp.tcp",
        "smtp.ehlo",
        "smtp.starttls",
    ]
    assert {"graph.token", "smtp.token"} <= results(await clinic.findings(step="token")).keys()
    with pytest.raises(UnknownStepError, match=r"graph\.dns"):
        await clinic.findings(step="tokem")


async def test_no_secret_and_no_token_is_ever_shown(clinic: Clinic) -> None:
    for expired in (False, True):
        clinic.tenant(secret_expired=expired)
        found = whole(await clinic.findings(send_to="you@example.com"))
        text = json.dumps(found) + report_of(found)
        assert clinic.emulator.options.client_secret not in text
        assert not [token for token in clinic.emulator.world.tokens if token in text or token[:60] in text]


async def test_the_report_names_no_address(clinic: Clinic) -> None:
    clinic.faults(Rule(target=Target.LOOKUP, fault="404"))
    report = report_of(whole(await clinic.findings(send_to="you@example.com")))
    assert SENDER not in report
    assert "alerts" not in report
    assert "you@" not in report
    assert "a…@contoso.com" in report


async def _well() -> Seen:
    return Seen()


async def _bug() -> Seen:
    raise ZeroDivisionError


async def _endless() -> Seen:
    await asyncio.Event().wait()
    return Seen()


async def test_a_fault_of_the_doctors_own_and_a_step_without_end_hold_up_nobody() -> None:
    steps = [
        Step(name="bug", tried="", why="", look=_bug),
        Step(name="endless", tried="", why="", look=_endless, deadline=0.05),
        Step(name="after", tried="", why="", look=_well, needs=("endless",)),
        Step(name="well", tried="", why="", look=_well, needs=("bug",)),
    ]
    found = [one async for one in examine(steps, monotonic=asyncio.get_running_loop().time)]
    assert [one.result for one in found] == [Result.UNKNOWN, Result.FAILED, Result.SKIPPED, Result.PASSED]
    assert "ZeroDivisionError" in found[0].seen
    assert found[2].because_of == "endless"


async def test_one_examination_runs_at_a_time_and_a_reader_who_stalls_or_leaves_holds_up_nobody() -> None:
    running, most = 0, 0

    async def doctor(wish: Wish) -> AsyncGenerator[Finding]:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        try:
            for name in ("first", "second"):
                await asyncio.sleep(0)
                yield finding_of(Step(name=f"{wish.step}.{name}", tried="", why="", look=_well), Seen())
            if wish.step == "endless":
                await asyncio.Event().wait()
        finally:
            running -= 1

    patient = one_by_one(doctor)

    async def whole(step: str) -> list[str]:
        return [one.step async for one in patient(Wish(step=step))]

    stalled, leaving = patient(Wish(step="stalled")), patient(Wish(step="endless"))
    assert (await anext(stalled)).step == "stalled.first"  # and reads no further
    assert (await anext(leaving)).step == "endless.first"
    others = [asyncio.create_task(whole(step)) for step in ("a", "b")]
    await asyncio.sleep(0)
    assert (running, most) == (1, 1)
    await leaving.aclose()
    assert await asyncio.gather(*others) == [["a.first", "a.second"], ["b.first", "b.second"]]
    assert [one.step async for one in stalled] == ["stalled.second"]
    assert (running, most) == (0, 1)


async def test_a_certificate_that_ends_soon_is_told_before_it_ends(clinic: Clinic) -> None:
    del clinic.document["entra"]["client_secret"]
    clinic.set("entra", client_certificate=f"file:{certificate(clinic.home, days=10)}")
    findings = await clinic.findings(step="graph.token")
    assert set(results(findings).values()) == {Result.PASSED}
    assert "in 10 days: renew it" in next(one.seen for one in findings if one.step == "graph.token")


async def test_who_reads_reports_is_said_and_a_right_that_is_declared_and_missing_fails(clinic: Clinic) -> None:
    unread = next(one for one in await clinic.findings() if one.step == "graph.reports")
    assert unread.result is Result.PASSED
    assert f"New-InboxRule -Mailbox {SENDER}" in unread.seen

    clinic.set("transports.graph", bounces=True)
    findings = await clinic.findings()
    assert failure(findings).told == ("graph.reports", "graph.report_permission", Kind.POLICY)
    told = next(one for one in findings if one.step == "graph.reports").trouble
    assert told is not None
    assert "Application Mail.Read'" in told.remedy
    assert exit_code(findings) == 4

    clinic.tenant(grants=clinic.emulator.world.settings.grants | {"Mail.Read"})
    assert results(await clinic.findings())["graph.reports"] is Result.PASSED
