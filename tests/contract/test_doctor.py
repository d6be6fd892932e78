"""Set-ups that are wrong on purpose: the doctor names the step, the class and what mends it (table: tests/README.md)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from posthouse.findings import Result
from posthouse.fixes import Kind
from posthouse.sandbox.chaos import Rule, Stage, Target
from tests.contract.doctor_kit import (
    SENDER,
    Clinic,
    certificate,
    exit_code,
    failure,
    plants_told,
    results,
)
from tests.system.harness import free_port

OTHER = "shop@contoso.com"
GUID = "5a4d0000-0000-4000-8000-00000000beef"
ALL = {"every_sender": True}
TWO = [{"address": SENDER, "mailboxes": [SENDER]}, {"address": OTHER, "mailboxes": [OTHER]}]


@dataclass(frozen=True)
class Row:
    """A plant, the step that must fail, and what must be said of it."""

    plant: Callable[[Clinic], object]
    step: str
    kind: Kind
    fix: str
    says: str
    wish: dict[str, Any] = field(default_factory=dict)


def smtp(clinic: Clinic, reply: str, stage: Stage = Stage.AUTH) -> None:
    clinic.faults(Rule(target=Target.SMTP, fault=reply, stage=stage))


def entra(clinic: Clinic, status: str, code: str) -> None:
    clinic.faults(Rule(target=Target.ENTRA, fault=status, code=code))


def by_certificate(clinic: Clinic, *, days: int, key: bool = True, **tenant: Any) -> None:
    del clinic.document["entra"]["client_secret"]
    clinic.set("entra", client_certificate=f"file:{certificate(clinic.home, days=days, private=key)}")
    clinic.tenant(**tenant)


def by_password(clinic: Clinic, password: str) -> None:
    clinic.set("transports.smtp", auth="login", username=SENDER, password=password)


def ahead(clinic: Clinic, seconds: float) -> None:
    clinic.clock.seconds = seconds


def two_senders(clinic: Clinic, **tenant: Any) -> None:
    clinic.document["senders"] = TWO
    clinic.tenant(**tenant)


ROWS = {
    # --- this machine
    "a setting that does not exist": Row(
        lambda c: c.set("entra", tenant="contoso"),
        "configuration",
        Kind.CONFIGURATION,
        "settings.wrong",
        "entra.tenant: there is no such setting (did you mean 'tenant_id'?)",
    ),
    "the file of the secret is missing": Row(
        lambda c: c.set("entra", client_secret=f"file:{c.home}/nowhere"),
        "configuration",
        Kind.CONFIGURATION,
        "settings.unreadable",
        "nowhere cannot be read: No such file or directory",
    ),
    "the spool's folder takes no file": Row(
        lambda c: c.environ.update(STATE_DIRECTORY="/proc/posthouse"),
        "spool",
        Kind.CONFIGURATION,
        "spool.unwritable",
        "findmnt -T /proc/posthouse",
    ),
    "the disk is below its floor": Row(
        lambda c: c.set("spool", floor_bytes=1 << 60),
        "spool",
        Kind.CONFIGURATION,
        "spool.low",
        "df -h",
    ),
    # --- the path
    "a host that does not exist": Row(
        lambda c: c.set("transports.graph", base_url="https://graph.nowhere.invalid/v1.0"),
        "graph.dns",
        Kind.NETWORK,
        "network.dns",
        "getent hosts graph.nowhere.invalid",
    ),
    "port 443 is closed": Row(
        lambda c: c.set("transports.graph", base_url=f"https://127.0.0.1:{free_port()}/v1.0"),
        "graph.tcp",
        Kind.NETWORK,
        "network.refused",
        "nc -vz 127.0.0.1",
    ),
    "Entra's login host is not reached": Row(
        lambda c: c.set("entra", authority=f"https://127.0.0.1:{free_port()}"),
        "graph.tcp",
        Kind.NETWORK,
        "network.refused",
        "nc -vz 127.0.0.1",
    ),
    "port 587 is closed": Row(
        lambda c: c.set("transports.smtp", port=free_port()),
        "smtp.tcp",
        Kind.NETWORK,
        "network.refused",
        "nc -vz 127.0.0.1",
    ),
    # --- Entra ID
    "a wrong secret": Row(
        lambda c: c.set("entra", client_secret="wrong-but-of-the-right-form~"),
        "graph.token",
        Kind.CREDENTIALS,
        "entra.secret_wrong",
        "az ad app credential reset",
    ),
    "the secret's id in the place of its value": Row(
        lambda c: c.set("entra", client_secret=GUID),
        "graph.token",
        Kind.CREDENTIALS,
        "entra.secret_id",
        "the id of the client secret was written, not its value",
    ),
    "an expired secret": Row(
        lambda c: c.tenant(secret_expired=True),
        "graph.token",
        Kind.CREDENTIALS,
        "entra.secret_expired",
        "az ad app credential reset",
    ),
    "an app that is not in the tenant": Row(
        lambda c: c.set("entra", client_id=GUID),
        "graph.token",
        Kind.CONFIGURATION,
        "entra.app_unknown",
        "az ad app list",
    ),
    "a tenant that does not exist": Row(
        lambda c: c.set("entra", tenant_id=GUID),
        "graph.tenant",
        Kind.CONFIGURATION,
        "entra.tenant_unknown",
        "az account show --query tenantId",
    ),
    "the wrong national cloud": Row(
        lambda c: c.tenant(graph_host="graph.microsoft.us"),
        "graph.tenant",
        Kind.CONFIGURATION,
        "entra.cross_cloud",
        "the tenant is one of the cloud of graph.microsoft.us; the settings say cloud = 'worldwide'",
    ),
    "a clock that is an hour behind": Row(
        lambda c: ahead(c, 3600.0),
        "graph.tenant",
        Kind.CREDENTIALS,
        "entra.clock",
        "s behind",
    ),
    "an expired certificate": Row(
        lambda c: by_certificate(c, days=-3, certificate_expired=True),
        "graph.token",
        Kind.CREDENTIALS,
        "entra.certificate_expired",
        "the certificate ended on",
    ),
    "a certificate that was not uploaded": Row(
        lambda c: by_certificate(c, days=90, thumbprints=frozenset({"another"})),
        "graph.token",
        Kind.CREDENTIALS,
        "entra.certificate",
        "az ad app credential reset",
    ),
    "a certificate without its private key": Row(
        lambda c: by_certificate(c, days=90, key=False),
        "graph.token",
        Kind.CREDENTIALS,
        "entra.secret_unreadable",
        "hold the private key",
    ),
    "an app that is switched off": Row(
        lambda c: entra(c, "401", "7000112"),
        "graph.token",
        Kind.POLICY,
        "entra.app_disabled",
        "entra.microsoft.com > Enterprise applications",
    ),
    "Conditional Access against the app": Row(
        lambda c: entra(c, "403", "53003"),
        "graph.token",
        Kind.POLICY,
        "entra.conditional_access",
        "entra.microsoft.com > Protection > Conditional Access",
    ),
    "Entra ID is busy": Row(
        lambda c: entra(c, "503", "90033"),
        "graph.token",
        Kind.SERVICE,
        "entra.busy",
        "status.cloud.microsoft",
    ),
    # --- the mailbox and its rights
    "no right in any mailbox": Row(
        lambda c: two_senders(c, grants=frozenset(), scope=frozenset({SENDER, OTHER})),
        "graph.send",
        Kind.POLICY,
        "graph.app_permission",
        "New-ManagementRoleAssignment",
        ALL,
    ),
    "a mailbox outside of the scope": Row(
        lambda c: two_senders(c, scope=frozenset({OTHER})),
        "graph.send",
        Kind.POLICY,
        "graph.mailbox_permission",
        f"Add-DistributionGroupMember '<group>' -Member {SENDER}",
        ALL,
    ),
    "an application access policy against the mailbox": Row(
        lambda c: c.faults(*(Rule(target=target, fault="403") for target in (Target.LOOKUP, Target.GRAPH))),
        "graph.send",
        Kind.POLICY,
        "graph.access_policy",
        f"Test-ApplicationAccessPolicy -AppId 5a4d0000-0000-4000-8000-0000000000a9 -Identity {SENDER}",
    ),
    "no right, or outside of the scope: one mailbox alone cannot tell": Row(
        lambda c: c.tenant(scope=frozenset()),
        "graph.send",
        Kind.POLICY,
        "graph.no_right",
        f"Test-ServicePrincipalAuthorization -Identity <enterprise app object id> -Resource {SENDER} tells",
    ),
    "the right to look but not to send": Row(
        lambda c: c.tenant(grants=frozenset({"Mail.ReadBasic"}), scope=frozenset({SENDER})),
        "graph.send",
        Kind.POLICY,
        "graph.app_permission",
        "Application Mail.Send",
    ),
    "a mailbox that does not exist": Row(
        lambda c: c.tenant(mailboxes=frozenset({OTHER})),
        "graph.mailbox",
        Kind.CONFIGURATION,
        "graph.no_mailbox",
        f"Get-Mailbox {SENDER}",
    ),
    "a mailbox without a licence": Row(
        lambda c: c.tenant(unlicensed=frozenset({SENDER})),
        "graph.mailbox",
        Kind.POLICY,
        "graph.no_licence",
        f"Set-Mailbox {SENDER} -Type Shared",
    ),
    "a full mailbox": Row(
        lambda c: c.faults(Rule(target=Target.LOOKUP, fault="507"), Rule(target=Target.GRAPH, fault="507")),
        "graph.mailbox",
        Kind.POLICY,
        "graph.mailbox_full",
        f"Set-Mailbox {SENDER} -RetentionPolicy",
    ),
    "Send As is missing": Row(
        lambda c: c.document.update(senders=[{"address": SENDER, "mailboxes": [OTHER]}]),
        "graph.send",
        Kind.POLICY,
        "graph.send_as",
        f"Add-RecipientPermission {SENDER} -Trustee {OTHER} -AccessRights SendAs",
    ),
    "a mailbox that is throttled": Row(
        lambda c: c.faults(Rule(target=Target.LOOKUP, fault="429")),
        "graph.mailbox",
        Kind.THROTTLING,
        "graph.throttled",
        "posthouse queue",
    ),
    "Graph is down": Row(
        lambda c: c.faults(Rule(target=Target.LOOKUP, fault="503")),
        "graph.mailbox",
        Kind.SERVICE,
        "graph.busy",
        "status.cloud.microsoft",
    ),
    "Graph has a fault of its own": Row(
        lambda c: c.faults(Rule(target=Target.LOOKUP, fault="500")),
        "graph.mailbox",
        Kind.SERVICE,
        "graph.service",
        "status.cloud.microsoft",
    ),
    # --- SMTP
    "SMTP AUTH is off for the tenant": Row(
        lambda c: c.tenant(smtp_enabled=False),
        "smtp.auth",
        Kind.POLICY,
        "smtp.disabled_tenant",
        "Set-TransportConfig -SmtpClientAuthenticationDisabled $false",
    ),
    "SMTP AUTH is off for the mailbox": Row(
        lambda c: c.tenant(smtp_disabled=frozenset({SENDER})),
        "smtp.auth",
        Kind.POLICY,
        "smtp.disabled_mailbox",
        f"Set-CASMailbox {SENDER} -SmtpClientAuthenticationDisabled $false",
    ),
    "security defaults": Row(
        lambda c: smtp(
            c, "535 5.7.139 Authentication unsuccessful, locked by your organization's security defaults policy"
        ),
        "smtp.auth",
        Kind.POLICY,
        "smtp.security_defaults",
        'auth = "xoauth2"',
    ),
    "basic authentication is retired": Row(
        lambda c: (
            by_password(c, "anything"),
            smtp(c, "550 5.7.30 Basic authentication is not supported for Client Submission."),
        ),
        "smtp.auth",
        Kind.POLICY,
        "smtp.basic_gone",
        'auth = "xoauth2"',
    ),
    "a wrong password": Row(
        lambda c: by_password(c, "wrong"),
        "smtp.auth",
        Kind.CREDENTIALS,
        "smtp.password",
        "username and password",
    ),
    "a token that Exchange does not take": Row(
        lambda c: c.tenant(grants=frozenset({"Mail.Send", "Mail.ReadBasic"})),
        "smtp.auth",
        Kind.CREDENTIALS,
        "smtp.token_refused",
        "New-ServicePrincipal -AppId 5a4d0000-0000-4000-8000-0000000000a9",
    ),
    "a mailbox that is blocked as a source of spam": Row(
        lambda c: smtp(c, "550 5.1.8 Access denied, bad outbound sender", Stage.MAIL),
        "smtp.envelope",
        Kind.POLICY,
        "smtp.restricted",
        "security.microsoft.com > Review > Restricted entities",
    ),
    "Send As is missing over SMTP": Row(
        lambda c: (
            c.document.update(senders=[{"address": SENDER, "mailboxes": [OTHER]}]),
            c.document["transports"].pop("graph"),
            c.set("delivery", route=["smtp"]),
        ),
        "smtp.message",
        Kind.POLICY,
        "smtp.send_as",
        f"Add-RecipientPermission {SENDER} -Trustee {OTHER} -AccessRights SendAs",
        {"send_to": "you@example.com"},
    ),
}
CODES = {
    Kind.CONFIGURATION: 3,
    Kind.CREDENTIALS: 4,
    Kind.POLICY: 4,
    Kind.NETWORK: 5,
    Kind.THROTTLING: 5,
    Kind.SERVICE: 5,
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_what_is_planted_is_named(clinic: Clinic, row: Row) -> None:
    row.plant(clinic)
    findings = await clinic.findings(**row.wish)
    found = failure(findings)
    assert found.told == (row.step, row.fix, row.kind), found
    assert row.says in f"{found.seen} | {found.trouble.cause} | {found.trouble.remedy}"
    assert exit_code(findings) == CODES[row.kind]
    skipped = [one for one in findings if one.result is Result.SKIPPED]
    assert all(one.because_of for one in skipped)


async def test_a_healthy_set_up_passes_every_step_and_sends_nothing(clinic: Clinic) -> None:
    clinic.tenant(scope=frozenset({SENDER}))
    findings = await clinic.findings()
    assert set(results(findings).values()) == {Result.PASSED}, results(findings)
    assert exit_code(findings) == 0
    assert not clinic.emulator.world.received
    assert clinic.emulator.world.counters.tokens_asked == 2  # one for Graph, one for SMTP


def test_every_plant_stands_in_the_table_and_no_other() -> None:
    rows = [(name, row.step, row.kind.value, row.fix) for name, row in ROWS.items()]
    assert [one for one in plants_told() if one[0] in ROWS] == rows
