"""Which instructions a file has, as far as that tells what it was compiled for."""

from typing import Any

import numpy as np

from reprodiff.budget import Budget
from reprodiff.formats.program.image import Program
from reprodiff.formats.program.names import EM_X86_64
from reprodiff.formats.program.side import Side


def wide(image: Program) -> int:
    """Count the instructions of x86-64 code with an encoding of AVX or later (VEX, EVEX)."""
    if image.machine != EM_X86_64:
        return 0
    side = Side(image, Budget())
    count = 0
    for section in image.sections:
        if section.code and section.stored:
            data: Any = np.frombuffer(side.data(section), np.uint8)
            first = data[side.fields(section, None).starts]
            count += int(np.isin(first, (0xC4, 0xC5, 0x62)).sum())
    return count
