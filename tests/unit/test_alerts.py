"""What is wrong or will be soon is told once for each cause, with its fix; what somebody knows already is not."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from posthouse.alerts.standing import OPEN, SHORT, Seen, Thresholds, alerts, summary
from posthouse.alerts.words import FORMS, telling
from posthouse.fixes import FIXES, Fixes
from posthouse.message import Priority, Status
from posthouse.outcome import Answer
from posthouse.pace import HOUR
from posthouse.records import (
    Alert,
    AlertRow,
    Backlogged,
    Credential,
    LaneRow,
    Past,
    Pause,
    Space,
    Start,
    TenantBounce,
    Told,
    TransportRow,
)
from posthouse.verdict import Standing

NOW = int(datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp() * 1000)
DAY, MINUTE = 24 * HOUR, 60_000
A, B, C = "a@contoso.com", "b@contoso.com", "c@contoso.com"
WAITING = Backlogged(priority=Priority.NORMAL, client="shop", count=3, due=1, oldest_due_at=NOW - MINUTE)
LANE = LaneRow(lane=1, account=A, sending=0, held=0, unconfirmed=0, next_at=NOW, pauses=(), backlog=(WAITING,))
OLD = replace(LANE, backlog=(replace(WAITING, oldest_due_at=NOW - 30 * MINUTE),))
FULL = Pause("graph", NOW + MINUTE, "graph.mailbox_full", blocked=True, since=NOW)
SLOW = replace(FULL, reason="graph.throttled", blocked=False)
GRAPH = TransportRow(name="graph", state="closed", until=0, opened=0, reason="", since=0)
LATELY = {1: Past(starts=(Start(NOW - 1, "graph", high=False, sender=A),))}
STANDING = Standing(now=NOW, ready=None, counts={}, lanes=(LANE,), transports=(GRAPH,), pasts=LATELY)
THRESHOLDS = Thresholds(
    lane_age=30 * MINUTE, recipients_per_day=10_000, tenant_recipients_per_day=0, floor_bytes=64 * 2**20
)
TOKEN = Credential(kind="token", name="graph", expires_at=NOW + HOUR)
EXPIRED = Answer(status="4.7.0", text="AADSTS7000222: the secret has expired", fix="entra.secret_expired")
BUSY = replace(EXPIRED, text="busy", fix="entra.busy")


def found(thresholds: Thresholds = THRESHOLDS, *, standing: Standing = STANDING, **changes) -> list[Alert]:
    return list(alerts(Seen(standing=standing, **changes), thresholds))


def only(thresholds: Thresholds = THRESHOLDS, **changes) -> Alert:
    (one,) = found(thresholds, **changes)
    assert one.key in FIXES
    return one


def standing(**changes) -> Standing:
    return replace(STANDING, **changes)


def test_where_all_is_well_nothing_is_told():
    assert found(credentials=(TOKEN,), space=Space(1, 2**40)) == []


@pytest.mark.parametrize(
    ("left", "level"), [(31 * DAY, 0), (30 * DAY, 1), (8 * DAY, 1), (7 * DAY, 2), (DAY, 3), (0, 4), (-DAY, 4)]
)
@pytest.mark.parametrize("kind", ["app_certificate", "client_secret", "listener_certificate"])
def test_a_credential_is_told_of_a_month_a_week_and_a_day_before_its_end(kind, left, level):
    told = found(credentials=(Credential(kind=kind, name="graph", expires_at=NOW + left),))
    assert [one.level for one in told] == ([level] if level else [])
    if told:
        assert told[0].key == f"{kind}_ends"
        assert told[0].key in FIXES
        assert ("ended on" if left <= 0 else "ends on") in told[0].text


def test_a_token_that_cannot_be_renewed_for_a_wrong_secret_is_told_while_the_old_one_still_sends():
    one = only(credentials=(replace(TOKEN, answer=EXPIRED), replace(TOKEN, name="smtp", answer=EXPIRED)))
    assert one.key == "entra.secret_expired"
    assert one.transports == ("graph", "smtp")
    assert "graph, smtp: AADSTS7000222" in one.text
    assert "good until 2026-11-26 13:00 UTC" in one.text


def test_a_token_that_cannot_be_renewed_because_microsoft_is_busy_is_told_when_the_old_one_nears_its_end():
    late = replace(TOKEN, answer=BUSY)
    assert found(credentials=(late,)) == []
    assert only(credentials=(replace(late, expires_at=NOW + SHORT - 1),)).key == "entra.busy"
    assert only(credentials=(replace(late, expires_at=None),)).key == "entra.busy"


def test_a_certificate_that_cannot_be_read_is_told():
    assert only(credentials=(Credential(kind="listener_certificate", name="http", expires_at=None),)).key == (
        "listener_certificate"
    )


def test_a_blocked_mailbox_is_told_at_once_and_others_with_the_same_cause_with_it():
    lanes = tuple(
        replace(LANE, lane=n, account=account, pauses=(FULL,)) for n, account in enumerate((A, B, C), start=1)
    )
    one = only(standing=standing(lanes=lanes[:1]))
    assert (one.key, one.transports, one.mailboxes) == ("graph.mailbox_full", ("graph",), (A,))
    more = only(standing=standing(lanes=lanes))
    assert (more.key, more.subject, more.mailboxes) == (one.key, one.subject, (A, B, C))
    assert more.level > one.level


def test_what_a_person_paused_is_not_told_to_persons():
    paused = Told(at=1, paused=True, by="ada")
    assert found(standing=standing(lanes=(replace(OLD, told=paused),))) == []
    assert found(standing=standing(transports=(replace(GRAPH, state="blocked", told=paused),))) == []


def test_mail_that_waits_for_too_long_is_told_with_since_when():
    one = only(standing=standing(lanes=(replace(OLD, pauses=(SLOW,)), replace(LANE, lane=2, account=B))))
    assert (one.key, one.mailboxes) == ("lane_ages", (A,))
    assert "since 2026-11-26 11:30 UTC" in one.text


def test_mail_of_a_blocked_mailbox_is_not_told_a_second_time_because_it_waits():
    assert [one.key for one in found(standing=standing(lanes=(replace(OLD, pauses=(FULL,)),)))] == [
        "graph.mailbox_full"
    ]


def test_mail_that_nobody_sends_asks_for_a_worker():
    assert only(standing=standing(lanes=(OLD,), pasts={})).key == "nobody_sends"


def test_a_transport_is_told_when_it_is_blocked_and_when_it_stays_down():
    blocked = replace(GRAPH, state="blocked", reason="entra.secret_expired", since=NOW)
    assert only(standing=standing(transports=(blocked,))).transports == ("graph",)
    down = replace(GRAPH, state="open", reason="network.dns", since=NOW - OPEN)
    assert found(standing=standing(transports=(down,))) == []
    assert only(standing=standing(transports=(replace(down, since=down.since - 1),))).key == "network.dns"


@pytest.mark.parametrize(("used", "level"), [(7_999, 0), (8_000, 1), (9_500, 2), (10_000, 3)])
def test_a_mailbox_is_told_of_before_its_day_is_used_up(used, level):
    hour = NOW // HOUR
    past = replace(LATELY[1], hours=((hour, used - 1), (hour - 20, 1), (hour - 25, 5_000)))
    told = found(standing=standing(pasts={1: past}))
    assert [one.level for one in told] == ([level] if level else [])
    assert all(one.mailboxes == (A,) and f"{used:,} of 10,000" in one.text for one in told)


def test_the_tenants_day_is_told_too_and_no_limit_is_no_warning():
    hours = ((NOW // HOUR, 900),)
    assert only(replace(THRESHOLDS, tenant_recipients_per_day=1_000), tenant_hours=hours).subject == "tenant"
    assert found(tenant_hours=hours) == []
    none = replace(THRESHOLDS, recipients_per_day=0)
    assert found(none, standing=standing(pasts={1: replace(LATELY[1], hours=hours)})) == []


def test_the_disk_is_told_of_before_nothing_is_accepted_any_more():
    floor = THRESHOLDS.floor_bytes
    assert found(space=Space(1, 5 * floor)) == []
    assert only(space=Space(1, 5 * floor - 1)).level == 1
    low = only(space=Space(1, floor - 1), standing=standing(ready="the disk is almost full"))
    assert (low.key, low.level) == ("spool.low", 2)
    assert only(standing=standing(ready="it cannot be written")).key == "spool.unwritable"


@pytest.mark.parametrize(
    ("day", "level", "words"),
    [((2026, 11, 30), 0, ""), ((2026, 12, 1), 1, "switches off"), ((2027, 1, 1), 2, "has switched off")],
)
def test_a_password_at_exchange_is_told_of_before_and_after_its_retirement(day, level, words):
    now = int(datetime(*day, tzinfo=UTC).timestamp() * 1000)
    told = found(standing=standing(now=now, lanes=()), passwords=("smtp",))
    assert [(one.key, one.level) for one in told] == ([("smtp.password_retires", level)] if level else [])
    assert all(words in one.text for one in told)


def test_a_clock_that_was_set_is_told():
    assert found(clock_ahead=5_000) == []
    assert "3,600 s behind" in only(clock_ahead=-3_600_000).text


def test_held_messages_are_told_and_again_when_they_are_ten_times_as_many():
    levels = [only(standing=standing(counts={Status.HELD: number})).level for number in (1, 9, 10, 99, 100)]
    assert levels == [1, 1, 2, 2, 3]


def test_a_limit_of_the_tenant_that_only_reports_tell_of_is_told():
    one = only(bounced=(TenantBounce(A, "5.7.232", NOW - MINUTE), TenantBounce(B, "5.7.233", NOW - 2 * MINUTE)))
    assert (one.key, one.subject, one.level) == ("smtp.tenant_quota", "tenant", 1)
    assert f"5.7.232, reported to {A} at 2026-11-26 11:59 UTC" in one.text


def test_the_daily_line_says_how_many_are_held():
    line = summary(standing(counts={Status.HELD: 3, Status.UNCONFIRMED: 1, Status.SENT: 1_234, Status.FAILED: 2}))
    assert line == (
        "3 messages held, 1 message looked for, 1 message due. Of what is kept 1,234 were sent, 2 failed or expired."
    )


# --- words -----------------------------------------------------------------------------------------------------------

ROW = AlertRow(
    alert=only(standing=standing(lanes=(replace(LANE, pauses=(FULL,)),))), raised_at=NOW, ended_at=None, told_at=None
)


def test_a_telling_has_what_is_wrong_why_and_what_mends_it_for_this_mailbox():
    told = telling(ROW, Fixes(), host="mail1")
    assert told.title == "posthouse: a@contoso.com cannot send by graph"
    assert told.lines == (
        "a@contoso.com cannot send by graph.",
        "Why: licence or policy: the sending mailbox is full",
        "Fix: Empty its Sent Items and set a retention policy: Set-Mailbox a@contoso.com -RetentionPolicy <policy>.",
        "posthouse on mail1",
    )


def test_the_end_has_a_name_of_its_own_and_asks_for_nothing():
    raised, ended = (telling(row, Fixes(), host="mail1") for row in (ROW, replace(ROW, ended_at=NOW + MINUTE)))
    assert ended.type == "alert.ended"
    assert ended.title == "posthouse: mended: a@contoso.com cannot send by graph"
    assert ended.fix is None
    assert (
        len({raised.id, ended.id, telling(replace(ROW, alert=replace(ROW.alert, level=9)), Fixes(), host="").id}) == 3
    )
    assert telling(ROW, Fixes(), host="mail2").id == raised.id


@pytest.mark.parametrize("form", ["slack", "teams"])
def test_no_form_makes_links_or_mentions_of_what_others_wrote(form):
    alert = replace(ROW.alert, text="<!channel> [click](https://evil.example) *now* <https://evil.example|here>")
    body = json.loads(json.dumps(FORMS[form](telling(replace(ROW, alert=alert), Fixes(), host="mail1"))))
    if form == "teams":
        (attachment,) = body["attachments"]
        assert {block["type"] for block in attachment["content"]["body"]} == {"RichTextBlock"}
    else:
        header, section = body["blocks"]
        assert header["text"]["type"] == "plain_text"
        assert "<" not in section["text"]["text"] + body["text"]
        assert section["text"]["verbatim"] is True
