"""What follows from the exports: peaks, waiting, mailboxes, kinds, and the clients to make."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.migration.exports import Account, Mail, Trace, Usage
from posthouse.migration.kinds import Kind, guess
from posthouse.migration.plan import MOST_SOURCES, Way, make_plan
from posthouse.migration.volumes import DAY, MINUTE, PATIENCE, averaged, longest_wait, measured, peak

CLIENT = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
"""What the service takes for a client's name (CONTRACT §3)."""
APP = "app@contoso.com"
times = st.lists(st.integers(0, 2000).map(float), max_size=120).map(sorted)


def mails(count: int, *, every: float, recipients: int = 1, outside: int = 1, size: int = 1000) -> tuple[Mail, ...]:
    return tuple(Mail(number * every, recipients, outside, size) for number in range(count))


def plan(usage, *, accounts=None, trace=None, days=7):
    return make_plan(usage, days=days, accounts=accounts or {}, trace=trace)


@given(times=times, window=st.integers(1, 500))
def test_a_peak_is_the_fullest_window_wherever_it_begins(times, window):
    fullest = max((sum(start <= at < start + window for at in times) for start in times), default=0)
    assert peak(times, [1] * len(times), window=window) == fullest
    assert peak([0.0, float(window)], [1, 1], window=window) == 1


@settings(max_examples=100, deadline=None)
@given(times=times, mailboxes=st.integers(1, 3))
def test_the_wait_is_that_of_a_queue_that_never_exceeds_the_minute(times, mailboxes):
    """The same by another way: minute by minute, whoever waits longest goes as soon as a place is free."""
    left: list[float] = []
    worst = 0.0
    for at in times:
        leaves = at
        while sum(leaves - MINUTE < one <= leaves for one in left) >= 30 * mailboxes:
            leaves += 1
        left.append(leaves)
        worst = max(worst, leaves - at)
    assert longest_wait(times, mailboxes=mailboxes) == pytest.approx(worst, abs=1)


def test_mailboxes_are_as_many_as_the_day_of_recipients_and_the_patience_ask_for():
    assert measured(mails(100, every=60), days=1).mailboxes == 1
    assert measured(mails(100, every=60, recipients=250), days=1).mailboxes == 3
    assert measured(mails(450, every=0), days=1).mailboxes == 1
    burst = mails(3000, every=0)
    volume = measured(burst, days=1)
    assert (volume.mailboxes, volume.longest_wait) == (7, 99 * MINUTE)
    assert longest_wait([0.0] * 3000, mailboxes=7) <= PATIENCE < longest_wait([0.0] * 3000, mailboxes=6)


def test_ten_thousand_recipients_in_any_24_hours_are_the_limit_not_in_any_date():
    two_nights = (*mails(60, every=60, recipients=100), *(Mail(DAY - 1 + n, 100, 1, 0) for n in range(60)))
    assert measured(two_nights, days=2).recipients_day == 11_900
    assert measured(two_nights, days=2).mailboxes == 2


def test_without_a_trace_the_average_day_decides_and_the_rest_stays_unknown():
    volume = averaged(140_001, days=7)
    assert (volume.mailboxes, round(volume.per_day), volume.peak_minute, volume.recipients_day) == (
        3,
        20_000,
        None,
        None,
    )
    assert averaged(70_000, days=7).mailboxes == 1
    assert averaged(0, days=7).mailboxes == 1


@pytest.mark.parametrize(
    ("account", "kind"),
    [
        ("scanner@x.com", Kind.DEVICE),
        ("printer-2.floor@x.com", Kind.DEVICE),
        ("ups1@x.com", Kind.DEVICE),
        ("no-reply@x.com", Kind.APP),
        ("erp_prod@x.com", Kind.APP),
        ("svc-mail@x.com", Kind.APP),
        ("j.upshaw@x.com", Kind.UNCLEAR),
        ("mail@printing.example", Kind.UNCLEAR),
    ],
)
def test_an_accounts_name_tells_its_kind_and_its_domain_does_not(account, kind):
    assert guess(account, old_tls=False, peak_minute=None, per_day=1).kind is kind


def test_where_the_name_says_nothing_the_mail_does():
    assert guess("x@x.com", old_tls=True, peak_minute=3, per_day=10) == (Kind.DEVICE, "TLS older than 1.2")
    assert guess("x@x.com", old_tls=True, peak_minute=20, per_day=10).kind is Kind.APP
    assert guess("x@x.com", old_tls=False, peak_minute=None, per_day=900) == (Kind.APP, "900 a day")


def test_who_sends_inside_only_may_take_high_volume_email_and_others_several_mailboxes():
    usage = {APP: Usage(3000), "noreply@contoso.com": Usage(3000)}
    trace = Trace({APP: mails(3000, every=0, outside=0), "noreply@contoso.com": mails(3000, every=0)}, 1.0)
    found = {one.address: one.way for one in plan(usage, trace=trace).senders}
    assert found == {APP: Way.HIGH_VOLUME, "noreply@contoso.com": Way.SEVERAL}


def test_who_uses_oauth_already_needs_nothing_and_gets_no_key():
    made = plan({APP: Usage(5, oauth=5), "scan@contoso.com": Usage(5, oauth=2)})
    assert {one.address: one.way for one in made.senders} == {APP: Way.NOTHING, "scan@contoso.com": Way.ONE_MAILBOX}
    assert [client.sender for client in made.clients] == ["scan@contoso.com"]
    assert "oauth_in_part" in made.senders[1].remarks


def test_each_address_of_an_account_gets_a_client_and_moving_ones_share_one():
    many = {f"198.51.100.{n}": 1 for n in range(MOST_SOURCES + 1)}
    accounts = {"scan@a.com": Account({"2001:db8::1": 1, "192.0.2.7": 5}), APP: Account(many)}
    made = plan({"scan@a.com": Usage(9), APP: Usage(8), "scan@b.com": Usage(7)}, accounts=accounts)
    assert [(one.name, one.source, one.device) for one in made.clients] == [
        ("scan-a.com-192.0.2.7", "192.0.2.7", True),
        ("scan-a.com-2001-db8-1", "2001:db8::1", True),
        ("app", "", False),
        ("scan-b.com", "", True),
    ]
    assert "many_sources" in made.senders[1].remarks


@given(
    accounts=st.lists(
        st.from_regex(r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~.-]{1,80}@[a-z0-9.]{1,30}", fullmatch=True),
        unique=True,
        max_size=12,
    )
)
def test_every_client_has_a_name_of_its_own_that_the_service_takes(accounts):
    made = plan({account: Usage(1) for account in accounts})
    names = [client.name for client in made.clients]
    assert len(set(names)) == len(names) == len(accounts)
    assert all(CLIENT.fullmatch(name) for name in names)


def test_what_is_special_is_remarked():
    usage = {APP: Usage(10, old_tls=True)}
    trace = Trace({APP: (Mail(0, 600, 1, 40_000_000), *(Mail(1, 1, 1, 1) for _ in range(40)))}, 1.0)
    (one,) = plan(usage, trace=trace, accounts={APP: Account({"192.0.2.1": 1}, failures=20)}).senders
    assert one.remarks == ("old_tls", "waits", "too_large", "many_recipients", "guessing")
    assert plan(usage).senders[0].remarks == ("old_tls", "no_trace")
    large = Trace({APP: (Mail(0, 1, 1, 4_000_000),)}, 1.0)
    assert "large" in plan(usage, trace=large).senders[0].remarks


def test_accounts_that_signed_in_without_a_line_in_the_report_are_named():
    made = plan({APP: Usage(1)}, accounts={"old@x.com": Account({"192.0.2.1": 1}), "no@x.com": Account(failures=9)})
    assert list(made.strangers) == ["old@x.com"]


def test_days_are_those_that_somebody_said_else_the_reports_usual_seven():
    assert (plan({APP: Usage(70)}, days=10).senders[0].volume.per_day, plan({}, days=10).days_known) == (7, True)
    assert (plan({APP: Usage(70)}, days=None).senders[0].volume.per_day, plan({}, days=None).days_known) == (10, False)
