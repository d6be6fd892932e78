"""What the guides name exists: commands, settings, endpoints, events, causes, files; the program itself is asked."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer import Exit
from typer.core import TyperGroup
from typer.main import get_command

from posthouse import telemetry
from posthouse.cli.main import application
from posthouse.cli.send import with_wait
from posthouse.fixes import FIXES, Fixes
from posthouse.metrics import Metrics
from posthouse.settings.loading import build
from posthouse.settings.model import (
    ClientSettings,
    GraphSettings,
    RouteSettings,
    SenderLimitSettings,
    SenderSettings,
    Settings,
    SmtpListenerSettings,
    SmtpSettings,
)
from posthouse.settings.problems import SettingsError
from tests.contract.rest_door import rest_door

ROOT = Path(__file__).parents[2]
GUIDES = [
    ROOT / name for name in ("README.md", "service/README.md", "service/NAMES.md", "infra/README.md", "tests/README.md")
]
CHANGES = ROOT / "CHANGELOG.md"
LINUX = ROOT / "infra" / "linux"
DATABASES = {"posthouse_restored"}
NOT_YET = ("setup",)
"""Commands that the guides name as not built yet."""
BEFORE = re.compile(
    r"(?:(?:sudo )?(?:-u posthouse |podman exec posthouse )|sudo |pip install uv && |uv run |[A-Z_]+=\S+ )*"
    r"(?:/opt/posthouse/bin/)?posthouse (?=[a-z])"
)
ENTRA = {
    "tenant_id": "contoso.com",
    "client_id": "5a4d0000-0000-4000-8000-0000000000a9",
    "client_secret": "the secret itself",
}
guide = pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.relative_to(ROOT).as_posix())


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(path: Path, *languages: str) -> list[str]:
    found = re.findall(r"^ *```(\w+)\n(.*?)^ *```", text_of(path), re.MULTILINE | re.DOTALL)
    return [body for language, body in found if language in languages]


def inline(path: Path) -> list[str]:
    prose = re.sub(r"^ *```.*?^ *```", "", text_of(path), flags=re.MULTILINE | re.DOTALL)
    return [word for word in re.findall(r"`([^`\n]+)`", prose) if not re.search(r"\.(?:py|toml|md)\b", word)]


def lines(path: Path) -> Iterator[str]:
    """Lines of shell, without their prompt and their comment."""
    for block in blocks(path, "sh", "console"):
        console = "\n$ " in "\n" + block
        for line in block.splitlines():
            if not console or line.startswith("$ "):
                yield re.sub(r"\s+# .*", "", line.removeprefix("$ ").strip())


def command_line(line: str) -> list[str] | None:
    """The arguments of a call of the program; None where the line is none."""
    found = BEFORE.match(line)
    return None if found is None else shlex.split(line[found.end() :])


def parsed(arguments: list[str], *, whole: bool) -> str | None:
    """What the program would say against these arguments; ``whole``: nothing that it needs may be missing."""
    command, name = get_command(application()), "posthouse"
    rest = with_wait(arguments) if arguments[:1] == ["send"] else arguments
    try:
        while isinstance(command, TyperGroup):
            word, rest = rest[0], rest[1:]
            if word not in command.commands:
                return f"{name} has no {word!r}"
            command, name = command.commands[word], f"{name} {word}"
            if not rest and not whole:
                return None
        if whole:
            command.make_context(name, list(rest))
        else:
            known = {option for parameter in command.params for option in parameter.opts}
            strange = [word for word in rest if word.startswith("--") and word.partition("=")[0] not in known]
            return f"{name} has no {strange}" if strange else None
    except Exit:
        return None
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what a reader would see
        return f"{name}: {error}"
    return None


@guide
def test_every_command_line_in_a_block_is_one_that_the_program_takes(path: Path) -> None:
    calls = [arguments for line in lines(path) if (arguments := command_line(line)) is not None]
    assert [problem for arguments in calls if (problem := parsed(arguments, whole=True))] == []
    if path.parent.name == "infra":
        assert len(calls) >= 20


@guide
def test_every_command_in_the_prose_exists_with_its_options(path: Path) -> None:
    calls = [arguments for word in inline(path) if (arguments := command_line(word)) is not None]
    built = [arguments for arguments in calls if arguments[0] not in NOT_YET]
    assert [problem for arguments in built if (problem := parsed(arguments, whole=False))] == []


def test_every_command_in_the_examples_and_the_changelog_exists() -> None:
    examples = [*LINUX.glob("*.example"), *LINUX.glob("*.conf")]
    comments = [
        call
        for path in examples
        for call in re.findall(r": (?:sudo .*?)?(posthouse [a-z].*)$", text_of(path), re.MULTILINE)
    ]
    calls = [arguments for word in (*comments, *inline(CHANGES)) if (arguments := command_line(word)) is not None]
    assert len(calls) >= 5
    assert [problem for arguments in calls if (problem := parsed(arguments, whole=False))] == []


def test_what_is_named_as_not_built_yet_is_not() -> None:
    assert [name for name in NOT_YET if parsed([name], whole=False) is None] == []


@guide
def test_every_block_of_settings_is_read_by_the_program(path: Path) -> None:
    for block in blocks(path, "toml"):
        document = tomllib.loads("\n".join(line.strip() for line in block.splitlines()))
        if "transports" in document:  # a fragment shows those that it is about
            document.setdefault("delivery", {}).setdefault("route", list(document["transports"]))
        try:
            build({"entra": ENTRA, **document}, {})
        except SettingsError as error:
            others = ("entra.",) if "delivery" in document else ("entra.", "delivery.route")  # a part of a whole file
            problems = [one for one in error.problems if not re.search(r"cannot be read|can be read$", one.rule)]
            left = [one for one in problems if not one.path.startswith(others)]
            assert left == []


def names_of_settings() -> set[str]:
    """Every setting of the program as ``table.name``."""
    tables = {name: field.annotation for name, field in Settings.model_fields.items()}
    found = {f"{table}.{name}" for table, model in tables.items() for name in getattr(model, "model_fields", {})}
    kinds = {name for kind in (GraphSettings, SmtpSettings) for name in kind.model_fields}
    return found | {f"transports.{name}" for name in kinds}


@guide
def test_every_setting_in_the_prose_exists(path: Path) -> None:
    known = names_of_settings()
    tables = {name.partition(".")[0] for name in known}
    found = [".".join(match) for word in inline(path) for match in re.findall(r"^\[(\w+)\] (\w+)", word)]
    found += [word for word in inline(path) if re.fullmatch(r"\w+\.\w+", word) and word.partition(".")[0] in tables]
    told = {value for name, value in vars(telemetry).items() if name.isupper() and isinstance(value, str)}
    files = {"spool.sqlite"}
    assert [name for name in found if name not in known | told | files | set(FIXES)] == []


def test_the_example_names_every_setting_and_no_other() -> None:
    example = text_of(LINUX / "posthouse.toml.example")
    written = set(re.findall(r"^(?:# )?(\w+) = ", example, re.MULTILINE))
    wanted = {name.partition(".")[2] for name in names_of_settings()} - {"entra", "limits", "listeners"}
    assert wanted - written - {"kind"} == set()
    assert written - {name.rpartition(".")[2] for name in names_of_settings()} - ITEMS == set()


LISTED = (ClientSettings, RouteSettings, SenderSettings, SenderLimitSettings, SmtpListenerSettings)
ITEMS = {name for model in LISTED for name in model.model_fields}
"""Names inside the lists of tables."""


@pytest.fixture
async def endpoints(tmp_path: Path) -> set[str]:
    """Every address of the administrator's listener, as ``METHOD /path`` with {} for what stands in it."""
    async with rest_door(tmp_path) as door:
        paths = door.app.openapi()["paths"]
    return {f"{method.upper()} {re.sub(r'{.*?}', '{}', path)}" for path, verbs in paths.items() for method in verbs}


@guide
async def test_every_endpoint_exists(path: Path, endpoints: set[str]) -> None:
    addresses = {one.partition(" ")[2] for one in endpoints} | {"/docs", "/openapi.json"}
    for word in [*inline(path), *inline(CHANGES)]:
        found = re.match(r"(?:(GET|POST|PATCH) )?(/(?:v1/|livez|readyz|docs|openapi)[^\s?]*)", word)
        if found is None:
            continue
        place = re.sub(r"{.*?}|msg_\w+", "{}", found[2])
        assert place in addresses if found[1] is None else f"{found[1]} {place}" in endpoints, word


@guide
def test_every_event_and_log_line_that_is_named_is_written(path: Path) -> None:
    told = {value for name, value in vars(telemetry).items() if name.isupper() and isinstance(value, str)}
    kinds = {value.partition(".")[0] for value in told if "." in value} - {"spool"}  # spool.url is a setting
    found = [
        word for word in inline(path) if re.fullmatch(r"[a-z]+\.[a-z_]+", word) and word.partition(".")[0] in kinds
    ]
    found += [word for block in blocks(path, "sh") for word in re.findall(r"--type (\S+)", block)]
    assert [word for word in found if word not in told] == []


def test_every_cause_for_which_mail_waits_is_explained_and_no_other() -> None:
    text = text_of(ROOT / "infra" / "README.md")
    chapter = text[text.index("## 5. ") : text.index("## 6. ")]
    rows = re.findall(r"^\| (`[a-z_.]+`(?:, `[a-z_.]+`)*)", chapter, re.MULTILINE)
    named = {word for row in rows for word in re.findall(r"`([a-z_.]+)`", row)} - set(names_of_limits())
    assert [word for word in named if Fixes().advice(word) == Fixes().advice("no such cause")] == []
    causes = {name for name in known_causes() if "." not in name} - {"no_answer"}
    assert [name for name in causes if f"`{name}`" not in text] == []


def names_of_limits() -> list[str]:
    return [name.partition(".")[2] for name in names_of_settings() if name.startswith("limits.")]


def known_causes() -> set[str]:
    source = text_of(ROOT / "service" / "posthouse" / "fixes.py")
    return set(re.findall(r"^([a-z_]+(?:\.[a-z_]+)?) \| ", source, re.MULTILINE))


@guide
def test_every_metric_that_is_named_exists(path: Path) -> None:
    families = [(one.name, one.type) for one in Metrics().registry.collect()]
    have = {f"{name}_total" if kind == "counter" else name for name, kind in families}
    have |= {f"{name}_{part}" for name, kind in families if kind == "histogram" for part in ("bucket", "count", "sum")}
    named = [word for text in inline(path) for word in re.findall(r"^posthouse_[a-z_]+", text)]
    assert [word for word in named if word not in have | DATABASES] == []


def test_the_packages_of_debian_that_ci_installs_are_those_that_the_guide_names() -> None:
    installed = re.search(r"^packages=\(([a-z0-9 -]+)\)$", text_of(ROOT / ".ci" / "run"), re.MULTILINE)
    assert installed is not None
    (named,) = re.findall(
        r"^Debian's packages that `-m apt` needs: (.*)$", text_of(ROOT / "tests" / "README.md"), re.MULTILINE
    )
    assert set(re.findall(r"`([a-z0-9-]+)`", named)) == set(installed[1].split())
