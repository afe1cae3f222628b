"""Limits on what an artifact from a stranger may cost."""

import time
from collections.abc import Callable

from reprodiff.errors import LimitError

MIB = 1 << 20


class Budget:
    """The limits of one run, and what it leaves out: handed down, never global.

    depth    how many streams may lie inside each other
    decoded  bytes that all decoders together may produce
    members  members that all archives together may have
    memory   bytes of one decoded stream kept in memory; a longer one goes to an unnamed temporary file
    seconds  wall time of the whole run, None for no limit
    exclude  key of a member or file to whether it is not compared; None: all are
    excluded counts those that were not
    """

    __slots__ = ("deadline", "decoded", "depth", "exclude", "excluded", "members", "memory")

    def __init__(
        self,
        *,
        depth: int = 16,
        decoded: int = 16 << 30,
        members: int = 5_000_000,
        memory: int = 256 * MIB,
        seconds: float | None = None,
        exclude: Callable[[bytes], bool] | None = None,
    ) -> None:
        self.depth = depth
        self.decoded = decoded
        self.members = members
        self.memory = memory
        self.exclude = exclude
        self.excluded = 0
        self.deadline = None if seconds is None else time.monotonic() + seconds

    def spend(self, size: int) -> None:
        """Account for `size` decoded bytes; raise LimitError when none are left."""
        self.decoded -= size
        if self.decoded < 0:
            raise LimitError("the limit on decoded bytes is reached (--max-decoded raises it)")
        self.check_time()

    def count(self, members: int) -> None:
        """Account for `members` members; raise LimitError when none are left."""
        self.members -= members
        if self.members < 0:
            raise LimitError("the limit on archive members is reached (--max-members raises it)")

    def check_time(self) -> None:
        """Raise LimitError once the time of the run is over."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise LimitError("the time limit is reached (--timeout raises it)")
