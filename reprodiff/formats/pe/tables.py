"""Layouts of PE images and COFF objects (Microsoft PE/COFF specification; field names are its own, in lower case)."""

from functools import cache

from reprodiff.codecs import LE, LE_HEX, LE_TIME, RAW, TEXT, Codec
from reprodiff.formats.parts import Row, itself
from reprodiff.tree import Derive, Field, Refs, Role, Table

MACHINES = {0x14C: "i386", 0x8664: "amd64", 0x1C0: "arm", 0x1C4: "armnt", 0xAA64: "arm64", 0x200: "ia64", 0xEBC: "ebc",
            0x5032: "riscv32", 0x5064: "riscv64", 0xA641: "arm64ec"}  # fmt: skip
DIRECTORIES = ("export", "import", "resource", "exception", "certificate", "basereloc", "debug", "architecture",
               "globalptr", "tls", "loadconfig", "boundimport", "iat", "delayimport", "clr", "reserved")  # fmt: skip
DEBUG_TYPES = {0: "unknown", 1: "coff", 2: "codeview", 3: "fpo", 4: "misc", 5: "exception", 6: "fixup", 9: "borland",
               12: "vc_feature", 13: "pogo", 14: "iltcg", 16: "repro", 17: "embedded", 19: "checksum",
               20: "ex_dllcharacteristics"}  # fmt: skip
CHECKSUM = 64

MACHINE = Codec(
    lambda raw: int.from_bytes(raw, "little"),
    lambda value, size: int(value).to_bytes(size, "little"),
    lambda value: MACHINES.get(value, hex(value)),
)

DOS = Table(
    Field("e_magic", 2, RAW, Role.FIXED),
    *(Field(name, 2, LE) for name in (
        "e_cblp", "e_cp", "e_crlc", "e_cparhdr", "e_minalloc", "e_maxalloc", "e_ss", "e_sp", "e_csum", "e_ip", "e_cs",
        "e_lfarlc", "e_ovno",
    )),
    Field("e_res", 8, RAW),
    Field("e_oemid", 2, LE),
    Field("e_oeminfo", 2, LE),
    Field("e_res2", 20, RAW),
    Field("e_lfanew", 4, LE_HEX, Role.DERIVED, lambda _raw, refs: _u32(refs.offset("pe"))),
)  # fmt: skip


def _u32(value: int) -> bytes:
    return (value & 0xFFFFFFFF).to_bytes(4, "little")


def _offset(name: str) -> Derive:
    return lambda _raw, refs: _u32(refs.offset(name) if refs.has(name) else 0)


def _count(name: str, unit: int, width: int) -> Derive:
    most = (1 << 8 * width) - 1
    return lambda _raw, refs: (refs.size(name) // unit & most if refs.has(name) else 0).to_bytes(width, "little")


@cache
def stamp(*, hashed: bool) -> Row:
    """Return the row of a TimeDateStamp; hashed: with /Brepro it is made from the content."""
    if hashed:
        return Row("timedatestamp", 4, LE_HEX, Role.DERIVED, itself)
    return Row("timedatestamp", 4, LE_TIME)


@cache
def file_header(*, hashed: bool) -> tuple[Row, ...]:
    """Return the COFF file header (section 3.3)."""
    return (
        Row("machine", 2, MACHINE),
        Row("numberofsections", 2, LE, Role.DERIVED, _count("sections", 40, 2)),
        stamp(hashed=hashed),
        Row("pointertosymboltable", 4, LE_HEX, Role.DERIVED, _offset("symbols")),
        Row("numberofsymbols", 4, LE, Role.DERIVED, _count("symbols", 18, 4)),
        Row("sizeofoptionalheader", 2, LE, Role.DERIVED, _count("optional", 1, 2)),
        Row("characteristics", 2, LE_HEX),
    )


# ANON_OBJECT_HEADER_BIGOBJ of winnt.h: objects with more than 65,279 sections.
BIG_HEADER = (
    Row("sig", 4, RAW, Role.FIXED),
    Row("version", 2, LE, Role.FIXED),
    Row("machine", 2, MACHINE),
    Row("timedatestamp", 4, LE_TIME),
    Row("classid", 16, RAW, Role.FIXED),
    Row("sizeofdata", 4, LE),
    Row("flags", 4, LE_HEX),
    Row("metadatasize", 4, LE),
    Row("metadataoffset", 4, LE),
    Row("numberofsections", 4, LE, Role.DERIVED, _count("sections", 40, 4)),
    Row("pointertosymboltable", 4, LE_HEX, Role.DERIVED, _offset("symbols")),
    Row("numberofsymbols", 4, LE, Role.DERIVED, _count("symbols", 20, 4)),
)

# The import header (section 8) of a member of an import library.
IMPORT_HEADER = (
    Row("sig", 4, RAW, Role.FIXED),
    Row("version", 2, LE, Role.FIXED),
    Row("machine", 2, MACHINE),
    Row("timedatestamp", 4, LE_TIME),
    Row("sizeofdata", 4, LE, Role.DERIVED, _count("names", 1, 4)),
    Row("ordinal", 2, LE),
    Row("type", 2, LE_HEX),
)


def security_directory(_raw: bytes, refs: Refs) -> bytes:
    """Return the certificate table's entry: a file offset and a size, unlike all others."""
    if not refs.has("certificates"):
        return bytes(8)
    return _u32(refs.offset("certificates")) + _u32(refs.size("certificates"))


def checksum(whole: bytes, refs: Refs) -> bytes:
    """Return the CheckSum of the image as CheckSumMappedFile gives it; one that was never set stays 0."""
    if not any(whole[CHECKSUM : CHECKSUM + 4]):
        return bytes(4)
    data = bytearray(refs.raw("file"))
    at = refs.offset("optional") + CHECKSUM
    data[at : at + 4] = bytes(4)
    if refs.has("security"):
        # It lies behind this field and is laid out later.
        entry = refs.offset("security")
        data[entry : entry + 8] = security_directory(b"", refs)
    size = len(data)
    # The sum of 16-bit words with their carries added is the number that they make, modulo 2**16 - 1.
    total = 0
    for start in range(0, size, 1 << 16):
        total += int.from_bytes(data[start : start + (1 << 16)], "little") % 0xFFFF
    return _u32((total % 0xFFFF or 0xFFFF) + size)


def _optional(*, plus: bool, summed: bool) -> Table:
    wide = 8 if plus else 4
    sizes = [Field(name, wide, LE_HEX) for name in (
        "sizeofstackreserve", "sizeofstackcommit", "sizeofheapreserve", "sizeofheapcommit",
    )]  # fmt: skip
    return Table(
        Field("magic", 2, LE_HEX, Role.FIXED),
        Field("majorlinkerversion", 1, LE),
        Field("minorlinkerversion", 1, LE),
        *(Field(name, 4, LE_HEX) for name in (
            "sizeofcode", "sizeofinitializeddata", "sizeofuninitializeddata", "addressofentrypoint", "baseofcode",
        )),
        *(() if plus else (Field("baseofdata", 4, LE_HEX),)),
        Field("imagebase", wide, LE_HEX),
        Field("sectionalignment", 4, LE_HEX),
        Field("filealignment", 4, LE_HEX),
        *(Field(name, 2, LE) for name in (
            "majoroperatingsystemversion", "minoroperatingsystemversion", "majorimageversion", "minorimageversion",
            "majorsubsystemversion", "minorsubsystemversion",
        )),
        Field("win32versionvalue", 4, LE),
        Field("sizeofimage", 4, LE_HEX),
        Field("sizeofheaders", 4, LE_HEX),
        Field("checksum", 4, LE_HEX, Role.DERIVED if summed else Role.VALUE, checksum if summed else None),
        Field("subsystem", 2, LE),
        Field("dllcharacteristics", 2, LE_HEX),
        *sizes,
        Field("loaderflags", 4, LE_HEX),
        Field("numberofrvaandsizes", 4, LE, Role.DERIVED, _count("directories", 8, 4)),
    )  # fmt: skip


# By (PE32+, whether CheckSum is set): that it is not set follows from nothing.
OPTIONAL = {(plus, summed): _optional(plus=plus, summed=summed) for plus in (False, True) for summed in (False, True)}
DIRECTORY = Table(Field("virtualaddress", 4, LE_HEX), Field("size", 4, LE_HEX))
CERTIFICATE_DIRECTORY = Table(Field("pointer_and_size", 8, RAW, Role.DERIVED, security_directory))


def _section(*, stored: bool, relocation: int) -> Table:
    where = Role.DERIVED if stored else Role.VALUE
    return Table(
        Field("name", 8, TEXT),
        Field("virtualsize", 4, LE_HEX),
        Field("virtualaddress", 4, LE_HEX),
        Field("sizeofrawdata", 4, LE_HEX, where, _count("data", 1, 4) if stored else None),
        Field("pointertorawdata", 4, LE_HEX, where, _offset("data") if stored else None),
        Field("pointertorelocations", 4, LE_HEX, Role.DERIVED if relocation else Role.VALUE,
              _offset("relocations") if relocation else None),
        Field("pointertolinenumbers", 4, LE_HEX),
        Field("numberofrelocations", 2, LE, Role.DERIVED if relocation else Role.VALUE,
              _count("relocations", relocation, 2) if relocation else None),
        Field("numberoflinenumbers", 2, LE),
        Field("characteristics", 4, LE_HEX),
    )  # fmt: skip


RELOCATION = 10
# By (whether there is raw data, whether there are relocations): what is not there is no place that could move.
SECTION = {
    (stored, moved): _section(stored=stored, relocation=RELOCATION if moved else 0)
    for stored in (False, True)
    for moved in (False, True)
}


@cache
def debug_entry(*, hashed: bool) -> tuple[Row, ...]:
    """Return the start of an entry of the debug directory (section 5.1.1)."""
    return (Row("characteristics", 4, LE_HEX), stamp(hashed=hashed))


def _debug_data(*, bound: bool) -> Table:
    where = Role.DERIVED if bound else Role.VALUE
    return Table(
        Field("majorversion", 2, LE),
        Field("minorversion", 2, LE),
        Field("type", 4, LE),
        Field("sizeofdata", 4, LE, where, _count("data", 1, 4) if bound else None),
        Field("addressofrawdata", 4, LE_HEX),
        Field("pointertorawdata", 4, LE_HEX, where, _offset("data") if bound else None),
    )


# The rest of it, by whether its data was found.
DEBUG_DATA = {bound: _debug_data(bound=bound) for bound in (False, True)}


@cache
def export_directory(*, hashed: bool) -> tuple[Row, ...]:
    """Return the export directory table (section 6.3.1)."""
    return (
        Row("exportflags", 4, LE_HEX),
        stamp(hashed=hashed),
        Row("majorversion", 2, LE),
        Row("minorversion", 2, LE),
        *(Row(name, 4, LE_HEX) for name in (
            "namerva", "ordinalbase", "addresstableentries", "numberofnamepointers", "exportaddresstablerva",
            "namepointerrva", "ordinaltablerva",
        )),
    )  # fmt: skip


IMPORT = Table(
    Field("importlookuptablerva", 4, LE_HEX),
    Field("timedatestamp", 4, LE_TIME),
    Field("forwarderchain", 4, LE_HEX),
    Field("namerva", 4, LE_HEX),
    Field("importaddresstablerva", 4, LE_HEX),
)
BOUND_IMPORT = Table(
    Field("timedatestamp", 4, LE_TIME),
    Field("offsetmodulename", 2, LE_HEX),
    Field("numberofmoduleforwarderrefs", 2, LE),
)
LOAD_CONFIG = Table(
    Field("size", 4, LE), Field("timedatestamp", 4, LE_TIME), Field("majorversion", 2, LE), Field("minorversion", 2, LE)
)
RESOURCE_DIRECTORY = Table(
    Field("characteristics", 4, LE_HEX),
    Field("timedatestamp", 4, LE_TIME),
    Field("majorversion", 2, LE),
    Field("minorversion", 2, LE),
    Field("numberofnameentries", 2, LE),
    Field("numberofidentries", 2, LE),
)


def _resource_data(*, bound: bool) -> Table:
    return Table(
        Field("datarva", 4, LE_HEX),
        Field("size", 4, LE, Role.DERIVED if bound else Role.VALUE, _count("data", 1, 4) if bound else None),
        Field("codepage", 4, LE),
        Field("reserved", 4, LE),
    )


RESOURCE_DATA = {bound: _resource_data(bound=bound) for bound in (False, True)}
CERTIFICATE = Table(
    Field("dwlength", 4, LE, Role.DERIVED, lambda _raw, refs: _u32(8 + refs.size("certificate"))),
    Field("wrevision", 2, LE_HEX),
    Field("wcertificatetype", 2, LE_HEX),
)


def _rich(raw: bytes) -> tuple[tuple[int, int, int], ...]:
    """Decode a Rich header: (product id, build, count) of each tool that made an object."""
    key = int.from_bytes(raw[-4:], "little")
    words = [int.from_bytes(raw[at : at + 4], "little") ^ key for at in range(16, len(raw) - 8, 4)]
    if len(words) % 2 or int.from_bytes(raw[:4], "little") ^ key != int.from_bytes(b"DanS", "little"):
        raise ValueError("no Rich header")
    return tuple((word >> 16, word & 0xFFFF, count) for word, count in zip(words[::2], words[1::2], strict=True))


def _unrich(value: tuple[tuple[int, int, int], ...], _size: int) -> bytes:
    entries = b"".join(_u32(product << 16 | build) + _u32(count) for product, build, count in value)
    return b"DanS" + bytes(12) + entries + b"Rich" + bytes(4)


# Undocumented by its maker; written without its mask, which is made from the DOS header.
RICH = Codec(_rich, _unrich, lambda value: ", ".join(f"{p}.{b} x{n}" for p, b, n in value))
