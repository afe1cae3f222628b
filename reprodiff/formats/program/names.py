"""Names of the numbers in ELF files, as the System V gABI, the GNU and LLVM extensions and the psABIs give them."""

SHT_NULL, SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_HASH, SHT_DYNAMIC, SHT_NOTE, SHT_NOBITS, SHT_REL = range(
    10
)
SHT_DYNSYM, SHT_INIT_ARRAY, SHT_FINI_ARRAY, SHT_PREINIT_ARRAY, SHT_GROUP, SHT_SYMTAB_SHNDX = 11, 14, 15, 16, 17, 18
SHT_RELR = 19
SHT_ARM_EXIDX = 0x70000001
SHT_GNU_HASH, SHT_GNU_VERDEF, SHT_GNU_VERNEED, SHT_GNU_VERSYM = 0x6FFFFFF6, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF

SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR, SHF_MERGE, SHF_STRINGS, SHF_TLS, SHF_COMPRESSED = 1, 2, 4, 0x10, 0x20, 0x400, 0x800

ET_REL, ET_EXEC, ET_DYN = 1, 2, 3
EM_386, EM_MIPS, EM_PPC64, EM_S390, EM_ARM, EM_X86_64, EM_AARCH64, EM_RISCV = 3, 8, 21, 22, 40, 62, 183, 243

# Machines on which symbols say what kind of code or data begins.
MAPPED = frozenset({EM_ARM, EM_AARCH64, EM_RISCV})

# The types of relocations that add the load address to a number, by machine.
RELATIVE = {
    EM_X86_64: (8, 37),
    EM_386: (8, 42),
    EM_PPC64: (22, 248),
    EM_ARM: (23, 160),
    EM_AARCH64: (1027, 1032),
    EM_RISCV: (3, 58),
    EM_S390: (12, 61),
}

PT_LOAD, PT_NOTE, PT_GNU_RELRO = 1, 4, 0x6474E552
SHN_UNDEF, SHN_LORESERVE, SHN_ABS, SHN_XINDEX = 0, 0xFF00, 0xFFF1, 0xFFFF
STT_OBJECT, STT_FUNC, STT_SECTION, STT_FILE, STT_TLS, STT_GNU_IFUNC = 1, 2, 3, 4, 6, 10

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
MACHINE_TAGS = {EM_PPC64: frozenset({0x70000000, 0x70000001}), EM_MIPS: frozenset({0x70000016, 0x70000032, 0x70000034})}
# Tags whose value is the size in bytes of the section that starts at the address under the other tag.
SIZE_TAGS = {2: 23, 8: 7, 10: 5, 18: 17, 27: 25, 28: 26, 33: 32, 35: 36}

NOTES = {(b"GNU", 1): "abi-tag", (b"GNU", 3): "build-id", (b"GNU", 5): "property", (b"Go", 4): "go-build-id",
         (b"FDO", 0xCAFE1A7E): "package", (b"stapsdt", 3): "probe"}  # fmt: skip


def dynamic_name(tag: int) -> str:
    """Return the name of a dynamic tag, its number in hex where it has none here."""
    return DYNAMIC.get(tag, f"DT_{tag:#x}")
