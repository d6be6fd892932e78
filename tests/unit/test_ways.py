"""By which form a transport carries a message, up to which size, and what lifts its limit (PROMISES §6, FACTS A6)."""

import pytest

from posthouse.fixes import RIGHT_TO_DRAFTS
from posthouse.message import Bytes, Content
from posthouse.ways import EXCHANGE_MOST, Load, Way, by_graph, by_smtp, in_order, load_of, most, too_large

LIMIT = 3_145_728


def load(size: int, *, wire: int | None = None, lost: str | None = None) -> Load:
    return Load(size=size, wire=size if wire is None else wire, loss=lambda: lost)


def graph(given: Load, *, drafts: bool = True) -> Way:
    return by_graph("graph", given, limit=LIMIT, drafts=drafts)


@pytest.mark.parametrize(
    ("offered", "size", "able"),
    [
        (1000, 1000, True),
        (1000, 1001, False),
        (0, 10**9, True),  # no fixed limit
        (None, EXCHANGE_MOST, True),  # not asked yet: Exchange's
        (None, EXCHANGE_MOST + 1, False),
    ],
)
def test_smtp_carries_what_its_server_offered_to_take(offered: int | None, size: int, *, able: bool) -> None:
    assert by_smtp("smtp", load(size), offered=offered).able is able


def test_graph_carries_in_one_request_what_fits_on_the_wire_and_the_rest_as_a_draft() -> None:
    fits = graph(load(100, wire=LIMIT))
    assert (fits.form, fits.able) == ("mime", True)
    draft = graph(load(100, wire=LIMIT + 1))
    assert (draft.form, draft.able, draft.limit) == ("draft", True, EXCHANGE_MOST)
    assert not graph(load(EXCHANGE_MOST + 1)).able


def test_without_drafts_the_setting_and_the_right_are_named_that_would_let_it_go() -> None:
    way = graph(load(LIMIT + 1), drafts=False)
    assert (way.able, way.limit) == (False, LIMIT)
    assert "drafts = true in [transports.graph]" in way.lift
    assert RIGHT_TO_DRAFTS in way.lift
    assert "-Role 'Application Mail.ReadWrite'" in way.lift


def test_what_a_draft_would_lose_goes_as_it_is_or_not_at_all() -> None:
    way = graph(load(LIMIT + 1, lost="the header List-Id"))
    assert not way.able
    assert "a draft would lose the header List-Id" in way.why
    assert graph(load(LIMIT, lost="the header List-Id")).able


def test_what_leaves_the_message_as_it_is_comes_first() -> None:
    large = load(LIMIT + 1)
    assert in_order([graph(large), by_smtp("smtp", large, offered=None)]) == ["smtp", "graph"]
    small = load(LIMIT)
    assert in_order([graph(small), by_smtp("smtp", small, offered=None)]) == ["graph", "smtp"]


def test_the_refusal_names_the_largest_limit_and_all_that_lifts_it() -> None:
    heavy = load(LIMIT + 5)
    refused = too_large([graph(heavy, drafts=False)], heavy, complete=True)
    assert refused.limit_bytes == LIMIT
    for said in (str(LIMIT + 5), str(LIMIT), "put an SMTP transport into the route", "drafts = true", RIGHT_TO_DRAFTS):
        assert said in refused.detail
    ways = [graph(heavy, drafts=False), by_smtp("smtp", heavy, offered=LIMIT + 4)]
    both = too_large(ways, heavy, complete=True)
    assert both.limit_bytes == most(ways) == LIMIT + 4
    assert "put an SMTP transport" not in both.detail
    assert "Set-Mailbox <mailbox> -MaxSendSize 150MB" in both.detail


def test_the_wire_form_has_the_bcc_that_graph_needs() -> None:
    content = Content(b"From: a@x.org\r\nTo: b@x.org\r\n", Bytes(b"x" * 2_000_000))
    alone = load_of(content, recipients=["b@x.org"], structure=None)
    hidden = load_of(content, recipients=["b@x.org", "hidden@x.org"], structure=None)
    assert alone.wire == content.size
    assert hidden.wire == content.size + len(b"Bcc: hidden@x.org\r\n")
