"""What refers to the strings of the dynamic string table, as offsets into it."""

import struct

from reprodiff.formats.elf.image import Image
from reprodiff.formats.elf.names import DT_RPATH, DT_RUNPATH, STRING_TAGS
from reprodiff.formats.program.image import Section
from reprodiff.formats.program.names import SHT_DYNAMIC, SHT_GNU_VERDEF, SHT_GNU_VERNEED


def search_paths(image: Image, section: Section) -> set[int]:
    """Return where in a string table a search path begins that nothing else uses, not even the end of it."""
    dynamic = next((s for s in image.sections if s.type == SHT_DYNAMIC and s.stored), None)
    table = image.linked(dynamic) if dynamic else None
    if dynamic is None or table is None or table.number != section.number:
        return set()
    entries = image.dynamic(image.data(dynamic))
    paths = {value for tag, value in entries if tag in {DT_RPATH, DT_RUNPATH}}
    if not paths:
        return set()
    others = {value for tag, value in entries if tag in STRING_TAGS and tag not in {DT_RPATH, DT_RUNPATH}}
    others |= _names(image, section, dynamic)
    data = image.data(section)
    return {
        start
        for start in paths
        if data.find(b"\0", start) > start
        and data[start - 1 : start] == b"\0"
        and not any(start <= place <= data.find(b"\0", start) for place in others)
    }


def used(image: Image, section: Section) -> list[int]:
    """Return the offsets into the dynamic string table that anything refers to, in order."""
    dynamic = next((s for s in image.sections if s.type == SHT_DYNAMIC and s.stored), None)
    entries = image.dynamic(image.data(dynamic)) if dynamic else []
    return sorted({value for tag, value in entries if tag in STRING_TAGS} | _names(image, section, dynamic))


def _names(image: Image, section: Section, dynamic: Section | None) -> set[int]:
    """Return the offsets into a string table that symbols and versions hold."""
    others: set[int] = set()
    for other in image.sections:
        if not other.stored or other.link != section.number or (dynamic and other.number == dynamic.number):
            continue
        if other.type in {SHT_GNU_VERDEF, SHT_GNU_VERNEED}:
            others.update(version_names(image.data(other), image.order, other.type))
        elif other.entsize == image.layout.symbol.size:
            others.update(row[0] for row in image.symbols(image.data(other)))
    return others


def version_fields(data: bytes, order: str, kind: int) -> list[int]:
    """Return the offsets of the fields that name files and versions (LSB 10.7.2.2, 10.7.2.3), in order."""
    found: set[int] = set()
    at = 0
    while at + 16 <= len(data):
        if kind == SHT_GNU_VERNEED:
            count, _name, aux, after = struct.unpack_from(f"{order}2xHIII", data, at)
            found.add(at + 4)
            step, field = 16, 8
        else:
            if at + 20 > len(data):
                break
            count, aux, after = struct.unpack_from(f"{order}6xH4xII", data, at)
            step, field = 8, 0
        place = at + aux
        for _ in range(count):
            if place + step > len(data) or len(found) > len(data):
                break
            found.add(place + field)
            following = struct.unpack_from(f"{order}I", data, place + step - 4)[0]
            if not following:
                break
            place += following
        if not after:
            break
        at += after
    return sorted(found)


def version_names(data: bytes, order: str, kind: int) -> list[int]:
    """Return the offsets into the string table that a version section holds."""
    return [struct.unpack_from(f"{order}I", data, at)[0] for at in version_fields(data, order, kind)]
