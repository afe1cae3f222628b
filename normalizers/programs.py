"""Opinions about strings of programs other than ELF files: compilers leave the same behind in all of them."""

from typing import Any

from normalizers.elf import SAID, claims, directories, lto, rust, said, stamps, toolchain
from reprodiff.rules import Rule

_PATH = "the directory that the compiler ran in, as debug information records it"
_TOOLS = "what the compiler or linker calls itself: both sides were made by different ones"


def section_of(change: Any) -> bytes:
    """Return the name of the section that a change lies in."""
    name: bytes = change.keys[0] if change.keys else b""
    return name


def _within(claim: claims.Claim, prefix: bytes, *, debug: bool) -> claims.Claim:
    """Return a claim for the sections of debug information alone, whose names begin with a prefix, or for all others."""

    def claimed(change: Any, evidence: Any) -> Any:
        return claim(change, evidence) if section_of(change).startswith(prefix) == debug else None

    return claimed


def texts(section: str, prefix: bytes) -> tuple[Rule, ...]:
    """Return what is said of strings in sections; section: their place; prefix: of the names of debug information."""
    debug: tuple[tuple[str, str, claims.Claim], ...] = (
        ("march-native", "the caches of the machine that compiled, which -march=native records", toolchain.native),
        ("elf-comment-toolchain", _TOOLS, toolchain.version_of_tool),
        ("recorded-build-flags", "the flags that the compiler was given", toolchain.flags),
        ("dependency-drift", "a crate in another version", directories.crate_version),
        ("elf-comment-toolchain", "Rust's own library at another commit", directories.rustc_commit),
        ("rust-source-path", "the path of Rust source code", directories.rust_source),
        ("dwarf-comp-dir", _PATH, directories.under_root),
        ("lto-random-seed", "a name with the random seed of link-time optimization", lto.lto_section),
        ("anon-namespace-random-symbol", "a name with a random number", said.anonymous_symbol),
        ("rust-crate-hash", "the same Rust symbol with the hash of another crate", rust.rust_hash),
    )
    program: tuple[tuple[str, str, claims.Claim], ...] = (
        ("elf-comment-toolchain", _TOOLS, toolchain.version_of_tool),
        ("cpp-timestamp-macro", "__TIMESTAMP__: when the source file was changed", stamps.timestamp),
        ("cpp-date-time-macro", "__DATE__ or __TIME__: when the compiler ran", stamps.date_time),
        ("dependency-drift", "a crate in another version", directories.crate_version),
        ("elf-comment-toolchain", "Rust's own library at another commit", directories.rustc_commit),
        ("rust-source-path", "the path of Rust source code, for messages of a panic", directories.rust_source),
        ("coverage-instrumentation", "where the program writes its coverage to", directories.coverage),
        ("file-macro-path", "__FILE__: the path that the compiler was given, in an assertion or a message",
         directories.source_under_root),
        *((cause, why, said.said(cause)) for cause, why in SAID.items()),
    )  # fmt: skip
    place = f"{section}/string[*]"
    return (
        *(Rule(place, cause, why, claim=_within(claim, prefix, debug=True)) for cause, why, claim in debug),
        *(Rule(place, cause, why, claim=_within(claim, prefix, debug=False)) for cause, why, claim in program),
        Rule(place, "elf-comment-toolchain", _TOOLS, None, "one-sided", toolchain.version_of_tool),
    )
