"""Tables of symbols and relocations as arrays, and the names in them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from reprodiff.formats.program.image import NAME_MAX, Program, Section
from reprodiff.formats.program.names import ET_REL, RELATIVE, SHT_RELA


def rows(data: bytes, image: Program, kind: str) -> Any:
    """Return a table as a structured array; kind: "symbol", "rel" or "rela"."""
    order, wide = image.order, image.wide
    word = f"{order}u8" if wide else f"{order}u4"
    if kind == "symbol":
        plain = [("st_name", f"{order}u4")]
        tail = [("st_info", "u1"), ("st_other", "u1"), ("st_shndx", f"{order}u2")]
        values = [("st_value", word), ("st_size", word)]
        dtype = np.dtype([*plain, *tail, *values] if wide else [*plain, *values, *tail])
    else:
        dtype = np.dtype([("r_offset", word), ("r_info", word), *([("r_addend", word)] if kind == "rela" else [])])
    return np.frombuffer(data[: len(data) // dtype.itemsize * dtype.itemsize], dtype)


def relative(image: Program, data: Callable[[Section], bytes]) -> tuple[Any, Any]:
    """Return where relative relocations apply (DT_RELA), in order, and what they put there, as arrays. data: returns the
    bytes of a section."""
    tables = [s for s in image.sections if s.type == SHT_RELA and s.alloc and s.stored]
    found = [np.zeros((0, 3), np.int64)]
    for table in tables if image.type != ET_REL else ():
        each = np.frombuffer(data(table)[: table.size // (3 * image.word) * 3 * image.word],
                             f"{image.order}i{image.word}").reshape(-1, 3)  # fmt: skip
        mask = 0xFFFFFFFF if image.wide else 0xFF
        found.append(each[np.isin(each[:, 1] & mask, RELATIVE.get(image.machine, ()))].astype(np.int64))
    all_of = np.concatenate(found)
    all_of = all_of[np.argsort(all_of[:, 0], kind="stable")]
    return all_of[:, 0], all_of[:, 2]


def strings(table: bytes, offsets: Any) -> list[bytes]:
    """Return the NUL-terminated strings at offsets, each as `image.string` does."""
    ends = np.append(np.flatnonzero(np.frombuffer(table, np.uint8) == 0), len(table))
    starts = offsets.astype(np.int64)
    stops = np.minimum(ends[np.minimum(np.searchsorted(ends, starts), len(ends) - 1)], starts + NAME_MAX)
    return [table[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
