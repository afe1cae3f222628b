"""What compilers and linkers call themselves, the flags that they were given, and the instructions that they chose."""

import re
from typing import Any

from normalizers.elf.claims import either, images, text_of
from normalizers.patterns import Sure

# Nor are so many wide instructions, in a function of which so many bytes differ.
WIDE_MIN, CHANGED_MIN = 3, 16
_PRODUCER = re.compile(
    rb"^(?:GNU (?:C|C\+\+|Ada|Fortran|GIMPLE|AS|D|Go|Rust|Objective|Modula)|(?:\w+ )*clang |(?:\w+ )*(?:LLVM|rustc|LLD)|GCC: \(|"
    rb"Linker: |Go cmd/compile|mold |Apple |Intel|NVIDIA|clang LLVM)"
)
_VERSION = re.compile(rb"\d+\.\d+[\w.+~-]*(?: \d{8})?(?: \[[^\]]*\])?|\([^()]*\)")
# What remains of such a name without its versions.
_NAME = re.compile(rb"[A-Za-z+#/:;, -]*\d{0,2}[a-z ]*")
_CACHES = re.compile(
    rb"--param[= ]l[12]-cache-(?:line-)?size=\d+|-march=native|-mtune=native|-Ctarget-cpu=native|target-cpu=native"
)


def version_of_tool(change: Any, _evidence: Any) -> Sure | None:
    """Claim what a compiler or linker calls itself, in another version or another one altogether."""
    text = text_of(change)
    if text is None:
        return "origin" if _PRODUCER.match(either(change)) else None
    if not all(_PRODUCER.match(side) for side in text):
        return None
    heads = [side.split(b" -", 1)[0] for side in text]
    if not all(_NAME.fullmatch(_VERSION.sub(b"", head)) for head in heads):
        return None
    return "origin" if heads[0] != heads[1] else None


def tool_alone(change: Any, evidence: Any) -> Sure | None:
    """Claim a tool that debug information of one side alone names, where both sides store it alike."""
    both = images(evidence)
    name = evidence.where.split("/")[1].encode()
    if both is not None:
        stored = [image.by_name.get(name) for image in both]
        if None in stored or len({(section.compressed, section.type) for section in stored}) > 1:
            return None
    return version_of_tool(change, evidence)


def as_text(change: Any, _evidence: Any) -> tuple[str, str]:
    """Show a table of strings of one side alone as what it says."""
    text = either(change).replace(b"\0", b", ").decode("utf-8", "replace")
    return (text, "") if change.kind == "left" else ("", text)


def native(change: Any, _evidence: Any) -> Sure | None:
    """Claim flags that only -march=native expands to: sizes of the caches of the machine."""
    text = text_of(change)
    if text is None or not any(_CACHES.search(side) for side in text) or not any(_flags(side) for side in text):
        return None
    return "origin"


def _flags(text: bytes) -> bool:
    return bool(_PRODUCER.match(text)) or text.startswith(b"-") or b" -" in text


def flags(change: Any, _evidence: Any) -> Sure | None:
    """Claim the flags that a compiler recorded."""
    text = text_of(change)
    if text is None:
        return None
    return "origin" if all(_PRODUCER.match(side) and b" -" in side for side in text) else None


def wide_instructions(evidence: Any) -> tuple[int, int]:
    """Return how many instructions of each side have an encoding of AVX or later."""
    both = images(evidence)
    if both is None:
        return 0, 0
    from reprodiff.formats.elf.isa import wide

    return wide(both[0]), wide(both[1])


def drift(change: Any, evidence: Any) -> Sure | None:
    """Suspect another instruction set where one side has instructions of AVX or later and the other has none."""
    left, right = evidence.once(wide_instructions)
    # A single byte may read as such an instruction.
    enough = min(left, right) == 0 and max(left, right) >= WIDE_MIN and change.size >= CHANGED_MIN
    return "suspected" if enough else None


def wide_counts(_change: Any, evidence: Any) -> tuple[str, str]:
    """Say how many instructions of AVX or later each side has."""
    left, right = evidence.once(wide_instructions)
    return f"{left} instructions of AVX or later", f"{right} instructions of AVX or later"
