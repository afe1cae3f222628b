"""The tree of a file as text and as JSON (`reprodiff.inspect/1`), written while it is walked."""

import json
from collections.abc import Iterator

from reprodiff.codecs import printable
from reprodiff.listing import SCHEMA, Row

WIDE = 60
TO = "\u2013"


def as_text(rows: Iterator[Row]) -> Iterator[str]:
    """Yield one line a node: span, role, path, value, and a note where something is not as it should be."""
    for row in rows:
        value = row.value if len(row.value) <= WIDE else row.value[: WIDE - 1] + "…"
        note = f"  ({printable(row.note)})" if row.note else ""
        span = f"{row.span[0]}{TO}{row.span[1]}"
        yield f"{span:>21}  {row.role:<7}  {row.path}{'  ' if value else ''}{value}{note}\n"


def as_json(path: str, size: int, rows: Iterator[Row]) -> Iterator[str]:
    """Yield a JSON document with all nodes in order."""
    head = json.dumps({"schema": SCHEMA, "path": printable(path), "size": size})
    yield f'{head[:-1]}, "nodes": ['
    comma = "\n "
    for row in rows:
        yield comma + json.dumps(row.as_json())
        comma = ",\n "
    yield "\n]}\n"
