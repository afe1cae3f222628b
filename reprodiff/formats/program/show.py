"""What a person is shown of code that differs: a few instructions where a disassembler is installed, else bytes."""

from typing import Any

from reprodiff.formats.program.names import (
    EM_386,
    EM_AARCH64,
    EM_ARM,
    EM_MIPS,
    EM_PPC,
    EM_PPC64,
    EM_RISCV,
    EM_S390,
    EM_X86_64,
)

MOST = 3
BEHIND = 48


def instructions(
    code: bytes, start: int, stop: int, base: int, machine: int, order: str, starts: list[int], *, thumb: bool = False
) -> str:
    """Return the instructions that touch code[start:stop], at most a few; base: the address of code[0].

    starts: offsets at which an instruction is known to begin, in order; one before `start` at least. thumb: T32 code.
    """
    from bisect import bisect_right

    first = starts[max(bisect_right(starts, start) - 1, 0)] if starts else start
    if first > start:
        first = start
    engine = _engine(machine, order, thumb)
    if engine is None:
        return code[start : min(stop, start + 16)].hex(" ") + ("…" if stop > start + 16 else "")
    found: list[str] = []
    for instruction in engine.disasm(code[first : stop + BEHIND], base + first):
        if instruction.address >= base + stop:
            break
        if instruction.address + instruction.size > base + start:
            if len(found) == MOST:
                found.append("…")
                break
            found.append(f"{instruction.mnemonic} {instruction.op_str}".strip())
    return "; ".join(found) or code[start : min(stop, start + 16)].hex(" ")


def _engine(machine: int, order: str, thumb: bool) -> Any:
    try:
        import capstone
    except ImportError:
        return None
    known = {
        EM_X86_64: (capstone.CS_ARCH_X86, capstone.CS_MODE_64),
        EM_386: (capstone.CS_ARCH_X86, capstone.CS_MODE_32),
        EM_ARM: (capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB if thumb else capstone.CS_MODE_ARM),
        EM_AARCH64: (capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM),
        EM_MIPS: (capstone.CS_ARCH_MIPS, capstone.CS_MODE_MIPS32 | capstone.CS_MODE_MIPS64),
        EM_PPC: (capstone.CS_ARCH_PPC, capstone.CS_MODE_32),
        EM_PPC64: (capstone.CS_ARCH_PPC, capstone.CS_MODE_64),
        EM_S390: (capstone.CS_ARCH_SYSZ, 0),
        EM_RISCV: (capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC),
    }
    if machine not in known or (order == ">" and machine not in {EM_MIPS, EM_PPC, EM_PPC64, EM_S390}):
        return None
    architecture, mode = known[machine]
    return capstone.Cs(architecture, mode if order == "<" else mode | capstone.CS_MODE_BIG_ENDIAN)
