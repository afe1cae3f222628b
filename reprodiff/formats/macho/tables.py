"""Layouts of Mach-O files (mach-o/loader.h, mach-o/fat.h, mach-o/nlist.h; field names are their own)."""

from functools import cache
from typing import Literal, NamedTuple

from reprodiff.codecs import RAW, TEXT, Codec, integer, show_time
from reprodiff.formats.parts import Row, itself
from reprodiff.tree import Derive, Field, Refs, Role, Table

Order = Literal["little", "big"]

CPUS = {7: "i386", 0x1000007: "x86_64", 12: "arm", 0x100000C: "arm64", 0x200000C: "arm64_32", 18: "ppc",
        0x1000012: "ppc64"}  # fmt: skip
COMMANDS = {
    0x01: "lc_segment", 0x02: "lc_symtab", 0x04: "lc_thread", 0x05: "lc_unixthread", 0x0B: "lc_dysymtab",
    0x0C: "lc_load_dylib", 0x0D: "lc_id_dylib", 0x0E: "lc_load_dylinker", 0x0F: "lc_id_dylinker", 0x11: "lc_routines",
    0x12: "lc_sub_framework", 0x13: "lc_sub_umbrella", 0x14: "lc_sub_client", 0x15: "lc_sub_library",
    0x16: "lc_twolevel_hints", 0x17: "lc_prebind_cksum", 0x19: "lc_segment_64", 0x1A: "lc_routines_64", 0x1B: "lc_uuid",
    0x1D: "lc_code_signature", 0x1E: "lc_segment_split_info", 0x20: "lc_lazy_load_dylib", 0x21: "lc_encryption_info",
    0x22: "lc_dyld_info", 0x24: "lc_version_min_macosx", 0x25: "lc_version_min_iphoneos", 0x26: "lc_function_starts",
    0x27: "lc_dyld_environment", 0x29: "lc_data_in_code", 0x2A: "lc_source_version", 0x2B: "lc_dylib_code_sign_drs",
    0x2C: "lc_encryption_info_64", 0x2D: "lc_linker_option", 0x2E: "lc_linker_optimization_hint",
    0x2F: "lc_version_min_tvos", 0x30: "lc_version_min_watchos", 0x31: "lc_note", 0x32: "lc_build_version",
    0x80000018: "lc_load_weak_dylib", 0x8000001C: "lc_rpath", 0x8000001F: "lc_reexport_dylib",
    0x80000022: "lc_dyld_info_only", 0x80000023: "lc_load_upward_dylib", 0x80000028: "lc_main",
    0x80000033: "lc_dyld_exports_trie", 0x80000034: "lc_dyld_chained_fixups", 0x80000035: "lc_fileset_entry",
}  # fmt: skip
DYLIBS = frozenset({0x0C, 0x0D, 0x20, 0x80000018, 0x8000001F, 0x80000023})
# Commands whose one string lies behind an offset: linkers, frameworks, clients, rpaths, environments.
STRINGS = frozenset({0x0E, 0x0F, 0x12, 0x13, 0x14, 0x15, 0x27, 0x8000001C})
LINKEDIT = frozenset({0x1D, 0x1E, 0x26, 0x29, 0x2B, 0x2E, 0x80000033, 0x80000034})
DYLD_INFO = frozenset({0x22, 0x80000022})
SEGMENT, SEGMENT_64, SYMTAB, DYSYMTAB, UUID, CODE_SIGNATURE = 0x01, 0x19, 0x02, 0x0B, 0x1B, 0x1D
DYLD_PARTS = ("rebase", "bind", "weak_bind", "lazy_bind", "export")


def _uuid(raw: bytes) -> str:
    text = raw.hex().upper()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


UUID_CODEC = Codec(bytes, lambda value, _size: value, _uuid)


class Layout(NamedTuple):
    """Tables of one byte order and word size. By bool: whether all parts that the command points to were found."""

    order: Order
    wide: bool
    header: Table
    command: Table
    segment: Table
    linkedit: Table
    section: dict[tuple[bool, bool], Table]
    symtab: dict[bool, Table]
    dyld_info: dict[bool, Table]
    data: dict[bool, Table]
    dylib: Table
    string: Table
    dysymtab: dict[bool, Table]
    uuid: tuple[Row, ...]
    symbol: tuple[Row, ...]


def _where(name: str, order: Order) -> Derive:
    return lambda _raw, refs: (refs.offset(name) & 0xFFFFFFFF if refs.has(name) else 0).to_bytes(4, order)


def _size(name: str, order: Order, unit: int = 1, width: int = 4) -> Derive:
    most = (1 << 8 * width) - 1
    return lambda _raw, refs: (refs.size(name) // unit & most if refs.has(name) else 0).to_bytes(width, order)


@cache
def layout(order: Order, *, wide: bool) -> Layout:
    """Return the tables for a byte order and a word size (wide: 64 bit)."""
    number, word = integer(order), integer(order, hex)
    time = integer(order, show_time)
    address = 8 if wide else 4

    def count(_raw: bytes, refs: Refs) -> bytes:
        number = 0
        while refs.has(f"command {number}"):
            number += 1
        return number.to_bytes(4, order)

    def head(*more: Field) -> Table:
        return Table(
            Field("cmd", 4, word, Role.FIXED),
            Field("cmdsize", 4, number, Role.DERIVED, _size("command", order)),
            *more,
        )

    def part(prefix: str, offset: str, size: str, unit: int = 1, *, found: bool) -> tuple[Field, Field]:
        if not found:
            return Field(offset, 4, word), Field(size, 4, number)
        return (
            Field(offset, 4, word, Role.DERIVED, _where(prefix, order)),
            Field(size, 4, number, Role.DERIVED, _size(prefix, order, unit)),
        )

    def dysymtab(*, found: bool) -> Table:
        return head(
            *(Field(name, 4, number) for name in (
                "ilocalsym", "nlocalsym", "iextdefsym", "nextdefsym", "iundefsym", "nundefsym", "tocoff", "ntoc",
                "modtaboff", "nmodtab", "extrefsymoff", "nextrefsyms",
            )),
            *part("indirect", "indirectsymoff", "nindirectsyms", 4, found=found),
            *(Field(name, 4, number) for name in ("extreloff", "nextrel", "locreloff", "nlocrel")),
        )  # fmt: skip

    def segment(*, linkedit: bool) -> Table:
        # The last segment reaches to the end of the file.
        def rest(raw: bytes, refs: Refs) -> bytes:
            start = int.from_bytes(raw[24 + 2 * address : 24 + 3 * address], order)
            return (refs.size("file") - start & (1 << 8 * address) - 1).to_bytes(address, order)

        return head(
            Field("segname", 16, TEXT),
            Field("vmaddr", address, word),
            Field("vmsize", address, word),
            Field("fileoff", address, word),
            Field("filesize", address, number, *((Role.DERIVED, rest) if linkedit else ())),
            Field("maxprot", 4, word),
            Field("initprot", 4, word),
            Field("nsects", 4, number),
            Field("flags", 4, word),
        )

    def section(*, stored: bool, moved: bool) -> Table:
        derived = Role.DERIVED
        return Table(
            Field("sectname", 16, TEXT),
            Field("segname", 16, TEXT),
            Field("addr", address, word),
            Field("size", address, number, *((derived, _size("data", order, 1, address)) if stored else ())),
            Field("offset", 4, word, *((derived, _where("data", order)) if stored else ())),
            Field("align", 4, number),
            Field("reloff", 4, word, *((derived, _where("relocations", order)) if moved else ())),
            Field("nreloc", 4, number, *((derived, _size("relocations", order, 8)) if moved else ())),
            Field("flags", 4, word),
            *(Field(f"reserved{i}", 4, number) for i in range(1, 4 if wide else 3)),
        )

    symbol = address + 8
    return Layout(
        order,
        wide,
        Table(
            Field("magic", 4, RAW, Role.FIXED),
            Field("cputype", 4, Codec(word.decode, word.encode, lambda v: CPUS.get(v, hex(v)))),
            Field("cpusubtype", 4, word),
            Field("filetype", 4, number),
            Field("ncmds", 4, number, Role.DERIVED, count),
            Field("sizeofcmds", 4, number, Role.DERIVED, _size("commands", order)),
            Field("flags", 4, word),
            *((Field("reserved", 4, number),) if wide else ()),
        ),
        head(),
        segment(linkedit=False),
        segment(linkedit=True),
        {(stored, moved): section(stored=stored, moved=moved) for stored in (False, True) for moved in (False, True)},
        {
            found: head(*part("symbols", "symoff", "nsyms", symbol, found=found),
                        *part("strings", "stroff", "strsize", found=found))
            for found in (False, True)
        },
        {
            found: head(*(field for name in DYLD_PARTS
                          for field in part(name, f"{name}_off", f"{name}_size", found=found)))
            for found in (False, True)
        },
        {found: head(*part("data", "dataoff", "datasize", found=found)) for found in (False, True)},
        head(
            Field("name", 4, number),
            Field("timestamp", 4, time),
            Field("current_version", 4, word),
            Field("compatibility_version", 4, word),
        ),
        head(Field("offset", 4, number)),
        {found: dysymtab(found=found) for found in (False, True)},
        (
            Row("cmd", 4, word, Role.FIXED),
            Row("cmdsize", 4, number, Role.FIXED),
            Row("uuid", 16, UUID_CODEC, Role.DERIVED, itself),
        ),
        (
            Row("n_strx", 4, number),
            Row("n_type", 1, word),
            Row("n_sect", 1, number),
            Row("n_desc", 2, word),
            Row("n_value", address, time),
        ),
    )  # fmt: skip


def _cut(value: int, width: int) -> bytes:
    return (value & (1 << 8 * width) - 1).to_bytes(width, "big")


@cache
def fat(*, wide: bool) -> Table:
    """Return a fat binary's entry of one file; wide: fat_arch_64."""
    width = 8 if wide else 4
    big = integer("big")
    return Table(
        Field("cputype", 4, Codec(big.decode, big.encode, lambda v: CPUS.get(v, hex(v)))),
        Field("cpusubtype", 4, integer("big", hex)),
        Field("offset", width, big, Role.DERIVED, lambda _raw, refs: _cut(refs.offset("content"), width)),
        Field("size", width, big, Role.DERIVED, lambda _raw, refs: _cut(refs.size("content"), width)),
        Field("align", 4, big),
        *((Field("reserved", 4, big),) if wide else ()),
    )


FAT = Table(Field("magic", 4, RAW, Role.FIXED), Field("nfat_arch", 4, integer("big"), Role.FIXED))
