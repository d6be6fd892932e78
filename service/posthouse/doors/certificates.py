"""The certificate of a listener: read again when its files change, without a restart and without a connection lost."""

import asyncio
import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from posthouse.telemetry import CERTIFICATE_KEPT, CERTIFICATE_READ, log

LOOK_EVERY: Final = 5.0
"""Seconds between looks at the files."""

Oldest = Literal["1.0", "1.1", "1.2", "1.3"]

_VERSIONS: Final[dict[Oldest, ssl.TLSVersion]] = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
_OLD_CIPHERS: Final = "DEFAULT:@SECLEVEL=0"
"""OpenSSL 3 signs nothing with SHA-1 above that level, and TLS before 1.2 has nothing else."""

_Seen = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """A certificate chain and its key, as PEM files."""

    certificate: Path
    key: Path


class ListenError(OSError):
    """The address cannot be listened on; says which and why."""


class Certificate:
    """What a listener shows, as an ``ssl.SSLContext`` that is always the newest whole one."""

    def __init__(self, listen: str, tls: Tls, *, oldest: Oldest = "1.2") -> None:
        self._listen = listen
        self._tls = tls
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = _VERSIONS[oldest]
        if oldest in ("1.0", "1.1"):
            self.context.set_ciphers(_OLD_CIPHERS)
        self._seen = self._look()
        try:
            self.context.load_cert_chain(tls.certificate, tls.key)
        except ssl.SSLError as fault:
            raise ListenError(
                f"{listen}: {tls.certificate} and {tls.key} are no certificate and its key: {fault.reason}"
            ) from fault

    async def watch(self) -> None:
        """Look at the files; runs until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await asyncio.to_thread(self.refresh)

    def refresh(self) -> None:
        """Read the files again if they changed; what is no certificate and its key (yet) changes nothing."""
        seen = self._look()
        if not seen or seen == self._seen:
            return
        try:
            # first into a context of its own: a certificate without its key would spoil the one in use
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._tls.certificate, self._tls.key)
            self.context.load_cert_chain(self._tls.certificate, self._tls.key)
        except (ssl.SSLError, OSError) as fault:
            log(CERTIFICATE_KEPT, level=logging.WARNING, listen=self._listen, error=type(fault).__name__)
            return
        self._seen = seen
        log(CERTIFICATE_READ, listen=self._listen)

    def _look(self) -> _Seen:
        try:
            found = [path.stat() for path in (self._tls.certificate, self._tls.key)]
        except OSError:
            return ()
        return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)
