"""Settings: where they come from, what stands above what, and that every mistake is named at once (CONTRACT §4)."""

import tomllib
from pathlib import Path

import pytest

from posthouse.settings.clients import fixed_keys, fixed_terms
from posthouse.settings.loading import build, load
from posthouse.settings.model import GraphSettings, LimitSettings, Settings, SmtpSettings
from posthouse.settings.places import state_directory
from posthouse.settings.problems import SettingsError
from posthouse.settings.secret import Secret, SecretError

ROOT = Path(__file__).parents[2]
CLIENT = "5a4d0000-0000-4000-8000-0000000000a9"
ENTRA = {"tenant_id": "contoso.com", "client_id": CLIENT, "client_secret": "the secret itself"}
HASH = "ab" * 32


def settings(*, environ: dict[str, str] | None = None, **tables: object) -> Settings:
    return build({"entra": ENTRA, **tables}, environ or {})


def problems(*, environ: dict[str, str] | None = None, **tables: object) -> dict[str, str]:
    """What is said about each place."""
    with pytest.raises(SettingsError) as refused:
        settings(environ=environ, **tables)
    return {problem.path: f"{problem.rule} ({problem.hint})" for problem in refused.value.problems}


def test_with_nothing_but_the_tenant_everything_has_a_default():
    found = settings(environ={"STATE_DIRECTORY": "/srv/state"})

    assert found.http.listen == "127.0.0.1:8080"
    assert found.delivery.route == ("graph", "smtp")
    assert found.delivery.settle_checks == (5.0, 30.0, 120.0, 600.0, 1800.0)
    assert found.delivery.expire_after == 5 * 86_400
    assert found.limits.messages_per_minute == 30
    assert found.limits.max_message_bytes == 36_700_160
    assert isinstance(found.transports["graph"], GraphSettings)
    assert isinstance(found.transports["smtp"], SmtpSettings)
    assert found.spool_path() == Path("/srv/state/spool.sqlite")


def test_the_example_of_infra_has_no_mistake_but_what_must_be_filled_in():
    document = tomllib.loads((ROOT / "infra/linux/posthouse.toml.example").read_text())
    with pytest.raises(SettingsError) as refused:
        build(document, {})
    assert {problem.path for problem in refused.value.problems} == {
        "entra.tenant_id",
        "entra.client_id",
        "entra.client_secret",
    }


def test_the_environment_stands_above_the_file_and_flags_above_both(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text(
        '[http]\nlisten = "127.0.0.1:1"\npublic_url = "https://mail.contoso.com"\n[admin]\nlisten = "[::1]:2"\n'
    )
    environ = {"POSTHOUSE_CONFIG": str(file)} | {f"POSTHOUSE_ENTRA__{k.upper()}": v for k, v in ENTRA.items()}
    environ |= {"POSTHOUSE_HTTP__LISTEN": "127.0.0.1:3", "POSTHOUSE_ADMIN__LISTEN": "127.0.0.1:4"}

    found = load(None, environ, overrides={"http.listen": "127.0.0.1:5"})

    assert (found.http.listen, found.admin.listen) == ("127.0.0.1:5", "127.0.0.1:4")
    assert found.http.public_url == "https://mail.contoso.com"


def test_a_variable_set_to_nothing_is_a_value_and_one_not_set_is_none():
    tables = {"http": {"public_url": "https://mail.contoso.com"}}
    assert settings(environ={"POSTHOUSE_HTTP__PUBLIC_URL": ""}, **tables).http.public_url == ""
    assert settings(environ={}, **tables).http.public_url == "https://mail.contoso.com"


def test_the_environment_writes_numbers_lists_and_settings_of_transports():
    environ = {
        "POSTHOUSE_LIMITS__MESSAGES_PER_MINUTE": "0",
        "POSTHOUSE_DELIVERY__ROUTE": "smtp,graph",
        "POSTHOUSE_HTTP__TRUSTED_PROXIES": '["10.0.0.0/8"]',
        "POSTHOUSE_TRANSPORTS__SMTP__PORT": "2525",
    }
    found = settings(environ=environ)
    assert found.limits.messages_per_minute == 0
    assert found.delivery.route == ("smtp", "graph")
    assert found.http.trusted_proxies == ("10.0.0.0/8",)
    smtp = found.transports["smtp"]
    assert isinstance(smtp, SmtpSettings)
    assert smtp.port == 2525


def test_variables_that_kubernetes_makes_for_a_service_of_that_name_are_left_alone():
    environ = {"POSTHOUSE_PORT": "tcp://10.0.0.1:80", "POSTHOUSE_SERVICE_HOST": "10.0.0.1", "POSTHOUSE_KEY": "x"}
    assert settings(environ=environ).http.listen == "127.0.0.1:8080"


def test_all_mistakes_are_named_at_once_with_their_place_and_what_to_do():
    found = problems(
        environ={"POSTHOUSE_HTTP__LISTEN": ":80"},
        https={},
        admin={"listen": "0.0.0.0:8081"},
        spool={"url": "spool.db", "retention": "30"},
        transports={
            "graph": {"kind": "graph", "base_uri": "x"},
            "smpt": {"kind": "smtp", "port": 0, "host": "relay.contoso.com", "security": "none", "auth": "login"},
            "other": {"kind": "sendmail"},
        },
        delivery={"settle_checks": ["5s", "2s"], "retry_first": "1h"},
        routes=[{"senders": ["@contoso.com"], "transports": []}, {"transport": ["graph"]}],
        clients=[{"name": "shop", "key_hash": "x", "senders": []}],
        limits={"messages_per_minute": True, "recipients_per_day": -1},
    )

    assert set(found) == {
        "http.listen, by POSTHOUSE_HTTP__LISTEN",
        "https",
        "admin.listen",
        "spool.url",
        "spool.retention",
        "transports.graph.base_uri",
        "transports.smpt.port",
        "transports.smpt.security",
        "transports.smpt.username",
        "transports.smpt.password",
        "transports.other.kind",
        "delivery.route",
        "delivery.settle_checks",
        "delivery.retry_max",
        "routes[0].senders[0]",
        "routes[1].transport",
        "routes[1].transports",
        "clients[0].key_hash",
        "clients[0].senders",
        "limits.messages_per_minute",
        "limits.recipients_per_day",
    }
    assert "did you mean 'http'?" in found["https"]
    assert "did you mean 'base_url'?" in found["transports.graph.base_uri"]
    assert "'smtp'" in found["delivery.route"]
    assert "did you mean 'smpt'?" in found["delivery.route"]
    assert "postgresql://" in found["spool.url"]
    assert "greater than or equal to 0" in found["limits.recipients_per_day"]
    assert "'30s'" in found["spool.retention"]


@pytest.mark.parametrize(
    ("tables", "place"),
    [
        ({"entra": {}}, "entra.tenant_id"),
        ({"entra": {**ENTRA, "tenant_id": "…"}}, "entra.tenant_id"),
        ({"entra": {**ENTRA, "client_id": "00000000-0000-0000-0000-000000000000"}}, "entra.client_id"),
        ({"entra": {**ENTRA, "credential": "default"}}, "entra.credential"),
        ({"entra": {**ENTRA, "client_secret": "file:/nowhere/at/all"}}, "entra.client_secret"),
        ({"entra": {**ENTRA, "client_secret": "env:NOT_SET"}}, "entra.client_secret"),
        ({"entra": {**ENTRA, "ca_file": "/nowhere/at/all"}}, "entra.ca_file"),
        ({"entra": {**ENTRA, "authority": "http://login.contoso.com"}}, "entra.authority"),
        ({"entra": {**ENTRA, "cloud": "mars"}}, "entra.cloud"),
        ({"http": {"tls_cert": str(Path(__file__))}}, "http.tls_key"),
        ({"http": {"listen": "127.0.0.1:8081"}}, "admin.listen"),
        ({"graph_door": {"token_endpoint": True}}, "graph_door.token_endpoint"),
        ({"graph_door": {"token_endpoint": True}, "http": {"public_url": "http://a.b"}}, "graph_door.token_endpoint"),
        ({"http": {"listen": "[::1]:99999"}}, "http.listen"),
        ({"http": {"trusted_proxies": ["10.0.0.1/8"]}}, "http.trusted_proxies[0]"),
        ({"spool": {"url": "sqlite://spool"}}, "spool.url"),
        ({"spool": {"pooler": True}}, "spool.pooler"),
        ({"spool": {"url": "postgresql://db/posthouse", "listen_url": "tcp://db"}}, "spool.listen_url"),
        ({"spool": {"url": "postgresql://db/posthouse"}}, "secrets.master"),
        ({"delivery": {"route": []}}, "delivery.route"),
        ({"delivery": {"route": ["graph", "graph"]}}, "delivery.route"),
        ({"delivery": {"retry_first": 5}}, "delivery.retry_first"),
        ({"delivery": {"drain_timeout": "0s"}}, "delivery.drain_timeout"),
        ({"delivery": {"circuit_open": "1h"}}, "delivery.circuit_open_max"),
        ({"transports": {"Graph": {"kind": "graph"}}, "delivery": {"route": ["Graph"]}}, "transports.Graph"),
        (
            {"transports": {"smtp": {"kind": "smtp", "username": "a"}}, "delivery": {"route": ["smtp"]}},
            "transports.smtp.username",
        ),
        ({"routes": [{"transports": ["graph"]}]}, "routes[0]"),
        ({"routes": [{"senders": ["*@contoso.com"], "transports": ["grpah"]}]}, "routes[0].transports"),
        ({"senders": [{"address": "*@contoso.com", "mailboxes": ["a@contoso.com"]}]}, "senders[0].address"),
        ({"senders": [{"address": "a@contoso.com", "mailboxes": []}]}, "senders[0].mailboxes"),
        ({"clients": [{"name": "a", "key_hash": HASH, "senders": ["a@b"]}] * 2}, "clients[1].key_hash"),
        ({"clients": [{"name": "a", "key_hash": HASH, "senders": ["a@b"], "scopes": ["all"]}]}, "clients[0].scopes[0]"),
    ],
)
def test_a_mistake_is_named_by_its_place(tables, place):
    assert place in problems(**tables)


def test_a_mistake_inside_a_transport_does_not_make_routes_call_it_unknown():
    assert set(problems(transports={"graph": {"kind": "graph"}, "smtp": {"kind": "smtp", "port": "x"}})) == {
        "transports.smtp.port"
    }


def test_a_mistake_is_named_once_and_not_again_by_what_follows_from_it():
    smtp = {"kind": "smtp", "auth": "login", "username": "a", "password": 5}
    with pytest.raises(SettingsError) as refused:
        settings(transports={"smtp": smtp}, delivery={"route": ["smtp"]})
    assert [problem.path for problem in refused.value.problems] == ["transports.smtp.password"]


def test_a_managed_identity_needs_no_tenant_and_login_no_application():
    smtp = {"kind": "smtp", "auth": "login", "username": "a@contoso.com", "password": "x"}
    assert build({"entra": {"credential": "managed_identity"}}, {}).entra.tenant_id == ""
    found = build({"transports": {"smtp": smtp}, "delivery": {"route": ["smtp"]}}, {})
    assert list(found.transports) == ["smtp"]


def test_clear_text_smtp_is_for_this_machine_only():
    relay = {"kind": "smtp", "security": "none", "auth": "none"}
    route = {"route": ["relay"]}
    assert settings(transports={"relay": relay | {"host": "127.0.0.1"}}, delivery=route)
    assert "transports.relay.security" in problems(transports={"relay": relay | {"host": "10.0.0.1"}}, delivery=route)


def test_a_transport_inherits_what_it_does_not_change():
    found = settings(
        limits={"concurrent_requests": 2},
        transports={
            "graph": {"kind": "graph", "entra": {"client_secret": "other"}},
            "identity": {"kind": "graph", "entra": {"credential": "managed_identity"}},
            "smtp": {"kind": "smtp", "limits": {"messages_per_minute": 0}},
        },
    )
    graph, identity, smtp = (found.transports[name] for name in ("graph", "identity", "smtp"))
    assert graph.entra is not None
    assert (graph.entra.tenant_id, graph.entra.client_id) == ("contoso.com", CLIENT)
    assert graph.entra.client_secret is not None
    assert graph.entra.client_secret.read() == "other"
    assert identity.entra is not None
    assert identity.entra.client_secret is None
    assert smtp.limits == LimitSettings(messages_per_minute=0, concurrent_requests=2)
    assert (graph.limits, smtp.entra) == (None, None)


def test_a_secret_file_is_read_again_each_time_and_without_its_line_end(tmp_path):
    file = tmp_path / "secret"
    file.write_text("old\n")
    secret = settings(entra={**ENTRA, "client_secret": f"file:{file}"}).entra.client_secret
    assert secret is not None
    assert secret.read() == "old"
    file.write_text("new\n")
    assert secret.read() == "new"
    file.unlink()
    with pytest.raises(SecretError, match="cannot be read"):
        secret.read()


def test_who_needs_only_the_spool_is_not_kept_by_what_is_wrong_elsewhere(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text('[entra]\nclient_secret = "file:/run/credentials/gone"\n[spool]\nretention = "7d"\n')
    assert load(file, {}, only=("spool", "secrets")).spool.retention == 7 * 86_400
    file.write_text('[spool]\nretention = "7"\n')
    with pytest.raises(SettingsError):
        load(file, {}, only=("spool", "secrets"))


def test_a_secret_is_never_shown():
    environ = {"GRAPH": "planted-in-the-environment", "POSTHOUSE_ENTRA__CLIENT_SECRET": "env:GRAPH"}
    smtp = {"kind": "smtp", "auth": "login", "username": "a", "password": "planted-in-the-file"}
    found = settings(environ=environ, transports={"smtp": smtp}, delivery={"route": ["smtp"]})

    assert found.entra.client_secret == Secret("env:GRAPH")
    assert found.entra.client_secret.read() == "planted-in-the-environment"
    shown = f"{found!r} {found} {found.model_dump()} {found.model_dump_json()}"
    assert "planted" not in shown
    assert "env:GRAPH" in shown


def test_the_text_of_a_mistake_never_holds_a_value_that_may_be_secret():
    smtp = {"kind": "smtp", "auth": "login", "username": "a", "passwort": "planted", "password": ["planted"]}
    found = problems(entra={**ENTRA, "client_secret": 5, "clientsecret": "planted"}, transports={"smtp": smtp})
    assert "planted" not in str(found)


def test_a_file_that_is_missing_or_no_toml_is_a_mistake(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path / "none.toml", {})
    file = tmp_path / "bad.toml"
    file.write_text("[http\n")
    with pytest.raises(SettingsError, match="line 1"):
        load(file, {})


def test_the_state_directory_is_the_one_that_systemd_names_else_the_users_own(tmp_path):
    assert state_directory({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}) == Path("/var/lib/a")
    if not Path("/var/lib/posthouse").exists():
        assert state_directory({"HOME": str(tmp_path)}) == tmp_path / ".local/state/posthouse"


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        settings().http.listen = "127.0.0.1:1"  # ty: ignore[invalid-assignment]


def test_a_spools_password_is_never_shown():
    url = "postgresql://posthouse:s3cret@db.contoso.com/posthouse"
    loaded = settings(entra=ENTRA, spool={"url": url}, secrets={"master": "0" * 64})
    assert loaded.spool_url() == url
    assert "s3cret" not in repr(loaded)
    assert loaded.model_dump(mode="json")["spool"]["url"] == "postgresql://posthouse:***@db.contoso.com/posthouse"


APP = "12345678-1234-1234-1234-123456789abc"
HASH = "0" * 64
SCANNER = {"name": "scanner", "auth": "network", "networks": ["10.2.0.14/32"], "senders": ["scanner@contoso.com"]}


@pytest.mark.parametrize(
    ("client", "where"),
    [
        ({"name": "shop", "senders": ["a@contoso.com"]}, "clients[0]"),
        ({"name": "shop", "senders": ["a@contoso.com"], "key_hash": HASH, "entra_app_id": APP}, "clients[0]"),
        ({"name": "shop", "senders": ["a@contoso.com"], "entra_app_id": "shop"}, "clients[0].entra_app_id"),
        (SCANNER | {"networks": []}, "clients[0].networks"),
        (SCANNER | {"networks": ["0.0.0.0/0"]}, "clients[0].networks"),
        (SCANNER | {"networks": ["10.0.0.0/8"]}, "clients[0].networks"),
        (SCANNER | {"senders": ["*@contoso.com"]}, "clients[0].senders"),
        (SCANNER | {"senders": ["a@contoso.com", "b@contoso.com"]}, "clients[0].senders"),
        (SCANNER | {"rewrite_from": "x@other.example"}, "clients[0].rewrite_from"),
        (SCANNER | {"rate_per_minute": -1}, "clients[0].rate_per_minute"),
        (SCANNER | {"over_rate": "drop"}, "clients[0].over_rate"),
        (SCANNER | {"tags": {"a b": "x"}}, "clients[0].tags.a b"),
    ],
)
def test_a_client_proves_itself_in_one_sound_way(client: dict, where: str) -> None:
    callers = {"tenant_id": APP, "audience": ["api://posthouse"]}
    found = problems(http={"trusted_proxies": ["10.9.0.1/32"]}, clients=[client], callers=callers)
    assert list(found) == [where], found


def test_a_network_client_sends_to_its_own_domain_unless_told_otherwise() -> None:
    wide = SCANNER | {"name": "fax", "networks": ["10.3.0.0/16"], "recipient_domains": ["*"], "rate_per_minute": 5}
    found = settings(clients=[SCANNER, wide])
    one, two = fixed_keys(found)
    assert (one.kind, one.recipient_domains, two.recipient_domains) == ("network", ("contoso.com",), ("*",))
    assert fixed_terms(found)["fax"].rate_per_minute == 5


@pytest.mark.parametrize(
    ("listener", "where"),
    [
        ({"listen": "0.0.0.0:25"}, "tls"),
        ({"listen": "0.0.0.0:25", "networks": ["0.0.0.0/0"]}, "tls"),
        ({"tls_min": "1.0"}, "tls_min"),
        ({"proxy_protocol": True}, "proxy_protocol"),
    ],
)
def test_what_weakens_a_listener_is_for_named_networks_only(listener: dict, where: str) -> None:
    assert list(problems(smtp_door={"listeners": [listener]})) == [f"smtp_door.listeners[0].{where}"]


def test_old_devices_of_named_networks_have_a_listener_without_tls() -> None:
    listener = {"listen": "0.0.0.0:25", "networks": ["10.2.0.0/16"], "tls_min": "1.0"}
    assert settings(smtp_door={"listeners": [listener]}).smtp_door.listeners[0].networks == ("10.2.0.0/16",)


@pytest.mark.parametrize(
    ("callers", "where"),
    [
        ({"audience": ["api://posthouse"]}, "callers.tenant_id"),
        ({"tenant_id": APP}, "callers.audience"),
        ({}, "clients[0].entra_app_id"),
    ],
)
def test_tokens_of_callers_need_a_tenant_and_an_audience(callers: dict, where: str) -> None:
    client = {"name": "shop", "senders": ["a@contoso.com"], "entra_app_id": APP}
    assert list(problems(callers=callers, clients=[client])) == [where]
