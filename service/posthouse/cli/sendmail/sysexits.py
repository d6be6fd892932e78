"""How ``sendmail`` ends: the codes of sysexits.h, which mail programs read."""

from enum import IntEnum


class Exit(IntEnum):
    """TEMPFAIL asks the caller to try again: nothing was kept, or an answer was lost and nobody knows, which the text says."""

    OK = 0
    USAGE = 64
    DATAERR = 65
    NOUSER = 67
    UNAVAILABLE = 69
    SOFTWARE = 70
    IOERR = 74
    TEMPFAIL = 75
    NOPERM = 77
    CONFIG = 78


class Ended(Exception):
    """It ends here with ``code``; the text goes to standard error and says what to do."""

    def __init__(self, code: Exit, text: str) -> None:
        super().__init__(text)
        self.code = code
