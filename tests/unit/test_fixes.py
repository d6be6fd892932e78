"""Every known code has advice that names what to do."""

import json
import re
from pathlib import Path

import pytest

import posthouse.transports
from posthouse.fixes import ENTRA_CONFIGURATION, ENTRA_PASSING, FIXES, GRAPH, NETWORK, Fixes, entra_fix
from posthouse.outcome import Answer
from posthouse.transports.faults import Fault
from posthouse.transports.graph.replies import Facts, Refused, Reply, outcome
from posthouse.transports.smtp.replies import Reply as SmtpReply
from posthouse.transports.smtp.replies import Stage
from posthouse.transports.smtp.replies import outcome as smtp_outcome

FACTS = Path(__file__).parent / "facts"
"""The codes of FACTS.md, copied: one file a section."""
ACTION = re.compile(
    r"\b(?:Get|Set|Add|New|Test|Remove)-[A-Z]\w+ "  # Exchange Online PowerShell
    r"|\baz (?:ad|cloud|account) |\bposthouse [a-z]+|\b(?:nc|openssl|getent|timedatectl|namei|findmnt|df|psql|curl) "
    r"|\b(?:entra|admin|admin\.exchange|security)\.microsoft\.com|\badmin\.cloud\.microsoft|https://\S*microsoft"
)
"""A command, or a place in a portal."""


def rows(section: str) -> list[list[str]]:
    lines = (FACTS / f"{section}.txt").read_text("utf-8").splitlines()
    return [[cell.strip() for cell in line.split(" | ")] for line in lines if line and not line.startswith("#")]


def body(code: str) -> bytes:
    return b"" if code == "none" else json.dumps({"error": {"code": code, "message": "words"}}).encode()


def graph_answer(status: int, code: str) -> Answer:
    reply = Reply(status=status, headers={}, body=body(code), waited=0.1, now=0.0)
    return outcome(reply, Facts(own_from=False, unproven=False, refused=Refused.TRANSPORT)).answer


@pytest.mark.parametrize(("status", "code"), rows("b2"))
def test_every_answer_of_graph_in_the_fact_sheet_has_its_fix(status, code):
    answer = graph_answer(int(status), code)
    if status == "202":
        assert answer.fix is None
        return
    assert answer.fix in FIXES
    if code != "none":
        assert answer.code == code
        assert GRAPH.get(code, answer.fix) == answer.fix


@pytest.mark.parametrize("fault", [fault for (fault,) in rows("b2_faults")])
def test_every_fault_below_http_in_the_fact_sheet_has_its_fix(fault):
    assert NETWORK[Fault(fault)] in FIXES


@pytest.mark.parametrize("code", [int(code) for (code,) in rows("c3")])
def test_every_aadsts_code_of_the_fact_sheet_has_its_fix_and_is_either_configuration_or_passing(code):
    assert entra_fix([code]) in FIXES
    assert (code in ENTRA_CONFIGURATION) != (code in ENTRA_PASSING)


@pytest.mark.parametrize(("stage", "reply", "fix"), rows("d4"))
def test_every_reply_of_the_fact_sheet_has_its_fix(stage, reply, fix):
    said = SmtpReply(int(reply[:3]), reply[4:])
    assert smtp_outcome(said, Stage[stage], own_from=False).answer.fix == fix
    assert fix in FIXES


def test_the_lists_are_whole():
    """As many as FACTS.md has; a row that is lost here would be missed by nobody else."""
    counts = {section: len(rows(section)) for section in ("b2", "b2_faults", "c3", "d4")}
    assert counts == {"b2": 36, "b2_faults": 9, "c3": 40, "d4": 41}


@pytest.mark.parametrize("key", list(FIXES))
def test_every_fix_names_a_command_or_a_place_in_a_portal(key):
    assert ACTION.search(FIXES[key].remedy), FIXES[key].remedy


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
