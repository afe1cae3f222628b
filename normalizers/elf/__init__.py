"""Opinions about ELF files: what compilers, linkers and installers leave behind of where and when they ran."""

from typing import Any

from normalizers import qt
from normalizers.elf import (
    claims,
    directories,
    generated,
    go,
    linked,
    lto,
    order,
    rpath,
    rust,
    said,
    stamps,
    stripped,
    toolchain,
)
from normalizers.patterns import Sure
from normalizers.qt import MTIME, resource_times, resources_named
from reprodiff.rules import Policy, Rule, Set
from reprodiff.sources import Source
from reprodiff.tree import Group

DEBUG = "elf/.debug_*/string[*]"
# Strings of the program: constants, and sections of strings in object files.
STRINGS = ("elf/.rodata*/string[*]", "elf/.data*/string[*]", "elf/.lrodata*/string[*]", "elf/.gopclntab/string[*]",
           "elf/.go.buildinfo/string[*]", "elf/.init.data*/string[*]", "elf/.init.rodata*/string[*]", "elf/__*/string[*]",
           "elf/.modinfo/string[*]", "elf/.rmeta/string[*]", "elf/.rustc/string[*]", "elf/.llvmbc/string[*]")  # fmt: skip
GO_SETTINGS = "elf/.go.buildinfo/setting[*]"
NAMES = ("elf/.strtab/string[*]", "elf/.dynstr/string[*]", "elf/.shstrtab/string[*]", DEBUG)

_PATH = "the directory that the compiler ran in, as debug information records it"
_GO_PATH = "the directory of the sources, as Go records it for traces and debuggers"
_MACRO = "__FILE__: the path that the compiler was given, in an assertion or a message"
_TOOLS = "what the compiler or linker calls itself: both sides were made by different ones"
_RANDOM = "the random name of a temporary file"
_STRIPPED = "debug information or symbols that one side alone has"


def _always(_change: Any, _evidence: Any) -> Sure | None:
    return "origin"


# What a signed module of the kernel ends with.
SIGNED = b"~Module signature appended~\n"
ZERO = Set(lambda _value, _policy: 0)
BLANK = Set(lambda value, _policy: bytes(len(value)))


# A search path outside of the system is taken out as if it were empty, which the loader takes as none.
UNPLACED = Set(lambda value, _policy: bytes(len(value)) if rpath.outside(value) else value)


# What a text says of its build, and why that is no content.
SAID = {
    "embedded-build-date-string": "when the program was built, as a script or the shell wrote it",
    "timezone-shift": "one moment, as two time zones show it",
    "locale-messages": "one moment, in the words of two languages",
    "recorded-build-flags": "the flags that the compiler was given, kept in a text",
    "vcs-describe": "the revision that was built, and whether it was changed",
    "kernel-version": "the kernel of the machine that built, or that it was built for",
    "username": "who built it",
    "hostname": "the machine that built it",
    "copyright-year": "the year of a copyright",
    "epoch-integer-timestamp": "a number that reads as seconds since the epoch",
    "random-uuid": "an identifier of random numbers, made for this build",
    "build-counter": "the number of the build",
}
SYMBOLS = "elf/{.symtab,.strtab,.symtab_shndx,.comment,.gnu_debuglink,.gnu_debugaltlink,.gdb_index,.gnu_debugdata}"


# Where code, and all that is made of where it lies, may be another without any text being another.
LAID_OUT = (
    *(f"elf/{name}*" for name in (".text", ".rodata", ".data", ".eh_frame", ".gcc_except_table", ".gnu.version", ".debug_", ".got",
                                  ".tdata", ".tbss", ".bss")),
    *(f"elf/{name}*/object[*]" for name in (".rodata", ".data", ".bss", ".tdata")),
    "elf/.text*/function[*]", "elf/.rela.*/relocation", "elf/.rela.*/relocation/*", "elf/.symtab/symbol[*]",
    "elf/{.symtab,.dynsym}/symbol[*]/entry/*", "elf/.strtab/string[*]", "elf/.debug_*/string[*]", "elf/sections/section[*]/header/*",
)  # fmt: skip


RULES: tuple[Rule, ...] = (
    # Debug information.
    Rule(DEBUG, "go-build-settings", "the flags that Go's compiler was given", claim=go.compiled_with),
    Rule(DEBUG, "march-native", "the caches of the machine that compiled, which -march=native records", claim=toolchain.native),
    Rule(DEBUG, "elf-comment-toolchain", _TOOLS, claim=toolchain.version_of_tool),
    Rule(DEBUG, "elf-comment-toolchain", _TOOLS, None, "one-sided", toolchain.tool_alone),
    Rule(DEBUG, "recorded-build-flags", "the flags that the compiler was given", claim=toolchain.flags),
    Rule(DEBUG, "dependency-drift", "a crate in another version", claim=directories.crate_version),
    Rule(DEBUG, "elf-comment-toolchain", "Rust's own library at another commit", claim=directories.rustc_commit),
    Rule(DEBUG, "rust-source-path", "the path of Rust source code", claim=directories.rust_source),
    Rule(DEBUG, "go-buildpath", _GO_PATH, claim=go.built_in),
    Rule(DEBUG, "dwarf-comp-dir", _PATH, claim=directories.under_root),
    Rule(DEBUG, "path-derived-hash", "a name with the digest of its module, paths included", claim=rust.promoted),
    Rule(DEBUG, "lto-random-seed", "a name with the random seed of link-time optimization", claim=lto.lto_section),
    Rule(DEBUG, "anon-namespace-random-symbol", "a name with a random number", claim=said.anonymous_symbol),
    Rule(DEBUG, "rust-crate-hash", "the same Rust symbol with the hash of another crate", claim=rust.rust_hash),
    Rule("elf/.debug_*", "rust-crate-hash", "debug information of functions whose order follows from the digests in their names",
         claim=rust.reordered_by_names),
    # What is kept for link-time optimization.
    Rule("elf/.gnu.debuglto_*/string[*]", "recorded-build-flags", "the flags that the compiler was given", claim=toolchain.flags),
    Rule("elf/.gnu.debuglto_*/string[*]", "dwarf-comp-dir", _PATH, claim=directories.under_root),
    Rule("elf/.gnu.lto_*/string[*]", "file-macro-path", _MACRO, claim=directories.source_under_root),
    Rule("elf/.gnu.lto_*/string[*]", "path-derived-hash", "a digest of debug information, directory included", claim=lto.unit_digest),
    Rule("elf/.gnu.lto_*", "file-macro-path", "numbers that say where texts are, in a section whose texts grew with a path",
         claim=lto.lto_numbers),
    Rule("elf/.gnu.lto_*/digest", "path-derived-hash", "a number beside texts with the directory that was built in: GCC's digest of them",
         claim=lto.lto_digest),
    # Records of the tools.
    Rule("elf/.comment/string[*]", "elf-comment-toolchain", _TOOLS, claim=toolchain.version_of_tool),
    Rule("elf/.comment/string[*]", "elf-comment-toolchain", _TOOLS, None, "one-sided", toolchain.version_of_tool),
    Rule("elf/.GCC.command.line/string[*]", "march-native", "the compiler was told to use all of its own machine", claim=toolchain.native),
    Rule("elf/.GCC.command.line/string[*]", "recorded-build-flags", "the flags that the compiler was given", claim=_always),
    Rule("elf/.GCC.command.line/string[*]", "recorded-build-flags", "the flags that the compiler was given", None, "one-sided"),
    Rule("elf/.comment", "elf-comment-toolchain", _TOOLS, None, "one-sided", toolchain.version_of_tool, toolchain.as_text),
    Rule("elf/.note.gnu.gold-version", "elf-comment-toolchain", _TOOLS, None, "one-sided"),
    # Strings of the program.
    *(Rule("elf/.rodata/string[*]", cause, f"{why}: the linker was told to put it in (-X)", claim=go.told(cause))
      for cause, why in SAID.items()),
    *(
        rule
        for place in STRINGS
        for rule in (
            Rule(place, "kernel-banner", "who built the kernel, where and when", claim=stamps.banner, parts=stamps.builder),
            Rule(place, "cpp-timestamp-macro", "__TIMESTAMP__: when the source file was changed", claim=stamps.timestamp),
            Rule(place, "cpp-date-time-macro", "__DATE__ or __TIME__: when the compiler ran", claim=stamps.date_time),
            Rule(place, "dependency-drift", "a crate in another version", claim=directories.crate_version),
            Rule(place, "elf-comment-toolchain", "Rust's own library at another commit", claim=directories.rustc_commit),
            Rule(place, "rust-source-path", "the path of Rust source code, for messages of a panic", claim=directories.rust_source),
            Rule(place, "coverage-instrumentation", "where the program writes its coverage to", claim=directories.coverage),
            Rule(place, "go-vcs-stamp", "the revision that Go found in the working directory", claim=go.stamped_text),
            Rule(place, "file-macro-path", "__FILE__, in pieces that code copies", claim=directories.path_piece),
            Rule(place, "file-macro-path", _MACRO, claim=directories.source_under_root),
            Rule(place, "embedded-build-date-string", "when, by whom and where the program was built",
                 claim=said.several, parts=said.parts_of),
            *(Rule(place, cause, why, claim=said.said(cause)) for cause, why in SAID.items()),
            Rule(place, "tmpfile-name-embedded", _RANDOM, claim=said.random_name),
        )
    ),
    *(Rule(place, "tmpfile-name-embedded", _RANDOM, claim=said.random_name) for place in NAMES),
    *(Rule(place, "binary-symbol-path", "a linker's name for the bytes of a file: its path, as it was given", claim=directories.binary_symbol)
      for place in NAMES),
    Rule("elf/.strtab/string[*]", "dwarf-comp-dir", "the path of a source file, in the symbol table",
         claim=directories.source_under_root),
    *(rule for place in (".rodata*", ".data*", ".qtmimedatabase") for rule in qt.rules(f"elf/{place}")),
    *(
        Rule(place, "qt-rcc-mtime", MTIME, claim=resource_times, detail=resources_named)
        for place in ("elf/.rodata*/object[*]", "elf/.rodata*", "elf/.data*/object[*]", "elf/.data*", "elf/.qtmimedatabase")
    ),
    Rule("elf/.data*/object[*]", "gcov-stamp", "checksums that coverage makes of paths and a random seed",
         claim=directories.coverage_data),
    Rule("elf/.data.rel*", "gcov-stamp", "the stamp that coverage makes of the clock and a random seed",
         claim=directories.coverage_data),
    # Go.
    *(
        Rule(f"elf/{place}/file[*]", "go-buildpath", _GO_PATH, claim=go.built_in)
        for place in ("{.gopclntab,.data.rel.ro.gopclntab}", "{.data.rel.ro,.rodata}/gopclntab")
    ),
    *(
        Rule(GO_SETTINGS, "go-vcs-stamp", "the revision that Go found in the working directory", None, kind, go.stamped)
        for kind in ("changed", "one-sided")
    ),
    *(Rule(GO_SETTINGS, cause, f"{why}: the linker was told to put it in (-X)", claim=go.told_setting(cause))
      for cause, why in SAID.items()),
    Rule(GO_SETTINGS, "dependency-drift", "a module in another version", claim=go.module_version),
    *(
        Rule(GO_SETTINGS, "go-build-settings", "a setting of `go build`", None, kind, go.setting)
        for kind in ("changed", "one-sided")
    ),
    Rule("elf/.rodata/string[*]", "go-buildpath", "where Go itself was installed", claim=go.of_toolchain),
    Rule("elf/.debug_gdb_scripts/string[*]", "go-buildpath", _GO_PATH, claim=go.built_in),
    Rule("elf/.go.buildinfo/version", "elf-comment-toolchain", "the release of Go", claim=go.release),
    # The dynamic section.
    Rule("elf/.dynamic/{DT_RPATH,DT_RUNPATH}", "rpath-build-path", "the directory that was built in, as a place to look for libraries",
         UNPLACED, claim=rpath.rpath_own, opt_in=True),
    Rule("elf/.dynamic/{DT_RPATH,DT_RUNPATH}", "rpath-build-path", "the directory that was built in, as a place to look for libraries",
         claim=rpath.rpath),
    Rule("elf/.dynstr/rpath[*]/value", "rpath-build-path", "the directory that was built in, as a place to look for libraries",
         UNPLACED, claim=rpath.rpath, opt_in=True),
    Rule("elf/.dynamic/{DT_RPATH,DT_RUNPATH}", "rpath-build-path", "a place outside of the system to look for libraries, on one side alone",
         None, "one-sided", rpath.rpath_alone),
    Rule("elf/.dynstr/residue", "cmake-rpath-stripped-residue", "zeros where a search path was removed after linking", None, "one-sided",
         rpath.residue, rpath.residue_lengths),
    Rule("elf/.dynstr/residue", "cmake-rpath-stripped-residue", "zeros where a search path was removed after linking", None, "changed",
         rpath.residue, rpath.residue_lengths),
    *(
        Rule("elf/.dynstr/string[*]", "rpath-build-path", "a search path that was taken out, and its text left behind", None, kind,
             rpath.rpath_left)
        for kind in ("changed", "one-sided")
    ),
    # What follows from all the rest.
    Rule("elf/.note*/build-id/desc", "gnu-build-id", "a digest of the file as it was linked", BLANK, claim=claims.derived, opt_in=True),
    Rule("elf/.note*/build-id/desc", "cmake-rpath-stripped-residue", "a digest of the file before a search path was removed from it", BLANK,
         claim=rpath.residue_alone, detail=rpath.residue_lengths, opt_in=True),
    Rule("elf/.note*/build-id/desc", "gnu-build-id", "an identifier that differs alone: random, or a digest of what is no longer there",
         BLANK, opt_in=True),
    Rule("elf/.gnu_debuglink/crc", "gnu-debuglink-crc", "a checksum of the separate debug file", ZERO, claim=claims.follows_id, opt_in=True),
    Rule("elf/.gnu_debuglink/crc", "gnu-debuglink-crc", "a checksum of the separate debug file", ZERO, opt_in=True),
    Rule("elf/.note*/go-build-id/desc", "go-buildid", "a digest of inputs and result", claim=claims.derived),
    Rule("elf/.note*/go-build-id/desc", "go-buildid", "a digest of inputs and result"),
    Rule("elf/.rmeta/crate-hash", "rust-crate-hash", "a digest of all that the crate consists of", claim=claims.derived),
    Rule("elf/.rmeta/crate-hash", "rust-crate-hash", "a digest of all that the crate consists of, which differs alone",
         claim=claims.perhaps),
    Rule("elf/.llvmbc/module-hash", "path-derived-hash", "a digest of the bitcode, texts included", claim=claims.derived),
    Rule("elf/.llvmbc/module-hash", "path-derived-hash", "a digest of the bitcode, which differs alone", claim=claims.perhaps),
    Rule("elf/.rmeta/dependency[*]/hash", "rust-crate-hash", "a crate that this one was built with, from another build"),
    Rule("elf/.rmeta/crate-id", "rust-crate-hash", "what tells this crate from others of its name: other flags, version or source",
         claim=claims.perhaps),
    Rule("elf/.rmeta", "rust-crate-hash", "the metadata of another crate of the same name, full of digests",
         claim=rust.other_crate),
    # Names.
    *(
        rule
        for place in NAMES[:3]
        for rule in (
            Rule(place, "anon-namespace-random-symbol", "a name with a random number", claim=said.anonymous_symbol),
            Rule(place, "path-derived-hash", "a name with the digest of its module, paths included", claim=rust.promoted),
            Rule(place, "path-derived-hash", "a digest of debug information, directory included", claim=lto.unit_digest),
            Rule(place, "lto-random-seed", "a name with the random seed of link-time optimization", claim=lto.lto_section),
            Rule(place, "rust-crate-hash", "the same Rust symbol with the hash of another crate", claim=rust.rust_hash),
        )
    ),
    *(
        Rule("elf/.strtab/string[*]", "rust-crate-hash", "tables of exceptions, numbered in an order that follows from digests", None,
             kind, rust.reordered_by_names)
        for kind in ("changed", "one-sided")
    ),
    # One side alone.
    Rule("elf/.debug_*", "stripped", _STRIPPED, None, "one-sided", stripped.stripped),
    Rule("elf/.zdebug_*", "stripped", _STRIPPED, None, "one-sided", stripped.stripped),
    Rule("elf/.rela.debug_*", "stripped", _STRIPPED, None, "one-sided", stripped.stripped),
    Rule(SYMBOLS, "stripped", _STRIPPED, None, "one-sided", stripped.stripped),
    Rule("elf/.shstrtab/string[*]", "stripped", _STRIPPED, None, "one-sided", stripped.stripped_name),
    Rule("elf/.symtab/symbol[*]", "stripped", _STRIPPED, None, "one-sided", stripped.file_symbol),
    Rule("elf/.strtab/string[*]", "stripped", _STRIPPED, None, "one-sided", stripped.file_name),
    # Order.
    Rule("elf/{.init_array,.fini_array,.preinit_array}", "static-init-order",
         "the order in which functions run at start or exit, which the linker took from its inputs", None, "moved",
         lambda _order, _evidence: "suspected", linked.permutation),
    Rule("elf/*", "link-order", "the order in which the linker was given its inputs", None, "moved",
         generated.unless(linked.linked_otherwise), linked.permutation),
    Rule("elf/{.symtab,.dynsym,.strtab}", "symbol-table-order", "the same symbols in another order", None, "moved",
         generated.unless(linked.same_symbols), linked.permutation),
    # Rust.
    Rule("elf/.dep-v0/packages", "dependency-drift", "a crate in another version", claim=rust.other_versions),
    *(
        Rule(place, "rust-codegen-units", "a crate was cut into more or fewer units, and inlined and laid out otherwise", None, kind,
             rust.codegen_units)
        for place in LAID_OUT for kind in ("changed", "one-sided")
    ),
    *(
        Rule("elf/.rodata*/string[*]", "rust-codegen-units", "a text that stands among others on the other side", None, kind,
             rust.moved_text)
        for kind in ("changed", "one-sided")
    ),
    Rule("elf/{.symtab,.dynsym,.text}", "rust-codegen-units", "a crate was cut into more or fewer units, and laid out otherwise",
         None, "moved", rust.codegen_units_order, linked.permutation),
    # Code.
    Rule("elf/.text*/function[*]", "isa-level-drift", "instructions that only one of the sides may use", claim=toolchain.drift,
         detail=toolchain.wide_counts),
    Rule("elf/.text*/function[*]", "copyright-year", "a number that reads as a year on both sides", claim=stamps.year),
    Rule("elf/.text*/function[*]", "cpp-date-time-macro", "__DATE__ or __TIME__, in pieces within instructions", claim=stamps.inlined_date),
    *(
        Rule(place, "epoch-integer-timestamp", "a number that reads as seconds since the epoch on both sides", claim=stamps.epoch)
        for place in ("elf/.text*/function[*]", "elf/.data*/object[*]", "elf/.rodata*/object[*]", "elf/.rodata*", "elf/.data*",
                      "elf/.sdata*/object[*]")
    ),
    *order.rules(),
    # Everything, where another tool or other options made it.
    *generated.rules(),
)  # fmt: skip


def guard(source: Source, _root: Group, _policy: Policy) -> str | None:
    """Return why a file must be left as it is, None where it may change."""
    if source.read(max(source.size - len(SIGNED), 0), source.size) == SIGNED:
        return "a signature covers it"
    return None
