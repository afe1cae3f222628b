"""Tables of texts whose rows stand in another order: what a generator wrote in the order of a hash, or of a locale.

That the order of a table means nothing is not known: all of this is only suspected.
"""

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from normalizers.elf.claims import images
from normalizers.patterns import Sure
from reprodiff.formats.program.names import ET_REL, RELATIVE, SHT_RELA
from reprodiff.rules import Rule

ROWS_MIN, STRIDE_MAX, ROWS_MAX = 4, 256, 1 << 14
HASH, LOCALE = "hash-seed-order", "locale-collation"
_TABLES = (b".data.rel.ro", b".data.rel.ro.local", b".data", b".rodata")
_PLACES = ("elf/.rela.dyn/relocation/r_addend", "elf/.data.rel.ro*", "elf/.data.rel.ro*/object[*]", "elf/.data", "elf/.data/object[*]",
           "elf/.rodata", "elf/.rodata/object[*]")  # fmt: skip
_TEXTS = ("elf/.rodata*", "elf/.rodata*/string[*]", "elf/.data*/string[*]")


class Table(NamedTuple):
    """start, stop: offsets in both files; addresses: of the left; texts: of the rows of both sides."""

    one: tuple[int, int]
    two: tuple[int, int]
    addresses: tuple[int, int]
    texts: tuple[list[bytes], list[bytes]]


def _text(image: Any, address: int) -> bytes | None:
    for section in image.sections:
        if (
            section.alloc
            and section.stored
            and not section.code
            and section.addr <= address < section.addr + section.size
        ):
            data: bytes = image.data(section)
            stop = data.find(b"\0", address - section.addr, address - section.addr + 4096)
            return data[address - section.addr : stop] if stop > address - section.addr else None
    return None


def _pointers(image: Any, section: Any) -> dict[int, bytes]:
    """Return what texts a section points at, by the offset of the pointer in it."""
    found: dict[int, bytes] = {}
    known = RELATIVE.get(image.machine, ())
    rows: list[tuple[int, int]] = []
    for table in image.sections:
        if table.type == SHT_RELA and table.alloc and table.stored and image.wide:
            data = image.data(table)
            for place, info, addend in struct.iter_unpack(f"{image.order}QQq", data[: len(data) // 24 * 24]):
                if info & 0xFFFFFFFF in known and section.addr <= place < section.addr + section.size:
                    rows.append((place - section.addr, addend))
    if not rows and image.wide and section.size < ROWS_MAX * 8:
        data = image.data(section)
        words = struct.unpack_from(f"{image.order}{len(data) // 8}Q", data)
        rows = [(8 * index, word) for index, word in enumerate(words) if word >= 0x1000]
    for offset, address in rows[:ROWS_MAX]:
        text = _text(image, address)
        if text is not None:
            found[offset] = text
    return found


def _table(both: tuple[Any, Any], one: Any, two: Any) -> Table | None:
    lefts, rights = _pointers(both[0], one), _pointers(both[1], two)
    places = sorted(lefts)
    if places != sorted(rights):
        return None
    odd = [place for place in places if lefts[place] != rights[place]]
    if len(odd) < 2:
        return None
    first, last = odd[0], odd[-1]
    data = both[0].data(one), both[1].data(two)
    inside = [place for place in places if first <= place <= last]
    step = min(b - a for a, b in pairwise(inside))
    for stride in range(step, STRIDE_MAX + 1, step):
        for start in range(first, first - stride, -8):
            stop = start + ((last - start) // stride + 1) * stride
            if start < 0 or stop > min(one.size, two.size) or (stop - start) // stride < ROWS_MIN:
                continue
            sides = [
                [_row(text, pointers, at, stride) for at in range(start, stop, stride)]
                for text, pointers in zip(data, (lefts, rights), strict=True)
            ]
            if sides[0] != sides[1] and sorted(sides[0]) == sorted(sides[1]):
                texts = [[row[1][0] if row[1] else b"" for row in side] for side in sides]
                return Table(
                    (one.offset + start, one.offset + stop),
                    (two.offset + start, two.offset + stop),
                    (one.addr + start, one.addr + stop),
                    (texts[0], texts[1]),
                )
    return None


def _row(data: bytes, pointers: dict[int, bytes], start: int, stride: int) -> tuple[bytes, tuple[bytes, ...]]:
    raw = bytearray(data[start : start + stride])
    texts = []
    for at in range(start, start + stride, 8):
        if at in pointers:
            raw[at - start : at - start + 8] = bytes(8)
            texts.append(pointers[at])
    return bytes(raw), tuple(texts)


def tables(evidence: Any) -> list[Table]:
    """Return the tables of both files that have the same rows in another order."""
    both = images(evidence)
    if (
        both is None
        or both[0].type == ET_REL
        or not any(where in evidence.comparison.changes or where.endswith("*]") for where in _PLACES)
    ):
        return []
    found = []
    for name in _TABLES:
        one, two = (image.by_name.get(name) for image in both)
        if one is not None and two is not None and one.stored and two.stored and one.size == two.size:
            table = _table(both, one, two)
            if table:
                found.append(table)
    return found


def _cause(table: Table) -> str:
    """Return what order the rows have: that of bytes on one side and of a language on the other, or none."""
    for texts, others in (table.texts, table.texts[::-1]):
        if texts == sorted(texts) and others == sorted(others, key=_letters):
            return LOCALE
    return HASH


def _letters(text: bytes) -> tuple[str, str]:
    import unicodedata

    plain = unicodedata.normalize("NFKD", text.decode("utf-8", "replace"))
    return "".join(c for c in plain if c.isalnum()).lower(), text.decode("utf-8", "replace").swapcase()


def _spans(change: Any) -> Iterator[tuple[int, int, int, int]]:
    for one, two in change.spans or (((change.l0, change.l1), (change.r0, change.r1)),):
        yield *one, *two


def _claim(cause: str) -> Any:
    def claim(change: Any, evidence: Any) -> Sure | None:
        found = evidence.once(tables)
        if not found or change.kind != "changed":
            return None
        addend = evidence.where.endswith("/r_addend")
        for table in found:
            if _cause(table) != cause:
                continue
            if all(_inside(table, evidence, span, addend) for span in _spans(change)):
                return "suspected"
        return None

    return claim


def _inside(table: Table, evidence: Any, span: tuple[int, int, int, int], addend: bool) -> bool:
    if not addend:
        return (
            table.one[0] <= span[0] and span[1] <= table.one[1] and table.two[0] <= span[2] and span[3] <= table.two[1]
        )
    # The field lies 16 bytes behind the start of its entry, whose first field says where it applies.
    start = span[0] // 8 * 8
    comparison = evidence.comparison
    order: Literal["little", "big"] = "little" if comparison.roots[0].info.order == "<" else "big"
    place = int.from_bytes(comparison.left.read(start - 16, start - 8), order)
    return table.addresses[0] <= place < table.addresses[1]


def _moved_text(cause: str) -> Any:
    def claim(change: Any, evidence: Any) -> Sure | None:
        """Suspect texts of such a table, which stand in another order as well."""
        for table in evidence.once(tables):
            known = {*table.texts[0], *table.texts[1]}
            sides = [side for side in (change.left, change.right) if side is not None]
            if _cause(table) == cause and all(text in known for side in sides for text in side.split(b"\0") if text):
                return "suspected"
        return None

    return claim


def rules() -> Iterator[Rule]:
    """Yield the rules."""
    why = {
        HASH: "the rows of a table in another order, as a hash gave them",
        LOCALE: "the rows of a table, as two locales sort them",
    }
    for cause in (HASH, LOCALE):
        for where in _PLACES:
            yield Rule(
                where, cause, why[cause], claim=_claim(cause), detail=None if where.endswith("r_addend") else _detail
            )
        for where in _TEXTS:
            for kind in ("changed", "one-sided"):
                yield Rule(where, cause, why[cause], None, kind, _moved_text(cause))


def _detail(_change: Any, evidence: Any) -> tuple[str, str]:
    table = evidence.once(tables)[0]
    pairs = list(zip(*table.texts, strict=True))
    start = next((i for i, (one, two) in enumerate(pairs) if one != two), 0)
    left, right = (
        ", ".join(t.decode("utf-8", "replace") for t in side[start : start + 4]) + ", …" for side in table.texts
    )
    return left, right
