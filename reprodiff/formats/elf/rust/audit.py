"""The list of crates that cargo-auditable puts into a program (.dep-v0): JSON, compressed with zlib."""

from typing import Any

from reprodiff.codecs import RAW
from reprodiff.formats import Walk
from reprodiff.formats.program.around import Stream
from reprodiff.formats.program.sides import Both

SIZE_MAX = 8 << 20
SHOWN = 4


def packages(data: bytes) -> list[dict[str, Any]] | None:
    """Return what is listed, None where it is no such list."""
    import json
    import zlib

    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, SIZE_MAX)
        found = json.loads(text) if unpacker.eof and not unpacker.unused_data else None
    except (zlib.error, ValueError, RecursionError):
        return None
    rows = found.get("packages") if isinstance(found, dict) else None
    return rows if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else None


def _called(row: dict[str, Any]) -> str:
    return f"{row.get('name')} {row.get('version')}"


def compare(walk: Walk, _both: Both, where: str, stream: Stream) -> bool:
    """Put the lists as one change; False, and nothing noted, where they are none or say the same."""
    one, two = packages(stream.left), packages(stream.right)
    if one is None or two is None or one == two:
        return False
    sides = [[row for row in rows if row not in others] for rows, others in ((one, two), (two, one))]
    shown = [", ".join(map(_called, rows[:SHOWN])) + (", …" if len(rows) > SHOWN else "") for rows in sides]
    spans = (stream.one, stream.one + len(stream.left)), (stream.two, stream.two + len(stream.right))
    walk.put(f"{where}/packages", (), *spans, RAW, shown=(shown[0] or "none", shown[1] or "none"))
    return True
