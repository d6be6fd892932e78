"""Where things lie: the settings file, the state directory, the socket in it (CONTRACT §4, §5); imports nothing heavy."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FILES: Final = (Path("posthouse.toml"), Path("/etc/posthouse/posthouse.toml"))
"""Where the file is looked for when neither ``--config`` nor POSTHOUSE_CONFIG names it."""

STATE: Final = Path("/var/lib/posthouse")

SOCKET: Final = "posthouse.sock"
"""The name of the administrator's socket in the state directory."""


def find(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file that counts: the one named, by ``path`` or POSTHOUSE_CONFIG, else the first of ``FILES``; or none."""
    named = path or (Path(environ["POSTHOUSE_CONFIG"]) if environ.get("POSTHOUSE_CONFIG") else None)
    return named or next((place for place in FILES if place.is_file()), None)


def state_directory(environ: Mapping[str, str]) -> Path:
    """$STATE_DIRECTORY, else /var/lib/posthouse where it is ours to write, else ~/.local/state/posthouse."""
    named = environ.get("STATE_DIRECTORY", "").partition(":")[0]  # systemd.exec(5): several are separated by colons
    if named:
        return Path(named)
    if os.access(STATE, os.W_OK | os.X_OK):
        return STATE
    return Path(environ.get("HOME") or Path.home()) / ".local" / "state" / "posthouse"


def traced(environ: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's own variables ask for traces: they name a collector, and nothing switches it off.

    Read is only whether; the rest of them is read by OpenTelemetry's SDK (its specification, "Environment Variables").
    """
    named = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    return bool(named) and not off
