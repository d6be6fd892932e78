"""service/NAMES.md names every metric, event, line of the log and code of a problem, and no other."""

import ast
import re
from pathlib import Path

import pytest

from posthouse import telemetry
from posthouse.doors.problems import CLEAR_LOGIN, FAULT, NETWORK_NOT_ALLOWED, TABLE, TLS_FAILED
from posthouse.message import Status
from posthouse.metrics import Metrics
from posthouse.outcome import Answer, Sent
from posthouse.traces import ATTEMPT, SUBMIT

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "service" / "posthouse"
PAGE = (ROOT / "service" / "NAMES.md").read_text(encoding="utf-8")
TOLD = {
    name: value
    for name, value in vars(telemetry).items()
    if name.isupper() and isinstance(value, str) and re.fullmatch(r"[a-z]+\.[a-z_]+", value)
}
"""Names of constants and what they stand for."""


def cells(chapter: str) -> list[list[str]]:
    body = next(part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE) if part.startswith(f"{chapter}\n"))
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines() if line.startswith("| `")
    ]


def words(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def fed() -> Metrics:
    """Metrics that have heard everything once, so that their labels can be seen."""
    metrics = Metrics()
    metrics.accepted("rest", 1)
    metrics.refused("rest", "not_found")
    metrics.attempted("graph", Sent(answer=Answer(status="2.0.0", text="ok")), seconds=1.0)
    metrics.finished(Status.SENT, transport="graph")
    metrics.sent("graph", seconds=1.0)
    metrics.bounced("message")
    metrics.answered("rest", 200)
    metrics.connected("smtp")
    metrics.replied("smtp", "250")
    return metrics


def test_every_metric_is_documented_with_its_kind_and_its_labels() -> None:
    have = {}
    for family in fed().registry.collect():
        samples = [set(one.labels) - {"le"} for one in family.samples]
        labels = set(getattr(family, "_labelnames", ())) or set().union(*samples)
        have[f"{family.name}_total" if family.type == "counter" else family.name] = (family.type, labels)
    named = {}
    for line in PAGE.splitlines():
        if line.startswith("| `posthouse_"):
            name, kind, labels, _ = (cell.strip() for cell in line.strip("|").split("|", 3))
            named[name.strip("`")] = (kind, words(labels))
    assert named == have


def test_every_line_of_the_log_and_every_event_is_documented_and_no_other() -> None:
    table = {row[0].strip("`"): row for row in cells("Lines of the log")}
    assert set(table) == set(TOLD.values())
    assert {name for name, row in table.items() if row[2] == "yes"} == telemetry.MESSAGE_EVENTS
    assert {name for name, row in table.items() if row[1] == "yes"} >= {TOLD[name] for name in logged()}


def logged() -> set[str]:
    """The constants that somebody hands to ``log``."""
    found: set[str] = set()
    for path in SERVICE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("log", "tell"):
                found |= {one.id for one in ast.walk(node.args[0]) if isinstance(one, ast.Name)} & set(TOLD)
    return found


def test_every_line_of_the_log_has_its_name_from_telemetry() -> None:
    strange = [
        f"{path.relative_to(SERVICE)}:{node.lineno}"
        for path in SERVICE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "log"
        if any(isinstance(one, ast.Constant) for one in ast.walk(node.args[0]))
    ]
    assert strange == []


@pytest.mark.parametrize("name", sorted(TOLD))
def test_every_name_is_used(name: str) -> None:
    others = "\n".join(
        path.read_text(encoding="utf-8")
        for path in [*SERVICE.rglob("*.py"), *SERVICE.rglob("*.sql")]
        if path.name != "telemetry.py"
    )
    assert re.search(rf"\b{name}\b|['\"]{re.escape(TOLD[name])}['\"]", others)


def test_every_attribute_of_a_span_is_documented_and_no_other() -> None:
    tree = ast.parse((SERVICE / "traces.py").read_text(encoding="utf-8"))
    said = [one.value for one in ast.walk(tree) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    rows = cells("Spans of traces")
    assert {row[0].strip("`") for row in rows} == {one for one in said if re.fullmatch(r"posthouse\.[a-z_.]+", one)}
    assert set().union(*(words(row[1]) for row in rows)) == {SUBMIT, ATTEMPT}


def test_every_code_of_a_problem_is_documented_with_its_status() -> None:
    named = {row[0].strip("`"): row[1] for row in cells("Codes of problems")}
    have = {condition.value: str(row.status) for condition, row in TABLE.items()}
    others = {FAULT: "500", NETWORK_NOT_ALLOWED: "", CLEAR_LOGIN: "", TLS_FAILED: ""}
    assert named == have | others
