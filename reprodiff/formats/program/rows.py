"""Tables of symbols and relocations as arrays, and the names in them."""

from typing import Any

import numpy as np

from reprodiff.formats.program.image import NAME_MAX, Program


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


def strings(table: bytes, offsets: Any) -> list[bytes]:
    """Return the NUL-terminated strings at offsets, each as `image.string` does."""
    ends = np.append(np.flatnonzero(np.frombuffer(table, np.uint8) == 0), len(table))
    starts = offsets.astype(np.int64)
    stops = np.minimum(ends[np.minimum(np.searchsorted(ends, starts), len(ends) - 1)], starts + NAME_MAX)
    return [table[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
