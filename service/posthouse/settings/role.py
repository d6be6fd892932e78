"""What one process of the service does: all of it, or with a spool in PostgreSQL one half (CONTRACT §5)."""

from enum import StrEnum


class Role(StrEnum):
    """What a process does; on SQLite one does all."""

    ALL = "all"
    DOORS = "doors"
    WORKER = "worker"

    @property
    def takes(self) -> bool:
        """Whether it takes messages."""
        return self is not Role.WORKER

    @property
    def sends(self) -> bool:
        """Whether it sends them."""
        return self is not Role.DOORS
