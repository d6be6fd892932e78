"""Why a spool was not opened; the same for every engine."""


class SpoolRefusedError(Exception):
    """The spool was not opened; the text says why and what to do, ``fix`` is a key of ``fixes``."""

    def __init__(self, text: str, *, fix: str = "spool.refused") -> None:
        super().__init__(text)
        self.fix = fix
