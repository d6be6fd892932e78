"""PROMISES §4, row by row: what an answer of Graph means."""

import json
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from posthouse.outcome import (
    Blocked,
    Outcome,
    PermanentFailure,
    Scope,
    Sent,
    TransientFailure,
    Unconfirmed,
    name_of,
    scope_of,
)
from posthouse.transports.graph.refusals import Refusals
from posthouse.transports.graph.replies import Facts, Refused, Reply, code_of, outcome

HTML = b"<html><body>Bad gateway</body></html>"


def error(code: str, message: str = "words", /, **inner: object) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "innerError": {"date": "d", **inner}}}).encode()


def read(
    status: int,
    body: bytes = b"",
    *,
    waited: float = 0.1,
    own_from: bool = True,
    unproven: bool = False,
    refused: Refused = Refused.MAILBOX,
    **headers: str,
) -> Outcome:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = Reply(status=status, headers=named, body=body, waited=waited, now=1_000_000.0)
    return outcome(reply, Facts(own_from=own_from, unproven=unproven, refused=refused))


ROWS = [
    (202, b"", "sent", None),
    (202, HTML, "sent", None),
    # success that is none
    (200, b"", "unconfirmed", Scope.TRANSPORT),
    (200, b'{"value": []}', "unconfirmed", Scope.TRANSPORT),
    (201, b"", "unconfirmed", Scope.TRANSPORT),
    (204, b"", "unconfirmed", Scope.TRANSPORT),
    (301, b"", "unconfirmed", Scope.TRANSPORT),
    (302, b"", "unconfirmed", Scope.TRANSPORT),
    (307, b"", "unconfirmed", Scope.TRANSPORT),
    # quota, whatever the status
    (429, error("ErrorSubmissionQuotaExceeded"), "blocked", Scope.MAILBOX),
    (403, error("ErrorQuotaExceeded"), "blocked", Scope.MAILBOX),
    (500, error("QuotaExceededException"), "blocked", Scope.MAILBOX),
    (507, HTML, "blocked", Scope.MAILBOX),
    # throttling
    (429, error("ApplicationThrottled"), "transient_failure", Scope.MAILBOX),
    (429, HTML, "transient_failure", Scope.MAILBOX),
    (503, error("CommandConcurrencyLimitReached"), "transient_failure", Scope.MAILBOX),
    # rights
    (403, error("Authorization_RequestDenied"), "blocked", Scope.TRANSPORT),
    (403, error("ErrorAccessDenied"), "blocked", Scope.MAILBOX),
    (403, error("ErrorSomethingNew"), "blocked", Scope.MAILBOX),
    (403, error("ErrorSendAsDenied"), "blocked", Scope.MAILBOX),
    (404, error("ErrorInvalidUser"), "blocked", Scope.MAILBOX),
    (404, error("Request_ResourceNotFound"), "blocked", Scope.MAILBOX),
    (404, error("MailboxNotEnabledForRESTAPI"), "blocked", Scope.MAILBOX),
    # a proxy's
    (400, HTML, "blocked", Scope.TRANSPORT),
    (403, HTML, "blocked", Scope.TRANSPORT),
    (404, b"", "blocked", Scope.TRANSPORT),
    (407, b"", "blocked", Scope.TRANSPORT),
    (400, b'{"error": "a string"}', "blocked", Scope.TRANSPORT),
    (400, b'{"error": {"message": "no code"}}', "blocked", Scope.TRANSPORT),
    (400, b'["error"]', "blocked", Scope.TRANSPORT),
    (400, b'{"error": {"code": "Bad', "blocked", Scope.TRANSPORT),
    # the message's own
    (400, error("ErrorInvalidRecipients"), "permanent_failure", Scope.MESSAGE),
    (400, error("ErrorMimeContentInvalidBase64String"), "permanent_failure", Scope.MESSAGE),
    (404, error("ErrorItemNotFound"), "permanent_failure", Scope.MESSAGE),
    (413, error("BadRequest"), "permanent_failure", Scope.MESSAGE),
    # the service's
    (503, error("ServiceUnavailable"), "transient_failure", Scope.TRANSPORT),
    (503, HTML, "transient_failure", Scope.TRANSPORT),
    (503, b"", "transient_failure", Scope.TRANSPORT),
    (503, error("UnknownError"), "unconfirmed", Scope.TRANSPORT),
    (503, error("ErrorInternalServerError"), "unconfirmed", Scope.TRANSPORT),
    (503, error("ErrorServerBusy"), "unconfirmed", Scope.TRANSPORT),
    (503, error("ErrorDirectoryConcurrencyLimit"), "unconfirmed", Scope.TRANSPORT),
    (408, error("RequestTimeout"), "unconfirmed", Scope.TRANSPORT),
    (408, HTML, "unconfirmed", Scope.TRANSPORT),
    (500, error("ErrorInternalServerError"), "unconfirmed", Scope.TRANSPORT),
    (502, HTML, "unconfirmed", Scope.TRANSPORT),
    (504, b"", "unconfirmed", Scope.TRANSPORT),
    (599, b"", "unconfirmed", Scope.TRANSPORT),
    (101, b"", "unconfirmed", Scope.TRANSPORT),
]


@pytest.mark.parametrize(("status", "body", "kind", "scope"), ROWS)
def test_each_row_has_its_outcome_and_scope(status, body, kind, scope):
    verdict = read(status, body)
    assert (name_of(verdict), scope_of(verdict)) == (kind, scope)


@pytest.mark.parametrize("body", [b"", HTML, error("ServiceUnavailable"), error("CommandConcurrencyLimitReached")])
def test_a_503_that_took_more_than_five_seconds_may_have_been_done(body):
    assert isinstance(read(503, body, waited=5.0), TransientFailure)
    assert isinstance(read(503, body, waited=5.01), Unconfirmed)


def test_send_as_denied_for_another_from_blocks_only_that_sender():
    verdict = read(403, error("ErrorSendAsDenied"), own_from=False)
    assert isinstance(verdict, Blocked)
    assert verdict.scope is Scope.SENDER
    assert verdict.answer.fix == "graph.send_as"


@pytest.mark.parametrize("code", ["ErrorInvalidUser", "Request_ResourceNotFound"])
def test_an_unknown_mailbox_that_never_sent_and_only_a_wildcard_allows_fails_the_message_only(code):
    verdict = read(404, error(code), unproven=True)
    assert isinstance(verdict, PermanentFailure)
    assert verdict.scope is Scope.MESSAGE


@pytest.mark.parametrize(("status", "code"), [(403, "ErrorAccessDenied"), (404, "MailboxNotEnabledForRESTAPI")])
def test_a_right_or_licence_that_is_missing_costs_no_mail_even_under_a_wildcard(status, code):
    verdict = read(status, error(code), unproven=True)
    assert isinstance(verdict, Blocked)
    assert verdict.scope is Scope.MAILBOX


def test_401_by_the_memory_of_its_token():
    again = read(401, error("InvalidAuthenticationToken"), refused=Refused.RENEW)
    assert isinstance(again, TransientFailure)
    assert (again.scope, again.at_once) == (Scope.MESSAGE, True)
    for refused, scope in ((Refused.MAILBOX, Scope.MAILBOX), (Refused.TRANSPORT, Scope.TRANSPORT)):
        verdict = read(401, b"", refused=refused)
        assert isinstance(verdict, Blocked)
        assert verdict.scope is scope


def test_retry_after_is_kept_to_the_second_in_both_forms_and_nothing_is_capped():
    assert read(429, retry_after="7200").answer.retry_after == 7200.0
    date = format_datetime(datetime.fromtimestamp(1_000_090, UTC), usegmt=True)
    assert read(503, retry_after=date).answer.retry_after == 90.0
    assert read(202, retry_after="12").answer.retry_after == 12.0
    for unreadable in ("soon", "-5", "", "Tue, 99 Foo 2026"):
        assert read(429, retry_after=unreadable).answer.retry_after is None


def test_the_deepest_known_code_counts():
    nested = error("GenericError", code="ErrorAccessDenied", innererror={"code": "ErrorSendAsDenied", "message": "m"})
    assert code_of(nested) == "ErrorSendAsDenied"
    assert code_of(error("ErrorAccessDenied", code="SomethingUnheard")) == "ErrorAccessDenied"
    assert code_of(error("SomethingUnheard", code="Deeper")) == "SomethingUnheard"
    assert code_of(b"[" * 100_000) is None


def test_answers_carry_microsofts_code_request_id_and_fix():
    verdict = read(403, error("ErrorAccessDenied", "Access is denied."), request_id="r-1")
    assert verdict.answer.code == "ErrorAccessDenied"
    assert verdict.answer.request_id == "r-1"
    assert verdict.answer.fix == "graph.mailbox_permission"
    assert verdict.answer.reply == 403
    assert "Access is denied." in verdict.answer.text


def test_the_public_text_has_no_control_characters_tokens_hosts_or_addresses_and_is_short():
    nasty = (
        "a\r\nb\x1b[31m eyJhbGciOiJub25lIn0.eyJhIjoxfQ.sig bob@secret.example AM0PR01.eurprd01.prod.outlook.com "
        + "x " * 900
    )
    text = read(400, error("ErrorInvalidRecipients", nasty)).answer.text
    assert len(text) <= 300
    assert text.isprintable()
    assert not any(word in text for word in ("eyJ", "bob", "prod.outlook.com"))


def test_a_202_is_sent_with_microsofts_request_id_as_receipt():
    verdict = read(202, request_id="r-2")
    assert isinstance(verdict, Sent)
    assert verdict.receipt == "r-2"


# --- the memory of tokens ------------------------------------------------------------------------------------------


def test_the_first_401_renews_and_so_do_those_that_were_in_flight_with_it():
    memory = Refusals()
    assert memory.refused("a@x", "t1") is Refused.RENEW
    assert memory.refused("b@x", "t1") is Refused.RENEW
    assert memory.refused("a@x", "t1") is Refused.RENEW


def test_a_401_to_the_new_token_blocks_the_transport_where_the_lane_is_alone():
    memory = Refusals()
    memory.refused("a@x", "t1")
    assert memory.refused("a@x", "t2") is Refused.TRANSPORT


def test_a_401_to_the_new_token_blocks_the_mailbox_first_and_the_transport_when_a_second_lane_sees_it():
    memory = Refusals()
    memory.refused("a@x", "t1")
    memory.refused("b@x", "t1")
    assert memory.refused("a@x", "t2") is Refused.MAILBOX
    assert memory.refused("b@x", "t2") is Refused.TRANSPORT
    # what was in flight with the same token meets the same verdict, and the probe brings another token
    assert memory.refused("c@x", "t2") is Refused.TRANSPORT
    assert memory.refused("a@x", "t3") is Refused.MAILBOX


def test_a_token_that_another_mailbox_sent_with_blocks_only_the_mailbox():
    memory = Refusals()
    memory.refused("a@x", "t1")
    memory.accepted("ok@x", "t2")
    assert memory.refused("a@x", "t2") is Refused.MAILBOX
    assert memory.refused("b@x", "t2") is Refused.MAILBOX


def test_a_token_that_served_this_mailbox_and_is_refused_later_was_revoked_and_is_renewed():
    memory = Refusals()
    memory.refused("a@x", "t1")
    memory.accepted("a@x", "t2")
    assert memory.refused("a@x", "t2") is Refused.RENEW
    assert memory.refused("a@x", "t3") is Refused.TRANSPORT


def test_a_late_401_to_an_old_token_does_not_spoil_the_new_one():
    memory = Refusals()
    memory.refused("a@x", "t1")
    memory.accepted("a@x", "t2")
    memory.refused("b@x", "t1")
    assert memory.refused("a@x", "t3") is Refused.RENEW
