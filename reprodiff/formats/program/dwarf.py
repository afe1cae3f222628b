"""The units and records that debug information and frame tables consist of (DWARF 5, LSB 10.6)."""

import struct
from collections.abc import Iterator


def units(data: bytes, order: str) -> Iterator[tuple[int, int, int, int]]:
    """Yield (start, stop, offset size, version) of the units in a row of a DWARF section (DWARF 5, 7.4)."""
    at = 0
    while at + 6 <= len(data):
        size = struct.unpack_from(f"{order}I", data, at)[0]
        head, width = 4, 4
        if size == 0xFFFFFFFF and at + 14 <= len(data):
            size = struct.unpack_from(f"{order}Q", data, at + 4)[0]
            head, width = 12, 8
        stop = at + head + size
        if size < 2 or stop > len(data):
            return
        yield at, stop, width, struct.unpack_from(f"{order}H", data, at + head)[0]
        at = stop


def unit_head(name: bytes, width: int, version: int, kind: int) -> list[tuple[str, int]]:
    """Return the fields of a unit's header after its length (DWARF 5, 7.5.1, 6.1.2, 6.2.4, 7.28)."""
    if name in {b".debug_info", b".debug_types"}:
        if version < 5:
            fields = [("version", 2), ("debug_abbrev_offset", width), ("address_size", 1)]
            return fields + ([("type_signature", 8), ("type_offset", width)] if name == b".debug_types" else [])
        fields = [("version", 2), ("unit_type", 1), ("address_size", 1), ("debug_abbrev_offset", width)]
        if kind in {4, 5}:
            return [*fields, ("dwo_id", 8)]
        return [*fields, ("type_signature", 8), ("type_offset", width)] if kind in {2, 6} else fields
    if name == b".debug_aranges":
        return [("version", 2), ("debug_info_offset", width), ("address_size", 1), ("segment_selector_size", 1)]
    if name == b".debug_line":
        sizes = [("address_size", 1), ("segment_selector_size", 1)] if version >= 5 else []
        return [("version", 2), *sizes, ("header_length", width), ("minimum_instruction_length", 1)]
    if name in {b".debug_rnglists", b".debug_loclists"}:
        return [("version", 2), ("address_size", 1), ("segment_selector_size", 1), ("offset_entry_count", 4)]
    if name == b".debug_str_offsets":
        return [("version", 2), ("padding", 2)]
    if name == b".debug_addr":
        return [("version", 2), ("address_size", 1), ("segment_selector_size", 1)]
    return [("version", 2)]


def frames(data: bytes, order: str) -> Iterator[tuple[int, int, int]]:
    """Yield (start, stop, CIE pointer) of the records of a frame table; 0 marks a CIE, -1 the terminator (LSB 10.6)."""
    word = struct.Struct(f"{order}I").unpack_from
    at, end = 0, len(data)
    while at + 4 <= end:
        size = word(data, at)[0]
        if size == 0:
            yield at, at + 4, -1
            at += 4
            continue
        head = 4
        if size == 0xFFFFFFFF and at + 12 <= end:
            size = struct.unpack_from(f"{order}Q", data, at + 4)[0]
            head = 12
        stop = at + head + size
        if size < 4 or stop > end:
            return
        yield at, stop, word(data, at + head)[0]
        at = stop
