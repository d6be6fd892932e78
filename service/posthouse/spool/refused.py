"""Why a spool was not opened; the same for every engine."""


class SpoolRefusedError(Exception):
    """The spool was not opened; the text says why and what to do."""
