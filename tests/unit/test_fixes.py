"""Every known code has advice that names what to do."""

import re
from pathlib import Path

import pytest

import posthouse.transports
from posthouse.fixes import ENTRA_CONFIGURATION, ENTRA_PASSING, FIXES, GRAPH, NETWORK, Fixes, entra_fix
from posthouse.transports.faults import Fault

GRAPH_CODES = [
    "ErrorMimeContentInvalidBase64String",
    "ErrorInvalidRecipients",
    "InvalidInternetMessageHeader",
    "InvalidInternetMessageHeaderCollection",
    "ErrorMessageSizeExceeded",
    "BadRequest",
    "UnableToDeserializePostBody",
    "RequestBodyRead",
    "InvalidAuthenticationToken",
    "ErrorSendAsDenied",
    "ErrorAccessDenied",
    "Authorization_RequestDenied",
    "ErrorInvalidUser",
    "Request_ResourceNotFound",
    "MailboxNotEnabledForRESTAPI",
    "ErrorItemNotFound",
    "ErrorQuotaExceeded",
    "QuotaExceededException",
    "ErrorSubmissionQuotaExceeded",
    "ApplicationThrottled",
    "CommandConcurrencyLimitReached",
    "ErrorServerBusy",
    "ErrorDirectoryConcurrencyLimit",
    "UnknownError",
    "ErrorInternalServerError",
    "ErrorMessageSubmissionBlocked",
    "ErrorExceededMessageLimit",
    "ErrorAccountSuspend",
    "ErrorExceededMaxRecipientLimit",
    "ErrorMessageBlocked",
]
"""FACTS B2."""

ENTRA_CODES = (
    7000215, 7000222, 7000218, 700016, 700011, 7000112, 70001, 90002, 900382, 900432, 90038, 500011, 50001, 70011,
    28002, 700022, 700027, 50012, 50013, 700030, 700024, 700213, 53003, 530032, 650052, 650056, 650057, 65001, 50034,
    50126, 50196, 90033, 90006, 90012, 90024, 90090, 90091, 90055, 50000, 90036,
)  # fmt: skip
"""FACTS C3."""


@pytest.mark.parametrize("code", GRAPH_CODES)
def test_every_graph_code_of_the_fact_sheet_has_advice(code):
    assert GRAPH[code] in FIXES


@pytest.mark.parametrize("code", ENTRA_CODES)
def test_every_aadsts_code_of_the_fact_sheet_has_advice_and_is_either_configuration_or_passing(code):
    assert entra_fix([code]) in FIXES
    assert (code in ENTRA_CONFIGURATION) != (code in ENTRA_PASSING)


@pytest.mark.parametrize("fault", list(Fault))
def test_every_network_fault_has_advice(fault):
    assert NETWORK[fault] in FIXES


@pytest.mark.parametrize("key", list(FIXES))
def test_advice_reads_as_sentences_and_is_complete(key):
    advice = Fixes().advice(key)
    assert advice[0].isupper()
    assert not re.search(r"[{}]|\n", advice)
    assert FIXES[key].cause in advice or FIXES[key].cause[1:] in advice
    assert FIXES[key].remedy in advice


def test_an_unknown_key_still_gets_an_answer():
    assert "answer" in Fixes().advice("nobody.knows")


def test_every_key_that_the_transports_name_exists():
    named = set[str]()
    for path in Path(posthouse.transports.__file__).parent.rglob("*.py"):
        named |= set(re.findall(r'"((?:graph|entra|smtp|network)\.[a-z_0-9]+)"', path.read_text()))
    assert len(named) > 30
    assert named <= FIXES.keys()
