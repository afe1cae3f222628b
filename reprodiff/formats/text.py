"""Plain text: lines of bytes, each up to and including its line feed. Aligned by content, not by name."""

from reprodiff.budget import Budget
from reprodiff.formats import HEAD, Format, Hunk
from reprodiff.sources import Source
from reprodiff.textdiff import hunks as line_hunks
from reprodiff.tree import Group, Leaf, Node, Role, listed

CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\x0c\x1b\x08"))


def probe(head: bytes, _source: Source) -> bool:
    """Tell whether the first bytes are text: no control characters, and UTF-8 or another superset of ASCII."""
    if not head or len(head.translate(None, CONTROLS)) != len(head):
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(head) - error.start < 4 and len(head) >= HEAD:
            return True
        # An old eight-bit encoding: letters and spaces for the most part.
        return 4 * sum(byte >= 0x80 for byte in head) < len(head)
    return True


def hunks(left: bytes, right: bytes) -> list[Hunk]:
    """Return the line ranges that differ; the key is the number of the first line on the left, from 1."""
    found = []
    line, seen = 1, 0
    for l0, l1, r0, r1 in line_hunks(left, right):
        line += left.count(b"\n", seen, l0)
        seen = l0
        found.append(Hunk(str(line), (l0, l1), (r0, r1)))
    return found


def parse(source: Source, _budget: Budget) -> Group:
    """Return the lines as leaves."""
    return Group("text", 0, source.size, _lines, info=source)


def _lines(group: Group) -> list[Node]:
    nodes: list[Node] = []
    data = group.info.read(0, group.stop)
    at = 0
    for number, line in enumerate(_split(data), 1):
        text = Leaf("text", at, at + len(line), Role.VALUE)
        nodes.append(Group("line", at, text.stop, listed([text]), str(number).encode()))
        at = text.stop
    return nodes


def _split(data: bytes) -> list[bytes]:
    *lines, last = data.split(b"\n")
    return [line + b"\n" for line in lines] + ([last] if last else [])


FORMAT = Format("text", "lines end in LF", parse, hunks)
