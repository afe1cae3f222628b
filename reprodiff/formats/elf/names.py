"""Names of the numbers in the dynamic section and in notes (System V gABI, LSB, GNU and LLVM extensions)."""

from reprodiff.formats.program.names import EM_MIPS, EM_PPC, EM_PPC64

DT_NULL, DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH = 0, 1, 14, 15, 29

DYNAMIC = {
    0: "DT_NULL", 1: "DT_NEEDED", 2: "DT_PLTRELSZ", 3: "DT_PLTGOT", 4: "DT_HASH", 5: "DT_STRTAB", 6: "DT_SYMTAB",
    7: "DT_RELA", 8: "DT_RELASZ", 9: "DT_RELAENT", 10: "DT_STRSZ", 11: "DT_SYMENT", 12: "DT_INIT", 13: "DT_FINI",
    14: "DT_SONAME", 15: "DT_RPATH", 16: "DT_SYMBOLIC", 17: "DT_REL", 18: "DT_RELSZ", 19: "DT_RELENT",
    20: "DT_PLTREL", 21: "DT_DEBUG", 22: "DT_TEXTREL", 23: "DT_JMPREL", 24: "DT_BIND_NOW", 25: "DT_INIT_ARRAY",
    26: "DT_FINI_ARRAY", 27: "DT_INIT_ARRAYSZ", 28: "DT_FINI_ARRAYSZ", 29: "DT_RUNPATH", 30: "DT_FLAGS",
    32: "DT_PREINIT_ARRAY", 33: "DT_PREINIT_ARRAYSZ", 34: "DT_SYMTAB_SHNDX", 35: "DT_RELRSZ", 36: "DT_RELR",
    37: "DT_RELRENT", 0x6FFFFEF5: "DT_GNU_HASH", 0x6FFFFEF6: "DT_TLSDESC_PLT", 0x6FFFFEF7: "DT_TLSDESC_GOT",
    0x6FFFFDF5: "DT_GNU_PRELINKED", 0x6FFFFFF0: "DT_VERSYM", 0x6FFFFFF9: "DT_RELACOUNT", 0x6FFFFFFA: "DT_RELCOUNT",
    0x6FFFFFFB: "DT_FLAGS_1", 0x6FFFFFFC: "DT_VERDEF", 0x6FFFFFFD: "DT_VERDEFNUM", 0x6FFFFFFE: "DT_VERNEED",
    0x6FFFFFFF: "DT_VERNEEDNUM", 0x7FFFFFFD: "DT_AUXILIARY", 0x7FFFFFFF: "DT_FILTER",
}  # fmt: skip

# Tags whose value is an offset into the dynamic string table, and those whose value is an address.
STRING_TAGS = frozenset({1, 14, 15, 29, 0x7FFFFFFD, 0x7FFFFFFF, 0x6FFFFEFA, 0x6FFFFEFB, 0x6FFFFEFC})
ADDRESS_TAGS = frozenset({3, 4, 5, 6, 7, 12, 13, 17, 21, 23, 25, 26, 32, 34, 36, 0x6FFFFEF5, 0x6FFFFEF6, 0x6FFFFEF7, 0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFE})  # fmt: skip
# Those of one machine: where the linkage table's code and the descriptors are, the offset table of MIPS, the debugger's map.
DT_MIPS_RLD_MAP_REL = 0x70000035
MACHINE_TAGS = {
    EM_PPC: frozenset({0x70000000}),
    EM_PPC64: frozenset({0x70000000, 0x70000001}),
    EM_MIPS: frozenset({0x70000016, 0x70000032, 0x70000034}),
}
# Tags whose value is the size in bytes of the section that starts at the address under the other tag.
SIZE_TAGS = {2: 23, 8: 7, 10: 5, 18: 17, 27: 25, 28: 26, 33: 32, 35: 36}

NOTES = {(b"GNU", 1): "abi-tag", (b"GNU", 3): "build-id", (b"GNU", 5): "property", (b"Go", 4): "go-build-id",
         (b"FDO", 0xCAFE1A7E): "package", (b"stapsdt", 3): "probe"}  # fmt: skip


def dynamic_name(tag: int) -> str:
    """Return the name of a dynamic tag, its number in hex where it has none here."""
    return DYNAMIC.get(tag, f"DT_{tag:#x}")
