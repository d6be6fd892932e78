"""HTTPS_PROXY and NO_PROXY, as curl and the SDKs read them."""

import pytest

from posthouse.settings.loading import build
from posthouse.settings.problems import SettingsError
from posthouse.transports.proxies import Proxy, ProxyRefusedError, proxies_of

GRAPH = "https://graph.microsoft.com/v1.0"


def by(url: str = GRAPH, **environ: str) -> str | None:
    proxy = proxies_of(environ).to(url)
    return None if proxy is None else str(proxy)


@pytest.mark.parametrize(
    ("written", "proxy"),
    [
        ("http://proxy.contoso.com:3128", Proxy("proxy.contoso.com", 3128)),
        ("http://proxy.contoso.com:3128/", Proxy("proxy.contoso.com", 3128)),
        ("proxy.contoso.com:3128", Proxy("proxy.contoso.com", 3128)),
        ("http://proxy.contoso.com", Proxy("proxy.contoso.com", 80)),
        ("http://[fd00::7]:8080", Proxy("fd00::7", 8080)),
        ("http://relay:p%40ss%3Aw@10.0.0.7:8080", Proxy("10.0.0.7", 8080, "relay", "p@ss:w")),
        ("http://relay@10.0.0.7:8080", Proxy("10.0.0.7", 8080, "relay")),
    ],
)
def test_a_proxy_is_read_as_curl_reads_it(written: str, proxy: Proxy) -> None:
    assert proxies_of({"HTTPS_PROXY": written}).https == proxy


@pytest.mark.parametrize(
    "written", ["https://relay:hush@proxy:443", "socks5://proxy:1080", "http://:3128", "http://p:x"]
)
def test_what_cannot_be_used_stops_the_start_and_shows_no_password(written: str) -> None:
    with pytest.raises(ProxyRefusedError):
        proxies_of({"HTTPS_PROXY": written})
    settings = {"entra": {"tenant_id": "t", "client_id": "c", "client_secret": "s"}}
    with pytest.raises(SettingsError, match="HTTPS_PROXY") as stopped:
        build(settings, {"HTTPS_PROXY": written, "STATE_DIRECTORY": "/tmp"})
    assert "hush" not in str(stopped.value)


def test_a_login_is_shown_nowhere_and_sent_whole() -> None:
    proxy = Proxy("proxy", 3128, "relay", "hush:hush")
    assert "hush" not in f"{proxy} {proxy!r} {proxy.address}"
    assert proxy.url == "http://relay:hush%3Ahush@proxy:3128"
    assert proxy.headers == {"Proxy-Authorization": "Basic cmVsYXk6aHVzaDpodXNo"}  # relay:hush:hush


def test_small_letters_go_before_capitals_and_nothing_written_is_no_proxy() -> None:
    assert by(https_proxy="http://small:1", HTTPS_PROXY="http://capital:2") == "small:1"
    assert by(https_proxy="", HTTPS_PROXY="http://capital:2") == "capital:2"
    assert by(HTTPS_PROXY=" ") is None
    assert by(HTTP_PROXY="http://other:1") is None


@pytest.mark.parametrize(
    ("without", "direct"),
    [
        ("", False),
        ("*", True),
        ("graph.microsoft.com", True),
        ("microsoft.com", True),
        (".microsoft.com", True),
        ("*.microsoft.com", True),
        ("localhost, GRAPH.microsoft.com ,", True),
        ("graph.microsoft.com:443", True),
        ("graph.microsoft.com:8443", False),
        ("soft.com", False),
        ("login.microsoftonline.com", False),
    ],
)
def test_no_proxy_names_hosts_and_domains(without: str, *, direct: bool) -> None:
    assert (by(HTTPS_PROXY="http://proxy:3128", NO_PROXY=without) is None) is direct


def test_no_proxy_names_addresses() -> None:
    assert by("https://127.0.0.1:8443/x", HTTPS_PROXY="http://proxy:1", NO_PROXY="127.0.0.1") is None
    assert by("https://[::1]:8443/x", HTTPS_PROXY="http://proxy:1", NO_PROXY="::1") is None
