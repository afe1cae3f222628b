"""Code that was generated, or laid out, by another tool or under other options: what differs everywhere because of it.

Nothing proves that such a difference is nothing but the tool's doing, so all of it is only suspected. What no compiler
or linker chooses stays a change of its own: a text, a library that is needed, a search path, an object in data.
"""

import re
from collections.abc import Iterator
from typing import Any, Literal

from normalizers.elf import claims, linked, toolchain
from normalizers.patterns import Sure
from reprodiff.rules import Rule

TOOLS, ISA, OPTIONS = "elf-comment-toolchain", "isa-level-drift", "ambient-config"
WHY = {
    TOOLS: "another compiler or linker made it",
    ISA: "it was made for another processor",
    OPTIONS: "the compiler or linker was given other options",
}
# So many bytes of code, in so many functions, are no accident.
BYTES_MIN = 64
# So many functions do not change by a change of one line; so many texts may.
FUNCTIONS_MIN, TEXTS_MAX = 8, 4
# Functions of the C library that compilers call, or leave out, on their own; and what linkers define. Few pairs need it:
# compiled for the first of them.
BUILTIN = (
    rb"_*(?:mem(?:cpy|move|set|cmp|chr|pcpy)|bcmp|bzero|st[rp]n?(?:cpy|cat|len|chr|rchr|cmp|spn|cspn|pbrk|str|dup)|"
    rb"f?(?:put[cs]|write|putchar|print)\w*|v?s?n?printf|putchar|puts|abort|floorf?|ceilf?|truncf?|rintf?|roundf?|"
    rb"nearbyintf?|sqrtf?|fmaf?|exp2f?|pow[if]?|ldexpf?|sincosf?|sin|cos|longjmp|\w+_chk|stack_chk_fail|tls_get_addr|"
    rb"popcount[sd]i2|(?:u?div|u?mod|mul|ash[lr])[dt]i[34]|bss_start|edata|end|etext|init|fini|gmon_start__|"
    rb"cxa_finalize|ITM_\w+|libc_start_main|libc_csu_\w+|register_frame_info|deregister_frame_info|dso_handle|"
    rb"TMC_END__|GNU_EH_FRAME_HDR|DYNAMIC|GLOBAL_OFFSET_TABLE_|data_start|rela?_iplt_\w+|data|fp_hw|Unwind_\w+)"
)
VERSION = re.compile(rb"GLIBC(?:XX)?_\d[\d.]*|GCC_\d[\d.]*|CXXABI_\d[\d.]*")
# Parts that nothing but the linker's layout and the compiler's choice of instructions fills.
TABLES = ("elf/.symtab", "elf/.strtab", "elf/.shstrtab", "elf/.debug_", "elf/sections/", "elf/segments", "elf/header/",
          "elf/.rela", "elf/.rel.", "elf/.eh_frame", "elf/.gcc_except_table", "elf/.got", "elf/.plt", "elf/.hash",
          "elf/.gnu.hash", "elf/.gnu.version", "elf/.init", "elf/.fini", "elf/.note", "elf/.data.rel.ro", "elf/.tm_clone",
          "elf/padding", "elf/.text", "elf/.interp", "elf/.group", "elf/.comment/residue", "elf/.preinit_array")  # fmt: skip
# Those that the options of a linker reach.
LAYOUT = ("elf/sections/", "elf/segments", "elf/header/", "elf/.got", "elf/.plt", "elf/.rela.plt", "elf/.rela.dyn",
          "elf/.dynamic", "elf/.hash", "elf/.gnu.hash", "elf/.note.gnu.property", "elf/.shstrtab", "elf/padding")  # fmt: skip
LINKERS = re.compile(rb"^Linker: |LLD |^mold ")
SPOKEN = re.compile(r"elf/\.dynamic/(?:DT_NEEDED|DT_SONAME|DT_RPATH|DT_RUNPATH|DT_AUXILIARY|DT_FILTER)$")
# What a linker notes of its options: all of these, and those which one side alone has.
LINKED = re.compile(r"elf/header/e_type|elf/\.dynamic/(?:DT_FLAGS(?:_1)?(?:/d_val)?|DT_BIND_NOW|DT_TEXTREL)$")
HASHES = ("elf/.dynamic/DT_HASH", "elf/.dynamic/DT_GNU_HASH")


def _functions(evidence: Any) -> list[Any]:
    return [
        change
        for where, changes in evidence.comparison.changes.items()
        if where.startswith("elf/.text")
        for change in changes
    ]


def _tools(evidence: Any) -> bool:
    """Tell whether both sides say that other tools made them."""
    return any(
        toolchain.version_of_tool(change, evidence) is not None
        for where, changes in evidence.comparison.changes.items()
        if where.startswith("elf/.comment") or (where.startswith("elf/.debug_") and where.endswith("/string[*]"))
        for change in changes
        if change.kind == "changed" or where.startswith("elf/.comment")
    )


def _linker(evidence: Any) -> bool:
    """Tell whether one side alone names another linker, which lays a file out otherwise."""
    changes = evidence.comparison.changes
    if "elf/.note.gnu.gold-version" in changes:
        return True
    return any(
        change.kind != "changed" and bool(LINKERS.search(claims.either(change)))
        for where, found in changes.items()
        if where.startswith("elf/.comment")
        for change in found
    )


def _broad(evidence: Any) -> bool:
    """Tell whether much of the code differs: an eighth of it. What changes in a few places has another cause."""
    both = claims.images(evidence)
    code = max(sum(s.stored for s in image.sections if s.code) for image in both or ())
    changed = sum(change.size for change in _functions(evidence))
    return bool(changed >= BYTES_MIN and 8 * changed >= code)


def _other_flags(evidence: Any) -> set[bytes]:
    """Return the flags that are recorded on one side alone, but for directories and seeds."""
    found: set[bytes] = set()
    for where, changes in evidence.comparison.changes.items():
        if where.startswith(("elf/.debug_", "elf/.GCC.command.line")) and where.endswith("/string[*]"):
            for change in changes:
                text = claims.text_of(change)
                if text and toolchain.flags(change, evidence):
                    ones, twos = (set(side.split(b" -")[1:]) for side in text)
                    found |= {flag for flag in ones ^ twos if b"/" not in flag and not flag.startswith(b"frandom-seed")}
    return found


def _compressed(evidence: Any) -> bool:
    """Tell whether one side alone has its debug information compressed: a flag without what belongs to it says nothing."""
    found = []
    for image in claims.images(evidence) or ():
        parts = [s for s in image.sections if s.name.startswith(b".debug_")]
        found.append((image, {s.name: s for s in parts if s.compressed}, {s.name for s in parts if not s.compressed}))
    if not found:
        return False
    (left, ones, plain), (right, twos, other) = found
    return any(name in other and _begins_compressed(left, section) for name, section in ones.items()) or any(
        name in plain and _begins_compressed(right, section) for name, section in twos.items()
    )


def _begins_compressed(image: Any, section: Any) -> bool:
    """Tell whether a section begins with a compression header (gABI chapter 4): ELFCOMPRESS_ZLIB or _ZSTD."""
    head = image.source.read(section.offset, section.offset + 4)
    return int.from_bytes(head, "little" if image.order == "<" else "big") in {1, 2}


def _options(evidence: Any) -> bool:
    """Tell whether what a linker was told differs: the kind of program, how it is bound, its tables."""
    changes = evidence.comparison.changes
    if any(LINKED.match(where) or where.startswith("elf/.note.gnu.property") for where in changes):
        return True
    if evidence.once(_compressed):
        return True
    if not any(change.kind != "changed" for where in HASHES for change in changes.get(where, ())):
        return False
    # An entry alone says nothing: its table is there or not.
    names = [{b".hash", b".gnu.hash"} & set(image.by_name) for image in claims.images(evidence) or ()]
    return len(names) == 2 and names[0] != names[1]


def _checked(evidence: Any) -> bool:
    """Tell whether one side alone calls the checking variants of functions, which flags turn on."""
    return any(
        key.startswith(b"__") and key.endswith((b"_chk", b"__stack_chk_fail"))
        for where in ("elf/.dynsym/symbol[*]", "elf/.symtab/symbol[*]")
        for change in evidence.comparison.changes.get(where, ())
        for key in change.keys
    )


_TEXT = re.compile(rb"(?<=\0)[\x20-\x7e\n\t]{8,}(?=\0)")


def _regenerated(evidence: Any) -> bool:
    """Tell whether the code as a whole was generated otherwise from the same sources: a quarter of it and several
    functions differ, but hardly a text, and no import that compilers do not add on their own."""
    both = claims.images(evidence)
    changes = evidence.comparison.changes
    if both is None or any(SPOKEN.match(where) for where in changes):
        return False
    if any(not re.fullmatch(BUILTIN, key) for c in changes.get("elf/.dynsym/symbol[*]", ()) for key in c.keys):
        return False
    if len(changes.get("elf/.debug_str/string[*]", ())) > TEXTS_MAX:
        return False
    found = [change for change in _functions(evidence) if change.keys]
    code = max(sum(s.stored for s in image.sections if s.code) for image in both)
    if len(found) < FUNCTIONS_MIN or 4 * sum(change.size for change in found) < code:
        return False
    data = evidence.once(_texts)
    texts = set(_TEXT.findall(data[0])), set(_TEXT.findall(data[1]))
    odd = len(texts[0] ^ texts[1])
    if odd > 8 * TEXTS_MAX:
        return False
    # Compilers make vectors out of pieces of text, which are then found in the text of the other side.
    odd = sum(text not in data[1] for text in texts[0] - texts[1]) + sum(t not in data[0] for t in texts[1] - texts[0])
    return odd <= min(TEXTS_MAX, len(texts[0] | texts[1]) // 8)


def reason(evidence: Any) -> str | None:
    """Return the cause that explains why code or layout as a whole differs, None where nothing says so."""
    if claims.images(evidence) is None:
        return None
    broad = evidence.once(_broad)
    if evidence.once(_linker) or (broad and evidence.once(_tools)):
        return TOOLS
    # Counting instructions takes as long as comparing some files.
    left, right = evidence.once(toolchain.wide_instructions) if broad else (0, 0)
    if min(left, right) == 0 and max(left, right) >= toolchain.WIDE_MIN:
        return ISA
    if evidence.once(_other_flags) or _options(evidence) or (broad and _checked(evidence)):
        return OPTIONS
    return OPTIONS if evidence.once(_regenerated) else None


def _code(evidence: Any) -> bool:
    """Tell whether what differs reaches the code, not only where it lies."""
    if not evidence.once(_broad):
        return bool(evidence.once(_linker))
    return bool(
        evidence.once(_tools)
        or evidence.once(_linker)
        or any(not flag.startswith((b"g", b"D")) for flag in evidence.once(_other_flags))
        or evidence.once(_checked)
        or evidence.once(_regenerated)
        or any(w == "elf/header/e_type" or w.startswith("elf/.note.gnu.property") for w in evidence.comparison.changes)
        or evidence.once(reason) == ISA
    )


def _texts(evidence: Any) -> tuple[bytes, bytes]:
    both = claims.images(evidence)
    if both is None:
        return b"", b""
    left, right = (
        b"\0".join(image.data(s) for s in image.sections if s.stored and s.alloc and not s.strings and s.size < 1 << 24)
        for image in both
    )
    return left, right


def _known(change: Any, evidence: Any) -> bool:
    """Tell whether a text of one side alone is in the other file as well, or a part of one."""
    return claims.either(change).strip(b"\n") in evidence.once(_texts)[change.kind == "left"]


def _in_names(change: Any, evidence: Any) -> bool:
    """Tell whether a name of one side alone is in the other file's table as well: linkers share the ends of names."""
    both = claims.images(evidence)
    if both is None or change.kind == "changed":
        return False
    other = both[change.kind == "left"]
    table = other.by_name.get(b".dynstr")
    return table is not None and claims.either(change) + b"\0" in other.data(table)


def _called(change: Any) -> bool:
    """Tell whether names are such that compilers call or linkers define them on their own."""
    names = [side.rstrip(b"\0") for side in (change.left, change.right) if side is not None]
    return all(re.fullmatch(BUILTIN, name) or VERSION.fullmatch(name) for name in names)


def chosen(where: str, change: Any, evidence: Any) -> bool:
    """Tell whether compilers and linkers choose what stands at a place."""
    if not evidence.once(_code):
        if where.startswith("elf/.debug_"):
            return bool(evidence.once(_other_flags) or evidence.once(_compressed))
        if where.endswith("/symbol[*]") or "/symbol[*]/" in where:
            return all(re.fullmatch(BUILTIN, key) for key in change.keys)
        return where.startswith(LAYOUT) and not SPOKEN.match(where)
    if where.startswith("elf/.dynsym"):
        one_sided = where == "elf/.dynsym/symbol[*]"
        return not one_sided or all(re.fullmatch(BUILTIN, key) for key in change.keys)
    if where.startswith("elf/.dynstr"):
        return where.endswith("/string[*]") and (_called(change) or _in_names(change, evidence))
    if where.startswith("elf/.dynamic"):
        return not SPOKEN.match(where)
    if where.startswith("elf/.debug_") and where.endswith("/string[*]"):
        return change.kind != "changed" or not any(b"/" in (side or b"") for side in (change.left, change.right))
    if where.startswith(TABLES):
        return True
    if where.startswith("elf/.rodata"):
        # Constants and tables without a name; texts only where they merely stand elsewhere.
        return not where.endswith("/object[*]") and (
            not where.endswith("/string[*]") or (change.kind != "changed" and _known(change, evidence))
        )
    # What lies at another address altogether has other pointers.
    return where.startswith("elf/.got") or (
        where.startswith("elf/.data") and "elf/header/e_type" in evidence.comparison.changes
    )


def _claim(cause: str) -> Any:
    def claim(change: Any, evidence: Any) -> Literal["suspected"] | None:
        return "suspected" if evidence.once(reason) == cause and chosen(evidence.where, change, evidence) else None

    return claim


def _linked(_change: Any, evidence: Any) -> Sure | None:
    """Claim what tells which options the linker was given."""
    where = evidence.where
    return "suspected" if evidence.once(reason) == OPTIONS and (LINKED.match(where) or where in HASHES) else None


def _named(change: Any, evidence: Any) -> tuple[str, str]:
    """Show both values, first of all."""
    if change.kind != "changed":
        # The entry of one side alone: its value.
        value = (change.left or change.right or b"")[-8:]
        text = f"{int.from_bytes(value, 'little'):#x}" if len(value) == 8 else ""
        return (text, "") if change.kind == "left" else ("", text)
    codec = evidence.comparison.places[evidence.where].codec
    left, right = ("" if raw is None else codec.show(codec.decode(raw)) for raw in (change.left, change.right))
    return left, right


def _moved(cause: str) -> Any:
    def claim(_order: Any, evidence: Any) -> Sure | None:
        return "suspected" if evidence.once(reason) == cause else None

    return claim


def unless(claim: Any) -> Any:
    """Return a claim of an order that is made only where the tools and options are the same."""

    def same_tools(order: Any, evidence: Any) -> Sure | None:
        found: Sure | None = None if evidence.once(reason) else claim(order, evidence)
        return found

    return same_tools


def _shown(change: Any, _evidence: Any) -> tuple[str, str]:
    """Say what a function does differently, rather than its bytes."""
    left, right = change.shown or ("", "")
    if change.kind != "changed":
        return (
            ("", "a function of this side alone") if change.kind == "right" else ("a function of this side alone", "")
        )
    return left, right


def rules() -> Iterator[Rule]:
    """Yield the rules, functions first: they tell most."""
    for kind in ("changed", "one-sided"):
        for where in (
            "elf/header/e_type",
            "elf/.dynamic/{DT_FLAGS,DT_FLAGS_1,DT_BIND_NOW,DT_HASH,DT_GNU_HASH,DT_TEXTREL}",
            "elf/.dynamic/*/d_val",
        ):
            yield Rule(where, OPTIONS, WHY[OPTIONS], None, kind, _linked, _named)
    for cause in (TOOLS, ISA, OPTIONS):
        claim, why = _claim(cause), WHY[cause]
        for where in ("elf/.text*/function[*]", "elf/*", "elf/*/*", "elf/*/*/*", "elf/*/*/*/*"):
            detail = _shown if where.endswith("/function[*]") else None
            for kind in ("changed", "one-sided"):
                yield Rule(where, cause, why, None, kind, claim, detail)  # type: ignore[arg-type]
        for where in ("elf/*", "elf"):
            yield Rule(where, cause, why, None, "moved", _moved(cause), linked.permutation)
