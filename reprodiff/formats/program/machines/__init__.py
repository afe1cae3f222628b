"""What the instructions of each machine refer to, behind one interface (`instructions`)."""

from reprodiff.formats.program.machines.instructions import Family
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


def family(machine: int, wide: bool, order: str) -> Family | None:
    """Return the family that a machine (e_machine) of a class and byte order belongs to, None where it is not known."""
    if machine in {EM_386, EM_X86_64}:
        from reprodiff.formats.program.machines import x86

        return x86.family(machine == EM_X86_64)
    if machine == EM_AARCH64 and wide and order == "<":
        from reprodiff.formats.program.machines import aarch64

        return aarch64.FAMILY
    if machine == EM_ARM and order == "<" and not wide:
        from reprodiff.formats.program.machines import arm

        return arm.FAMILY
    if machine == EM_PPC64 and wide:
        from reprodiff.formats.program.machines import ppc64

        return ppc64.family(order)
    if machine == EM_PPC and not wide:
        from reprodiff.formats.program.machines import ppc32

        return ppc32.family(order)
    if machine == EM_MIPS:
        from reprodiff.formats.program.machines import mips

        return mips.family(wide, order)
    if machine == EM_S390 and wide and order == ">":
        from reprodiff.formats.program.machines import s390

        return s390.FAMILY
    if machine == EM_RISCV and order == "<":
        from reprodiff.formats.program.machines import riscv

        return riscv.family(wide)
    return None
