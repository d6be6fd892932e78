"""The files of infra/ are accepted by the tools that will read them, and agree with each other and with the project."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from posthouse.metrics import Metrics
from posthouse.settings.role import Role

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
CONTAINERFILE = INFRA / "container" / "Containerfile"
UNIT = INFRA / "linux" / "posthouse.service"
ALERTS = INFRA / "monitoring" / "alerts.yml"
README = (INFRA / "README.md").read_text(encoding="utf-8")
PINNED = [INFRA / "requirements.txt", INFRA / "container" / "uv.txt"]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=25, check=False)


@pytest.fixture
def systemd() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program of Debian's package systemd; where it is missing, the test fails and names the apt line."""

    def call(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        found = shutil.which(program)
        if found is None:
            pytest.fail(f"{program} is missing: apt-get install -y --no-install-recommends systemd")
        return run(found, *arguments)

    return call


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A root folder with the unit, its drop-in, its account and its program, where infra/README.md puts them."""
    for source, target in {
        UNIT: "etc/systemd/system/posthouse.service",
        UNIT.with_name("credentials.conf"): "etc/systemd/system/posthouse.service.d/credentials.conf",
        UNIT.with_name("posthouse.sysusers.conf"): "usr/lib/sysusers.d/posthouse.conf",
        UNIT.with_name("role.conf"): "etc/systemd/system/posthouse-.service.d/role.conf",
    }.items():
        (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, tmp_path / target)
    for role in ("doors", "worker"):
        shutil.copy(UNIT, tmp_path / f"etc/systemd/system/posthouse-{role}.service")
    program = tmp_path / "opt/posthouse/bin/posthouse"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    return tmp_path


def setting(name: str) -> str:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)[-1]


def example() -> dict[str, dict[str, object]]:
    return tomllib.loads(UNIT.with_name("posthouse.toml.example").read_text(encoding="utf-8"))


def test_hadolint_has_nothing_to_say_about_the_containerfile() -> None:
    checked = run(Path(sys.executable).with_name("hadolint"), CONTAINERFILE)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_the_image_runs_as_an_ordinary_user_with_its_spool_on_a_volume() -> None:
    last_stage = CONTAINERFILE.read_text(encoding="utf-8").rpartition("\nFROM ")[2].splitlines()
    assert "USER 10001:10001" in last_stage
    assert "VOLUME /var/lib/posthouse" in last_stage
    assert "STOPSIGNAL SIGTERM" in last_stage


def test_all_that_the_build_copies_exists_and_passes_the_ignore_file() -> None:
    ignore = CONTAINERFILE.with_name("Containerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    copies = re.findall(r"^COPY (?!--from)(.*) \S+$", CONTAINERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    sources = {source for line in copies for source in line.split()}
    assert "*" in ignore
    assert sources == {line[1:] for line in ignore if line.startswith("!")}
    assert [source for source in sources if not (ROOT / source).exists()] == []


@pytest.mark.parametrize("pinned", PINNED, ids=lambda path: path.name)
def test_every_dependency_is_pinned_with_a_hash_and_no_index_is_named(pinned: Path) -> None:
    text = pinned.read_text(encoding="utf-8")
    entries = [e for e in re.split(r"\n(?=\S)", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)) if e.strip()]
    assert entries
    assert [
        e for e in entries if not re.match(r"[\w.-]+(\[[\w,]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", e, re.DOTALL)
    ] == []
    assert re.findall(r"://|--(?:extra-)?index|--find-links|--trusted", text) == []


def test_the_image_gets_the_versions_that_these_tests_run_with() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    direct = [re.split(r"[^\w.-]", line)[0] for line in project["dependencies"]]
    pins = set(re.findall(r"^(\S+?)(?:\[.*\])?==(\S+)", PINNED[0].read_text(encoding="utf-8"), re.MULTILINE))
    assert [name for name in direct if (name, version(name)) not in pins] == []


def test_the_image_builds_with_a_uv_that_the_project_allows() -> None:
    system = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    bounds = re.fullmatch(r"uv_build>=([\d.]+),<([\d.]+)", system["requires"][0])
    pin = re.match(r"uv==([\d.]+)", PINNED[1].read_text(encoding="utf-8"))
    assert bounds is not None
    assert pin is not None
    low, high, have = (tuple(map(int, text.split("."))) for text in (bounds[1], bounds[2], pin[1]))
    assert low <= have < high


def test_every_file_that_the_readme_names_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    paths = [INFRA / link for link in links] + [ROOT / path for path in re.findall(r"\binfra/[\w./-]*\w", README)]
    assert len(links) >= 5
    assert [path for path in paths if not path.exists()] == []


def test_the_settings_that_the_examples_name_agree() -> None:
    settings = example()
    variables = re.findall(
        r"^POSTHOUSE_(\w+?)__(\w+)=", UNIT.with_name("posthouse.env.example").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert variables
    assert [v for v in variables if v[1].lower() not in settings[v[0].lower()]] == []
    handed = re.findall(
        r"^LoadCredential=(\S+?):", UNIT.with_name("credentials.conf").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert settings["entra"]["client_secret"] in {f"file:/run/credentials/posthouse.service/{name}" for name in handed}


def test_both_ways_to_run_it_wait_longer_than_draining_takes() -> None:
    drain = int(str(example()["delivery"]["drain_timeout"]).removesuffix("s"))
    by_container = [int(seconds) for seconds in re.findall(r"--stop-timeout (\d+)", README)]
    assert by_container
    assert min(*by_container, int(setting("TimeoutStopSec").removesuffix("s"))) > drain


def test_the_roles_of_the_drop_in_are_those_of_the_program() -> None:
    text = UNIT.with_name("role.conf").read_text(encoding="utf-8")
    units = set(re.findall(r"posthouse-(\w+)\.service[ ,]", text))
    assert units == {role.value for role in Role if role is not Role.ALL}
    assert f"{setting('ExecStart')} --role %j" in text


def test_trimming_keeps_what_sending_needs_and_compiles_only_what_is_loaded(tmp_path: Path) -> None:
    made = run(sys.executable, "-m", "venv", "--without-pip", tmp_path)
    assert made.returncode == 0, made.stderr
    python = tmp_path / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip())
    generated = site / "msgraph" / "generated"
    for name in ("users/sender.py", "users/never.py", "models/message.py", "teams/team.py", "export.txt", "client.py"):
        (generated / name).parent.mkdir(parents=True, exist_ok=True)
        (generated / name).touch()
    (site / "service.py").write_text("import msgraph.generated.users.sender\n", encoding="utf-8")

    trim = INFRA / "container" / "trim.py"
    for step in (["drop"], ["compile", "service"]):
        done = run(python, trim, *step)
        assert done.returncode == 0, done.stderr

    left = {path.relative_to(generated).as_posix() for path in generated.rglob("*") if path.suffix in {".py", ".txt"}}
    assert left == {"users/sender.py", "users/never.py", "models/message.py", "client.py"}
    assert {path.name.partition(".")[0] for path in site.rglob("*.pyc")} == {"service", "sender"}


@pytest.mark.apt
@pytest.mark.parametrize("unit", ["posthouse.service", "posthouse-doors.service", "posthouse-worker.service"])
def test_systemd_understands_every_line_of_the_unit_and_its_drop_ins(
    systemd: Callable, machine: Path, unit: str
) -> None:
    checked = systemd("systemd-analyze", "verify", f"--root={machine}", "--recursive-errors=no", unit)
    # Its exit code is 0 for unknown keys too (INFRA B4): only silence counts.
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


@pytest.mark.apt
def test_the_unit_leaves_the_service_an_exposure_of_at_most_two(systemd: Callable) -> None:
    checked = systemd("systemd-analyze", "security", "--offline=true", "--threshold=20", UNIT)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.apt
def test_the_account_of_the_unit_is_made_without_a_shell(systemd: Callable, machine: Path) -> None:
    made = systemd("systemd-sysusers", f"--root={machine}")
    assert made.returncode == 0, made.stderr
    accounts = [line.split(":") for line in (machine / "etc/passwd").read_text(encoding="utf-8").splitlines()]
    account = next(fields for fields in accounts if fields[0] == setting("User"))
    assert account[5] == "/var/lib/posthouse"
    assert account[6].endswith("nologin")


def test_every_metric_of_the_alerts_exists() -> None:
    families = {f"{one.name}_total" if one.type == "counter" else one.name for one in Metrics().registry.collect()}
    named = re.findall(r"\bposthouse_\w+", ALERTS.read_text(encoding="utf-8"))
    assert len(set(named)) >= 8
    assert set(named) <= families


@pytest.mark.apt
def test_prometheus_understands_the_alerts() -> None:
    promtool = shutil.which("promtool") or shutil.which("/opt/posthouse-tests/promtool")
    if promtool is None:
        pytest.fail("promtool is missing: .ci/run takes it from Debian's package prometheus")
    checked = run(promtool, "check", "rules", ALERTS)
    assert checked.returncode == 0, checked.stdout + checked.stderr
