"""The only reader of the settings file and of the environment; finds every mistake before it gives up (CONTRACT §4)."""

import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from posthouse.settings.checks import mistakes
from posthouse.settings.model import (
    ClientSettings,
    EntraSettings,
    GraphSettings,
    LimitSettings,
    RouteSettings,
    SenderLimitSettings,
    SenderSettings,
    Settings,
    SmtpSettings,
)
from posthouse.settings.places import find, state_directory, traced
from posthouse.settings.problems import Problem, RuleError, SettingsError, nearest
from posthouse.transports.proxies import NO_PROXIES, Proxies, ProxyRefusedError, proxies_of

_VARIABLE: Final = re.compile(r"POSTHOUSE_([A-Z0-9]+(?:_[A-Z0-9]+)*)__([A-Z0-9_-]+)")
_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
_KINDS: Final[Mapping[str, type[BaseModel]]] = MappingProxyType({"graph": GraphSettings, "smtp": SmtpSettings})
_ITEMS: Final[Mapping[str, type[BaseModel]]] = MappingProxyType(
    {"routes": RouteSettings, "senders": SenderSettings, "clients": ClientSettings}
)

Steps = tuple[str | int, ...]


def load(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    overrides: Mapping[str, object] = _NOTHING,
    only: Collection[str] | None = None,
) -> Settings:
    """The settings: the file, above it the environment, above that ``overrides`` (``{"http.listen": …}``).

    ``only``: the tables that somebody needs; what is wrong elsewhere is no hindrance, such as a secret that the service
    manager shows to a running service alone.

    Raises:
        SettingsError: with all problems.
    """
    file = find(path, environ)
    document = {} if file is None else _read(file)
    return build(document, environ, overrides=overrides, only=only)


def build(
    document: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    overrides: Mapping[str, object] = _NOTHING,
    only: Collection[str] | None = None,
) -> Settings:
    """The same with a document in place of a file; raises SettingsError."""
    draft = _Draft(_copied(document))
    for variable, steps in _variables(environ):
        draft.put(steps, environ[variable], origin=variable)
    for dotted, value in overrides.items():
        draft.put(tuple(dotted.split(".")), value, origin="")
    settings = draft.validated(environ)
    problems = [one for one in draft.problems if only is None or one.path.partition(".")[0] in only]
    if problems:
        raise SettingsError(sorted(problems, key=lambda problem: problem.path))
    return settings


def _read(file: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        problem = Problem(str(file), f"the file cannot be read: {error.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problem = Problem(str(file), f"this is not TOML: {error}")
    raise SettingsError((problem,))


def _variables(environ: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Variables that are settings; others with the prefix (Kubernetes makes POSTHOUSE_PORT_…) are left alone."""
    for variable in sorted(environ):
        if _VARIABLE.fullmatch(variable):
            yield variable, tuple(variable.removeprefix("POSTHOUSE_").lower().split("__"))


@dataclass(slots=True)
class _Draft:
    """A document on its way to settings, with the problems found so far."""

    document: dict[str, object]
    problems: list[Problem] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)

    def put(self, steps: tuple[str, ...], value: object, *, origin: str) -> None:
        """Set one value above what is there."""
        table: dict[str, object] | None = self.document
        if steps[0] == "transports" and "transports" not in self.document:
            self.document["transports"] = {kind: {"kind": kind} for kind in _KINDS}
        for step in steps[:-1]:
            inner = table.setdefault(step, {}) if table is not None else None
            table = inner if isinstance(inner, dict) else None
        if table is not None:
            table[steps[-1]] = value
            self.origins[_dotted(steps)] = origin
        else:
            self.problems.append(Problem(origin or _dotted(steps), "there is no such setting"))

    def validated(self, environ: Mapping[str, str]) -> Settings:
        """What stands when everything wrong is taken out; what was wrong is in ``problems``."""
        names, proxies = self._transports(), self._proxies(environ)
        bad: set[str] = set()
        while True:
            try:
                settings = Settings.model_validate(self.document, context=environ).at(
                    state_directory(environ), proxies=proxies, traced=traced(environ)
                )
            except ValidationError as fault:
                self._take_out(fault.errors(include_url=False, include_input=False), bad)
            else:
                break
        found = dict.fromkeys(mistakes(settings, transports=names))
        self.problems += [self._placed(problem) for problem in found if not _under(problem.path, bad)]
        return settings

    def _proxies(self, environ: Mapping[str, str]) -> Proxies:
        try:
            return proxies_of(environ)
        except ProxyRefusedError as error:
            self.problems.append(Problem("HTTPS_PROXY", str(error)))
            return NO_PROXIES

    def _take_out(self, errors: Sequence[ErrorDetails], bad: set[str]) -> None:
        for error in errors:
            steps = _steps(error["loc"])
            path = _dotted(steps)
            follows = _under(path, bad) or any(_under(one, (path,)) for one in bad)
            if not follows:
                self.problems.append(self._placed(_problem(error, path)))
            bad.add(path)
        # from behind, so that the numbers of items before stay right
        for steps in sorted({_whole(_steps(error["loc"])) for error in errors}, key=_order, reverse=True):
            _remove(self.document, steps)

    def _transports(self) -> frozenset[str]:
        written = self.document.get("transports")
        return frozenset(str(name) for name in written) if isinstance(written, dict) else frozenset(_KINDS)

    def _placed(self, problem: Problem) -> Problem:
        origin = self.origins.get(problem.path)
        return Problem(f"{problem.path}, by {origin}", problem.rule, problem.hint) if origin else problem


def _copied(value: Mapping[str, object]) -> dict[str, object]:
    return {name: _copy_of(item) for name, item in value.items()}


def _copy_of(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _copy_of(item) for name, item in value.items()}
    return [_copy_of(item) for item in value] if isinstance(value, list) else value


def _steps(loc: Iterable[str | int]) -> Steps:
    """The place of pydantic's error without its own marks: the kind of a transport, ``[key]``."""
    steps = tuple(step for step in loc if step != "[key]")
    tagged = len(steps) > 2 and steps[0] == "transports" and steps[2] in _KINDS  # noqa: PLR2004 - transports.NAME.KIND
    return steps[:2] + steps[3:] if tagged else steps


def _dotted(steps: Steps) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".")


def _whole(steps: Steps) -> Steps:
    """What is taken out for a mistake at a place: the value, the whole list, or the item of an array of tables."""
    if len(steps) > 1 and steps[0] in _ITEMS:
        return steps[:2]
    return next((steps[:number] for number, step in enumerate(steps) if isinstance(step, int)), steps)


def _order(steps: Steps) -> tuple[tuple[int, str], ...]:
    return tuple((step, "") if isinstance(step, int) else (0, step) for step in steps)


def _under(path: str, bad: Iterable[str]) -> bool:
    return any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in bad)


def _remove(document: dict[str, object], steps: Steps) -> None:
    """Take a value out; where it is not there (a missing one was the mistake), the table that lacks it."""
    holder: object = document
    for step in steps[:-1]:
        holder = holder.get(str(step)) if isinstance(holder, dict) else None
    last = steps[-1]
    if isinstance(holder, dict) and last in holder:
        del holder[str(last)]
    elif isinstance(holder, list) and isinstance(last, int):
        del holder[last]
    elif len(steps) > 1:
        _remove(document, steps[:-1])


def _problem(error: ErrorDetails, path: str) -> Problem:
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, RuleError):
        return Problem(path, str(cause), cause.hint)
    match error["type"]:
        case "extra_forbidden":
            return _unknown(error["loc"], path)
        case "missing":
            return Problem(path, "this setting is required")
        case "union_tag_not_found" | "union_tag_invalid":
            return Problem(f"{path}.kind", "a transport's kind is 'graph' or 'smtp'")
        case "too_short":
            return Problem(path, "at least one is needed")
        case _:
            return Problem(path, error["msg"].replace("Input should be", "this must be"))


def _unknown(loc: Steps, path: str) -> Problem:
    return Problem(path, "there is no such setting", nearest(str(loc[-1]), _table(loc[:-1]).model_fields))


def _table(loc: Steps) -> type[BaseModel]:
    """Whose fields are known at a place."""
    if not loc:
        return Settings
    if loc[-1] == "entra":
        return EntraSettings
    if loc[0] == "senders" and loc[-1] == "limits":
        return SenderLimitSettings
    if loc[0] == "transports":
        return LimitSettings if loc[-1] == "limits" else _KINDS[str(loc[2])]
    if loc[0] in _ITEMS:
        return _ITEMS[str(loc[0])]
    model = Settings.model_fields[str(loc[0])].annotation
    return model if isinstance(model, type) and issubclass(model, BaseModel) else Settings
