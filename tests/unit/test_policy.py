"""Who may send what as whom."""

import pytest

from posthouse.policy import ADMINISTRATOR, Client, Right, may_send_as, may_send_to, must_have
from posthouse.refusal import Condition, Refused


def client(
    *senders: str, domains: tuple[str, ...] = (), rights: frozenset[Right] = frozenset({Right.SUBMIT})
) -> Client:
    return Client(name="shop", senders=senders, recipient_domains=domains, rights=rights)


@pytest.mark.parametrize(
    ("pattern", "address"),
    [
        ("noreply@contoso.com", "noreply@contoso.com"),
        ("noreply@contoso.com", "NoReply@Contoso.COM"),
        ("*@contoso.com", "anyone@contoso.com"),
        ("*@CONTOSO.com", "anyone@contoso.com"),
        ("*", "whoever@anywhere.example"),
        ("büro@contoso.com", "bu\u0308ro@contoso.com"),
        ("*@contoso.com", '"a@evil.example"@contoso.com'),
    ],
)
def test_a_sender_that_matches_is_allowed(pattern: str, address: str) -> None:
    may_send_as(client("other@contoso.com", pattern), address)


@pytest.mark.parametrize(
    ("pattern", "address"),
    [
        ("noreply@contoso.com", "ceo@contoso.com"),
        ("*@contoso.com", "a@sub.contoso.com"),
        ("*@contoso.com", "a@contoso.com.evil.example"),
        ("*@contoso.com", "a@evilcontoso.com"),
        ("*@contoso.com", "*@contoso.co"),
        ("noreply@contoso.com", "noreply@contoso.com@evil.example"),
        ("noreply@contoso.com", "\uff4eoreply@contoso.com"),
        ("*@contoso.com", "a@contoso\uff0ecom"),
    ],
)
def test_any_other_sender_is_refused_and_the_rule_is_named(pattern: str, address: str) -> None:
    with pytest.raises(Refused) as refused:
        may_send_as(client(pattern), address)
    assert refused.value.condition is Condition.SENDER_NOT_ALLOWED
    assert pattern in refused.value.detail
    assert refused.value.errors[0].pointer == "/from"


def test_a_client_without_recipient_domains_may_send_to_everybody() -> None:
    may_send_to(client("*"), ["a@anywhere.example", "b@elsewhere.example"])


def test_every_recipient_must_be_in_an_allowed_domain() -> None:
    limited = client("*", domains=("contoso.com", "Fabrikam.com"))
    may_send_to(limited, ["a@CONTOSO.com", "b@fabrikam.com"])
    with pytest.raises(Refused) as refused:
        may_send_to(limited, ["a@contoso.com", "b@sub.fabrikam.com"])
    assert refused.value.condition is Condition.RECIPIENT_NOT_ALLOWED
    assert "b@sub.fabrikam.com" in refused.value.detail
    assert "Fabrikam.com" in refused.value.detail


@pytest.mark.parametrize("right", Right)
def test_no_scope_includes_another(right: Right) -> None:
    others = client("*", rights=frozenset(Right) - {right})
    with pytest.raises(Refused) as refused:
        must_have(others, right)
    assert refused.value.condition is Condition.INSUFFICIENT_SCOPE
    assert right.value in refused.value.detail
    must_have(client("*", rights=frozenset({right})), right)


def test_the_administrator_may_everything() -> None:
    may_send_as(ADMINISTRATOR, "whoever@anywhere.example")
    for right in Right:
        must_have(ADMINISTRATOR, right)
    assert ADMINISTRATOR.sees("shop")


def test_a_client_sees_its_own_messages_and_all_only_with_read() -> None:
    assert client("*").sees("shop")
    assert not client("*").sees("crm")
    assert client("*", rights=frozenset({Right.READ})).sees("crm")
