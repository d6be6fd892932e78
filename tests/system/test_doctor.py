"""The real ``posthouse doctor``, where a service runs and where none can start."""

import json
from pathlib import Path

import jsonschema_rs

from posthouse.sandbox.emulator import Emulator, Options
from tests.system.harness import Service

SENDER = "alerts@contoso.com"


async def test_beside_nobody_a_sound_set_up_ends_with_0_and_its_json_keeps_to_the_schema(
    tmp_path: Path, emulator: Emulator
) -> None:
    service = Service(tmp_path, emulator)
    code, schema, _ = await service.run("doctor", "--schema")
    assert code == 0
    code, out, errors = await service.run("doctor", "--sender", SENDER, "--json")
    assert (code, errors) == (0, "")
    found = json.loads(out)
    assert jsonschema_rs.Draft202012Validator(json.loads(schema)).is_valid(found)
    assert found["result"] == "passed"
    assert {step["step"] for step in found["steps"]} >= {"configuration", "spool", "graph.send", "smtp.envelope"}
    assert not list(service.state.iterdir())
    await service.close()


async def test_a_service_that_cannot_start_is_diagnosed(tmp_path: Path, emulator: Emulator) -> None:
    service = Service(tmp_path, emulator, entra={"client_secret": f"file:{tmp_path}/nowhere"})
    code, out, _ = await service.run("doctor", "--sender", SENDER)
    assert code == 3
    lines = out.splitlines()
    assert lines[0].startswith("FAILED   configuration")
    assert "nowhere cannot be read" in lines[0]
    assert any("namei -l" in line for line in lines)
    assert any(line.startswith("skipped  graph.dns") and "because of configuration" in line for line in lines)
    await service.close()


async def test_a_running_service_examines_itself(tmp_path: Path) -> None:
    directory = tmp_path / "microsoft"
    directory.mkdir()
    async with Emulator(Options(directory=directory)) as emulator:
        secret = tmp_path / "secret"
        secret.write_text(emulator.options.client_secret)
        service = Service(tmp_path, emulator, entra={"client_secret": f"file:{secret}"})
        try:
            await service.start()
            await service.make_key(SENDER)
            code, out, errors = await service.run("doctor", "--sender", "all")
            assert (code, errors) == (0, ""), out
            assert f"graph.send {SENDER}" in out
            assert "takes writes" in out
            secret.write_text("5a4d0000-0000-4000-8000-00000000beef")
            code, out, _ = await service.run("doctor", "--report")
        finally:
            await service.close()
    assert code == 4
    assert "the id of the client secret was written, not its value" in out
    assert "5a4d0000-0000-4000-8000-00000000beef" not in out
    assert SENDER not in out


async def test_a_step_that_does_not_exist_is_a_mistake_of_the_caller(tmp_path: Path, emulator: Emulator) -> None:
    service = Service(tmp_path, emulator)
    code, _, errors = await service.run("doctor", "--step", "tokem")
    assert code == 2
    assert "graph.token" in errors
    await service.close()


async def test_settings_that_are_no_toml_are_said(tmp_path: Path, emulator: Emulator) -> None:
    service = Service(tmp_path, emulator)
    service.config.write_text("[entra")
    code, out, _ = await service.run("doctor")
    assert code == 3
    assert "this is not TOML" in out
    await service.close()
