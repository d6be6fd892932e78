"""The recipes of ``posthouse migrate recipe``: two of them followed to the letter, all of them sound."""

import asyncio
import re
import sys
import tomllib
from pathlib import Path

import pytest

from posthouse.cli.migrate.recipes import Values, recipe, titles
from tests.system.following import SENDER, opened

MARK = re.compile(r"@[A-Z]+@|^\?[a-z,-]+\?", re.MULTILINE)
VALUES = Values(
    host="mail.contoso.com", port=2587, encryption="starttls", user="d-abcdefgh", password="pa55word", sender=SENDER, ca_file=None
)  # fmt: skip


async def run(*command: str, folder: Path, **environment: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, env={"PATH": "/usr/bin:/bin", **environment})
    assert await asyncio.wait_for(process.wait(), 60) == 0


async def test_django_and_smtplib_send_with_what_the_recipe_prints(launch, emulator, tmp_path):
    door = await opened(launch, tmp_path)
    program = tmp_path / "program"
    program.mkdir()
    for name in ("django", "python"):
        for path, text in (await door.recipe(name)).files.items():
            (program / path).write_text(text)
    assert "EMAIL_USE_TLS = True" in (program / "settings.py").read_text()

    # the line that the recipe says to run; Django's own project file, manage.py, does no more than this
    command = (sys.executable, "-m", "django", "sendtestemail", "you@contoso.com")
    await run(*command, folder=program, DJANGO_SETTINGS_MODULE="settings", SSL_CERT_FILE=str(door.ca_file))
    await run(sys.executable, "posthouse_mail.py", folder=program)

    while len(emulator.world.received) < 2:
        await asyncio.sleep(0.05)
    assert {(one.sender, one.recipients) for one in emulator.world.received} == {(SENDER, ("you@contoso.com",))}
    assert "test" in {one.subject for one in emulator.world.received}
    assert {message["door"] for message in (await door.service.http.get("/v1/messages")).json()["data"]} == {"smtp"}


@pytest.mark.parametrize("encryption", ["starttls", "tls", "none"])
@pytest.mark.parametrize("name", sorted(titles()))
def test_every_recipe_leaves_no_mark_and_names_host_port_user_and_password(name, encryption):
    values = Values(
        host=VALUES.host,
        port=VALUES.port,
        encryption=encryption,
        user=VALUES.user,
        password=VALUES.password,
        sender=VALUES.sender,
        ca_file=None,
    )
    text = recipe(name, values)
    assert MARK.findall(text) == []
    wanted = {values.sender} if name == "sendmail" else {values.host, values.user, values.password}
    wanted |= set() if name == "sendmail" or (name, encryption) == ("powershell", "tls") else {str(values.port)}
    assert [word for word in wanted if word not in text] == []
    assert re.findall(r"^--- (\w+)", text, re.MULTILINE)[0] in {"file", "append", "fields"}
    compile_if_ours(name, text)


def compile_if_ours(name: str, text: str) -> None:
    """What this machine can read without the program: Python and TOML."""
    found = re.search(r"^--- (?:file|append) \S+\n(.*?)(?=^--- )", text, re.MULTILINE | re.DOTALL)
    body = found[1] if found else ""
    if name in {"django", "python"}:
        compile(body, name, "exec")
    elif name == "sendmail":
        assert tomllib.loads(body)["rewrite_from"] == SENDER


def test_what_would_end_the_quotes_of_another_program_is_refused(posthouse_cli):
    for option, value in (
        ("--host", "a b"),
        ("--user", "x'; drop"),
        ("--password", 'pa"ss'),
        ("--from", "a@b\nc"),
        ("--ca-file", "/x y"),
    ):
        assert posthouse_cli("migrate", "recipe", "python", option, value) == 2
    assert posthouse_cli("migrate", "recipe", "pyton") == 2


@pytest.fixture
def posthouse_cli(monkeypatch, capsys):
    """The program in this process; its exit code."""
    from posthouse.cli.main import main  # noqa: PLC0415 - only here

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["posthouse", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        capsys.readouterr()
        return int(ended.value.code or 0)

    return call
