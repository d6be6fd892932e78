"""A machine, a firewall and Microsoft in network namespaces of their own: real packets that are really lost."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final

from tests.system.remote import Remote
from tests.system.tinyproxy import tinyproxy

APT: Final = "needs root, and: apt-get install -y --no-install-recommends iproute2 nftables"
NAME: Final = "microsoft.posthouse.test"
"""How the machine calls the emulator, by its hosts file."""

# addresses that are for documentation (RFC 5737, RFC 3849); none of them has a way out of the namespaces
_HERE: Final = ("192.0.2.1/24", "2001:db8:1::1/64")
_INSIDE: Final = ("192.0.2.254/24", "2001:db8:1::fe/64")
_OUTSIDE: Final = ("198.51.100.254/24", "2001:db8:2::fe/64")
_THERE: Final = ("198.51.100.1/24", "2001:db8:2::1/64")
_HOSTS: Final = f"127.0.0.1 localhost\n198.51.100.1 {NAME}\n"
_BOTH: Final = f"2001:db8:2::1 {NAME}\n"
_RESOLVER: Final = "nameserver 198.51.100.53\n"


class Street:
    """Three namespaces in a row: ``here`` the machine, ``wall`` the firewall, ``there`` the emulator."""

    def __init__(self, home: Path) -> None:
        name = f"posthouse-{os.getpid()}-{secrets.token_hex(2)}"
        self.here, self.wall, self.there = (f"{name}-{end}" for end in ("here", "wall", "there"))
        self._home = home
        self._files = Path("/etc/netns") / self.here  # what ``ip netns exec`` lays over /etc

    @contextlib.contextmanager
    def built(self) -> Generator["Street"]:
        """Stand as long as the context lasts."""
        assert os.geteuid() == 0, APT
        assert shutil.which("nft", path="/usr/sbin:/usr/bin"), APT
        with contextlib.ExitStack() as undo:
            for namespace in (self.here, self.wall, self.there):
                ip("netns", "add", namespace)
                undo.callback(ip, "netns", "del", namespace)
                ip("-n", namespace, "link", "set", "lo", "up")
            undo.callback(shutil.rmtree, self._files, ignore_errors=True)
            self._files.mkdir(parents=True)
            self._wire()
            self.calm()
            yield self

    @contextlib.contextmanager
    def microsoft(self) -> Generator[Remote]:
        """The emulator at the other end, at the ports that Microsoft has."""
        overlay = Path("/etc/netns") / self.there
        overlay.mkdir()
        (overlay / "hosts").write_text(_HOSTS + _BOTH)
        ports = ("--https-port", "443", "--entra-port", "8443", "--smtp-port", "587")
        process = subprocess.Popen(
            [
                *inside(self.there),
                *(sys.executable, "-m", "posthouse.sandbox.emulator"),
                *("--directory", str(self._home), "--host", NAME, *ports),
            ],
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            with process.stdout:
                yield Remote(json.loads(process.stdout.readline()), process)
        finally:
            process.terminate()
            process.wait(20)
            shutil.rmtree(overlay)

    def calm(self) -> None:
        """No plant: everything passes, the name is known."""
        nft(self.wall, "flush ruleset")
        nft(self.here, "flush ruleset")
        self.write(hosts=_HOSTS, resolver=_RESOLVER)
        ip("-n", self.here, "route", "replace", "default", "via", _INSIDE[0].split("/")[0])

    def drop(self, *rules: str) -> None:
        """Rules of the firewall for what goes through it, in nftables' language."""
        lines = "".join(f"    {rule}\n" for rule in rules)
        nft(
            self.wall,
            f"table inet wall {{\n  chain through {{\n    type filter hook forward priority 0\n{lines}  }}\n}}",
        )

    def no_route(self) -> None:
        """The machine knows no way out of its own network."""
        ip("-n", self.here, "route", "del", "default")

    def forget_name(self) -> None:
        """The name is in no file: the resolver is asked."""
        self.write(hosts="127.0.0.1 localhost\n", resolver=_RESOLVER)

    @contextlib.contextmanager
    def proxy(self, home: Path, *, says: str = "", knows: bool = True) -> Generator[str]:
        """A proxy in the wall, with these lines in its settings; ``knows``: it can resolve the name. host:port."""
        overlay = Path("/etc/netns") / self.wall
        overlay.mkdir()
        (overlay / "hosts").write_text(_HOSTS if knows else "127.0.0.1 localhost\n")
        (overlay / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        address = _INSIDE[0].split("/")[0]
        try:
            with tinyproxy(home, listen=address, says=says, before=inside(self.wall)) as port:
                yield f"{address}:{port}"
        finally:
            shutil.rmtree(overlay)

    def both_families(self) -> None:
        """The name has an address of each family."""
        self.write(hosts=_BOTH + _HOSTS, resolver=_RESOLVER)

    def write(self, *, hosts: str, resolver: str) -> None:
        """What the machine's /etc says, in place: the files may be in use."""
        (self._files / "hosts").write_text(hosts)
        (self._files / "resolv.conf").write_text(resolver)

    def _wire(self) -> None:
        for end, door, own, gates in (
            (self.here, "inside", _HERE, _INSIDE),
            (self.there, "outside", _THERE, _OUTSIDE),
        ):
            ip("link", "add", "out", "netns", end, "type", "veth", "peer", "name", door, "netns", self.wall)
            for namespace, link, addresses in ((end, "out", own), (self.wall, door, gates)):
                for address in addresses:
                    ip("-n", namespace, "addr", "add", address, "dev", link, *(("nodad",) if ":" in address else ()))
                ip("-n", namespace, "link", "set", link, "up")
            for gate in gates:
                ip("-n", end, "route", "add", "default", "via", gate.split("/")[0])
        forward = "echo 1 > /proc/sys/net/ipv4/ip_forward && echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"
        _done(*inside(self.wall), "sh", "-c", forward)


def inside(namespace: str) -> Sequence[str]:
    """What a command line begins with to run in this namespace."""
    return ("ip", "netns", "exec", namespace)


def ip(*arguments: str) -> None:
    """One command of iproute2, which must succeed."""
    _done("ip", *arguments)


def nft(namespace: str, rules: str) -> None:
    """Give a namespace these rules of nftables."""
    _done(*inside(namespace), "nft", "-f", "-", given=rules)


def _done(*command: str, given: str = "") -> None:
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}\n{given}"
