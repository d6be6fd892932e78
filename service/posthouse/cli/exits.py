"""How a command ends: the exit codes of CONTRACT §5 and the one way to stop with one of them."""

from enum import IntEnum


class Code(IntEnum):
    """The exit codes; Typer itself ends with USAGE where the command line is wrong."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIGURATION = 3
    DENIED = 4
    NETWORK = 5
    NOT_FOUND = 6
    PARTLY = 7
    TIMED_OUT = 8


class Stop(Exception):
    """The command ends here with ``code``; the text goes to standard error and says what to do."""

    def __init__(self, code: Code, text: str = "") -> None:
        super().__init__(text)
        self.code = code
