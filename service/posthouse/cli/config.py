"""``posthouse config``: the settings, checked, shown without secrets, and their schema."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posthouse.cli.exits import Code, Stop
from posthouse.cli.options import AsJson
from posthouse.cli.output import output

if TYPE_CHECKING:
    from posthouse.settings.model import Settings

Config = Annotated[Path | None, typer.Option("--config", help="The settings file, in place of the one found.")]


def check(config: Config = None, as_json: AsJson = False) -> None:
    """Name everything that is wrong with the settings, at once (exit code 3)."""
    from posthouse.settings.loading import load
    from posthouse.settings.places import find
    from posthouse.settings.problems import SettingsError

    out, file = output(as_json=as_json), find(config, os.environ)
    place = str(file) if file else None
    try:
        load(config, os.environ)
    except SettingsError as error:
        if as_json:
            problems = [{"path": p.path, "rule": p.rule, "hint": p.hint} for p in error.problems]
            out.item({"ok": False, "file": place, "problems": problems})
            raise Stop(Code.CONFIGURATION) from None
        raise Stop(Code.CONFIGURATION, f"{place or 'no settings file'}:\n{error}") from None
    if as_json:
        out.item({"ok": True, "file": place, "problems": []})
    else:
        out.line(f"{place or 'no settings file, only the environment'}: ok")


def show(config: Config = None, as_json: AsJson = False) -> None:
    """The settings in force, as TOML; secrets by their place, never their value."""
    whole = _loaded(config).model_dump(mode="json", exclude_none=True)
    out = output(as_json=as_json)
    if as_json:
        out.item(whole)
        return
    for line in toml(whole):
        out.line(line)


def schema() -> None:
    """The JSON Schema of the settings, for editors."""
    from posthouse.settings.model import Settings

    output(as_json=False).line(json.dumps(Settings.model_json_schema(), indent=2))


def _loaded(config: Path | None) -> "Settings":
    from posthouse.settings.loading import load
    from posthouse.settings.problems import SettingsError

    try:
        return load(config, os.environ)
    except SettingsError as error:
        raise Stop(Code.CONFIGURATION, str(error)) from None


def toml(table: Mapping[str, object], place: str = "") -> Iterator[str]:
    """TOML of nested tables; JSON's strings, numbers and flat lists are TOML's too (toml.io, v1.0.0)."""
    tables = {name: value for name, value in table.items() if isinstance(value, Mapping)}
    arrays = {name: items for name, value in table.items() if (items := _tables_in(value))}
    if place:
        yield f"[{place}]"
    for name, value in table.items():
        if name not in tables and name not in arrays and (value != [] or place):
            yield f"{name} = {json.dumps(value, ensure_ascii=False)}"
    prefix = f"{place}." if place else ""
    for name, value in tables.items():
        yield from toml(value, f"{prefix}{name}")
    for name, values in arrays.items():
        for value in values:
            yield f"[[{prefix}{name}]]"
            yield from (line for line in toml(value, "x") if line != "[x]")


def _tables_in(value: object) -> list[Mapping[str, object]]:
    items: list[object] = value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, Mapping)]
