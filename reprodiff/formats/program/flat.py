"""An image whose sections do not name each other: what PE and Mach-O files are to the comparison of programs."""

from collections.abc import Iterator
from typing import Any

from reprodiff.budget import Budget
from reprodiff.errors import FormatError
from reprodiff.formats.program.image import Section
from reprodiff.sources import Source


class Flat:
    """What `Program` has and such a file has not."""

    source: Source

    def data(self, section: Section) -> bytes:
        """Return the stored bytes of a section."""
        return self.source.read(section.offset, section.offset + section.stored)

    def decoded(self, section: Section, _budget: Budget) -> Source:
        """Raise FormatError: no section is compressed."""
        raise FormatError(f"{section.label} is not compressed")

    def linked(self, _section: Section) -> None:
        """Return None: no section names another one."""

    def symbols(self, _data: bytes) -> Iterator[Any]:
        """Yield nothing: symbols do not lie in a section."""
        return iter(())

    def string_place(self, _section: Section, _offset: int) -> None:
        """Return None: strings are told by their own place."""
