"""What a value breaks, said so that whoever wrote it can mend it."""


class RuleError(ValueError):
    """A value breaks a rule; the text names it, ``at`` is the place inside the value, as a JSON pointer.

    ``missing`` says that the rule is to have the value at all.
    """

    def __init__(self, rule: str, *, at: str = "", missing: bool = False) -> None:
        super().__init__(rule)
        self.at = at
        self.missing = missing
