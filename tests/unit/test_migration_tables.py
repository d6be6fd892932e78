"""Exports are read whatever tool saved them, and what cannot be read is told by line, column and rule."""

import csv
import io
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.migration import exports
from posthouse.migration.exports import SIGN_INS, TRACE, USAGE, Usage
from posthouse.migration.tables import Column, ReportError, table
from posthouse.migration.values import WrongError, count, day_first, moment, network_address

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be")
REPORT = (
    ("Sender address", "Domain", "TLS 1.0", "TLS 1.1", "TLS 1.2", "Authentication Protocol", "Messages sent"),
    ("scanner@contoso.com", "contoso.com", "0%", "12.5%", "87.5%", "Basic", "1,234"),
    ("App@Contoso.com", "contoso.com", "0%", "0%", "100%", "OAuth", "7"),
    ("app@contoso.com", "contoso.com", "0%", "0%", "100%", "Basic", "3"),
)


def saved(rows, *, separator=",", encoding="utf-8", end="\r\n", quoting=csv.QUOTE_MINIMAL) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator=end, quoting=quoting).writerows(rows)
    return text.getvalue().encode(encoding)


@settings(max_examples=80, deadline=None)
@given(
    order=st.permutations(range(7)),
    case=st.sampled_from((str, str.upper, str.lower, str.title)),
    separator=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(ENCODINGS),
    end=st.sampled_from(("\n", "\r\n")),
    quoting=st.sampled_from((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)),
    before=st.sampled_from(([], [["SMTP AUTH clients"]], [["sep=;"]])),
)
def test_a_report_says_the_same_in_every_dress(order, case, separator, encoding, end, quoting, before):  # noqa: PLR0917
    separator = ";" if before and "sep=" in before[0][0] else separator
    titles = [case(REPORT[0][place]) for place in order]
    rows = [[row[place] for place in order] for row in REPORT[1:]]
    raw = saved([*before, titles, *rows, [""] * 7], separator=separator, encoding=encoding, end=end, quoting=quoting)
    report = exports.usage(table(raw, USAGE))
    assert report.senders == {
        "scanner@contoso.com": Usage(messages=1234, old_tls=True),
        "app@contoso.com": Usage(messages=10, oauth=7),
    }
    assert report.days is None


def test_the_older_and_the_localised_titles_are_known_and_excels_own_encoding_is_read():
    older = saved((("Sender address", "TLS1.0%", "Message count"), ("a@x.de", "3% (4)", "120")))
    german = saved(
        (("Absenderadresse", "Domäne", "Gesendete Nachrichten"), ("ä@x.de", "x", "1.200")), encoding="cp1252"
    )
    french = saved((("Adresse de l’expéditeur", "Messages envoyés"), ("b@x.fr", "1\u202f200")), separator=";")
    assert exports.usage(table(older, USAGE)).senders == {"a@x.de": Usage(messages=120, old_tls=True)}
    assert exports.usage(table(german, USAGE)).senders == {"ä@x.de": Usage(messages=1200)}
    assert exports.usage(table(french, USAGE)).senders == {"b@x.fr": Usage(messages=1200)}


def test_rows_by_day_are_summed_and_their_days_counted():
    rows = [("Date", "Sender address", "Message count")]
    rows += [(f"{day}/11/2026", "a@x.com", "10") for day in range(10, 20)]
    report = exports.usage(table(saved(rows), USAGE))
    assert (report.senders["a@x.com"].messages, report.days) == (100, 10)


def test_missing_columns_are_named_with_those_that_are_there():
    with pytest.raises(ReportError) as found:
        table(saved((("Sender", "Anzahl"), ("a@x.com", "1"))), USAGE)
    (fault,) = found.value.faults
    assert str(fault).startswith("line 1: there is no column 'Messages sent'")
    assert "'Sender', 'Anzahl'" in str(fault)
    with pytest.raises(ReportError, match="no column 'Sender address'"):
        table(b"", USAGE)


def test_faults_name_line_column_and_rule_all_at_once_up_to_twenty():
    rows = [REPORT[0], *REPORT[1:], ("nobody", "", "", "", "", "", "4"), ("a@x.com", "", "", "", "", "", "many")]
    with pytest.raises(ReportError) as found:
        exports.usage(table(saved(rows), USAGE))
    assert [str(fault) for fault in found.value.faults] == [
        "line 5, Sender address: an address is local-part@domain; this is 'nobody'",
        "line 6, Messages sent: a count is digits, thousands marked or not; this is 'many'",
    ]
    with pytest.raises(ReportError) as found:
        exports.usage(table(saved([REPORT[0], *[("x",) * 7] * 50]), USAGE))
    assert len(found.value.faults) == 21
    assert "and 80 more faults" in str(found.value.faults[-1])


def test_a_line_with_more_cells_than_titles_and_an_open_quote_are_refused_by_line():
    rows = (("Sender address", "Messages sent"), ("a@x.com", "1"), ("b@x.com", "1", "234"))
    with pytest.raises(ReportError, match="line 3: it has 3 cells, the titles are 2"):
        table(saved(rows), USAGE)
    with pytest.raises(ReportError, match="line 2: it cannot be taken apart"):
        table(b'Sender address,Messages sent\n"a@x.com,1\n', USAGE)


def test_a_quoted_line_end_does_not_shift_the_lines_that_are_named():
    rows = (("Domain", "Sender address", "Messages sent"), ("one\ntwo", "a@x.com", "1"), ("", "b@x.com", "no"))
    with pytest.raises(ReportError, match="line 4, Messages sent"):
        exports.usage(table(saved(rows, end="\n"), USAGE))


@given(number=st.integers(0, 10**9), mark=st.sampled_from((",", ".", "'", "’", " ", "\u00a0", "\u202f", "")))
def test_a_count_is_read_with_every_mark_between_thousands(number, mark):
    assert count(f"{number:,}".replace(",", mark)) == number


@pytest.mark.parametrize("cell", ["", "12,34", "-5", "1.5", "1,234.567", "0x10", "1e3"])
def test_what_is_no_count_is_none(cell):
    with pytest.raises(WrongError):
        count(cell)


@pytest.mark.parametrize(
    "cell",
    [
        "2026-11-23T15:04:05Z",
        "2026-11-23T15:04:05.1234567Z",
        "2026-11-23 15:04:05",
        "2026-11-23T16:04:05+01:00",
        "11/23/2026 3:04:05 PM",
        "11/23/2026, 3:04:05 PM",
        "23/11/2026 15:04:05",
        "23.11.2026 15:04:05",
        "23.11.26 15:04:05",
    ],
)
def test_a_time_is_read_as_portals_and_cmdlets_write_it(cell):
    first = bool(day_first([cell]))
    assert moment(cell, days_first=first) == datetime(2026, 11, 23, 15, 4, 5, tzinfo=UTC)


def test_one_date_that_can_be_read_in_one_way_only_tells_for_the_whole_file():
    assert day_first(["05/01/2026", "15/01/2026"]) is True
    assert day_first(["05/01/2026", "01/15/2026"]) is False
    assert day_first(["05/01/2026", "06/01/2026"]) is None
    assert day_first(["05.01.2026"]) is True
    with pytest.raises(WrongError, match="a time is a date"):
        moment("15/01/2026", days_first=False)


def test_addresses_of_machines_are_read_with_and_without_a_port():
    cells = ["198.51.100.7", "198.51.100.7:25", "2001:db8::1", "[2001:db8::1]:587", "::ffff:198.51.100.7"]
    assert [network_address(cell) for cell in cells] == [
        "198.51.100.7",
        "198.51.100.7",
        "2001:db8::1",
        "2001:db8::1",
        "198.51.100.7",
    ]
    with pytest.raises(WrongError):
        network_address("somewhere")


# the titles of Entra's own export, in its order: two of them stand twice, two have a space at their end
ENTRA = (
    "Date (UTC)", "Request ID", "User agent", "Correlation ID", "User ID", "User", "Username", "User type",
    "Cross tenant access type", "Incoming token type", "Authentication Protocol", "Application", "Application ID ",
    "Resource", "Resource ID ", "IP address", "Location", "Status", "Sign-in error code", "Failure reason", "Client app",
    "Device ID", "IP address (seen by resource)", "Incoming token type", "Latency",
)  # fmt: skip


def sign_in(**cells: str) -> list[str]:
    usual = {"Date (UTC)": "2026-11-20T08:00:00Z", "Client app": "Authenticated SMTP", "Status": "Success"}
    return [(usual | cells).get(title, "") for title in ENTRA]


def test_only_good_sign_ins_by_smtp_count_and_failed_ones_bring_no_address():
    rows = [
        sign_in(Username="Scan@contoso.com", **{"IP address": "198.51.100.7"}),
        sign_in(Username="scan@contoso.com", **{"IP address": "198.51.100.7"}),
        sign_in(Username="scan@contoso.com", **{"IP address": "198.51.100.8"}),
        sign_in(Username="scan@contoso.com", **{"IP address": "203.0.113.66", "Status": "Failure"}),
        sign_in(Username="scan@contoso.com", **{"IP address": "192.0.2.1", "Client app": "Browser"}),
        sign_in(Username="scan@contoso.com", **{"IP address": "192.0.2.9", "Status": "OK?", "Sign-in error code": "0"}),
    ]
    found = exports.sign_ins(table(saved([ENTRA, *rows]), SIGN_INS))
    assert list(found) == ["scan@contoso.com"]
    assert found["scan@contoso.com"].addresses == {"198.51.100.7": 2, "198.51.100.8": 1, "192.0.2.9": 1}
    assert found["scan@contoso.com"].failures == 1


def test_sign_ins_of_several_files_are_one():
    one = table(saved([ENTRA, sign_in(Username="a@x.com", **{"IP address": "192.0.2.1"})]), SIGN_INS)
    both = exports.sign_ins(one)
    exports.merge(both, exports.sign_ins(one))
    assert both["a@x.com"].addresses == {"192.0.2.1": 2}


SUMMARY = (
    "origin_timestamp", "sender_address", "recipient_status", "message_subject", "total_bytes", "message_id",
    "network_message_id", "original_client_ip", "directionality", "connector_id", "delivery_priority",
)  # fmt: skip


def test_a_summary_and_a_list_by_recipient_tell_the_same_mails():
    summary = saved(
        [
            SUMMARY,
            ("2026-11-20T08:00:00Z", "app@contoso.com", "a@contoso.com##Receive, Deliver;b@x.com##Receive, Send", "s",
             "2048", "<1@x>", "n1", "", "2", "", ""),
            ("2026-11-20T09:00:00Z", "boss@contoso.com", "c@x.com##Receive, Send", "s", "1", "<2@x>", "n2", "", "", "", ""),
        ]
    )  # fmt: skip
    listed = saved(
        [
            ("Received", "SenderAddress", "RecipientAddress", "Size", "MessageId"),
            ("11/20/2026 8:00:00 AM", "app@contoso.com", "a@contoso.com", "2048", "<1@x>"),
            ("11/20/2026 8:00:00 AM", "APP@contoso.com", "b@x.com", "2048", "<1@x>"),
            ("11/21/2026 8:00:00 AM", "boss@contoso.com", "c@x.com", "1", "<2@x>"),
        ]
    )
    for raw in (summary, listed):
        found = exports.trace(table(raw, TRACE), senders={"app@contoso.com"}, inside={"contoso.com"})
        ((sender, (mail,)),) = found.mails.items()
        assert (sender, mail.recipients, mail.outside, mail.size) == ("app@contoso.com", 2, 1, 2048)
        assert found.days == 1.0


def test_a_column_that_is_not_needed_may_be_missing():
    (row,) = table(b"Messages,Sender\n3,a@x.com\n", [*USAGE, Column("more", ("Nothing",), required=False)]).rows
    assert (row["more"], row["sender"], row.line) == ("", "a@x.com", 2)
