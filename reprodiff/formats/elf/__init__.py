"""ELF files (System V gABI, Linux Standard Base, DWARF): every section to the last byte.

Sections are the partition of the file, segments only refer to it. `walk` compares two files by what they are made
of: what moved because something else grew is told apart from what changed.
"""

from reprodiff.budget import Budget
from reprodiff.errors import FormatError, MissingLibraryError
from reprodiff.formats import Format, Walk
from reprodiff.formats.elf.image import Image
from reprodiff.formats.elf.parts import partition
from reprodiff.sources import Source
from reprodiff.tree import Group, listed


def parse(source: Source, budget: Budget) -> Group:
    """Read the headers; sections are read when their children are asked for. info: the Image."""
    image = Image(source, budget)
    return Group("elf", 0, source.size, listed(partition(image)), info=image)


def walk(walk: Walk, left: Group, right: Group) -> None:
    """Compare two files; see docs/elf.md for how a moved pointer is told from a changed one.

    Raises FormatError when headers that are well-formed each for itself make no sense together.
    """
    import struct

    try:
        from reprodiff.formats.elf.walk import compare
    except ImportError as error:
        if error.name != "numpy":
            raise
        raise MissingLibraryError("comparing programs needs numpy (pip install numpy, or python3-numpy)") from error
    try:
        compare(walk, left, right)
    except (ValueError, IndexError, KeyError, OverflowError, struct.error) as error:
        raise FormatError(f"not a well-formed elf file ({error})") from error


FORMAT = Format("elf", "System V gABI 4.3, LSB 5, DWARF 5", parse, walk=walk)
